//! Identities, cookies and paths that nobody meant: always the documented variant, never a 5xx, never a crash.

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::{USER, compile};
use coalmine_harness::raw::{RawAnswer, RawRequest};
use coalmine_harness::{Lab, Metrics, Protocol};
use http_body_util::Empty;
use serde_json::{Value, json};

use crate::identity::drawn;

/// By a header; by a cookie; by a path. In the first two half of the users are in the canary, so that an identity
/// that is read wrongly is drawn wrongly. At the others who is known is in the canary, and nobody else.
fn policy() -> String {
    let rollout = |name: &str, identity: Value, weight: u32| {
        json!({
            "name": name,
            "match": {"hosts": [format!("{name}.test")]},
            "identity": [identity],
            "variants": [{"name": "canary", "weight": weight}],
        })
    };
    let mut paths = rollout("paths", json!({"header": USER}), 100);
    paths["match"]["paths"] = json!([{"prefix": "/api/"}, {"exact": "/cart"}]);
    let rollouts = [
        rollout("half", json!({"header": USER}), 50),
        rollout("half-cookie", json!({"cookie": "sid"}), 50),
        rollout("known", json!({"header": USER}), 100),
        rollout("known-cookie", json!({"cookie": "sid"}), 100),
        paths,
    ];
    json!({"revision": 1, "rollouts": rollouts}).to_string()
}

/// A lab whose answers are held against the documents, and whose filter is asked at the end whether it lived through
/// all of it.
struct Trial {
    lab: Lab,
    policy: Policy,
    passed: f64,
}

impl Trial {
    async fn start(max_headers_kb: Option<u32>) -> Self {
        let mut builder = Lab::builder().unwrap();
        if let Some(limit) = max_headers_kb {
            builder = builder.edit(|bootstrap| bootstrap.max_request_headers_kb(limit)).unwrap();
        }
        let policy = compile(&policy()).unwrap();
        Self { lab: builder.start(&self::policy()).await.unwrap(), policy, passed: 0.0 }
    }

    async fn send(&self, request: RawRequest) -> RawAnswer {
        let what = format!("{request:?}");
        let answer =
            request.send(self.lab.address()).await.unwrap_or_else(|error| panic!("{error:#}: {what}"));
        assert!(answer.status < 500, "{answer:?} to {what}");
        answer
    }

