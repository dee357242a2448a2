//! What is wrong with a rollout's own fields.

use super::{assert_problem, problems, rollout_with};

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
        "rollouts[0].name: \"Checkout\" is not a valid name: 1 to 63 of a-z, 0-9 and -, alone or behind a namespace of the same form, as shop/checkout",
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
        "rollouts[0].salt: \"checkout:7\" is not a valid salt: 1 to 160 of A-Z, a-z, 0-9, '.', '_', '/' and '-'",
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
    assert_eq!(
        problems(two),
        ["rollouts[1].name: a second rollout \"a\", as rollouts[0]; names are unique in a policy"]
    );
    assert_problem(
        r#"{"name": "canary", "weight": 5}"#,
        r#"{"name": "canary", "weight": 5}, {"name": "canary", "weight": 5}"#,
        "rollouts[0].variants[1].name: a second variant \"canary\"; names are unique in a rollout",
    );
}

/// Other flag systems name flags as they like, so their salts are any text; Coalmine's own are not.
#[test]
fn salts_of_other_systems() {
    let salted = |algorithm: &str, salt: &str| {
        problems(
            &rollout_with("coalmine-v1", algorithm)
                .replace("\"checkout-7\"", &format!("\"{salt}\""))
                .replace("\"weight\": 5", "\"weight\": 50"),
        )
    };
    for algorithm in ["flagd-v2", "growthbook-v2", "unleash"] {
        for good in ["a:b c/ü", &"x".repeat(256), "\\u0000"] {
            assert_eq!(salted(algorithm, good), [""; 0], "{algorithm} {good}");
        }
        assert_eq!(
            salted(algorithm, ""),
            ["rollouts[0].salt: \"\" is not a valid salt: 1 to 256 bytes"],
            "{algorithm}"
        );
        // 129 times two bytes.
        assert_eq!(
            salted(algorithm, &"ü".repeat(129)),
            [format!("rollouts[0].salt: \"{}…\" is not a valid salt: 1 to 256 bytes", "ü".repeat(32))],
            "{algorithm}"
        );
    }
    for salt in ["", &"x".repeat(161), "a b", "ü"] {
        let problems = salted("coalmine-v1", salt);
        assert!(
            problems.len() == 1 && problems[0].contains("is not a valid salt: 1 to 160 of"),
            "{problems:?}"
        );
    }
}

/// A mistyped algorithm is one problem: nothing else of the rollout is checked by it.
#[test]
fn an_algorithm_that_is_not_known() {
    assert_problem(
        "coalmine-v1",
        "murmur3",
        "rollouts[0].algorithm: \"murmur3\" is not known; known here: coalmine-v1, siphash-2-4, flagd-v2, growthbook-v2, unleash",
    );
}
