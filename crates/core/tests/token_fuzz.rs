//! A million tokens that are almost good, through a whole policy: none is accepted, and each request is served by its
//! bucket. `cargo test -p coalmine-core --test token_fuzz -- --nocapture` prints what became of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/mutate.rs"]
mod mutate;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::token::Secret;
use coalmine_core::{OverrideResult, Reason};
use mutate::Mutator;

const TOKENS: usize = 1_000_000;
const THREADS: usize = 4;
const NOW: Duration = Duration::from_secs(1_795_251_600);
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RETIRED: &str = "fedcba9876543210fedcba9876543210";

fn policy() -> Policy {
    let document = format!(
        r#"{{"rollouts": [{{"name": "checkout", "identity": [{{"header": "x-user-id"}}],
            "variants": [{{"name": "canary", "weight": 0}}],
            "override": {{"header": "x-over", "cookie": "over", "secret": "{SECRET}"}}}}]}}"#
    );
    Policy::from_json(document.as_bytes()).unwrap()
}

/// Tokens that are good, or signed and good for nothing: what a mutation turns one of them into is signed by nobody.
fn signed() -> Vec<String> {
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    let retired = Secret::new(RETIRED.as_bytes()).unwrap();
    let soon = NOW + Duration::from_secs(60);
    vec![
        secret.mint("checkout", "canary", soon),
        secret.mint("checkout", "stable", soon),
        secret.mint("checkout", "blue", soon),
        secret.mint("other", "canary", soon),
        secret.mint("checkout", "canary", NOW),
        secret.mint("checkout", "canary", NOW + Duration::from_secs(90_000)),
        retired.mint("checkout", "canary", soon),
    ]
}

/// What became of so many tokens, half of them sent by header and half by cookie.
fn fuzz(seed: u64, tokens: usize) -> BTreeMap<&'static str, usize> {
    let policy = policy();
    let mut mutator = Mutator::new(seed, signed());
    let mut results = BTreeMap::new();
    for number in 0..tokens {
        let token = mutator.next_token();
        let request = StaticRequest::new("GET", "checkout", "/").with_header("x-user-id", "alice");
        let request = if number % 2 == 0 {
            request.with_header("x-over", &token)
        } else {
            request.with_header("cookie", [b"a=0; over=", token.as_slice(), b"; b=1"].concat())
        };
        let outcome = policy.decide(&request, NOW);
        let shown = String::from_utf8_lossy(&token);
        assert_ne!(outcome.override_result, Some(OverrideResult::Accepted), "seed {seed}: {shown}");
        assert_eq!(outcome.assignment.reason, Reason::Bucket, "seed {seed}: {shown}");
        assert_eq!(outcome.assignment.variant_name(), "stable", "seed {seed}: {shown}");
        let result = outcome.override_result.map_or("none", OverrideResult::as_str);
        *results.entry(result).or_default() += 1;
    }
    results
}

#[test]
fn of_a_million_mutated_tokens_none_is_accepted() {
    let lanes: Vec<_> = (0..THREADS)
        .map(|lane| thread::spawn(move || fuzz(0xc0a1_0000 + lane as u64, TOKENS / THREADS)))
        .collect();
    let mut results: BTreeMap<&str, usize> = BTreeMap::new();
    for lane in lanes {
        for (result, count) in lane.join().unwrap() {
            *results.entry(result).or_default() += count;
        }
    }
    println!("{TOKENS} mutated tokens: {results:?}");
    assert_eq!(results.values().sum::<usize>(), TOKENS);
    // The two checks that a forger meets were both met, many times.
    assert!(results["malformed"] > TOKENS / 10 && results["signature"] > TOKENS / 10, "{results:?}");
}

/// What the mutations begin with is what it says: otherwise they would show nothing.
#[test]
fn the_tokens_that_are_mutated_are_signed() {
    let policy = policy();
    let results = signed().into_iter().map(|token| {
        let request = StaticRequest::new("GET", "checkout", "/").with_header("x-over", token);
        policy.decide(&request, NOW).override_result.unwrap().as_str()
    });
    let expected = ["accepted", "accepted", "variant", "rollout", "expired", "tooFar", "signature"];
    assert_eq!(results.collect::<Vec<_>>(), expected);
}

/// The last letter of a MAC stands for four bits, so three more letters decode to the same bytes.
#[test]
fn a_mac_has_one_spelling() {
    let policy = policy();
    let token = signed().remove(0);
    let (head, last) = token.split_at(token.len() - 1);
    let mut accepted = String::new();
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=".chars() {
        let token = format!("{head}{letter}");
        let request = StaticRequest::new("GET", "checkout", "/").with_header("x-over", token);
        if policy.decide(&request, NOW).override_result == Some(OverrideResult::Accepted) {
            accepted.push(letter);
        }
    }
    assert_eq!(accepted, last);
}