    /// The request reaches this variant.
    async fn reaches(&mut self, variant: &str, request: RawRequest) {
        let what = format!("{request:?}");
        let answer = self.send(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, format!("{variant}\n").as_str()), "{what}");
        self.passed += 1.0;
    }

    /// The proxy itself refuses the request, before any filter.
    async fn refused(&self, status: u16, request: RawRequest) {
        let what = format!("{request:?}");
        assert_eq!(self.send(request).await.status, status, "{what}");
    }

    /// What a user of this identity gets in a rollout.
    fn drawn(&self, rollout: &str, identity: Option<&[u8]>) -> String {
        drawn(&self.policy, rollout, identity).to_owned()
    }

    /// The filter has decided about each request that was let in: so no worker runs without it.
    async fn ends_well(self) {
        let counted = |metrics: &Metrics| metrics.sum("coalmine_requests_total", &[]).unwrap_or_default();
        let all = |metrics: &Metrics| counted(metrics) >= self.passed;
        let metrics = self.lab.metrics_when("all requests in the filter's counters", all).await.unwrap();
        assert_eq!(counted(&metrics) as u64, self.passed as u64, "requests counted by the filter");
        let errors = metrics.sum("envoy_http_downstream_rq_xx", &[("envoy_response_code_class", "5")]);
        assert_eq!(errors, Some(0.0), "answers of class 5xx");
        let log = self.lab.envoy().log().unwrap();
        for sign in ["Function: proxy_", "RuntimeError", "panicked"] {
            assert!(!log.contains(sign), "the log speaks of a crash: {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_headers() {
    let mut trial = Trial::start(None).await;
    let known = |identity: &[u8]| RawRequest::get("known.test", "/").header(USER, identity);
    trial.reaches("canary", known(b"somebody")).await;
    trial.reaches("stable", known(b"")).await;
    trial.reaches("stable", known(b" \t ")).await;
    trial.reaches("stable", RawRequest::get("known.test", "/")).await;
    // A repeated identity is a guess: nobody, whatever the values and however the name is written.
    trial.reaches("stable", known(b"somebody").header(USER, "somebody")).await;
    trial.reaches("stable", known(b"somebody").header(USER, "somebody else")).await;
    trial.reaches("stable", known(b"somebody").header("X-USER-ID", "")).await;
    trial.reaches("stable", known(b"").header("X-User-Id", "somebody")).await;

    for identity in [
        b"\xff\xfe\x80".as_slice(),
        b"caf\xe9",
        "caf\u{e9}".as_bytes(),
        b"\xf0\x9f\x90",
        b"a,b",
        b"a b",
        b"-",
        b"null",
        b"%00",
        b"\"quoted\"",
        b"x=y;z",
        &[b'x'; 20_000],
    ] {
        let variant = trial.drawn("half", Some(identity));
        trial.reaches(&variant, RawRequest::get("half.test", "/").header(USER, identity)).await;
        trial.reaches("canary", known(identity)).await;
    }
    // What no header may hold is refused by Envoy, not by us.
    trial.refused(400, known(b"a\0b")).await;
    trial.refused(400, known(b"a\x01b")).await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_of_64_kib() {
    let long = |bytes: usize| vec![b'a'; bytes];
    let mut trial = Trial::start(Some(96)).await;
    for bytes in [64 * 1024, 64 * 1024 + 1] {
        let variant = trial.drawn("half", Some(&long(bytes)));
        trial.reaches(&variant, RawRequest::get("half.test", "/").header(USER, long(bytes))).await;
        trial.reaches("canary", RawRequest::get("known.test", "/").header(USER, long(bytes))).await;
    }
    trial.ends_well().await;

    let trial = Trial::start(None).await;
    trial.refused(431, RawRequest::get("known.test", "/").header(USER, long(64 * 1024))).await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_cookies() {
    let mut trial = Trial::start(None).await;
    let many = [b";".repeat(20_000).as_slice(), b"sid=last"].concat();
    let pairs = [b"a=1;".repeat(5_000).as_slice(), b"sid=last"].concat();
    let cases: [(&[u8], Option<&[u8]>); 30] = [
        (b"sid=1", Some(b"1")),
        (b"", None),
        (b"sid", None),
        (b"sid=", None),
        (b"=", None),
        (b"=sid", None),
        (b"=1", None),
        (b";", None),
        (b"; ; ;;", None),
        (b"SID=1", None),
        (b"xsid=1", None),
        (b"sidx=1", None),
        (b"sid =1", None),
        (b"sid;sid=1", Some(b"1")),
        (b"sid=;sid=1", None),
        (b"sid=1;sid=2", Some(b"1")),
        (b"a=b;sid=1", Some(b"1")),
        (b"a=b; \t sid=1 \t ;c", Some(b"1")),
        (b"a=b,sid=1", None),
        (b"sid=1,2", Some(b"1,2")),
        (b"sid==", Some(b"=")),
        (b"sid=a=b=c", Some(b"a=b=c")),
        (b"sid=\"1\"", Some(b"\"1\"")),
        (b"sid=\"1;2\"", Some(b"\"1")),
        (b"sid= 1", Some(b" 1")),
        (b"sid=%31", Some(b"%31")),
        (b"sid=\xff\xfe", Some(b"\xff\xfe")),
        (b"\xff=\xfe;sid=1", Some(b"1")),
        (&many, Some(b"last")),
        (&pairs, Some(b"last")),
    ];
    for (cookies, identity) in cases {
        let drawn = trial.drawn("half-cookie", identity);
        trial.reaches(&drawn, RawRequest::get("half-cookie.test", "/").header("cookie", cookies)).await;
        let known = if identity.is_some() { "canary" } else { "stable" };
        trial.reaches(known, RawRequest::get("known-cookie.test", "/").header("Cookie", cookies)).await;
    }
    // Over HTTP/1.1 a cookie header may come twice. What counts is the first.
    let twice = |one: &str, two: &str| {
        RawRequest::get("known-cookie.test", "/").header("cookie", one).header("cookie", two)
    };
    trial.reaches("canary", twice("sid=1", "sid=2")).await;
    trial.ends_well().await;
}

/// HTTP/2 lets a client split its cookies over several fields; Envoy's codec joins them again. An identity header that
/// is sent twice stays a guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_http2() {
    let mut trial = Trial::start(None).await;
    let mut connection = trial.lab.connect(Protocol::Http2).await.unwrap();
    for (variant, host, fields) in [
        ("canary", "known-cookie.test", [("cookie", "a=1"), ("cookie", "sid=1")]),
        ("stable", "known-cookie.test", [("cookie", "a=1"), ("cookie", "sid=")]),
        ("stable", "known-cookie.test", [("cookie", "sid"), ("cookie", "=1")]),
        ("canary", "known.test", [(USER, "somebody"), ("cookie", "sid=1")]),
        ("stable", "known.test", [(USER, "somebody"), (USER, "somebody")]),
        ("stable", "known.test", [(USER, ""), (USER, "somebody")]),
    ] {
        let request = hyper::Request::get(format!("http://{host}/"));
        let request = fields.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = connection.send(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.variant(), Some(variant), "{fields:?} at {host}");
        trial.passed += 1.0;
    }
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_hosts() {
    let mut trial = Trial::start(None).await;
    let ask = |host: &str, path: &[u8]| RawRequest::get(host, path).header(USER, "somebody");
    for (path, variant) in [
        (b"/api/".as_slice(), "canary"),
        (b"/api/%00%ff%2e%2e/%", "canary"),
        (b"/api/?", "canary"),
        (b"/api/?=&&=&%=%zz", "canary"),
        (b"/api/../secret", "canary"),
        (b"/cart", "canary"),
        (b"/cart?", "canary"),
        (b"/cart?user", "canary"),
        (b"/cart?user=", "canary"),
        (b"/cart?%75ser=%ff&&", "canary"),
        (b"/api", "stable"),
        (b"/api?/api/", "stable"),
        (b"/%61pi/", "stable"),
        (b"/API/", "stable"),
        (b"//api/", "stable"),
        (b"/./api/", "stable"),
        (b"/cart/", "stable"),
        (b"/cart;a=b", "stable"),
        (b"/cart%3F", "stable"),
        (b"/?/cart", "stable"),
        (b"/", "stable"),
    ] {
        trial.reaches(variant, ask("paths.test", path)).await;
    }
    let long = [b"/api/?", b"x".repeat(30_000).as_slice()].concat();
    trial.reaches("canary", ask("paths.test", &long)).await;
    for path in [b"/api/#x".as_slice(), b"/api/\xff", b"api/", b""] {
        let answer = trial.send(ask("paths.test", path)).await;
        assert!([200, 400, 404].contains(&answer.status), "{answer:?} to {path:?}");
        trial.passed += f64::from(u8::from(answer.status == 200));
    }

    // Of two final dots Envoy takes one and the filter the other.
    for host in
        ["known.test", "KNOWN.test", "known.test.", "known.test..", "known.test:80", "known.test.:65535"]
    {
        trial.reaches("canary", ask(host, b"/")).await;
    }
    for host in [
        "known.test...",
        "x.known.test",
        "known",
        "known.test.evil",
        "[::1]",
        "::",
        ":",
        ":80",
        "known.test:x",
    ] {
        let answer = trial.send(ask(host, b"/")).await;
        let expected = (200, "stable\n") == (answer.status, answer.body.as_str());
        assert!(expected || answer.status == 400, "{answer:?} at {host}");
        trial.passed += f64::from(u8::from(answer.status == 200));
    }
    trial.ends_well().await;
}
