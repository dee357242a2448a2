//! Which request gets which variant, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod identity;
mod issued;
mod redirects;
mod routes;

use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Edit, Reason};

/// The time of every decision here: nothing of these policies depends on it.
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A policy of these rollouts.
fn policy(rollouts: &[&str]) -> Policy {
    let all = rollouts.join(", ");
    Policy::from_json(format!("{{\"rollouts\": [{all}]}}").as_bytes())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn rollout(name: &str, fields: &str) -> String {
    format!(
        r#"{{"name": "{name}", "identity": [{{"header": "x-user-id"}}, {{"cookie": "sid"}}],
             "variants": [{{"name": "canary", "weight": 100}}], {fields} "salt": "s"}}"#
    )
}

fn get(host: &str, path: &str) -> StaticRequest {
    StaticRequest::new("GET", host, path).with_header("x-user-id", "alice")
}

fn matched(policy: &Policy, request: &StaticRequest) -> &'static str {
    policy.decide(request, NOW).assignment.rollout_name().to_owned().leak()
}

#[test]
fn the_most_specific_host_wins_then_the_order_of_the_document() {
    let policy = policy(&[
        &rollout("any", ""),
        &rollout("below", r#""match": {"hosts": ["*.shop.example"]},"#),
        &rollout("deeper", r#""match": {"hosts": ["*.eu.shop.example"]},"#),
        &rollout("exact-post", r#""match": {"hosts": ["a.eu.shop.example"], "methods": ["POST"]},"#),
        &rollout("exact", r#""match": {"hosts": ["a.eu.shop.example"]},"#),
    ]);
    assert_eq!(matched(&policy, &get("A.eu.shop.example:8443", "/")), "exact");
    assert_eq!(matched(&policy, &get("b.eu.shop.example", "/")), "deeper");
    assert_eq!(matched(&policy, &get("b.shop.example.", "/")), "below");
    assert_eq!(matched(&policy, &get("shop.example", "/")), "any");
    assert_eq!(matched(&policy, &StaticRequest::new("POST", "a.eu.shop.example", "/")), "exact-post");
}

#[test]
fn a_path_is_compared_as_sent_up_to_the_query() {
    let policy =
        policy(&[&rollout("r", r#""match": {"paths": [{"exact": "/cart"}, {"prefix": "/api/"}]},"#)]);
    for (path, expected) in [
        ("/cart", "r"),
        ("/cart?x=1", "r"),
        ("/cart#x", "r"),
        ("/cart/", "none"),
        ("/Cart", "none"),
        ("/%63art", "none"),
        ("/api/", "r"),
        ("/api/x?y", "r"),
        ("/api", "none"),
        ("/?/api/", "none"),
        ("", "none"),
    ] {
        assert_eq!(matched(&policy, &get("h", path)), expected, "{path}");
    }
}

#[test]
fn every_header_condition_must_hold_of_the_first_value() {
    let policy = policy(&[&rollout(
        "r",
        r#""match": {"headers": [{"name": "X-Region", "exact": "eu"}, {"name": "x-staff", "present": true},
            {"name": "user-agent", "prefix": "Shop/"}, {"name": "x-bot", "present": false}]},"#,
    )]);
    let all = get("h", "/")
        .with_header("x-region", "eu")
        .with_header("x-staff", "")
        .with_header("user-agent", "Shop/2");
    assert_eq!(matched(&policy, &all), "r");
    assert_eq!(matched(&policy, &all.clone().with_header("x-region", "us")), "r", "the first value counts");
    assert_eq!(matched(&policy, &all.clone().with_header("x-bot", "1")), "none");
    assert_eq!(matched(&policy, &get("h", "/").with_header("x-region", "eu")), "none");
}

#[test]
fn the_first_source_with_a_value_names_the_user() {
    let policy = policy(&[&rollout("r", "")]);
    let rollout = &policy.rollouts()[0];
    let bucket = |user: &[u8]| rollout.assign(Some(user), NOW).bucketed.map(|bucketed| bucketed.bucket);
    let found = |request: &StaticRequest| {
        policy.decide(request, NOW).assignment.bucketed.map(|bucketed| bucketed.bucket)
    };
    let plain = StaticRequest::new("GET", "h", "/");
    assert_eq!(
        found(&plain.clone().with_header("x-user-id", "a").with_header("cookie", "sid=b")),
        bucket(b"a")
    );
    assert_eq!(
        found(&plain.clone().with_header("x-user-id", "").with_header("cookie", "sid=b")),
        bucket(b"b")
    );
    assert_eq!(found(&plain.clone().with_header("x-user-id", " a ")), bucket(b" a "), "nothing is trimmed");
    assert_eq!(found(&plain.clone().with_header("x-user-id", b"\xff")), bucket(b"\xff"));
    for empty in
        [plain.clone(), plain.clone().with_header("x-user-id", "").with_header("cookie", "sid=; sid=b")]
    {
        let outcome = policy.decide(&empty, NOW);
        assert_eq!(
            (outcome.assignment.reason, outcome.assignment.variant_name()),
            (Reason::NoIdentity, "stable")
        );
        assert_eq!(outcome.assignment.bucketed, None);
    }
}

#[test]
fn a_killed_rollout_sends_everybody_to_stable() {
    let policy = policy(&[&rollout("r", r#""enabled": false,"#)]);
    let outcome = policy.decide(&get("h", "/").with_header("x-coalmine-variant", "canary"), NOW);
    assert_eq!((outcome.assignment.reason, outcome.assignment.variant_name()), (Reason::Disabled, "stable"));
    assert_eq!(outcome.edits, [Edit::Remove("x-coalmine-variant")]);
}

#[test]
fn every_header_of_coalmine_is_cleared_whichever_rollout_matched() {
    let policy = policy(&[
        &rollout("a", r#""match": {"hosts": ["a"]}, "route": {"header": "X-A"},"#),
        &rollout("b", r#""match": {"hosts": ["b"]}, "route": {"header": "x-b"},"#),
    ]);
    let forged = |host| get(host, "/").with_header("x-a", "canary").with_header("x-b", "canary");
    assert_eq!(
        policy.decide(&forged("a"), NOW).edits,
        [Edit::Set("x-a", b"canary"[..].into()), Edit::Remove("x-b")]
    );
    assert_eq!(
        policy.decide(&forged("b"), NOW).edits,
        [Edit::Remove("x-a"), Edit::Set("x-b", b"canary"[..].into())]
    );
    assert_eq!(policy.decide(&forged("c"), NOW).edits, [Edit::Remove("x-a"), Edit::Remove("x-b")]);
    assert!(policy.decide(&forged("c"), NOW).forged);
    assert!(!policy.decide(&get("c", "/"), NOW).forged);
    assert_eq!(policy.decide(&get("c", "/"), NOW).edits, []);
}

#[test]
fn an_empty_policy_sends_everybody_to_stable_and_removes_a_forged_default_header() {
    let read = Policy::from_json(b"{}").unwrap();
    for policy in [&Policy::default(), &read] {
        let outcome = policy.decide(&get("h", "/"), NOW);
        assert_eq!((outcome.assignment.reason, outcome.assignment.rollout_name()), (Reason::NoMatch, "none"));
        assert!(outcome.edits.is_empty());
        let forged = policy.decide(&get("h", "/").with_header("x-coalmine-variant", "canary"), NOW);
        assert_eq!(forged.edits, [Edit::Remove("x-coalmine-variant")]);
        assert!(forged.forged);
    }
}
