//! What the filter shows to the access log.

use coalmine_envoy_tests::{USER, compile, rollout, user_with};
use coalmine_harness::access_log::Entry;
use coalmine_harness::{Lab, get};
use serde_json::json;

const HOST: &str = "log.test";

fn policy(observe: bool) -> String {
    json!({"revision": 7, "rollouts": [rollout("log", HOST, 50.0)], "observe": {"accessLog": observe}})
        .to_string()
}

fn shown(entry: &Entry) -> [Option<&str>; 4] {
    [&entry.rollout, &entry.variant, &entry.reason, &entry.revision].map(Option::as_deref)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollout_variant_reason_and_revision_are_logged_but_never_a_user() {
    let compiled = compile(&policy(true)).unwrap();
    let canary = user_with(&compiled, HOST, "canary").unwrap();
    let stable = user_with(&compiled, HOST, "stable").unwrap();
    let lab = Lab::builder().unwrap().start(&policy(true)).await.unwrap();
    lab.ask(get(HOST).header(USER, &canary)).await.unwrap();
    lab.ask(get(HOST).header(USER, &stable)).await.unwrap();
    lab.ask(get(HOST)).await.unwrap();
    lab.ask(get("elsewhere.test").header(USER, &canary)).await.unwrap();

    let entries = lab.logged_requests(4).await.unwrap();
    let expected = [
        ["log", "canary", "bucket", "7"],
        ["log", "stable", "bucket", "7"],
        ["log", "stable", "noIdentity", "7"],
        ["-", "stable", "noMatch", "7"],
    ];
    for (entry, expected) in entries.iter().zip(expected) {
        assert_eq!(shown(entry), expected.map(Some));
        assert_eq!(entry.cluster.as_deref(), Some(expected[1]), "where the request went");
    }
    let everything = format!("{entries:?}{}", lab.envoy().log().unwrap());
    for user in [canary, stable] {
        assert!(!everything.contains(&user), "{user} is in a log");
    }

    let unnumbered = json!({"rollouts": [], "observe": {"accessLog": true}}).to_string();
    lab.accept_policy(&unnumbered).await.unwrap();
    lab.ask(get(HOST)).await.unwrap();
    let entries = lab.logged_requests(5).await.unwrap();
    assert_eq!(shown(&entries[4]), ["-", "stable", "noMatch", "-"].map(Some));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_unless_the_policy_says_so() {
    let lab = Lab::builder().unwrap().start(&policy(false)).await.unwrap();
    lab.ask(get(HOST).header(USER, "somebody")).await.unwrap();
    let entries = lab.logged_requests(1).await.unwrap();
    assert_eq!(shown(&entries[0]), [None; 4]);
}
