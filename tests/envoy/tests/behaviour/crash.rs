//! The filter crashes, or is not there at all: every request is answered, by stable, until the next policy.

use coalmine_envoy_tests::{USER, compile, rollout, user_with, visit};
use coalmine_harness::tools::{self, CRASH_HEADER};
use coalmine_harness::{Answer, Connection, Lab, Protocol, get};
use http_body_util::Empty;
use serde_json::json;

const HOST: &str = "crash.test";

fn policy(revision: u32) -> String {
    json!({"revision": revision, "rollouts": [rollout("crash", HOST, 50.0)]}).to_string()
}

/// Somebody who is in the canary as long as the filter works.
fn canary_user() -> String {
    user_with(&compile(&policy(1)).unwrap(), HOST, "canary").unwrap()
}

async fn ask(lab: &Lab, user: &str) -> Answer {
    lab.ask(get(HOST).header(USER, user)).await.unwrap()
}

/// Three requests of a canary's user, one of them forged: all of them get stable.
async fn everybody_is_stable(lab: &Lab, user: &str) {
    for _ in 0..2 {
        assert_eq!(ask(lab, user).await.variant(), Some("stable"), "without the filter");
    }
    let forged = get(HOST).header(USER, user).header("x-coalmine-variant", "canary");
    assert_eq!(
        lab.ask(forged).await.unwrap().variant(),
        Some("stable"),
        "a forged header without the filter"
    );
}

async fn crash(connection: &mut Connection, user: &str) -> Answer {
    let request =
        get(HOST).header(USER, user).header(CRASH_HEADER, "1").header("x-coalmine-variant", "canary");
    connection.send(request.body(Empty::new()).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_worker_everybody_is_stable_until_the_next_policy() {
    let user = canary_user();
    let lab =
        Lab::builder().unwrap().module(&tools::crashing_filter().unwrap()).start(&policy(1)).await.unwrap();
    for revision in 2..=3 {
        assert_eq!(ask(&lab, &user).await.variant(), Some("canary"), "before the crash");
        let mut connection = lab.connect(Protocol::Http1).await.unwrap();
        assert_eq!(
            crash(&mut connection, &user).await.variant(),
            Some("stable"),
            "the crashing request itself"
        );
        lab.envoy().logged(0, &["proxy_on_request_headers failed"]).await.unwrap();
        everybody_is_stable(&lab, &user).await;
        let same_connection = connection.send(visit(HOST, &user).unwrap()).await.unwrap();
        assert_eq!(same_connection.variant(), Some("stable"));

        lab.accept_policy(&policy(revision)).await.unwrap();
        assert_eq!(ask(&lab, &user).await.variant(), Some("canary"), "the next policy revives the filter");
        let same_connection = connection.send(visit(HOST, &user).unwrap()).await.unwrap();
        assert_eq!(same_connection.variant(), Some("canary"), "also on connections that were open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_policy_does_not_revive_the_filter() {
    let user = canary_user();
    let lab =
        Lab::builder().unwrap().module(&tools::crashing_filter().unwrap()).start(&policy(1)).await.unwrap();
    let mut connection = lab.connect(Protocol::Http1).await.unwrap();
    crash(&mut connection, &user).await;
    lab.refuse_policy("not JSON").await.unwrap();
    everybody_is_stable(&lab, &user).await;
    lab.accept_policy(&policy(2)).await.unwrap();
    assert_eq!(ask(&lab, &user).await.variant(), Some("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_workers_the_other_goes_on_drawing() {
    let user = canary_user();
    let module = tools::crashing_filter().unwrap();
    let lab = Lab::builder().unwrap().workers(2).module(&module).start(&policy(1)).await.unwrap();
    // A connection belongs to one worker for its life, and the kernel spreads them: that all of these are with one
    // worker happens once in eight million runs.
    let mut connections = Vec::new();
    for _ in 0..24 {
        connections.push(lab.connect(Protocol::Http1).await.unwrap());
    }
    let mut before = Vec::new();
    for connection in &mut connections {
        before.push(connection.send(visit(HOST, &user).unwrap()).await.unwrap().variant().unwrap());
    }
    assert!(before.iter().all(|variant| *variant == "canary"), "{before:?}");

    assert_eq!(crash(&mut connections[0], &user).await.variant(), Some("stable"));
    let mut after = Vec::new();
    for connection in &mut connections {
        let first = connection.send(visit(HOST, &user).unwrap()).await.unwrap().variant().unwrap();
        let second = connection.send(visit(HOST, &user).unwrap()).await.unwrap().variant().unwrap();
        assert_eq!(first, second, "a worker has the filter or it has not");
        after.push(first);
    }
    assert_eq!(after[0], "stable", "the worker of the crash runs without the filter");
    assert!(after.contains(&"canary"), "the other worker draws as before");

    lab.accept_policy(&policy(2)).await.unwrap();
    for connection in &mut connections {
        let answer = connection.send(visit(HOST, &user).unwrap()).await.unwrap();
        assert_eq!(answer.variant(), Some("canary"), "both workers draw again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_module_everybody_is_stable_until_it_is_there() {
    let user = canary_user();
    let missing = std::env::temp_dir().join("coalmine-no-such-module.wasm");
    let mut lab = Lab::builder().unwrap().module(&missing).start(&policy(1)).await.unwrap();
    lab.envoy().logged(0, &["update rejected", "coalmine-no-such-module.wasm"]).await.unwrap();
    everybody_is_stable(&lab, &user).await;

    lab.change_module(&tools::filter().unwrap()).unwrap();
    lab.accept_policy(&policy(2)).await.unwrap();
    assert_eq!(ask(&lab, &user).await.variant(), Some("canary"));

    lab.change_module(&missing).unwrap();
    lab.refuse_policy(&policy(3)).await.unwrap();
    assert_eq!(ask(&lab, &user).await.variant(), Some("canary"), "the filter that is loaded stays");
}
