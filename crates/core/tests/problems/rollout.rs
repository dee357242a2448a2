//! What is wrong with a rollout's own fields.

use super::{assert_problem, problems};

#[test]
fn a_rollout() {
    assert_problem(
        "\"name\": \"checkout\", ",
        "",
        "rollouts[0]: \"name\" is missing: what metrics and logs call the rollout",
    );
    assert_problem(
        "\"checkout\", \"enabled\"",
        "\"Checkout\", \"enabled\"",
        "rollouts[0].name: \"Checkout\" is no name: 1 to 63 of a-z, 0-9 and -",
    );
    assert_problem(
        "\"checkout\", \"enabled\"",
        "\"none\", \"enabled\"",
        "rollouts[0].name: \"none\" stands for no rollout in the metrics; choose another name",
    );
    assert_problem(
        "\"enabled\": true",
        "\"enabled\": null",
        "rollouts[0].enabled: must be true or false, not null",
    );
    assert_problem(
        "checkout-7",
        "checkout:7",
        "rollouts[0].salt: \"checkout:7\" is no salt: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'",
    );
    assert_problem(
        "coalmine-v1",
        "coalmine-v2",
        "rollouts[0].algorithm: \"coalmine-v2\" is not known; did you mean \"coalmine-v1\"?",
    );
}

#[test]
fn names_are_unique() {
    let two = r#"{"rollouts": [
        {"name": "a", "identity": [{"cookie": "sid"}], "variants": [{"name": "canary", "weight": 1}]},
        {"name": "a", "identity": [{"cookie": "sid"}], "variants": [{"name": "canary", "weight": 1}]}]}"#;
    assert_eq!(problems(two), ["rollouts[1].name: a second rollout \"a\"; names are unique in a policy"]);
    assert_problem(
        r#"{"name": "canary", "weight": 5}"#,
        r#"{"name": "canary", "weight": 5}, {"name": "canary", "weight": 5}"#,
        "rollouts[0].variants[1].name: a second variant \"canary\"; names are unique in a rollout",
    );
}
