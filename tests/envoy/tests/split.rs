//! Everybody has the variant that the core says, at every weight, on every worker, and after a restart.

use std::collections::BTreeMap;

use coalmine_envoy_tests::{compile, expected, rollout, user, visit};
use coalmine_harness::{Lab, load, tools};
use serde_json::json;

/// Every user is one of so many, unless the environment says otherwise. That the shares are right is no matter of the
/// proxy: `crates/core/tests/split.rs` shows it.
const USERS: usize = 5_000;
const CONNECTIONS: usize = 32;
const WEIGHTS: [f64; 7] = [0.0, 0.01, 1.0, 5.0, 50.0, 99.99, 100.0];

fn host(weight: f64) -> String {
    format!("weight-{weight}.test")
}

/// The variant of every user, as the proxy answers, in the order of [`user`].
async fn variants(lab: &Lab, weight: f64, users: usize) -> Vec<&'static str> {
    let request = move |index| visit(&host(weight), &user(index));
    let variant = |index, answer: coalmine_harness::Answer| {
        answer.variant().ok_or_else(|| format!("user {index} got {answer:?}"))
    };
    let answers = load::send_all(lab.address(), CONNECTIONS, users, request, variant).await.unwrap();
    answers.into_iter().collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_user_has_and_keeps_the_variant_that_core_says() {
    let users = tools::users(USERS).unwrap();
    let rollouts =
        WEIGHTS.map(|weight| rollout(&format!("split-{weight}").replace('.', "-"), &host(weight), weight));
    let policy = json!({"version": 1, "revision": 1, "rollouts": rollouts}).to_string();
    let preview = compile(&policy).unwrap();
    let mut lab = Lab::builder().unwrap().without_access_log().workers(1).start(&policy).await.unwrap();

    let mut first = BTreeMap::new();
    for (index, weight) in WEIGHTS.into_iter().enumerate() {
        let variants = variants(&lab, weight, users).await;
        let canary = variants.iter().filter(|variant| **variant == "canary").count();
        println!("weight {weight} %: {canary} of {users} users in the canary");
        for (index, variant) in variants.iter().enumerate() {
            let user = user(index);
            assert_eq!(*variant, expected(&preview, &host(weight), &user).unwrap(), "{user} at {weight} %");
        }
        first.insert(index, variants);
    }

    lab.restart(3).await.unwrap();
    for (index, weight) in WEIGHTS.into_iter().enumerate() {
        let again = variants(&lab, weight, users).await;
        assert!(first[&index] == again, "somebody at {weight} % has another variant after the restart");
    }
    for worker in 0..3 {
        // Envoy names the listener by the port that it was given: 0, any free one.
        let connections = format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total");
        assert!(lab.envoy().stat(&connections).await.unwrap() > 0, "worker {worker} had no part in it");
    }
}
