//! A request that begins again: Envoy follows a redirect itself, and runs its filters once more for the same client.

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::token;
use coalmine_harness::server::{ECHO, REDIRECT, UNAVAILABLE};
use coalmine_harness::{Answer, LabBuilder, get};
use serde_json::json;

use super::shop::{Seen, Shop, issuing};
use super::{document, drawn};

const HOST: &str = "cookies.test";
/// What Envoy sets on a request that it has redirected.
const MARK: &str = "x-envoy-original-url";
const TOKEN: &str = "x-coalmine-override";
const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";

fn policy() -> String {
    let mut rollout = issuing("cookies");
    rollout["override"] = json!({"header": TOKEN, "secret": SECRET});
    document(&[rollout])
}

/// A shop whose proxy follows redirects and tries again.
async fn start() -> Shop {
    let more = "internal_redirect_policy: {max_internal_redirects: 3}, \
        retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}";
    let edit = |lab: LabBuilder| {
        ["stable", "canary"].into_iter().fold(lab, |lab, cluster| {
            let (old, new) = (format!("{{cluster: {cluster}}}"), format!("{{cluster: {cluster}, {more}}}"));
            lab.edit(|bootstrap| bootstrap.replace(&old, &new)).unwrap()
        })
    };
    Shop::start(&policy(), edit).await
}

async fn send(shop: &Shop, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = get(HOST).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    shop.lab.ask(request).await.unwrap()
}

async fn visit(shop: &Shop, path: &str, headers: &[(&str, &str)]) -> Seen {
    Seen::of(send(shop, path, headers).await)
}

/// How often the answer sets a cookie, and to what.
fn set_cookies(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_is_issued_one_identity_and_counted_once() {
    let shop = start().await;
    let paths = [ECHO.to_owned(), format!("{REDIRECT}{ECHO}"), format!("{REDIRECT}{REDIRECT}{ECHO}")];
    let mut variants = Vec::new();
    let mut sent = 0;
    for path in &paths {
        for mark in [&[][..], &[(MARK, "http://cookies.test/forged")]] {
            for _ in 0..8 {
                let first = visit(&shop, path, mark).await;
                let [pair] = set_cookies(&first.answer)[..] else { panic!("{path}: {:?}", first.answer) };
                let identity = pair.strip_prefix("coalmine-id=").unwrap();
                assert_eq!(first.cookies, [pair], "every pass has the identity that the user gets");
                assert_eq!(first.variant, drawn(&shop.policy, "cookies", Some(identity.as_bytes())));
                variants.push(first.variant.clone());
                let headers = [&[("cookie", pair)][..], mark].concat();
                let second = visit(&shop, path, &headers).await;
                assert_eq!(second.variant, first.variant);
                assert!(set_cookies(&second.answer).is_empty(), "{path}: it is not renewed");
                sent += 2;
            }
        }
    }
    assert!(["stable", "canary"].iter().all(|variant| variants.iter().any(|found| found == variant)));
    let metrics = decided(&shop.lab, sent).await.unwrap();
    assert_eq!(by_reason(&metrics, "cookies", "bucket"), sent as u64);
    let forged = metrics.sum("coalmine_forged_total", &[]).unwrap_or_default();
    assert_eq!(forged, 0.0, "what the filter itself has set is not forged");
}

/// The first pass takes the token out of the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_holds_to_the_end() {
    let shop = start().await;
    let path = format!("{REDIRECT}{REDIRECT}{ECHO}");
    for variant in ["stable", "canary"] {
        let token = token(SECRET, "cookies", variant, 600).unwrap();
        for _ in 0..6 {
            let seen = visit(&shop, &path, &[(TOKEN, &token)]).await;
            assert_eq!(seen.variant, variant);
            assert_eq!(set_cookies(&seen.answer).len(), 1);
        }
    }
    let metrics = decided(&shop.lab, 12).await.unwrap();
    assert_eq!(by_reason(&metrics, "cookies", "override"), 12);
    assert_eq!(metrics.sum("coalmine_override_total", &[("result", "accepted")]), Some(12.0));
}

/// A router that tries again does so behind the filters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_request_is_decided_once() {
    let shop = start().await;
    for path in [UNAVAILABLE.to_owned(), format!("{REDIRECT}{UNAVAILABLE}")] {
        let answer = send(&shop, &path, &[]).await;
        assert_eq!((answer.status.as_u16(), set_cookies(&answer).len()), (503, 1), "{path}");
    }
    let counted = |metrics: &coalmine_harness::Metrics| metrics.sum("coalmine_requests_total", &[]);
    let metrics =
        shop.lab.metrics_when("both requests", |metrics| counted(metrics) >= Some(2.0)).await.unwrap();
    assert_eq!(counted(&metrics), Some(2.0));
    let retries: f64 = ["stable", "canary"]
        .iter()
        .filter_map(|name| metrics.sum("envoy_cluster_upstream_rq_retry", &[("envoy_cluster_name", name)]))
        .sum();
    assert_eq!(retries, 4.0);
}
