//! What is wrong with pins.

use super::{assert_added, problems, rollout_and};

#[test]
fn a_pin() {
    let pins = |pins: &str, place: &str, message: &str| {
        assert_added(&format!("\"pins\": {pins}"), &format!(".pins{place}"), message);
    };
    pins("[]", "", "must be a map, not a list");
    pins(
        r#"{"canary": "alice"}"#,
        ".canary",
        "must be a list, not the string \"alice\": put [ ] around a single item",
    );
    pins(
        r#"{"canary": ["alice", 4711]}"#,
        ".canary[1]",
        "must be a string, not the number 4711: put it in quotes",
    );
    pins(r#"{"canary": [null]}"#, ".canary[0]", "must be a string, not null");
    pins(r#"{"canary": [""]}"#, ".canary[0]", "is empty, and an empty identity names no user");
    pins(
        r#"{"canry": ["alice"]}"#,
        ".canry",
        "\"canry\" is not a variant of this rollout; it has: stable, canary",
    );
    pins(
        r#"{"Canary": []}"#,
        ".Canary",
        "\"Canary\" is not a variant of this rollout; it has: stable, canary",
    );
    pins(
        r#"{"canary": ["alice", "bob"], "stable": ["carol", "bob"]}"#,
        ".stable[1]",
        "\"bob\" is pinned to another variant too; keep one",
    );
    pins(r#"{"canary": ["alice"], "canary": ["bob"]}"#, ".canary", "is given twice; keep one");
}

/// They are compared as bytes: nothing is trimmed or folded. Twice under one variant does no harm.
#[test]
fn pins_that_are_not_the_same() {
    let pins = r#""pins": {"canary": ["alice", "Alice", " alice", "alice"], "stable": ["alice "]}"#;
    assert_eq!(problems(&rollout_and(pins)), [""; 0]);
}

#[test]
fn every_pin_that_is_wrong_is_a_problem() {
    assert_eq!(
        problems(&rollout_and(r#""pins": {"x": ["", 1], "canary": [true, "a"], "stable": ["a", {}]}"#)),
        [
            "rollouts[0].pins.x: \"x\" is not a variant of this rollout; it has: stable, canary",
            "rollouts[0].pins.x[0]: is empty, and an empty identity names no user",
            "rollouts[0].pins.x[1]: must be a string, not the number 1: put it in quotes",
            "rollouts[0].pins.canary[0]: must be a string, not true: put it in quotes",
            "rollouts[0].pins.stable[0]: \"a\" is pinned to another variant too; keep one",
            "rollouts[0].pins.stable[1]: must be a string, not a map",
        ]
    );
}

/// Two rollouts with so many pins each.
fn pinned(first: usize, second: usize) -> String {
    let rollout = |name: &str, count: usize| {
        let pins: Vec<String> = (0..count).map(|number| format!("\"{name}-{number}\"")).collect();
        format!(
            r#"{{"name": "{name}", "identity": [{{"cookie": "s"}}], "variants": [{{"name": "canary", "weight": 1}}],
                "pins": {{"canary": [{}]}}}}"#,
            pins.join(", ")
        )
    };
    format!("{{\"rollouts\": [{}, {}]}}", rollout("a", first), rollout("b", second))
}

/// The bound is the document's, not a rollout's. It is one problem, of the rollouts that have pins.
#[test]
fn a_document_has_at_most_ten_thousand() {
    assert_eq!(problems(&pinned(6_000, 4_000)), [""; 0]);
    for beyond in [4_001, 4_500] {
        assert_eq!(
            problems(&pinned(6_000, beyond)),
            [format!("rollouts[1].pins: with these the policy has {} pins; at most 10000", 6_000 + beyond)]
        );
    }
}

/// Where the route keeps the weights there is stable and the canary; what the route chooses cannot be pinned.
#[test]
fn the_variants_of_a_route_that_keeps_the_weights() {
    let document = |variant: &str| {
        format!(
            r#"{{"rollouts": [{{"name": "r", "identity": [{{"cookie": "s"}}], "pins": {{"{variant}": ["alice"]}},
                "route": {{"bucketHeader": {{"name": "x-bucket", "total": 100}}}}}}]}}"#
        )
    };
    assert_eq!(problems(&document("stable")), [""; 0]);
    assert_eq!(problems(&document("canary")), [""; 0]);
    for variant in ["route", "baseline"] {
        assert_eq!(
            problems(&document(variant)),
            [format!(
                "rollouts[0].pins.{variant}: \"{variant}\" is not a variant of this rollout; it has: stable, canary"
            )]
        );
    }
}
