//! Overrides: in which order the decision goes, which token is accepted, and what is cut out of a request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::borrow::Cow;
use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::token::{MAX_LIFETIME, Secret};
use coalmine_core::{Edit, OverrideResult, Reason};

const NOW: Duration = Duration::from_secs(1_795_251_600);
const SOON: Duration = Duration::from_secs(1_795_251_660);
const OLD: &str = "old-0123456789abcdef-0123456789abcdef";
const NEW: &str = "new-0123456789abcdef-0123456789abcdef";

/// Two rollouts: `checkout`, to be changed by the case, and `cart`, which takes no tokens.
fn policy(fields: &str) -> Policy {
    let document = format!(
        r#"{{"rollouts": [
            {{"name": "checkout", "match": {{"hosts": ["checkout"]}}, "identity": [{{"header": "x-user-id"}}],
              "variants": [{{"name": "canary", "weight": 0}}], "pins": {{"stable": ["pinned"]}},
              "override": {{"header": "X-Over", "cookie": "over", "secret": ["{NEW}", "{OLD}"]}} {fields}}},
            {{"name": "cart", "match": {{"hosts": ["cart"]}}, "identity": [{{"header": "x-user-id"}}],
              "variants": [{{"name": "canary", "weight": 0}}]}}]}}"#
    );
    Policy::from_json(document.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn token(secret: &str, rollout: &str, variant: &str, expiry: Duration) -> String {
    Secret::new(secret.as_bytes()).unwrap().mint(rollout, variant, expiry)
}

fn good() -> String {
    token(NEW, "checkout", "canary", SOON)
}

fn to(host: &str) -> StaticRequest {
    StaticRequest::new("GET", host, "/")
}

/// The result, the variant and the reason.
fn decided(policy: &Policy, request: &StaticRequest) -> (Option<OverrideResult>, String, Reason) {
    let outcome = policy.decide(request, NOW);
    (outcome.override_result, outcome.assignment.variant_name().to_owned(), outcome.assignment.reason)
}

#[test]
fn a_token_comes_before_identity_pins_and_bucket() {
    let policy = policy("");
    let accepted = (Some(OverrideResult::Accepted), "canary".to_owned(), Reason::Override);
    for user in [None, Some(""), Some("alice"), Some("pinned")] {
        let request = to("checkout").with_header("x-over", good());
        let request = user.iter().fold(request, |request, user| request.with_header("x-user-id", user));
        assert_eq!(decided(&policy, &request), accepted, "{user:?}");
    }
    // An identity that is a guess takes nothing from a token.
    let guessed = to("checkout").with_header("x-user-id", "a").with_header("x-user-id", "b");
    assert_eq!(decided(&policy, &guessed.with_header("x-over", good())), accepted);
}

#[test]
fn a_token_may_force_stable_upon_a_pinned_canary() {
    let document = format!(
        r#"{{"rollouts": [{{"name": "checkout", "identity": [{{"header": "x-user-id"}}],
            "variants": [{{"name": "canary", "weight": 100}}], "pins": {{"canary": ["alice"]}},
            "override": {{"cookie": "over", "secret": "{NEW}"}}}}]}}"#
    );
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    let cookie = format!("over={}", token(NEW, "checkout", "stable", SOON));
    let request = to("any").with_header("x-user-id", "alice").with_header("cookie", cookie);
    let expected = (Some(OverrideResult::Accepted), "stable".to_owned(), Reason::Override);
    assert_eq!(decided(&policy, &request), expected);
}

