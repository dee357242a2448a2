//! The description of the API, held against what it answers.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::*;

const METHODS: [Method; 4] = [Method::GET, Method::PUT, Method::POST, Method::DELETE];

/// The description, as everybody gets it.
async fn document(app: &App) -> Value {
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    answer(app, request).await.body
}

/// The operation that a request is for, where there is one.
fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        template.split('/').count() == path.split('/').count()
            && template.split('/').zip(path.split('/')).all(|(it, given)| it.starts_with('{') || it == given)
    };
    let templates = document["paths"].as_object().unwrap();
    // As in the router, the path with the fewest holes is meant.
    let found = templates.iter().filter(|(template, _)| fits(template));
    let (_, item) = found.min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(method.as_str().to_lowercase())
}

/// Every answer of the tests is one that the description tells of, with its type, its headers and its shape.
pub(super) fn holds(method: &Method, path: &str, status: u16, headers: &HeaderMap, body: &Value) {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| serde_json::to_value(routes().into_openapi()).unwrap());
    let Some(operation) = operation(&DOCUMENT, method, path) else { return };
    let told = &operation["responses"][status.to_string()];
    assert!(told.is_object(), "{method} {path} answers {status}, which is not described");
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap()).unwrap_or_default();
    let content = &told["content"][kind];
    assert!(content.is_object(), "{method} {path} answers {status} as {kind}: {told}");
    let mut schema = content["schema"].clone();
    // References lead to the shapes of the document.
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(body).map(|it| it.to_string()).collect();
    assert!(wrong.is_empty(), "{method} {path} answers {status} otherwise than described: {wrong:?} {body}");
    for (needed, name) in [(401, "www-authenticate"), (503, "retry-after")] {
        assert!(status != needed || headers.contains_key(name), "{method} {path}: {status} without {name}");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|it| references(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let world = World::new().await;
    let document = document(&world.app).await;
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 13, "{:?}", paths.keys());
    let mut names = BTreeSet::new();
    for (template, item) in paths {
        let path = template
            .replace("{namespace}", "shop")
            .replace("{name}", "checkout")
            .replace("{verb}", "start")
            .replace("{word}", "advance")
            .replace("{number}", "1")
            .replace("{revision}", "1");
        assert!(!path.contains('{'), "{path}");
        for method in METHODS {
            let request = Request::builder().method(method.clone()).uri(&path);
            let response = router(world.app.clone()).oneshot(request.body(Body::empty()).unwrap()).await;
            let is_there = response.unwrap().status() != 405;
            let operation = &item[method.as_str().to_lowercase()];
            assert_eq!(operation.is_object(), is_there, "{method} {template}");
            if !is_there {
                continue;
            }
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(operation["summary"].is_string(), "{method} {template}");
            assert!(names.insert(name), "{method} {template}: its operationId is there twice");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let in_path = parameters.filter(|it| it["in"] == "path").count();
            assert_eq!(in_path, template.matches('{').count(), "{method} {template}: {operation}");
            let needs_token = template != "/openapi.json";
            assert_eq!(operation["responses"]["401"].is_object(), needs_token, "{method} {template}");
        }
    }
}

#[tokio::test]
async fn the_description_is_whole_and_says_who_may_ask() {
    let world = World::new().await;
    let document = document(&world.app).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"], json!([{"bearer": []}, {"basic": []}]));
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.contains("#/components/schemas/Trouble") && found.contains("#/components/schemas/Place"));
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn the_words_are_those_of_the_types() {
    let document = serde_json::to_value(routes().into_openapi()).unwrap();
    let shapes = &document["components"]["schemas"];
    let all = [Outcome::Promoted, Outcome::RolledBack, Outcome::Superseded];
    let mut outcomes: Vec<Value> = all.iter().map(|it| json!(it)).collect();
    outcomes.push(Value::Null);
    assert_eq!(shapes["Release"]["properties"]["outcome"]["enum"], json!(outcomes));
    use coalmine_steer::Verdict::{Advance, Hold, Promote, Rollback};
    assert_eq!(
        shapes["ShownVerdict"]["properties"]["verdict"]["enum"],
        json!([Rollback, Hold, Advance, Promote])
    );
}
