//! The problems of a bad document, as a person reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod all_problems;
mod document;
mod identity;
mod matching;
mod pins;
mod rollout;
mod route;
mod variants;

use coalmine_core::policy::Policy;

fn problems(document: &str) -> Vec<String> {
    match Policy::from_json(document.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.shown().iter().map(ToString::to_string).collect(),
    }
}

/// A policy of one good rollout, with `from` replaced by `to`.
fn rollout_with(from: &str, to: &str) -> String {
    let good = r#"{"version": 1, "revision": 7, "rollouts": [{
        "name": "checkout", "enabled": true, "match": {"hosts": ["checkout"], "paths": [{"prefix": "/api/"}],
        "methods": ["GET"], "headers": [{"name": "x-region", "exact": "eu"}]}, "identity": [{"header": "x-user-id"}],
        "onMissingIdentity": "stable", "salt": "checkout-7", "algorithm": "coalmine-v1",
        "variants": [{"name": "canary", "weight": 5}], "route": {"header": "x-coalmine-variant"}}],
        "observe": {"accessLog": false}}"#;
    assert_eq!(good.matches(from).count(), 1, "{from}");
    good.replace(from, to)
}

#[track_caller]
fn assert_problem(from: &str, to: &str, problem: &str) {
    assert_eq!(problems(&rollout_with(from, to)), [problem]);
}

#[test]
fn the_good_document_has_none() {
    assert_eq!(problems(&rollout_with("checkout-7", "checkout-7")), [""; 0]);
    assert_eq!(problems("{}"), [""; 0]);
}

/// The good policy with more fields in its rollout.
fn rollout_and(fields: &str) -> String {
    rollout_with("\"enabled\": true", &format!("\"enabled\": true, {fields}"))
}

/// The problem when this field is added to the good rollout; `place` is without the rollout.
#[track_caller]
fn assert_added(field: &str, place: &str, message: &str) {
    assert_eq!(problems(&rollout_and(field)), [format!("rollouts[0]{place}: {message}")]);
}
