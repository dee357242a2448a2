//! Overrides on a real Envoy: who is believed, what is counted, and what of it reaches the application.

use coalmine_envoy_tests::{USER, token};
use coalmine_harness::server::ECHO;
use coalmine_harness::{Lab, Metrics, Protocol, Server};
use http_body_util::Empty;
use hyper::Request;
use serde_json::{Value, json};

pub(super) const HEADER: &str = "x-coalmine-override";
pub(super) const COOKIE: &str = "coalmine-override";
pub(super) const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";
const RETIRING: &str = "the-secret-before-it-0123456789abcdef";
const FOREIGN: &str = "a-secret-of-somebody-else-0123456789";
const OPEN: &str = "open.test";
const KILLED: &str = "killed.test";

/// Everybody is stable unless a token says otherwise: weight 0, and a pin.
pub(super) fn policy(secret: Value) -> Value {
    let override_ = json!({"header": HEADER, "cookie": COOKIE, "secret": secret});
    let rollout = |name: &str, host: &str| {
        json!({
            "name": name,
            "match": {"hosts": [host]},
            "identity": [{"header": USER}],
            "variants": [{"name": "canary", "weight": 0}],
            "pins": {"stable": ["pinned"]},
            "override": override_,
        })
    };
    let mut killed = rollout("killed", KILLED);
    killed["enabled"] = json!(false);
    json!({"revision": 1, "rollouts": [rollout("open", OPEN), killed]})
}

/// A proxy before two applications that tell what they were sent.
struct Trial {
    lab: Lab,
    _servers: [Server; 2],
}

/// What an application says that it was sent.
struct Seen {
    variant: String,
    headers: Vec<(String, String)>,
}

impl Trial {
    async fn start(policy: &Value) -> Self {
        let servers = [Server::start("stable", 0).await.unwrap(), Server::start("canary", 0).await.unwrap()];
        let [stable, canary] = &servers;
        let builder = Lab::builder().unwrap().servers(stable.address(), canary.address());
        Self { lab: builder.start(&policy.to_string()).await.unwrap(), _servers: servers }
    }

    async fn send(&self, protocol: Protocol, host: &str, headers: &[(&str, &str)]) -> Seen {
        let request = Request::get(format!("http://{host}{ECHO}"));
        let request = if protocol == Protocol::Http1 { request.header("host", host) } else { request };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut connection = self.lab.connect(protocol).await.unwrap();
        let answer = connection.send(request.body(Empty::new()).unwrap()).await.unwrap();
        let told: Vec<Value> = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        Seen::read(&told)
    }

    async fn counted(&self, rollout: &str, result: &str, expected: f64) {
        let labels = [("rollout", rollout), ("result", result)];
        let count = |metrics: &Metrics| metrics.sum("coalmine_override_total", &labels);
        let what = format!("{expected} tokens counted as {result}");
        let metrics = self.lab.metrics_when(&what, |metrics| count(metrics) >= Some(expected)).await.unwrap();
        assert_eq!(count(&metrics), Some(expected), "{rollout}: {result}");
    }
}

