//! Names with a namespace: the whole name is the rollout's, in the policy, the salt and the tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use coalmine_core::OverrideResult;
use coalmine_core::bucketing::Bucketer;
use coalmine_core::document::Problems;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::token::Secret;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A policy of rollouts with these names, each for the host that is called as it is.
fn read(names: &[&str]) -> Result<Policy, Problems> {
    let rollout = |(place, name): (usize, &&str)| {
        format!(
            r#"{{"name": "{name}", "match": {{"hosts": ["h{place}"]}}, "identity": [{{"header": "x-user-id"}}],
                "variants": [{{"name": "canary", "weight": 50}}],
                "override": {{"header": "x-over", "secret": "{SECRET}"}}}}"#
        )
    };
    let rollouts: Vec<String> = names.iter().enumerate().map(rollout).collect();
    Policy::from_json(format!("{{\"rollouts\": [{}]}}", rollouts.join(", ")).as_bytes())
}

#[test]
fn a_name_may_have_a_namespace() {
    let label = "x".repeat(63);
    let longest = format!("{label}/{label}");
    for name in ["checkout", "shop/checkout", "0/0", "-/-", "shop/none", &longest] {
        let policy = read(&[name]).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert_eq!(policy.rollouts()[0].name(), name);
    }
    let too_long = format!("shop/{label}x");
    for name in [
        "",
        "/",
        "/checkout",
        "shop/",
        "shop//checkout",
        "a/b/c",
        "Shop/checkout",
        "shop/check.out",
        &too_long,
    ] {
        let problems = read(&[name]).unwrap_err();
        assert_eq!(problems.count(), 1, "{name}: {problems}");
        let expected = "is not a valid name: 1 to 63 of a-z, 0-9 and -, alone or behind a namespace";
        assert!(problems.to_string().contains(expected), "{name}: {problems}");
    }
}

/// Two services of one name in two namespaces are two rollouts.
#[test]
fn names_are_unique_as_a_whole() {
    let names = ["checkout", "shop/checkout", "cart/checkout", "checkout/shop"];
    assert_eq!(read(&names).unwrap().rollouts().len(), names.len());
    let problems = read(&["shop/checkout", "checkout", "shop/checkout"]).unwrap_err().to_string();
    let expected =
        "rollouts[2].name: a second rollout \"shop/checkout\", as rollouts[0]; names are unique in a policy";
    assert_eq!(problems, expected);
}

#[test]
fn the_salt_is_the_whole_name() {
    let label = "x".repeat(63);
    for name in ["checkout", "shop/checkout", &format!("{label}/{label}")] {
        let policy = read(&[name]).unwrap();
        let rollout = &policy.rollouts()[0];
        assert_eq!(rollout.salt(), name);
        let expected = Bucketer::coalmine_v1(name).bucket(b"alice");
        assert_eq!(rollout.assign(Some(b"alice"), NOW).bucketed, Some(expected), "{name}");
    }
}

#[test]
fn a_token_is_for_the_whole_name() {
    let names = ["checkout", "shop/checkout", "cart/checkout"];
    let policy = read(&names).unwrap();
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    for (place, rollout) in names.into_iter().enumerate() {
        for name in names {
            let token = secret.mint(name, "canary", NOW + Duration::from_secs(60));
            let request = StaticRequest::new("GET", &format!("h{place}"), "/").with_header("x-over", token);
            let expected = if name == rollout { OverrideResult::Accepted } else { OverrideResult::Rollout };
            assert_eq!(policy.decide(&request, NOW).override_result, Some(expected), "{name} at {rollout}");
        }
    }
}

/// The longest names, and an expiry of as many digits as there can be.
#[test]
fn the_longest_token_is_accepted() {
    let label = "x".repeat(63);
    let name = format!("{label}/{label}");
    let document = format!(
        r#"{{"rollouts": [{{"name": "{name}", "identity": [{{"header": "x-user-id"}}],
            "variants": [{{"name": "{label}", "weight": 50}}], "override": {{"header": "x-over", "secret": "{SECRET}"}}}}]}}"#
    );
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    let token = Secret::new(SECRET.as_bytes()).unwrap().mint(&name, &label, Duration::from_secs(u64::MAX));
    assert_eq!(token.len(), 259);
    let request = StaticRequest::new("GET", "h", "/").with_header("x-over", token);
    let outcome = policy.decide(&request, Duration::from_secs(u64::MAX - 1));
    assert_eq!(outcome.override_result, Some(OverrideResult::Accepted));
    assert_eq!(outcome.assignment.variant_name(), label);
}
