//! What is wrong with a document as a whole.

use coalmine_core::document::Node;
use coalmine_core::policy::{Environment, Policy};

use super::{assert_problem, problems, rollout_with};

#[test]
fn the_top() {
    assert_problem(
        r#""version": 1"#,
        r#""version": 2"#,
        "version: 2 is newer than this version of Coalmine reads (1): upgrade the filters first",
    );
    assert_problem(
        r#""version": 1"#,
        r#""version": 0"#,
        "version: must be a whole number from 1 to 9007199254740991, not 0",
    );
    assert_problem(
        ": 7,",
        ": 9007199254740992,",
        "revision: must be a whole number from 1 to 9007199254740991, not 9007199254740992",
    );
    assert_problem(": 7,", ": 1.5,", "revision: must be a whole number from 1 to 9007199254740991, not 1.5");
    assert_problem(
        ": 7,",
        ": \"7\",",
        "revision: must be a number, not the string \"7\": write it without quotes",
    );
    assert_problem("\"revision\"", "\"revison\"", "revison: unknown field; did you mean \"revision\"?");
    assert_problem(
        "\"revision\"",
        "\"colour\"",
        "colour: unknown field; known here: version, revision, rollouts, observe, source, policy",
    );
    assert_problem("\"revision\": 7", "\"version\": 1", "version: is given twice; keep one");
    assert_problem(
        "\"accessLog\": false",
        "\"accessLog\": \"no\"",
        "observe.accessLog: must be true or false, not the string \"no\"",
    );
    assert_eq!(problems("[]"), ["must be a map, not a list"]);
}

#[test]
fn every_number_may_be_a_whole_double() {
    assert_eq!(problems(&rollout_with(": 7,", ": 7.0,")), [""; 0]);
    assert_eq!(problems(&rollout_with(": 7,", ": 7e0,")), [""; 0]);
    assert_eq!(problems(&rollout_with("\"version\": 1", "\"version\": 1.0")), [""; 0]);
}

#[test]
fn what_this_version_does_not_act_on_is_refused_by_name() {
    for field in ["source", "policy"] {
        assert_problem(
            "\"version\": 1",
            &format!("\"{field}\": {{}}"),
            &format!("{field}: \"{field}\" is not yet supported by this version of Coalmine"),
        );
    }
    assert_problem(
        "\"accessLog\"",
        "\"responses\"",
        "observe.responses: \"responses\" is not yet supported by this version of Coalmine",
    );
}

#[test]
fn more_than_a_hundred_are_counted() {
    let document = format!("{{\"rollouts\": [{}]}}", vec!["0"; 130].join(", "));
    let problems = Policy::from_json(document.as_bytes()).unwrap_err();
    assert_eq!((problems.told().len(), problems.count()), (100, 130));
    assert!(problems.to_string().ends_with("and 30 more problems"));
}

#[test]
fn a_long_value_is_cut() {
    let told = problems(&rollout_with("checkout-7", &"x".repeat(500)));
    assert_eq!(
        told[0],
        format!(
            "rollouts[0].salt: \"{}…\" is no salt: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'",
            "x".repeat(64)
        )
    );
}

#[test]
fn marks_are_handed_on() {
    use coalmine_core::document::{Key, Mark, Value};
    let mark = Some(Mark { line: 3, column: 5 });
    let key = Key { name: "version".to_owned(), mark: None };
    let value = Node { value: Value::Bool(true), mark };
    let problems = Policy::from_document(
        &Node { value: Value::Map(vec![(key, value)]), mark: None },
        Environment::Unread,
    )
    .unwrap_err();
    assert_eq!(problems.told()[0].mark, mark);
}
