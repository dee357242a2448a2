//! What clients call a host: with a port, with a final dot, in any case. The routes take it as the filter does.

use coalmine_envoy_tests::{USER, rollout};
use coalmine_harness::{Lab, get};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_route_knows_every_host_that_the_filter_knows() {
    let mut rollout = rollout("shop", "shop.example", 100.0);
    rollout["match"]["hosts"] = json!(["shop.example", "*.eu.example"]);
    let domains = "domains: [\"shop.example\", \"*.eu.example\"]";
    let lab =
        Lab::builder().unwrap().edit(|bootstrap| bootstrap.replace("domains: [\"*\"]", domains)).unwrap();
    let lab = lab.start(&json!({"rollouts": [rollout]}).to_string()).await.unwrap();
    for host in [
        "shop.example",
        "SHOP.example",
        "shop.example:10000",
        "shop.example.",
        "shop.example.:80",
        "a.eu.example:443",
    ] {
        let answer = lab.ask(get(host).header(USER, "grace")).await.unwrap();
        assert_eq!(answer.variant(), Some("canary"), "{host}: {answer:?}");
    }
    let other = lab.ask(get("other.example:80").header(USER, "grace")).await.unwrap();
    assert_eq!(other.status, 404);
}
