//! Every problem at once: a person mends a document in one go.

use coalmine_core::document::Node;
use coalmine_core::policy::{Environment, Policy};

/// One document with every kind of error, and what is told about it. Some have documents of their own: those that
/// exclude others, such as more pins than a document may have, and those of secrets and ramps below, since a hundred
/// problems are told at most.
///
/// The expected lines are in `snapshots/`; after a change of words, `INSTA_UPDATE=always` writes them anew.
#[test]
fn every_problem_is_told_at_once() {
    let problems = Policy::from_json(include_bytes!("every.json")).unwrap_err();
    insta::assert_snapshot!(problems);
    assert_eq!(problems.count(), problems.told().len(), "none of them is only counted");
    assert_eq!(problems.count(), 91);
}

/// The same for keys, overrides, responses and ramps. No secret is among the words, not even one that is refused.
#[test]
fn every_problem_of_secrets_and_ramps_is_told_at_once() {
    let environment = |name: &str| (name == "SHORT").then(|| "short secret".to_owned());
    let document = Node::from_json(include_bytes!("secrets-and-ramps.json")).unwrap();
    let problems = Policy::from_document(&document, Environment::Read(&environment)).unwrap_err();
    insta::assert_snapshot!(problems);
    assert_eq!(problems.count(), 54);
    for secret in ["too short to be told", "short secret", "0123456789abcde"] {
        assert!(!problems.to_string().contains(secret), "{secret}");
    }
}

/// Nothing is told twice.
#[test]
fn no_problem_is_told_twice() {
    let problems = Policy::from_json(include_bytes!("every.json")).unwrap_err();
    let mut told: Vec<String> = problems.told().iter().map(ToString::to_string).collect();
    told.sort_unstable();
    let count = told.len();
    told.dedup();
    assert_eq!(told.len(), count);
}
