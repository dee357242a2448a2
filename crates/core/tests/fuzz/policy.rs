//! Policy documents.

use std::collections::BTreeSet;
use std::time::Duration;

use coalmine_core::Reason;
use coalmine_core::bucketing::{BUCKETS, Bucket};
use coalmine_core::document::{Problems, json};
use coalmine_core::policy::{Environment, Policy};
use coalmine_core::request::StaticRequest;
use coalmine_core::split::Variant;

use crate::NOW;
use crate::engine::fuzz;
use crate::summary::summary;

const DICTIONARY: [&str; 72] = [
    "version",
    "revision",
    "rollouts",
    "observe",
    "accessLog",
    "name",
    "enabled",
    "match",
    "hosts",
    "paths",
    "methods",
    "headers",
    "exact",
    "prefix",
    "present",
    "identity",
    "header",
    "cookie",
    "jwtClaim",
    "path",
    "payload",
    "queryParameter",
    "peer",
    "sourceIp",
    "onMissingIdentity",
    "stable",
    "issueCookie",
    "maxAge",
    "domain",
    "sameSite",
    "Lax",
    "None",
    "secure",
    "salt",
    "algorithm",
    "coalmine-v1",
    "siphash-2-4",
    "flagd-v2",
    "growthbook-v2",
    "unleash",
    "key",
    "env",
    "variants",
    "weight",
    "canary",
    "baseline",
    "ranges",
    "ramp",
    "start",
    "2026-11-21T09:00:00Z",
    "steps",
    "at",
    "30m",
    "hold",
    "holdWeight",
    "pins",
    "override",
    "secret",
    "route",
    "clusterHeader",
    "bucketHeader",
    "clusters",
    "total",
    "response",
    "{\"",
    "\": ",
    ", ",
    "[]",
    "{}",
    "null",
    "1e6",
    "[[1000000, \"stable\"]]",
];
const USERS: [&[u8]; 6] = [b"alice", b"bob", b"\xff\xfe", b"", b"0", b"user-000123"];
const SECRET: &str = "000102030405060708090a0b0c0d0e0f";

/// An environment in which every variable is a good key and a good secret.
fn environment(_: &str) -> Option<String> {
    Some(SECRET.to_owned())
}

#[test]
fn policy() {
    fuzz("policy", &DICTIONARY, |input| {
        let document = match json::read(input) {
            Ok(document) => document,
            Err(problem) => return refused(&problem.into()),
        };
        let policy = Policy::from_document(&document, Environment::Read(&environment));
        let unread = Policy::from_document(&document, Environment::Unread);
        assert_eq!(policy.is_ok(), unread.is_ok(), "a secret's form can be checked without the secret");
        match policy {
            Ok(policy) => accepted(&policy, input),
            Err(problems) => refused(&problems),
        }
    });
}

/// A person has to mend the document with these problems, and they go through logs.
fn refused(problems: &Problems) -> String {
    assert!(problems.count() >= problems.shown().len());
    assert!((1..=100).contains(&problems.shown().len()));
    assert_eq!(problems.count() > 100, problems.to_string().ends_with("more problems"));
    let mut kinds = BTreeSet::new();
    for problem in problems.shown() {
        assert!(!problem.message.is_empty());
        assert!(!problem.to_string().contains(|character: char| character.is_control()), "{problem}");
        // The kind of a problem: its words without what is quoted and counted.
        let words: String = problem.message.split('"').step_by(2).collect();
        kinds.insert(words.replace(|character: char| character.is_ascii_digit(), ""));
    }
    kinds.into_iter().take(3).collect()
}

