//! Requests that come twice.

use super::*;

impl World {
    /// Sends a request at the moment when the next one has decided and not yet written.
    fn sends_first(&self, verb: &'static str, headers: &[(&'static str, &'static str)], body: &'static str) {
        let app = self.app.clone();
        let mut request = Request::post(format!("{PATH}/{verb}"));
        request = request.header("authorization", format!("Bearer {PIPELINE}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.store.before_next_commit(async move {
            let first = answer(&app, request.body(Body::from(body)).unwrap()).await;
            assert_eq!(first.status, 202, "{}", first.body);
        });
    }
}

#[tokio::test]
async fn two_at_once_with_one_key_have_one_answer_whatever_the_verb() {
    const KEY: [(&str, &str); 1] = [("idempotency-key", "build-2")];
    // The second one would be refused, or do more, if it were another request.
    for (verb, body) in
        [("start", "{\"newUsers\": true}"), ("start", ""), ("advance", ""), ("promote", ""), ("pause", "")]
    {
        let world = World::new().await;
        world.put(ROLLOUT).await;
        if verb != "start" {
            world.post("start", &[], "").await;
        }
        world.sends_first(verb, &KEY, body);
        let second = world.post(verb, &KEY, body).await;
        assert_eq!(second.status, 202, "{verb} {body}: {}", second.body);
        let again = world.post(verb, &KEY, body).await;
        assert_eq!(
            (&second.body, &second.headers[header::LOCATION]),
            (&again.body, &again.headers[header::LOCATION])
        );
        let now = world.get(PATH).await.body;
        assert_eq!(now["weight"], if verb == "advance" { 5.0 } else { 0.0 }, "{verb}: it was done once");
        assert_eq!(now["release"]["release"], 1, "{verb}");
    }
}

#[tokio::test]
async fn a_condition_that_the_same_request_broke_is_no_trouble() {
    let world = World::new().await;
    let etag: &'static str =
        world.put(ROLLOUT).await.headers[header::ETAG].to_str().unwrap().to_owned().leak();
    let headers = [("idempotency-key", "build-3"), ("if-match", etag)];
    world.sends_first("start", &headers, "");
    assert_eq!(world.post("start", &headers, "").await.status, 202);
    let other = world.post("pause", &[("if-match", etag)], "").await;
    assert_eq!(other.status, 412, "{}", other.body);
}

#[tokio::test]
async fn without_a_key_the_second_one_sees_what_the_first_one_did() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.sends_first("start", &[], "");
    let second = world.post("start", &[], "").await;
    assert_eq!((second.status, &second.body["changed"]), (200, &json!(false)));
    assert_eq!(second.body["rollout"]["release"]["release"], 1);
}

#[tokio::test]
async fn keys_of_two_tokens_have_nothing_to_do_with_one_another() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let key = [("idempotency-key", "1")];
    assert_eq!(world.post("start", &key, "").await.body["changed"], true);
    let other = world.ask(ADMIN, Method::POST, &format!("{PATH}/start"), &key, "").await;
    assert_eq!((other.status, &other.body["changed"]), (200, &json!(false)), "its own answer");
    // A verb that was refused has used up nothing.
    let late = [("idempotency-key", "2")];
    world.post("rollback", &[], "").await;
    assert_eq!(world.post("advance", &late, "").await.status, 409);
    world.makes(|state| state.stage = Stage::RolledBack).await;
    world.post("start", &[], "").await;
    assert_eq!(world.post("advance", &late, "").await.status, 202);
}

#[tokio::test]
async fn keys_of_two_verbs_have_nothing_to_do_with_one_another() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let key = [("idempotency-key", "execution-1")];
    assert_eq!(world.post("start", &key, "").await.status, 202);
    assert_eq!(world.post("rollback", &key, "").await.status, 202, "a pipeline that is cancelled rolls back");
}

