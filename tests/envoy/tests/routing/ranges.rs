//! Three variants by ranges, and users who are pinned.

use std::time::Duration;

use std::collections::BTreeMap;

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::{USER, compile, user, visit};
use coalmine_harness::{get, load};
use serde_json::json;

use super::cluster_header::example;
use super::{HOST, drawn, server};

const USERS: usize = 3000;

/// The table as two changes of weight left it: canary and stable have two ranges each.
fn policy() -> String {
    let rollout = json!({
        "name": "checkout",
        "identity": [{"header": USER}],
        "salt": "checkout-1",
        "variants": [{"name": "canary"}, {"name": "baseline"}],
        "ranges": [
            [100_000, "canary"], [450_000, "stable"], [500_000, "canary"], [850_000, "stable"], [1_000_000, "baseline"],
        ],
        "pins": {"canary": ["alice", "\u{e4}", "a,b"], "baseline": ["bob"], "stable": ["carol"]},
        "route": {"clusterHeader": {
            "name": "x-coalmine-cluster",
            "clusters": {"stable": "stable", "canary": "canary", "baseline": "baseline"},
        }},
    });
    json!({"revision": 1, "rollouts": [rollout]}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_where_the_table_and_the_pins_say() {
    let compiled = compile(&policy()).unwrap();
    let (lab, _baseline) = example().await;
    let lab = lab.without_access_log().start(&policy()).await.unwrap();
    let request = |index| visit(HOST, &user(index));
    let servers =
        load::send_all(lab.address(), 8, USERS, request, |_, answer| server(&answer)).await.unwrap();
    let mut counts = BTreeMap::new();
    for (index, server) in servers.iter().enumerate() {
        assert_eq!(server, drawn(&compiled, &user(index)), "{}", user(index));
        *counts.entry(server.as_str()).or_insert(0) += 1;
    }
    println!("{counts:?} of {USERS} users");
    assert_eq!(counts.len(), 3, "every variant was seen");
    let pinned: [(&[u8], &str); 6] = [
        (b"alice", "canary"),
        ("\u{e4}".as_bytes(), "canary"),
        (b"a,b", "canary"),
        (b"bob", "baseline"),
        (b"carol", "stable"),
        (b"Alice", compiled.rollouts()[0].assign(Some(b"Alice"), Duration::ZERO).variant_name()),
    ];
    for (user, variant) in pinned {
        let answer = lab.ask(get(HOST).header(USER, user)).await.unwrap();
        assert_eq!(server(&answer), variant, "{user:?}");
    }
    let metrics = decided(&lab, USERS + pinned.len()).await.unwrap();
    assert_eq!(by_reason(&metrics, "checkout", "pinned"), 5);
}
