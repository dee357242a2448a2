//! Policy documents.

use std::collections::BTreeSet;
use std::time::Duration;

use coalmine_core::document::{Node, Problems};
use coalmine_core::draw::{BUCKETS, Bucket};
use coalmine_core::policy::{Environment, Policy};
use coalmine_core::ranges::Variant;
use coalmine_core::request::WrittenRequest;
use coalmine_core::{Outcome, Reason};

use crate::engine::fuzz;

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
        let document = match Node::from_json(input) {
            Ok(document) => document,
            Err(problems) => return refused(&problems),
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

/// Somebody has to mend the document with what is told, and it goes through logs.
fn refused(problems: &Problems) -> String {
    assert!(problems.count() >= problems.told().len());
    assert!((1..=100).contains(&problems.told().len()));
    assert_eq!(problems.count() > 100, problems.to_string().ends_with("more problems"));
    let mut kinds = BTreeSet::new();
    for problem in problems.told() {
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
        policy.follow_clock(Duration::from_secs(now));
        for rollout in policy.rollouts() {
            let table = rollout.ranges().table();
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert_eq!(table.last().map(|&(end, _)| end), Some(BUCKETS));
            for bucket in [0, 1, 499_999, BUCKETS - 1] {
                let variant = rollout.ranges().variant(Bucket::new(bucket).unwrap());
                assert!(rollout.variants().any(|(known, _)| known == variant));
            }
        }
        for request in requests() {
            kinds = decided(policy, &request);
        }
    }
    rewritten(policy, text);
    format!("{} {kinds}", policy.rollouts().len().min(3))
}

/// Requests with and without everything that a policy may ask for.
fn requests() -> Vec<WrittenRequest> {
    let mut requests = vec![WrittenRequest::default()];
    for user in USERS {
        for host in ["checkout", "a.shop.example", ""] {
            requests.push(
                WrittenRequest::new("GET", host, "/api/?user=alice")
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
fn decided(policy: &Policy, request: &WrittenRequest) -> String {
    let outcome = policy.decide(request);
    let again = policy.decide(request);
    assert_eq!(summary(&outcome), summary(&again));
    let decision = &outcome.decision;
    let Some(rollout) = decision.rollout else {
        assert_eq!((decision.variant, decision.reason), (Variant::STABLE, Reason::NoMatch));
        assert_eq!(outcome.set_cookie, None);
        return "none".into();
    };
    assert_eq!(rollout.is_enabled(), decision.reason != Reason::Disabled);
    assert!(rollout.variants().any(|(variant, _)| variant == decision.variant));
    if let (Some(lot), Reason::Bucket) = (decision.lot, decision.reason) {
        assert_eq!(rollout.ranges().variant(lot.bucket), decision.variant);
    }
    if matches!(decision.reason, Reason::NoIdentity | Reason::Disabled) {
        assert_eq!((decision.variant, decision.lot), (Variant::STABLE, None));
    }
    assert!(outcome.set_cookie.is_none() || rollout.issues_cookie());
    format!("{} {}", decision.reason, outcome.edits.len())
}

/// All that a request gets, as text.
fn summary(outcome: &Outcome<'_>) -> String {
    let decision = &outcome.decision;
    format!(
        "{} {:?} {} {:?} {:?} {:?} {:?} {}",
        decision.rollout_name(),
        decision.variant,
        decision.reason,
        decision.lot,
        outcome.edits,
        outcome.set_cookie,
        outcome.override_result,
        outcome.forged
    )
}

/// The same document in another hand, numbers as doubles and fields in another order, decides the same.
fn rewritten(policy: &Policy, text: &[u8]) {
    let mut value: serde_json::Value = serde_json::from_slice(text).expect("it was read before");
    as_doubles(&mut value);
    let text = value.to_string();
    let other =
        Policy::from_document(&Node::from_json(text.as_bytes()).unwrap(), Environment::Read(&environment));
    let other = other.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    policy.follow_clock(Duration::from_secs(1_795_258_800));
    other.follow_clock(Duration::from_secs(1_795_258_800));
    for (one, other) in policy.rollouts().iter().zip(other.rollouts()) {
        assert_eq!((one.name(), one.ranges()), (other.name(), other.ranges()));
        for user in USERS {
            let (one, other) = (one.assign(Some(user)), other.assign(Some(user)));
            assert_eq!((one.variant, one.reason, one.lot), (other.variant, other.reason, other.lot));
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
