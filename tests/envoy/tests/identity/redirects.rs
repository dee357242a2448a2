//! A request that begins again: Envoy follows a redirect itself, and runs its filters once more for the same client.

use std::time::{Duration, SystemTime};

use coalmine_core::policy::Policy;
use coalmine_core::token::Secret;
use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::compile;
use coalmine_harness::server::{ECHO, REDIRECT, UNAVAILABLE};
use coalmine_harness::{Answer, Lab, Server, get};
use serde_json::json;

use super::{document, drawn};

const HOST: &str = "cookies.test";
/// What Envoy sets on a request that it has redirected.
const MARK: &str = "x-envoy-original-url";
const TOKEN: &str = "x-coalmine-override";
const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";

fn policy() -> String {
    let rollout = json!({
        "name": "cookies",
        "match": {"hosts": [HOST]},
        "identity": [{"cookie": "sid"}],
        "onMissingIdentity": "issueCookie",
        "algorithm": "siphash-2-4",
        "key": "000102030405060708090a0b0c0d0e0f",
        "variants": [{"name": "canary", "weight": 50}],
        "override": {"header": TOKEN, "secret": SECRET},
    });
    document(&[rollout])
}

/// A proxy that follows redirects and tries again, before two applications.
struct Shop {
    lab: Lab,
    policy: Policy,
    _servers: [Server; 2],
}

/// What the application that answered in the end was sent.
struct Seen {
    answer: Answer,
    variant: String,
    cookies: Vec<String>,
}

// === impl Shop ===

impl Shop {
    async fn start() -> Self {
        let servers = [Server::start("stable", 0).await.unwrap(), Server::start("canary", 0).await.unwrap()];
        let [stable, canary] = &servers;
        let mut lab = Lab::builder().unwrap().servers(stable.address(), canary.address());
        for cluster in ["stable", "canary"] {
            let more = "internal_redirect_policy: {max_internal_redirects: 3}, \
                retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}";
            let (old, new) = (format!("{{cluster: {cluster}}}"), format!("{{cluster: {cluster}, {more}}}"));
            lab = lab.edit(|bootstrap| bootstrap.replace(&old, &new)).unwrap();
        }
        Self {
            lab: lab.start(&policy()).await.unwrap(),
            policy: compile(&policy()).unwrap(),
            _servers: servers,
        }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = get(HOST).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.lab.ask(request).await.unwrap()
    }

    async fn visit(&self, path: &str, headers: &[(&str, &str)]) -> Seen {
        let answer = self.send(path, headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told: Vec<(String, String)> = serde_json::from_slice(&answer.body).unwrap();
        let of = |name: &str| -> Vec<String> {
            told.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
        };
        Seen { variant: of("name").remove(0), cookies: of("cookie"), answer }
    }
}

/// How often the answer sets a cookie, and to what.
fn set_cookies(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_is_issued_one_identity_and_counted_once() {
    let shop = Shop::start().await;
    let paths = [ECHO.to_owned(), format!("{REDIRECT}{ECHO}"), format!("{REDIRECT}{REDIRECT}{ECHO}")];
    let mut variants = Vec::new();
    let mut sent = 0;
    for path in &paths {
        for mark in [&[][..], &[(MARK, "http://cookies.test/forged")]] {
            for _ in 0..8 {
                let first = shop.visit(path, mark).await;
                let [pair] = set_cookies(&first.answer)[..] else { panic!("{path}: {:?}", first.answer) };
                let identity = pair.strip_prefix("coalmine-id=").unwrap();
                assert_eq!(first.cookies, [pair], "every pass has the identity that the user gets");
                assert_eq!(first.variant, drawn(&shop.policy, "cookies", Some(identity.as_bytes())));
                variants.push(first.variant.clone());
                let headers = [&[("cookie", pair)][..], mark].concat();
                let second = shop.visit(path, &headers).await;
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
    let shop = Shop::start().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let path = format!("{REDIRECT}{REDIRECT}{ECHO}");
    for variant in ["stable", "canary"] {
        let token =
            Secret::new(SECRET.as_bytes()).unwrap().mint("cookies", variant, now + Duration::from_secs(600));
        for _ in 0..6 {
            let seen = shop.visit(&path, &[(TOKEN, &token)]).await;
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
    let shop = Shop::start().await;
    for path in [UNAVAILABLE.to_owned(), format!("{REDIRECT}{UNAVAILABLE}")] {
        let answer = shop.send(&path, &[]).await;
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