/// What Spinnaker does where a stage fails: it posts `rollback` with the headers of the `start`, whatever that was answered.
#[tokio::test]
async fn a_rollback_with_the_key_of_a_start_is_about_the_release_that_it_began() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let key = |key: &'static str| [("idempotency-key", key)];
    let phase = async || world.get(PATH).await.body["phase"].clone();
    let mine = world.ask(ADMIN, Method::POST, &format!("{PATH}/start"), &[], "").await;
    assert_eq!(mine.status, 202);
    assert_eq!(world.post("start", &key("joined"), "").await.status, 200);
    let refused = world.post("rollback", &key("joined"), "").await;
    assert_eq!((refused.status, phase().await), (409, json!("Progressing")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("has begun no release"), "{}", refused.body);

    assert_eq!(world.ask(ADMIN, Method::POST, &format!("{PATH}/promote"), &[], "").await.status, 202);
    assert_eq!(world.post("start?dryRun=true", &key("asked"), "").await.status, 409);
    assert_eq!(world.post("start", &key("refused"), "").await.status, 409);
    let refused = world.post("rollback", &key("refused"), "").await;
    assert_eq!((refused.status, phase().await), (409, json!("Promoting")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("was refused"), "{}", refused.body);
    let path = format!("{PATH}/rollback?dryRun=true");
    let other = world.ask(ADMIN, Method::POST, &path, &key("refused"), "").await;
    assert_eq!(other.status, 200, "the key of another token says nothing");
    assert_eq!(world.post("rollback", &key("asked"), "").await.status, 202, "nothing was said with it");

    world.is_rolled_back().await;
    assert_eq!(world.post("start", &key("refused"), "").await.status, 202, "it is free again");
    assert_eq!(world.post("rollback", &key("refused"), "").await.status, 202, "this one it has begun");
}

#[tokio::test]
async fn a_rollback_that_comes_late_leaves_the_next_release_alone() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let key = [("idempotency-key", "execution-1")];
    assert_eq!(world.post("start", &key, "").await.status, 202);
    world.is_rolled_back().await;
    assert_eq!(world.post("rollback?dryRun=true", &key, "").await.status, 200, "it is so already");
    assert_eq!(world.post("start", &[], "").await.status, 202);
    let late = world.post("rollback", &key, "").await;
    assert_eq!(late.status, 409, "{}", late.body);
    assert!(late.body["detail"].as_str().unwrap().starts_with("release 1, "), "{}", late.body);
    assert_eq!(world.get(PATH).await.body["phase"], "Progressing");
}

/// What a person approves is what was shown to them, though it may take days until they do.
#[tokio::test]
async fn a_verb_about_one_release_leaves_another_one_alone() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let key = [("idempotency-key", "execution-1")];
    assert_eq!(world.post("start", &key, "{\"release\": 1}").await.status, 400, "it begins one");
    assert_eq!(world.post("start", &key, "").await.status, 202);
    assert_eq!(world.post("advance", &[], "{\"release\": 1}").await.status, 202);
    world.is_rolled_back().await;
    assert_eq!(world.post("start", &[], "").await.status, 202);
    for verb in ["advance", "promote", "pause", "rollback"] {
        for (headers, body) in [(&[][..], "{\"release\": 1}"), (&key[..], "")] {
            let late = world.post(verb, headers, body).await;
            assert_eq!(late.status, 409, "{verb} {body}: {}", late.body);
            assert!(
                late.body["detail"].as_str().unwrap().starts_with("release 1, "),
                "{verb}: {}",
                late.body
            );
        }
        let none = world.post(verb, &[], "{\"release\": 9}").await;
        assert_eq!(none.status, 409, "{verb}: {}", none.body);
    }
    assert_eq!(world.get(PATH).await.body["phase"], "Progressing");
    assert_eq!(world.post("pause", &[], "{\"release\": 2}").await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_of_one_version_one_wins() {
    let world = Arc::new(World::new().await);
    let etag = world.put(ROLLOUT).await.headers[header::ETAG].to_str().unwrap().to_owned();
    let writers = (0..50).map(|step| {
        let (world, etag) = (world.clone(), etag.clone());
        tokio::spawn(async move {
            let text = ROLLOUT.replace("25", &(30 + step).to_string());
            world.ask(ADMIN, Method::PUT, PATH, &[("if-match", &etag)], &text).await.status
        })
    });
    let mut statuses = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        statuses.push(writer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, [412; 49].as_slice()));
    let history = world.get(&format!("{PATH}/history")).await.body;
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
}