/// What every policy keeps to.
fn accepted(policy: &Policy, text: &[u8]) -> String {
    let names: BTreeSet<&str> = policy.rollouts().iter().map(|rollout| rollout.name()).collect();
    assert_eq!(names.len(), policy.rollouts().len(), "names are unique");
    assert!(policy.revision().is_none_or(|revision| (1..1 << 53).contains(&revision)));
    assert!(policy.rollouts().iter().flat_map(|rollout| rollout.pins()).count() <= 10_000);
    let mut kinds = String::new();
    for now in [0, 1_795_251_600, 1_795_258_800, 253_402_300_799] {
        let now = Duration::from_secs(now);
        for rollout in policy.rollouts() {
            let table = rollout.ranges(now).table();
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert_eq!(table.last().map(|&(end, _)| end), Some(BUCKETS));
            for bucket in [0, 1, 499_999, BUCKETS - 1] {
                let variant = rollout.ranges(now).variant(Bucket::new(bucket).unwrap());
                assert!(rollout.variants().any(|(known, _)| known == variant));
            }
        }
        for request in requests() {
            kinds = decided(policy, &request, now);
        }
    }
    rewritten(policy, text);
    format!("{} {kinds}", policy.rollouts().len().min(3))
}

/// Requests with and without everything that a policy may ask for.
fn requests() -> Vec<StaticRequest> {
    let mut requests = vec![StaticRequest::default()];
    for user in USERS {
        for host in ["checkout", "a.shop.example", ""] {
            requests.push(
                StaticRequest::new("GET", host, "/api/?user=alice")
                    .with_header("x-user-id", user)
                    .with_header("x-region", "eu")
                    .with_header("x-coalmine-variant", "canary")
                    .with_header("cookie", "sid=bob; coalmine-id=000102030405060708090a0b0c0d0e0f")
                    .with_property(
                        &["connection", "uri_san_peer_certificate"],
                        "spiffe://cluster.local/ns/a/sa/b",
                    )
                    .with_property(&["source", "address"], "10.0.0.1:80")
                    .with_random([5; 16]),
            );
        }
    }
    requests
}

/// A decision is in itself consistent, the same every time, and the one that the preview would make.
fn decided(policy: &Policy, request: &StaticRequest, now: Duration) -> String {
    let outcome = policy.decide(request, now);
    let again = policy.decide(request, now);
    assert_eq!(summary(&outcome), summary(&again));
    let assignment = &outcome.assignment;
    let Some(rollout) = assignment.rollout else {
        assert_eq!((assignment.variant, assignment.reason), (Variant::STABLE, Reason::NoMatch));
        assert!(outcome.set_cookies.is_empty());
        return "none".into();
    };
    assert_eq!(rollout.is_enabled(), assignment.reason != Reason::Disabled);
    assert!(rollout.variants().any(|(variant, _)| variant == assignment.variant));
    if let (Some(bucketed), Reason::Bucket) = (assignment.bucketed, assignment.reason) {
        assert_eq!(rollout.ranges(now).variant(bucketed.bucket), assignment.variant);
    }
    if matches!(assignment.reason, Reason::NoIdentity | Reason::Disabled) {
        assert_eq!((assignment.variant, assignment.bucketed), (Variant::STABLE, None));
    }
    assert!(outcome.set_cookies.is_empty() || rollout.issues_cookie());
    format!("{} {}", assignment.reason, outcome.edits.len())
}

/// The same document in another hand, numbers as doubles and fields in another order, decides the same.
fn rewritten(policy: &Policy, text: &[u8]) {
    let mut value: serde_json::Value = serde_json::from_slice(text).expect("it was read before");
    as_doubles(&mut value);
    let text = value.to_string();
    let other = Policy::from_document(&json::read(text.as_bytes()).unwrap(), Environment::Read(&environment));
    let other = other.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    for (one, other) in policy.rollouts().iter().zip(other.rollouts()) {
        assert_eq!((one.name(), one.ranges(NOW)), (other.name(), other.ranges(NOW)));
        for user in USERS {
            let (one, other) = (one.assign(Some(user), NOW), other.assign(Some(user), NOW));
            assert_eq!(
                (one.variant, one.reason, one.bucketed),
                (other.variant, other.reason, other.bucketed)
            );
        }
    }
}

fn as_doubles(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) => {
            if let Some(double) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = double;
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(as_doubles),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(as_doubles),
        _ => {}
    }
}