impl Seen {
    fn read(told: &[Value]) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers = told[1..].iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        Self { variant: text(&told[0][1]), headers }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_forces_a_variant_by_header_or_cookie() {
    let trial = Trial::start(&policy(json!([SECRET, RETIRING]))).await;
    let mut accepted = 0.0;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for secret in [SECRET, RETIRING] {
            for user in [None, Some("alice"), Some("pinned")] {
                let token = token(secret, "open", "canary", 60).unwrap();
                let cookie = format!("a=\"0\";  {COOKIE}={token};b=1");
                for (name, value) in [(HEADER, token.as_str()), ("cookie", cookie.as_str())] {
                    let mut headers = vec![(name, value)];
                    headers.extend(user.map(|user| (USER, user)));
                    let seen = trial.send(protocol, OPEN, &headers).await;
                    assert_eq!(seen.variant, "canary", "{headers:?}");
                    assert_eq!(seen.values(HEADER), [""; 0], "a token ends here");
                    assert!(!seen.values("cookie").join(";").contains(COOKIE), "{headers:?}");
                    if name == "cookie" {
                        assert_eq!(seen.values("cookie"), ["a=\"0\";b=1"]);
                    }
                    accepted += 1.0;
                }
            }
        }
    }
    trial.counted("open", "accepted", accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_is_counted_cut_out_and_leaves_the_draw_alone() {
    let trial = Trial::start(&policy(json!([SECRET]))).await;
    let good = token(SECRET, "open", "canary", 60).unwrap();
    let day = 24 * 60 * 60;
    for (result, tokens) in [
        (
            "malformed",
            vec![String::new(), "canary".into(), good.to_uppercase(), format!("{good}.x"), "x".repeat(9_000)],
        ),
        (
            "signature",
            vec![
                token(FOREIGN, "open", "canary", 60).unwrap(),
                token(RETIRING, "open", "canary", 60).unwrap(),
                good.replace("canary", "stable"),
                format!("{good}="),
                good[..good.len() - 1].to_owned(),
            ],
        ),
        ("rollout", vec![token(SECRET, "killed", "canary", 60).unwrap()]),
        ("variant", vec![token(SECRET, "open", "blue", 60).unwrap()]),
        (
            "expired",
            vec![
                token(SECRET, "open", "canary", -1).unwrap(),
                token(SECRET, "open", "canary", -day).unwrap(),
            ],
        ),
        ("tooFar", vec![token(SECRET, "open", "canary", day + 60).unwrap()]),
    ] {
        for token in &tokens {
            let cookie = format!("a=0; {COOKIE}={token}; b=1");
            for (name, value) in [(HEADER, token.as_str()), ("cookie", cookie.as_str())] {
                let seen = trial.send(Protocol::Http1, OPEN, &[(USER, "alice"), (name, value)]).await;
                assert_eq!(seen.variant, "stable", "{result}: {value}");
                assert_eq!(seen.values(HEADER), [""; 0], "{result}: {value}");
                let expected: &[&str] = if name == "cookie" { &["a=0; b=1"] } else { &[] };
                assert_eq!(seen.values("cookie"), expected, "{result}: {value}");
            }
        }
        trial.counted("open", result, 2.0 * tokens.len() as f64).await;
    }
    let metrics = trial.lab.envoy().metrics().await.unwrap();
    assert_eq!(metrics.sum("coalmine_override_total", &[("result", "accepted")]), None);
    assert_eq!(metrics.sum("coalmine_forged_total", &[]), None, "a token is the client's to send");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_keeps_the_cookie_from_being_tried_and_twice_is_malformed() {
    let trial = Trial::start(&policy(json!(SECRET))).await;
    let good = token(SECRET, "open", "canary", 60).unwrap();
    let cookie = format!("{COOKIE}={good}");
    let mut refused = 0.0;
    for headers in [
        vec![(HEADER, "nonsense"), ("cookie", cookie.as_str())],
        vec![(HEADER, ""), ("cookie", cookie.as_str())],
        vec![(HEADER, good.as_str()), (HEADER, good.as_str())],
        vec![(HEADER, good.as_str()), ("X-Coalmine-Override", "nonsense"), ("cookie", cookie.as_str())],
        vec![(HEADER, ""), (HEADER, good.as_str())],
    ] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let seen = trial.send(protocol, OPEN, &headers).await;
            assert_eq!(seen.variant, "stable", "{headers:?}");
            assert_eq!((seen.values(HEADER), seen.values("cookie")), (vec![], vec![]), "{headers:?}");
            refused += 1.0;
        }
    }
    trial.counted("open", "malformed", refused).await;
    // Over HTTP/2 a library may split its cookies, over HTTP/1.1 a client may send several lines: all are one.
    let lines = [("cookie", "a=0"), ("cookie", cookie.as_str()), ("cookie", "b=1")];
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let seen = trial.send(protocol, OPEN, &lines).await;
        let found = (seen.variant.as_str(), seen.values("cookie"));
        assert_eq!(found, ("canary", vec!["a=0; b=1"]), "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_here_matched_or_not() {
    let trial = Trial::start(&policy(json!(SECRET))).await;
    for (host, rollout) in [(KILLED, "killed"), ("elsewhere.test", "open")] {
        let token = token(SECRET, rollout, "canary", 60).unwrap();
        let cookies =
            format!("a=0; {COOKIE}={token}; {COOKIE}=second; coalmine-overrid=1; xcoalmine-override=2");
        let seen = trial.send(Protocol::Http1, host, &[(HEADER, &token), ("cookie", &cookies)]).await;
        assert_eq!(seen.variant, "stable", "{host}");
        assert_eq!(seen.values(HEADER), [""; 0], "{host}");
        assert_eq!(seen.values("cookie"), ["a=0; coalmine-overrid=1; xcoalmine-override=2"], "{host}");
        // What is not a token's stays, byte for byte.
        let untouched = "a=0;; b=\"1; 2\" ;=;c";
        let seen = trial.send(Protocol::Http1, host, &[("cookie", untouched)]).await;
        assert_eq!(seen.values("cookie"), [untouched], "{host}");
    }
    let all = |metrics: &Metrics| metrics.sum("coalmine_requests_total", &[]) == Some(4.0);
    let metrics = trial.lab.metrics_when("all requests in the metrics", all).await.unwrap();
    assert_eq!(metrics.sum("coalmine_override_total", &[]), None, "and nothing is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_rotated_without_a_gap() {
    let trial = Trial::start(&policy(json!([RETIRING]))).await;
    let [old, new] = [RETIRING, SECRET].map(|secret| token(secret, "open", "canary", 60).unwrap());
    let steps = [
        (json!([RETIRING]), "canary", "stable"),
        (json!([SECRET, RETIRING]), "canary", "canary"),
        (json!([SECRET]), "stable", "canary"),
    ];
    for (revision, (secrets, by_old, by_new)) in steps.into_iter().enumerate() {
        let mut policy = policy(secrets);
        policy["revision"] = json!(revision + 2);
        trial.lab.accept_policy(&policy.to_string()).await.unwrap();
        for (token, variant) in [(&old, by_old), (&new, by_new)] {
            let seen = trial.send(Protocol::Http1, OPEN, &[(HEADER, token)]).await;
            assert_eq!(seen.variant, variant, "{policy}");
        }
    }
}
