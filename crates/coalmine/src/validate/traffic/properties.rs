//! The model of routes against an evaluator that reads the table itself, step by step, on random tables.

use coalmine_document::{Node, json};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use coalmine_control::routes::{Answer, Request, Subject, classes, table_of_istio, tables_of_envoy};

const HOST: &str = "shop.example";
const WORDS: [&str; 4] = ["a", "ab", "b", ""];
const PATHS: [&str; 5] = ["/", "/a", "/a/b", "/ab", "/b"];
const HEADERS: [&str; 3] = ["x-one", "x-two", "x-coalmine-variant"];

/// The same cases in every run: what fails, fails again.
fn reproducible() -> ProptestConfig {
    ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A StringMatch, in the words that Istio and Envoy share.
fn string_match() -> impl Strategy<Value = Value> {
    (prop::sample::select(&["exact", "prefix"][..]), prop::sample::select(&WORDS[..]))
        .prop_map(|(kind, word)| json!({kind: word}))
}

fn path_match() -> impl Strategy<Value = Value> {
    (prop::sample::select(&["exact", "prefix"][..]), prop::sample::select(&PATHS[..]))
        .prop_map(|(kind, path)| json!({kind: path}))
}

/// One item of `match`.
fn item() -> impl Strategy<Value = Value> {
    let headers = || {
        prop::collection::btree_map(
            prop::sample::select(&HEADERS[..]),
            prop::option::of(string_match()),
            0..3,
        )
    };
    let method = prop::option::of(prop::sample::select(&["GET", "POST"][..]));
    (prop::option::of(path_match()), headers(), headers(), method).prop_map(
        |(path, with, without, method)| {
            let or_present = |all: std::collections::BTreeMap<&str, Option<Value>>| -> Value {
                all.into_iter()
                    .map(|(name, test)| (name.to_owned(), test.unwrap_or_else(|| json!({}))))
                    .collect()
            };
            let mut item = json!({"headers": or_present(with), "withoutHeaders": or_present(without)});
            if let Some(path) = path {
                item["uri"] = path;
            }
            if let Some(method) = method {
                item["method"] = json!({"exact": method});
            }
            item
        },
    )
}

fn routes() -> impl Strategy<Value = Vec<Vec<Value>>> {
    prop::collection::vec(prop::collection::vec(item(), 1..3), 1..5)
}

fn request() -> impl Strategy<Value = Request> {
    let headers = prop::collection::btree_map(
        prop::sample::select(&HEADERS[..]),
        prop::sample::select(&WORDS[..]),
        0..4,
    );
    let method = prop::sample::select(&["GET", "POST"][..]);
    (prop::sample::select(&PATHS[..]), method, headers).prop_map(|(path, method, headers)| {
        let plain = Request::to(HOST).with(&Subject::Path, Some(path)).with_header(":method", method);
        headers.into_iter().fold(plain, |request, (name, value)| request.with_header(name, value))
    })
}

fn fits(test: &Value, value: Option<&str>) -> bool {
    let text = |kind: &str| test.get(kind).map(|text| text.as_str().unwrap());
    match (text("exact"), text("prefix"), value) {
        (Some(exact), _, Some(value)) => exact == value,
        (_, Some(prefix), Some(value)) => value.starts_with(prefix),
        (None, None, value) => value.is_some(),
        (_, _, None) => false,
    }
}

/// The first route that takes a request, by the letter.
fn naive(routes: &[Vec<Value>], request: &Request) -> Option<usize> {
    let header = |name: &str| request.headers().find(|(given, _)| *given == name).map(|(_, value)| value);
    let takes = |item: &Value| {
        let of = |field: &str| item[field].as_object().unwrap().clone();
        // A value that is missing counts as empty where it must not be this one.
        let lacks = |(name, test): (&String, &Value)| {
            let is_plain = test.as_object().unwrap().is_empty();
            !fits(test, if is_plain { header(name) } else { header(name).or(Some("")) })
        };
        item.get("uri").is_none_or(|test| fits(test, request.get(&Subject::Path)))
            && item.get("method").is_none_or(|test| fits(test, Some(request.method())))
            && of("headers").iter().all(|(name, test)| fits(test, header(name)))
            && of("withoutHeaders").iter().all(lacks)
    };
    routes.iter().position(|items| items.iter().any(takes))
}

fn node(value: &Value) -> Node {
    json::read(value.to_string().as_bytes()).unwrap()
}

/// The same routes in a VirtualService.
fn of_istio(routes: &[Vec<Value>]) -> Node {
    let http = routes.iter().map(|items| json!({"match": items, "route": [{"destination": {"host": "a"}}]}));
    node(&json!({"hosts": [HOST], "http": http.collect::<Vec<_>>()}))
}

/// The same routes in a configuration of Envoy, one route for each item; and which of the routes each of them is.
fn of_envoy(routes: &[Vec<Value>]) -> (Node, Vec<usize>) {
    let condition = |name: &String, test: &Value, is_inverted: bool| {
        let is_plain = test.as_object().unwrap().is_empty();
        let kind = if is_plain { json!({"present_match": true}) } else { json!({"string_match": test}) };
        let mut condition = json!({"name": name, "invert_match": is_inverted});
        condition.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        if is_inverted && !is_plain {
            condition["treat_missing_header_as_empty"] = json!(true);
        }
        condition
    };
    let mut found = Vec::new();
    let mut places = Vec::new();
    for (place, item) in
        routes.iter().enumerate().flat_map(|(place, items)| items.iter().map(move |item| (place, item)))
    {
        let of = |field: &str| item[field].as_object().unwrap().clone();
        let mut headers: Vec<Value> =
            of("headers").iter().map(|(name, test)| condition(name, test, false)).collect();
        headers.extend(of("withoutHeaders").iter().map(|(name, test)| condition(name, test, true)));
        headers.extend(item.get("method").map(|test| json!({"name": ":method", "string_match": test})));
        let mut conditions = match item.get("uri") {
            Some(test) if test.get("exact").is_some() => json!({"path": test["exact"]}),
            Some(test) => json!({"prefix": test["prefix"]}),
            None => json!({"prefix": "/"}),
        };
        conditions["headers"] = json!(headers);
        found.push(json!({"match": conditions, "route": {"cluster": "a"}}));
        places.push(place);
    }
    (node(&json!({"virtual_hosts": [{"name": "h", "domains": ["*"], "routes": found}]})), places)
}

fn taken(answer: Answer<'_>) -> Option<usize> {
    match answer {
        Answer::Taken { route, .. } => Some(route),
        Answer::NotFound => None,
        Answer::Unknown => panic!("everything here can be decided"),
    }
}

proptest! {
    #![proptest_config(reproducible())]

    #[test]
    fn the_first_route_that_fits_takes_a_request(routes in routes(), requests in prop::collection::vec(request(), 20)) {
        let istio = table_of_istio(&of_istio(&routes), None);
        let (envoy, places) = of_envoy(&routes);
        let envoy = tables_of_envoy(&envoy).remove(0);
        for request in &requests {
            let expected = naive(&routes, request);
            prop_assert_eq!(taken(istio.virtual_host(HOST, None).unwrap().answer(request)), expected, "{}", request);
            let by_envoy = taken(envoy.virtual_host(HOST, None).unwrap().answer(request)).map(|route| places[route]);
            prop_assert_eq!(by_envoy, expected, "{}", request);
        }
    }

    /// Whatever can become of a request becomes of one of the classes.
    #[test]
    fn the_classes_leave_no_answer_out(routes in routes(), requests in prop::collection::vec(request(), 20)) {
        let table = table_of_istio(&of_istio(&routes), None);
        let host = table.virtual_host(HOST, None).unwrap();
        let ours = "x-coalmine-variant";
        let classes = classes(HOST, host, &[], &[ours]);
        for request in &requests {
            // What the header says is not a class of its own: it is given to each of them.
            let value = request.get(&Subject::Header(ours.to_owned()));
            let with = |class: &Request| class.with(&Subject::Header(ours.to_owned()), value);
            let expected = taken(host.answer(request));
            let found = classes.iter().any(|class| taken(host.answer(&with(class))) == expected);
            prop_assert!(found, "{} is taken by {:?}, and no class is", request, expected);
        }
    }
}
