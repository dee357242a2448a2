//! Nobody can choose a variant by sending the route header: behind early removal, and by the filter alone.

use coalmine_envoy_tests::{USER, compile, rollout, user_with};
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Lab, LabBuilder, Metrics};
use serde_json::json;

const HOST: &str = "forged.test";

fn policy() -> String {
    json!({"revision": 1, "rollouts": [rollout("forged", HOST, 50.0)]}).to_string()
}

fn forged(metrics: &Metrics) -> u64 {
    metrics.sum("coalmine_forged_total", &[]).unwrap_or_default() as u64
}

/// Every way to forge, by every kind of user. Returns how many requests were forged.
async fn forge(lab: &Lab) -> u64 {
    let policy = compile(&policy()).unwrap();
    let canary = user_with(&policy, HOST, "canary").unwrap();
    let stable = user_with(&policy, HOST, "stable").unwrap();
    let users = [
        ("canary", RawRequest::get(HOST, "/").header(USER, &canary)),
        ("stable", RawRequest::get(HOST, "/").header(USER, &stable)),
        // Without an identity, and where no rollout matches.
        ("stable", RawRequest::get(HOST, "/")),
        ("stable", RawRequest::get("elsewhere.test", "/").header(USER, &canary)),
    ];
    let forgeries: [&[(&str, &str)]; 9] = [
        &[("x-coalmine-variant", "canary")],
        &[("X-Coalmine-Variant", "canary")],
        &[("X-COALMINE-VARIANT", "canary")],
        &[("x-coalmine-variant", "stable")],
        &[("x-coalmine-variant", "")],
        &[("x-coalmine-variant", "canary,canary")],
        &[("x-coalmine-variant", "canary"), ("x-coalmine-variant", "canary")],
        &[("x-coalmine-variant", "stable"), ("X-Coalmine-Variant", "canary")],
        &[("x-coalmine-variant", "canary"), ("X-Coalmine-Variant", "\u{ff}")],
    ];
    for (variant, request) in &users {
        for forgery in forgeries {
            let forged =
                forgery.iter().fold(request.clone(), |request, (name, value)| request.header(name, value));
            let answer = forged.send(lab.address()).await.unwrap();
            // The upstream server would say so if the header had come through.
            let expected = (200, format!("{variant}\n"));
            assert_eq!((answer.status, answer.body), expected, "{forgery:?} sent with {request:?}");
        }
    }
    (users.len() * forgeries.len()) as u64
}

fn without_early_removal() -> LabBuilder {
    Lab::builder().unwrap().edit(|bootstrap| bootstrap.without_early_removal()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_early_removal_it_is_gone_before_the_filter_looks() {
    let lab = Lab::builder().unwrap().start(&policy()).await.unwrap();
    let sent = forge(&lab).await;
    let all = |metrics: &Metrics| metrics.sum("coalmine_requests_total", &[]) == Some(sent as f64);
    let metrics = lab.metrics_when("all requests in the metrics", all).await.unwrap();
    assert_eq!(forged(&metrics), 0, "so there is nothing that the filter could count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_alone_removes_and_counts_it() {
    let lab = without_early_removal().start(&policy()).await.unwrap();
    let sent = forge(&lab).await;
    let all = |metrics: &Metrics| forged(metrics) >= sent;
    let metrics = lab.metrics_when("all forged requests in the metrics", all).await.unwrap();
    assert_eq!(forged(&metrics), sent);
    // A quarter of them came where no rollout matched.
    let of = |rollout| metrics.sum("coalmine_forged_total", &[("rollout", rollout)]);
    assert_eq!(of("none"), Some(sent as f64 / 4.0));
    assert_eq!(of("forged"), Some(sent as f64 * 3.0 / 4.0));
}

/// Such a policy names no header, so the filter cannot remove any: here early removal is what keeps forgers out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_policy_without_rollouts_early_removal_still_works() {
    let lab = Lab::builder().unwrap().start("{}").await.unwrap();
    let request = RawRequest::get(HOST, "/").header("x-coalmine-variant", "canary");
    assert_eq!(request.send(lab.address()).await.unwrap().body, "stable\n");
}
