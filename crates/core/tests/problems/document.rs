//! What is wrong with a document as a whole.

use coalmine_core::document::{Code, Entry, MAX_BYTES, MAX_VALUES, Node, Span, Value};
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
        "colour: unknown field; known here: version, revision, rollouts, observe",
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
fn what_belongs_to_other_documents_is_refused_by_name() {
    for field in ["source", "policy"] {
        let document = rollout_with("\"version\": 1", &format!("\"{field}\": {{}}"));
        let hint = "known here: version, revision, rollouts, observe";
        assert_eq!(problems(&document), [format!("{field}: unknown field; {hint}")]);
    }
}

#[test]
fn more_than_a_hundred_are_counted() {
    let document = format!("{{\"rollouts\": [{}]}}", vec!["0"; 130].join(", "));
    let problems = Policy::from_json(document.as_bytes()).unwrap_err();
    assert_eq!((problems.shown().len(), problems.count()), (100, 130));
    assert!(problems.to_string().ends_with("and 30 more problems"));
}

#[test]
fn a_long_value_is_cut() {
    assert_eq!(
        problems(&rollout_with("checkout-7", &"x".repeat(500)))[0],
        format!(
            "rollouts[0].salt: \"{}…\" is not a valid salt: 1 to 160 of A-Z, a-z, 0-9, '.', '_', '/' and '-'",
            "x".repeat(64)
        )
    );
}

#[test]
fn spans_are_handed_on() {
    let span = Span::new(30, 34);
    let node = Node { span, ..Value::Bool(true).into() };
    let version = Entry::new("version".to_owned(), Span::new(20, 27), node);
    let document = Value::Map(vec![version]).into();
    let problems = Policy::from_document(&document, Environment::Unread).unwrap_err();
    assert_eq!(problems.shown()[0].span, span);
}

/// Text of one megabyte would be tens of megabytes as a tree, in every worker. Reading it ends at the bound, and what
/// a document says beyond it does not matter.
#[test]
fn more_values_than_a_document_may_have_are_one_problem() {
    let refused = |document: &str| Policy::from_json(document.as_bytes()).unwrap_err();
    let ones = vec!["1"; 500_000].join(",");
    for document in [format!("[{ones}]"), format!("{{\"rollouts\": [{ones}]}}"), format!("[{ones}")] {
        assert!(document.len() < MAX_BYTES);
        let problems = refused(&document);
        assert_eq!((problems.count(), problems.shown()[0].code), (1, Code::TooLarge));
        let expected = "more values than a policy document may have, which is 100000";
        assert!(problems.to_string().starts_with(expected), "{problems}");
    }
    // The bound itself is not too many: then the values are what is wrong.
    let most = format!("[{}]", vec!["1"; MAX_VALUES - 1].join(","));
    assert_eq!(refused(&most).to_string(), "must be a map, not a list");
}

/// A tree that was read from another notation is held to the same bound.
#[test]
fn a_tree_of_too_many_values_is_refused_too() {
    let pins = Node::of_items((0..MAX_VALUES).map(|number| Node::of_text(format!("u{number}"))));
    let refused = |document: Node| Policy::from_document(&document, Environment::Unread).unwrap_err();
    let problems = refused(Node::of_fields([("rollouts", pins)]));
    let first = &problems.shown()[0];
    assert_eq!(first.code, Code::TooLarge);
    assert_eq!(first.to_string(), "100002 values; a policy document may have at most 100000");
}

fn observe_problems(observe: &str) -> Vec<String> {
    problems(&format!("{{\"observe\": {observe}}}"))
}

#[test]
fn thresholds_are_times_and_ascend() {
    let slow = |slow: &str| observe_problems(&format!("{{\"responses\": true, \"slow\": {slow}}}"));
    assert_eq!(slow(r#"["1ms", {"at": "250ms", "groups": true}, "1s", "60m"]"#), [""; 0]);
    for wrong in ["0ms", "61m", "1h", "250", "1.5s", "ms"] {
        let problem = format!(
            "observe.slow[0]: \"{wrong}\" is no threshold: 1ms to 60m, a whole number and ms, s or m, as 250ms"
        );
        assert_eq!(slow(&format!("[\"{wrong}\"]")), [problem]);
    }
    for equal in [r#"["1s", "1000ms"]"#, r#"["2s", "1s"]"#] {
        let problem =
            "observe.slow[1]: is not longer than the threshold before it; list them from the shortest";
        assert_eq!(slow(equal), [problem]);
    }
    assert_eq!(slow(r#"["1s", "2s", "3s", "4s", "5s"]"#), ["observe.slow: has 5 thresholds; at most 4"]);
    assert_eq!(slow(r#"[{"groups": true}]"#).len(), 1);
}

#[test]
fn what_only_counts_with_responses_asks_for_them() {
    for (field, value) in [("slow", "[\"1s\"]"), ("histogram", "true")] {
        let problem =
            format!("observe.{field}: only counts with \"responses: true\"; add it, or leave this out");
        assert_eq!(observe_problems(&format!("{{\"{field}\": {value}}}")), [problem]);
    }
}

#[test]
fn a_rollout_whose_variant_only_the_route_knows_is_not_observed() {
    let document = r#"{"rollouts": [{"name": "r", "identity": [{"header": "x-u"}], "observe": true,
        "route": {"bucketHeader": {"name": "x-b", "total": 100}}}]}"#;
    let problem = "a \"bucketHeader\" leaves the variant to the route, so nothing can be counted here";
    assert_eq!(problems(document), [format!("rollouts[0].observe: {problem}")]);
}
