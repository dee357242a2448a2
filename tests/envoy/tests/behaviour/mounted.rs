//! A policy that is mounted from a ConfigMap.

use coalmine_envoy_tests::{rollout, visit};
use coalmine_harness::{Lab, Protocol};
use serde_json::json;

fn policy(revision: u64, weight: f64) -> String {
    json!({"revision": revision, "rollouts": [rollout("shop", "shop.example", weight)]}).to_string()
}

/// The kubelet swaps a link, and never renames the file; the same connection sees every policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_link_brings_the_new_policy() {
    let lab = Lab::builder().unwrap().mounted().start(&policy(1, 0.0)).await.unwrap();
    assert!(lab.policy_file().is_symlink());
    let mut connection = lab.connect(Protocol::Http1).await.unwrap();
    let mut ask = async || {
        let answer = connection.send(visit("shop.example", "grace").unwrap()).await.unwrap();
        answer.variant().unwrap().to_owned()
    };
    assert_eq!(ask().await, "stable");
    for (revision, weight, variant) in [(2, 100.0, "canary"), (3, 0.0, "stable"), (4, 100.0, "canary")] {
        lab.accept_policy(&policy(revision, weight)).await.unwrap();
        assert_eq!(ask().await, variant, "revision {revision}");
    }
    // A bad one is refused, and the last good one stays, as with a file.
    lab.refuse_policy(&policy(5, 250.0)).await.unwrap();
    assert_eq!(ask().await, "canary");
    lab.accept_policy(&policy(6, 0.0)).await.unwrap();
    assert_eq!(ask().await, "stable");
}