#[test]
fn a_killed_rollout_ignores_it_and_counts_nothing() {
    let policy = policy(r#", "enabled": false"#);
    for token in [good(), "nonsense".to_owned()] {
        let outcome = policy.decide(&to("checkout").with_header("x-over", &token), NOW);
        assert_eq!((outcome.override_result, outcome.assignment.reason), (None, Reason::Disabled));
        assert_eq!(outcome.edits, [Edit::Remove("x-over")], "and still takes it away");
    }
}

#[test]
fn every_token_that_is_not_accepted_leaves_the_request_to_its_bucket() {
    let policy = policy("");
    let second = Duration::from_secs(1);
    for (token, result) in [
        (token(OLD, "checkout", "canary", SOON), OverrideResult::Accepted),
        (token("another-secret-of-at-least-32-bytes", "checkout", "canary", SOON), OverrideResult::Signature),
        (token(NEW, "cart", "canary", SOON), OverrideResult::Rollout),
        (token(NEW, "checkout", "blue", SOON), OverrideResult::Variant),
        (token(NEW, "checkout", "canary", NOW), OverrideResult::Expired),
        (token(NEW, "checkout", "canary", NOW + second), OverrideResult::Accepted),
        (token(NEW, "checkout", "canary", NOW + MAX_LIFETIME), OverrideResult::Accepted),
        (token(NEW, "checkout", "canary", NOW + MAX_LIFETIME + second), OverrideResult::TooFar),
        (token(NEW, "checkout", "canary", Duration::from_secs(u64::MAX)), OverrideResult::TooFar),
        (String::new(), OverrideResult::Malformed),
        ("canary".to_owned(), OverrideResult::Malformed),
        (format!(" {}", good()), OverrideResult::Malformed),
        (good().replacen("v1", "v2", 1), OverrideResult::Malformed),
        // Several things are wrong: the first check that fails is the one that counts.
        (token(OLD, "cart", "blue", Duration::ZERO), OverrideResult::Rollout),
        (token(OLD, "checkout", "blue", Duration::ZERO), OverrideResult::Variant),
        (token("another-secret-of-at-least-32-bytes", "cart", "blue", NOW), OverrideResult::Signature),
    ] {
        let by_bucket = ("stable".to_owned(), Reason::Bucket);
        let expected = if result == OverrideResult::Accepted {
            ("canary".to_owned(), Reason::Override)
        } else {
            by_bucket
        };
        let request = to("checkout").with_header("x-user-id", "alice");
        let (found, variant, reason) = decided(&policy, &request.clone().with_header("x-over", &token));
        assert_eq!((found, (variant, reason)), (Some(result), expected.clone()), "header {token}");
        // A cookie's value is trimmed, so a blank before it is no part of it.
        if !token.starts_with(' ') {
            let (found, variant, reason) =
                decided(&policy, &request.with_header("cookie", format!("a=0; over={token}")));
            assert_eq!((found, (variant, reason)), (Some(result), expected), "cookie {token}");
        }
    }
}

#[test]
fn a_header_that_is_there_keeps_the_cookie_from_being_tried() {
    let policy = policy("");
    let cookie = format!("over={}", good());
    for header in ["", "nonsense", &token(NEW, "cart", "canary", SOON)] {
        let request = to("checkout").with_header("x-over", header).with_header("cookie", &cookie);
        let outcome = policy.decide(&request, NOW);
        assert_ne!(outcome.override_result, Some(OverrideResult::Accepted), "{header}");
        assert_eq!(outcome.assignment.variant_name(), "stable");
        assert_eq!(outcome.edits, [Edit::Remove("x-over"), Edit::Remove("cookie")], "both are cut out");
    }
    let twice = to("checkout").with_header("x-over", good()).with_header("X-Over", good());
    let outcome = policy.decide(&twice.with_header("cookie", cookie), NOW);
    assert_eq!(outcome.override_result, Some(OverrideResult::Malformed), "twice is no token");
    assert_eq!(outcome.assignment.variant_name(), "stable");
}

#[test]
fn tokens_are_cut_out_matched_or_not_and_the_other_cookies_stay_byte_for_byte() {
    let policy = policy("");
    for host in ["checkout", "cart", "elsewhere"] {
        for (cookies, rest) in [
            ("over=x", None),
            ("a=0;  over=x;\tb=\"1;2\"", Some("a=0;\tb=\"1;2\"")),
            ("over=x; over=y; a=0", Some("a=0")),
            ("overx=1; xover=2; OVER=3; over", None),
        ] {
            let outcome = policy.decide(&to(host).with_header("cookie", cookies), NOW);
            let untouched = !cookies.split(';').any(|pair| pair.trim().starts_with("over="));
            let expected = match rest {
                _ if untouched => vec![],
                Some(rest) => vec![Edit::Set("cookie", Cow::Borrowed(rest.as_bytes()))],
                None => vec![Edit::Remove("cookie")],
            };
            assert_eq!(outcome.edits, expected, "{cookies} at {host}");
        }
        let outcome = policy.decide(&to(host).with_header("x-over", good()), NOW);
        assert!(outcome.edits.contains(&Edit::Remove("x-over")), "at {host}");
        assert!(!outcome.forged, "a token is the client's to send");
    }
}

#[test]
fn the_first_cookie_of_the_name_is_the_token() {
    let policy = policy("");
    let good_first = to("checkout").with_header("cookie", format!("over={}; over=x", good()));
    assert_eq!(policy.decide(&good_first, NOW).override_result, Some(OverrideResult::Accepted));
    let good_second = to("checkout").with_header("cookie", format!("over=x; over={}", good()));
    assert_eq!(policy.decide(&good_second, NOW).override_result, Some(OverrideResult::Malformed));
}
