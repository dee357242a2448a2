//! Every problem at once: a person mends a document in one go.

use coalmine_core::policy::Policy;

/// One document with every kind of error of every field, and what is told about it. Two kinds have documents of their
/// own, since they exclude others: a table that is empty, and more pins than a document may have.
///
/// The expected lines are in `snapshots/`; after a change of words, `INSTA_UPDATE=always` writes them anew.
#[test]
fn every_problem_is_told_at_once() {
    let problems = Policy::from_json(include_bytes!("every.json")).unwrap_err();
    insta::assert_snapshot!(problems);
    assert_eq!(problems.count(), problems.told().len(), "none of them is only counted");
    assert_eq!(problems.count(), 90);
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
