//! Every problem at once: a person mends a document in one go.

use coalmine_core::document::json;
use coalmine_core::policy::{Environment, Policy};

/// One document with every kind of error, and its problems. Some have documents of their own: those that exclude
/// others, such as more pins than a document may have, and those of secrets and ramps below, since a hundred problems
/// are shown at most.
///
/// The expected lines are in `snapshots/`; after a change of words, `INSTA_UPDATE=always` writes them anew.
#[test]
fn every_problem_at_once() {
    let problems = Policy::from_json(include_bytes!("every.json")).unwrap_err();
    insta::assert_snapshot!(problems);
    assert_eq!(problems.count(), problems.shown().len(), "none of them is only counted");
    assert_eq!(problems.count(), 92);
}

/// The same for keys, overrides, responses and ramps. No secret is among the words, not even one that is refused.
#[test]
fn every_problem_of_secrets_and_ramps_at_once() {
    let environment = |name: &str| (name == "SHORT").then(|| "short secret".to_owned());
    let document = json::read(include_bytes!("secrets-and-ramps.json")).unwrap();
    let problems = Policy::from_document(&document, Environment::Read(&environment)).unwrap_err();
    insta::assert_snapshot!(problems);
    assert_eq!(problems.count(), 54);
    for secret in ["too short to be told", "short secret", "0123456789abcde"] {
        assert!(!problems.to_string().contains(secret), "{secret}");
    }
}

/// Nothing is reported twice.
#[test]
fn no_problem_comes_twice() {
    let problems = Policy::from_json(include_bytes!("every.json")).unwrap_err();
    let mut lines: Vec<String> = problems.shown().iter().map(ToString::to_string).collect();
    lines.sort_unstable();
    let count = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), count);
}
