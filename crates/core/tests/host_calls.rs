//! Calls into the host, which a request pays most for: each header is asked for at most once, however many parts of a
//! policy look at it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Reason, Request};

/// What Envoy sets on a request that it has redirected internally.
const ORIGINAL_URL: &str = "x-envoy-original-url";

/// A request that counts what the host is asked for, by name.
struct Counted {
    request: StaticRequest,
    calls: RefCell<BTreeMap<String, usize>>,
}

impl Counted {
    fn count(&self, call: String) {
        *self.calls.borrow_mut().entry(call).or_default() += 1;
    }
}

impl Request for Counted {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.count(name.to_owned());
        self.request.header(name)
    }

    fn every_value(&self, name: &str) -> Vec<Vec<u8>> {
        self.count(format!("every {name}"));
        self.request.every_value(name)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.count(path.join("."));
        self.request.property(path)
    }

    fn random(&self) -> Option<[u8; 16]> {
        self.count("random".to_owned());
        self.request.random()
    }
}

/// The reason, and the calls that the decision took: each name once.
#[track_caller]
fn calls(policy: &Policy, request: StaticRequest) -> (Reason, Vec<String>) {
    let counted = Counted { request, calls: RefCell::default() };
    let reason = policy.decide(&counted, Duration::ZERO).assignment.reason;
    let calls = counted.calls.into_inner();
    assert!(calls.values().all(|&count| count == 1), "{calls:?}");
    (reason, calls.into_keys().collect())
}

/// Four rollouts that look at the path, the method, the cookies and `x-user-id` in as many places as there are.
fn policy(weight: u32) -> Policy {
    let document = format!(
        r#"{{"rollouts": [
            {{"name": "exact", "match": {{"paths": [{{"exact": "/cart"}}], "headers": [{{"name": "x-user-id", "exact": "nobody"}}]}},
              "identity": [{{"header": "x-user-id"}}], "variants": [{{"name": "canary", "weight": 1}}]}},
            {{"name": "prefix", "match": {{"methods": ["GET"], "headers": [{{"name": "X-User-Id", "prefix": "no"}}]}},
              "identity": [{{"header": "x-user-id"}}], "variants": [{{"name": "canary", "weight": 1}}]}},
            {{"name": "present", "match": {{"methods": ["GET", "POST"], "paths": [{{"prefix": "/cart"}}],
                "headers": [{{"name": "x-user-id", "present": true}}, {{"name": "x-user-id", "prefix": "a"}}]}},
              "identity": [{{"queryParameter": "user"}}, {{"cookie": "sid"}}, {{"header": "X-User-Id"}}],
              "onMissingIdentity": "issueCookie", "variants": [{{"name": "canary", "weight": {weight}}}],
              "override": {{"header": "x-over", "cookie": "over", "secret": "0123456789abcdef0123456789abcdef"}}}},
            {{"name": "absent", "match": {{"headers": [{{"name": "x-user-id", "present": false}}]}},
              "identity": [{{"queryParameter": "user"}}, {{"cookie": "sid"}}, {{"header": "x-user-id"}}],
              "onMissingIdentity": "issueCookie", "variants": [{{"name": "canary", "weight": {weight}}}]}}]}}"#
    );
    Policy::from_json(document.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_header_that_is_matched_and_names_the_user_is_asked_for_once() {
    let headers = [
        ":method",
        ":path",
        "cookie",
        "request.headers.cookie",
        "x-coalmine-variant",
        ORIGINAL_URL,
        "x-over",
        "x-user-id",
    ];
    let request = StaticRequest::new("GET", "h", "/cart?x=1").with_header("x-user-id", "alice");
    let request = request.with_header("cookie", "a=0");
    assert_eq!(calls(&policy(0), request.clone()), (Reason::Bucket, headers.map(str::to_owned).into()));
    // A user who leaves stable costs the question whether the header is repeated.
    let mut leaving: Vec<String> = headers.map(str::to_owned).into();
    leaving.insert(4, "request.headers.x-user-id".to_owned());
    assert_eq!(calls(&policy(100), request), (Reason::Bucket, leaving));
}

#[test]
fn a_header_that_is_not_there_is_asked_for_once() {
    let request = StaticRequest::new("GET", "h", "/cart").with_random([7; 16]);
    let expected =
        [":method", ":path", "cookie", "random", "x-coalmine-variant", ORIGINAL_URL, "x-over", "x-user-id"];
    for weight in [0, 100] {
        let found = calls(&policy(weight), request.clone());
        assert_eq!(found, (Reason::Bucket, expected.map(str::to_owned).into()), "at {weight}");
    }
}

/// Cookies in several headers are asked for once more, all together.
#[test]
fn cookies_of_several_headers_are_asked_for_once() {
    let request = StaticRequest::new("GET", "h", "/cart").with_header("x-user-id", "alice");
    let request = request.with_header("cookie", "a=0").with_header("cookie", "over=x; sid=bob");
    let (reason, calls) = calls(&policy(0), request);
    assert_eq!(reason, Reason::Bucket);
    assert!(calls.contains(&"every cookie".to_owned()), "{calls:?}");
}

/// Without rollouts only the header that the proxy's routes obey is asked for, and whether the request is a new one.
#[test]
fn an_empty_policy_asks_for_two_headers() {
    let request = StaticRequest::new("GET", "h", "/");
    let expected = ["x-coalmine-variant", ORIGINAL_URL].map(str::to_owned);
    assert_eq!(calls(&Policy::default(), request), (Reason::NoMatch, expected.into()));
}

/// A mark that a client has sent too costs one question more, which only the host can answer.
#[test]
fn only_a_marked_request_costs_properties() {
    let request = StaticRequest::new("GET", "h", "/").with_header(ORIGINAL_URL, "http://h/");
    let asked = |request| calls(&Policy::default(), request).1;
    let forged = ["filter_state.num_internal_redirects", "x-coalmine-variant", ORIGINAL_URL];
    assert_eq!(asked(request.clone()), forged.map(str::to_owned));
    let redirected = request.with_property(&["filter_state", "num_internal_redirects"], "1");
    let expected = ["coalmine_notes", forged[0], forged[1], forged[2]];
    assert_eq!(asked(redirected), expected.map(str::to_owned));
}
