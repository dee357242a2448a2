//! What the filter counts, as Prometheus reads it.

use coalmine_envoy_tests::{USER, compile, expected, rollout, user, visit};
use coalmine_harness::{Lab, Metrics, get, load};
use serde_json::json;

const REQUESTS: &str = "coalmine_requests_total";
const HOST: &str = "metrics.test";
const USERS: usize = 2000;

fn policy(revision: u32, weight: f64) -> String {
    let mut disabled = rollout("disabled", "disabled.test", 100.0);
    disabled["enabled"] = json!(false);
    json!({"revision": revision, "rollouts": [rollout("metrics", HOST, weight), disabled]}).to_string()
}

async fn everybody(lab: &Lab, host: &'static str) {
    let request = move |index| visit(host, &user(index));
    let answers =
        load::send_all(lab.address(), 8, USERS, request, |_, answer| answer.variant()).await.unwrap();
    assert!(answers.iter().all(Option::is_some));
}

fn requests(metrics: &Metrics, rollout: &str, variant: &str, reason: &str) -> f64 {
    let labels = [("rollout", rollout), ("variant", variant), ("reason", reason)];
    metrics.sum(REQUESTS, &labels).unwrap_or_default()
}

async fn when_counted(lab: &Lab, sent: usize) -> Metrics {
    let all = |metrics: &Metrics| metrics.sum(REQUESTS, &[]).unwrap_or_default() >= sent as f64;
    let metrics = lab.metrics_when("all requests in the metrics", all).await.unwrap();
    assert_eq!(metrics.sum(REQUESTS, &[]), Some(sent as f64));
    metrics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_rollout_variant_and_reason() {
    let lab = Lab::builder().unwrap().workers(2).start(&policy(1, 30.0)).await.unwrap();
    everybody(&lab, HOST).await;
    everybody(&lab, "disabled.test").await;
    everybody(&lab, "elsewhere.test").await;
    for _ in 0..10 {
        assert_eq!(lab.ask(get(HOST)).await.unwrap().variant(), Some("stable"));
        assert_eq!(lab.ask(get(HOST).header(USER, "")).await.unwrap().variant(), Some("stable"));
    }
    let metrics = when_counted(&lab, 3 * USERS + 20).await;

    let preview = compile(&policy(1, 30.0)).unwrap();
    let canary =
        (0..USERS).filter(|index| expected(&preview, HOST, &user(*index)).unwrap() == "canary").count();
    assert_eq!(metrics.labels(REQUESTS), ["reason", "rollout", "variant"]);
    assert_eq!(requests(&metrics, "metrics", "canary", "bucket"), canary as f64);
    assert_eq!(requests(&metrics, "metrics", "stable", "bucket"), (USERS - canary) as f64);
    assert_eq!(requests(&metrics, "metrics", "stable", "noIdentity"), 20.0);
    assert_eq!(requests(&metrics, "disabled", "stable", "disabled"), USERS as f64);
    assert_eq!(requests(&metrics, "none", "stable", "noMatch"), USERS as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_count_is_lost_when_policies_change() {
    let lab = Lab::builder().unwrap().workers(2).start(&policy(1, 0.0)).await.unwrap();
    for revision in 2..=6 {
        everybody(&lab, HOST).await;
        lab.accept_policy(&policy(revision, f64::from(revision))).await.unwrap();
    }
    everybody(&lab, HOST).await;
    when_counted(&lab, 6 * USERS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refused_policy_is_counted() {
    let lab = Lab::builder().unwrap().start(&policy(1, 5.0)).await.unwrap();
    let rejected = |metrics: &Metrics| metrics.sum("coalmine_policy_rejected_total", &[]).unwrap_or_default();
    let mut before = rejected(&lab.envoy().metrics().await.unwrap());
    for weight in [101.0, 102.0, 103.0] {
        lab.refuse_policy(&policy(2, weight)).await.unwrap();
        let more = |metrics: &Metrics| rejected(metrics) >= before + 1.0;
        before = rejected(&lab.metrics_when("the refusal in the metrics", more).await.unwrap());
    }
    lab.accept_policy(&policy(3, 10.0)).await.unwrap();
    assert_eq!(rejected(&lab.envoy().metrics().await.unwrap()), before, "a good one is not counted");
}
