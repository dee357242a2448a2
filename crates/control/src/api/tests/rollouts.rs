//! Rollouts are written in both notations, read, listed and deleted; a dry run changes nothing.

use super::*;

/// All that a dry run could change.
async fn everything(world: &World) -> (Value, Value, u64) {
    let history = world.get(&format!("{PATH}/history")).await.body;
    (world.get("/v1/rollouts").await.body, history, world.store.counter().await.unwrap())
}

#[tokio::test]
async fn json_is_the_same_as_yaml() {
    let world = World::new().await;
    let text = json!({
        "name": "shop/checkout",
        "policy": {"identity": [{"header": "x-user-id"}], "variants": [{"name": "canary"}]},
        "plan": {"steps": [5, 25]},
    });
    let created = world.put(&text.to_string()).await;
    assert_eq!((created.status, &created.body["rollout"]["steps"]), (201, &json!([5.0, 25.0])));
    let wrong = "{\n \"policy\": {\"identity\": [{\"header\": \"x\"}], \"variants\": [{\"name\": \"canary\"}]},\n \
                 \"plan\": {\"steps\": [5, true]}}";
    let refused = world.put(wrong).await;
    let place = &refused.body["problems"][0];
    assert_eq!(
        (refused.status, &place["path"], &place["line"], &place["column"]),
        (422, &json!("plan.steps[1]"), &json!(3), &json!(24))
    );
    assert!(!place["message"].as_str().unwrap().is_empty() && !place["kind"].as_str().unwrap().is_empty());
    assert_eq!(world.get(PATH).await.body["steps"], json!([5.0, 25.0]), "what was there stays");
}

#[tokio::test]
async fn the_same_document_again_is_no_change() {
    let world = World::new().await;
    let created = world.put(ROLLOUT).await;
    let again = world.put(ROLLOUT).await;
    assert_eq!((again.status, &again.body["changed"]), (200, &json!(false)));
    assert_eq!(again.headers[header::ETAG], created.headers[header::ETAG]);
    assert_eq!(world.get(&format!("{PATH}/history")).await.body.as_array().unwrap().len(), 1);
    let gone =
        world.ask(ADMIN, Method::PUT, "/v1/rollouts/shop/new", &[("if-match", "\"7\"")], ROLLOUT).await;
    assert_eq!(gone.status, 412, "who changes what is not there is told");
    let new =
        world.ask(ADMIN, Method::PUT, "/v1/rollouts/shop/new", &[("if-none-match", "*")], ROLLOUT).await;
    assert_eq!(new.status, 201);
}

