//! Ten thousand tokens that are almost good, sent to a real Envoy: none is believed.

#[path = "../../../../crates/core/tests/common/mutate.rs"]
mod mutate;

use coalmine_envoy_tests::token;
use coalmine_harness::{Lab, Metrics, load};
use http_body_util::Empty;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use mutate::Mutator;
use serde_json::json;

use super::overrides::{COOKIE, HEADER, SECRET, policy};

const TOKENS: usize = 10_000;

/// Mutations that a header can carry. Blanks around a value are not part of it, so those that differ in nothing else
/// are left out.
fn mutated() -> Vec<HeaderValue> {
    let day = 24 * 60 * 60;
    let signed = vec![
        token(SECRET, "open", "canary", day / 2).unwrap(),
        token(SECRET, "open", "stable", day / 2).unwrap(),
        token(SECRET, "killed", "canary", day / 2).unwrap(),
        token(SECRET, "open", "canary", -1).unwrap(),
        token(SECRET, "open", "canary", 2 * day).unwrap(),
    ];
    let mut mutator = Mutator::new(0xc0a1, signed.clone());
    let tokens = std::iter::repeat_with(|| mutator.next_token());
    let good = |token: &Vec<u8>| signed.iter().any(|signed| token.trim_ascii() == signed.as_bytes());
    tokens
        .filter(|token| !good(token))
        .filter_map(|token| HeaderValue::from_bytes(&token).ok())
        .take(TOKENS)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_mutated_tokens_none_is_accepted() {
    let lab = Lab::builder()
        .unwrap()
        .without_access_log()
        .start(&policy(json!([SECRET])).to_string())
        .await
        .unwrap();
    let tokens = mutated();
    let request = move |index: usize| {
        let token = &tokens[index];
        let request = Request::get("/").header("host", "open.test").header("x-user-id", "alice");
        let request = if index.is_multiple_of(2) {
            request.header(HEADER, token)
        } else {
            let cookie = [format!("a=0; {COOKIE}=").as_bytes(), token.as_bytes()].concat();
            request.header("cookie", HeaderValue::from_bytes(&cookie)?)
        };
        Ok(request.body(Empty::new())?)
    };
    let keep = |_, answer: coalmine_harness::Answer| (answer.status, answer.variant());
    let answers = load::send_all(lab.address(), 8, TOKENS, request, keep).await.unwrap();
    let served = answers.iter().filter(|answer| **answer == (StatusCode::OK, Some("stable"))).count();
    println!("{served} of {TOKENS} served by their draw");
    assert_eq!(served, TOKENS, "the others: {:?}", answers.iter().find(|answer| answer.1 != Some("stable")));

    let judged = |metrics: &Metrics| metrics.sum("coalmine_override_total", &[]);
    let all = |metrics: &Metrics| metrics.sum("coalmine_requests_total", &[]) == Some(TOKENS as f64);
    let metrics = lab.metrics_when("all requests in the metrics", all).await.unwrap();
    for result in ["malformed", "signature", "rollout", "variant", "expired", "tooFar", "accepted"] {
        let count = metrics.sum("coalmine_override_total", &[("result", result)]);
        println!("{result}: {}", count.unwrap_or_default());
    }
    assert_eq!(metrics.sum("coalmine_override_total", &[("result", "accepted")]), None);
    assert!(judged(&metrics) > Some(0.95 * TOKENS as f64), "almost all of them were looked at");
}