#[tokio::test]
async fn a_rollout_is_deleted_at_the_version_that_was_read() {
    let world = World::new().await;
    let etag = world.put(ROLLOUT).await.headers[header::ETAG].to_str().unwrap().to_owned();
    let delete = async |headers: &[(&str, &str)]| world.ask(ADMIN, Method::DELETE, PATH, headers, "").await;
    assert_eq!(delete(&[("if-match", "\"9999\"")]).await.status, 412);
    let deleted = delete(&[("if-match", &etag)]).await;
    assert_eq!((deleted.status, &deleted.body["rollout"]["deleted"]), (202, &json!(true)));
    assert_eq!(world.get(PATH).await.body["deleted"], true, "until everybody is on stable");
    let again = delete(&[]).await;
    assert_eq!((again.status, &again.body["changed"]), (202, &json!(false)));
    let start = world.post("start", &[], "").await;
    assert_eq!((start.status, &start.body["detail"]), (409, &json!("the rollout is being deleted")));
    let back = world.put(ROLLOUT).await;
    assert_eq!((back.status, &back.body["changed"]), (200, &json!(true)));
    assert_eq!(world.post("start", &[], "").await.status, 202);
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let before = everything(&world).await;
    let asked = [
        (Method::PUT, "/v1/rollouts/shop/new?dryRun=true".to_owned(), ROLLOUT.to_owned(), 200),
        (Method::PUT, format!("{PATH}?dryRun=true"), ROLLOUT.replace("25", "50"), 200),
        (Method::DELETE, format!("{PATH}?dryRun=true"), String::new(), 202),
        (Method::POST, format!("{PATH}/start?dryRun=true"), String::new(), 200),
        (Method::POST, format!("{PATH}/advance?dryRun=true"), String::new(), 409),
    ];
    for (method, path, body, status) in asked {
        let answer = world.ask(ADMIN, method, &path, &[("idempotency-key", "build-1")], &body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(status == 409 || answer.body["dryRun"] == true && answer.body["changed"] == true, "{path}");
        assert_eq!(everything(&world).await, before, "{path}");
    }
    let dry = world.post("start?dryRun=true", &[], "").await;
    assert_eq!(dry.body["rollout"]["phase"], "Progressing");
    assert!(!dry.headers.contains_key(header::LOCATION), "there is no such release");
    let real = world.post("start", &[("idempotency-key", "build-1")], "").await;
    assert_eq!((real.status, &real.body["changed"]), (202, &json!(true)), "a dry run uses up no key");
}

#[tokio::test]
async fn history_has_pages() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    for verb in ["start", "pause", "resume", "pause", "resume"] {
        assert_eq!(world.post(verb, &[], "").await.status, 202);
    }
    let page = async |query: &str| {
        let body = world.get(&format!("{PATH}/history?{query}")).await.body;
        let lines = body.as_array().unwrap().iter().map(|line| line["number"].as_u64().unwrap());
        lines.collect::<Vec<_>>()
    };
    let all = page("").await;
    let descending: Vec<u64> = (1..=all.len() as u64).rev().collect();
    assert!(all.len() > 5 && all == descending, "{all:?}");
    let mut paged = Vec::new();
    while paged.last() != Some(&1) {
        let before = paged.last().map_or(String::new(), |last| format!("&before={last}"));
        paged.extend(page(&format!("limit=2{before}")).await);
    }
    assert_eq!(paged, all);
    assert_eq!(world.post("pause", &[], "null").await.status, 202, "a body of nothing is none");
    let all = page("").await;
    assert_eq!(page("before=1").await, [0; 0]);
    assert_eq!(page(&format!("limit=1000&before={}", i64::MAX)).await, all);
    for (query, says) in [("limit=0", "1 to 1000"), ("limit=1001", "1 to 1000"), ("before=-1", "negative")] {
        let refused = world.get(&format!("{PATH}/history?{query}")).await;
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(refused.status == 400 && detail.contains(says), "{query}: {}", refused.body);
    }
}

#[tokio::test]
async fn what_is_frozen_says_why_and_by_whom() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let said = "{\"message\": \"an incident\"}";
    let frozen = world.ask(ADMIN, Method::PUT, "/v1/freeze", &[("coalmine-actor", "Ada")], said).await;
    assert_eq!(frozen.body, json!({"message": "by admin (Ada) (an incident)"}));
    assert_eq!(world.ask(READER, Method::GET, "/v1/freeze", &[], "").await.body, frozen.body);
    let start = world.post("start", &[], "").await;
    assert_eq!(
        (start.status, &start.body["detail"]),
        (409, &json!("the server is frozen: by admin (Ada) (an incident)"))
    );
    assert_eq!(world.ask(ADMIN, Method::DELETE, "/v1/freeze", &[], "").await.body, json!({"message": null}));
    for odd in ["{\"newUsers\": true}", "[]", "[\"an incident\"]", "7"] {
        let refused = world.ask(ADMIN, Method::PUT, "/v1/freeze", &[], odd).await;
        assert_eq!(refused.status, 400, "{odd}: {}", refused.body);
    }
    assert_eq!(world.get("/v1/freeze").await.body, json!({"message": null}));
    assert_eq!(world.post("start", &[], "").await.status, 202);
}

#[tokio::test]
async fn a_verb_is_refused_where_the_file_owns_the_weights() {
    let world = World::new().await;
    world.put(&ROLLOUT.replace("plan: {steps: [5, 25]}", "weights: {canary: 12.5}")).await;
    let shown = world.get(PATH).await.body;
    assert_eq!((&shown["weights"], shown.get("steps")), (&json!({"canary": 12.5}), None));
    let refused = world.post("weights", &[], "{\"canary\": 7.5}").await;
    assert!(refused.status == 409 && refused.body["detail"].as_str().unwrap().contains("the file owns"));
    assert_eq!(world.post("start", &[], "").await.status, 409);
}
