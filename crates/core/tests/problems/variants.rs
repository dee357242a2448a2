//! What is wrong with variants, weights and ranges.

use super::{assert_added, assert_problem, problems, rollout_and, rollout_with};

#[test]
fn variants() {
    let place = "rollouts[0].variants";
    assert_problem(
        "\"weight\": 5",
        "\"weight\": 105",
        &format!("{place}[0].weight: a weight is 0 to 100 percent, not 105"),
    );
    assert_problem(
        "\"weight\": 5",
        "\"weight\": \"5\"",
        &format!("{place}[0].weight: must be a number, not the string \"5\": write it without quotes"),
    );
    assert_problem(
        "\"weight\": 5",
        "\"weight\": 0.00005",
        &format!(
            "{place}[0].weight: 0.00005 is finer than 0.0001 %, the least step of a weight; the nearest weight is 0.0001"
        ),
    );
    assert_problem(
        ", \"weight\": 5",
        "",
        &format!("{place}[0]: \"weight\" is missing: 0 to 100, in percent"),
    );
    assert_problem(
        "\"canary\"",
        "\"stable\"",
        &format!("{place}[0].name: stable is never listed: it takes what the others leave"),
    );
    assert_problem(
        "{\"name\": \"canary\", \"weight\": 5}",
        "{\"name\": \"canary\", \"weight\": 52}, {\"name\": \"blue\", \"weight\": 52}",
        &format!("{place}: weights add up to 104 %, at most 100 % can leave stable"),
    );
    let three = ["a", "b", "c"].map(|name| format!("{{\"name\": \"{name}\", \"weight\": 5}}")).join(", ");
    assert_problem(
        "{\"name\": \"canary\", \"weight\": 5}",
        &three,
        &format!(
            "{place}: 3 variants; weights alone place at most 2 besides stable, more need \"ranges\" (see `coalmine weights`)"
        ),
    );
    assert_problem(
        "[{\"name\": \"canary\", \"weight\": 5}]",
        "[]",
        &format!("{place}: is an empty list; list the canary with its weight; stable takes the rest"),
    );
}

/// Names are looked up one by one, and beyond 65,535 of them a variant would be taken for another.
#[test]
fn more_variants_than_a_rollout_may_have() {
    let listing = |count: usize| {
        let variants: Vec<String> = (0..count).map(|number| format!(r#"{{"name": "v{number}"}}"#)).collect();
        let document = rollout_and(r#""ranges": [[1000000, "v99"]]"#);
        document.replace(r#"{"name": "canary", "weight": 5}"#, &variants.join(", "))
    };
    assert_eq!(problems(&listing(100)), [""; 0]);
    for count in [101, 40_000] {
        assert_eq!(
            problems(&listing(count)),
            [format!("rollouts[0].variants: has {count} variants; at most 100")]
        );
    }
}

/// A weight between two steps of the algorithm would be another weight than the one that was written.
#[test]
fn weights_that_an_algorithm_cannot_tell() {
    let weighing = |algorithm: &str, weight: &str| {
        problems(
            &rollout_with("coalmine-v1", algorithm)
                .replace("\"weight\": 5", &format!("\"weight\": {weight}")),
        )
    };
    for (algorithm, weight, step, nearest) in [
        ("growthbook-v2", "0.001", "0.01", "0"),
        ("growthbook-v2", "33.335", "0.01", "33.34"),
        ("growthbook-v2", "99.9999", "0.01", "100"),
        ("unleash", "0.5", "1", "1"),
        ("unleash", "5.49", "1", "5"),
        ("unleash", "99.9999", "1", "100"),
    ] {
        assert_eq!(
            weighing(algorithm, weight),
            [format!(
                "rollouts[0].variants[0].weight: {algorithm} has steps of {step} %; the nearest weight is {nearest}"
            )]
        );
    }
    for (algorithm, weight) in
        [("growthbook-v2", "33.33"), ("unleash", "33.0"), ("flagd-v2", "0.0001"), ("coalmine-v1", "33.3333")]
    {
        assert_eq!(weighing(algorithm, weight), [""; 0], "{algorithm} {weight}");
    }
}

/// The problems of a rollout with the variants canary and blue and this table.
fn problems_of_ranges(algorithm: &str, table: &str) -> Vec<String> {
    let document =
        rollout_with("[{\"name\": \"canary\", \"weight\": 5}]", r#"[{"name": "canary"}, {"name": "blue"}]"#)
            .replace("coalmine-v1", algorithm);
    problems(&document.replace("\"enabled\": true", &format!("\"enabled\": true, \"ranges\": {table}")))
}

#[test]
fn a_table_of_ranges() {
    let refused = |table: &str| problems_of_ranges("coalmine-v1", table);
    for good in [
        r#"[[1000000, "stable"]]"#,
        r#"[[1, "blue"], [2, "canary"], [3, "blue"], [1000000, "canary"]]"#,
        r#"[[50000.0, "canary"], [1e6, "stable"]]"#,
        r#"[[1, "blue"], [1000000, "blue"]]"#,
    ] {
        assert_eq!(refused(good), [""; 0], "{good}");
    }
    for (table, place, message) in [
        ("[]", "", "is an empty list; list [end, variant] pairs up to 1000000"),
        ("{}", "", "must be a list, not a map: put [ ] around a single item"),
        (r#"[[5], [1000000, "stable"]]"#, "[0]", "must be a pair [end, variant]"),
        (
            r#"[[5, "canary"], [5, "blue"], [1000000, "stable"]]"#,
            "[1][0]",
            "5 does not lie above the end before it, 5: ends ascend",
        ),
        (
            r#"[[5, "canary"], [4, "blue"], [1000000, "stable"]]"#,
            "[1][0]",
            "4 does not lie above the end before it, 5: ends ascend",
        ),
        (
            r#"[[0, "canary"], [1000000, "stable"]]"#,
            "[0][0]",
            "must be a whole number from 1 to 1000000, not 0",
        ),
        (
            r#"[[0.5, "canary"], [1000000, "stable"]]"#,
            "[0][0]",
            "must be a whole number from 1 to 1000000, not 0.5",
        ),
        (
            r#"[[5, "green"], [1000000, "stable"]]"#,
            "[0][1]",
            "\"green\" is not a variant of this rollout; it has: stable, canary, blue",
        ),
        (
            r#"[[5, 7], [1000000, "stable"]]"#,
            "[0][1]",
            "must be a string, not the number 7: put it in quotes",
        ),
        (
            r#"[[999999, "stable"]]"#,
            "",
            "ends at 999999; the last end is 1000000, so that every bucket belongs to a variant",
        ),
    ] {
        let expected = format!("rollouts[0].ranges{place}: {message}");
        assert_eq!(refused(table), [expected], "{table}");
    }
    assert_eq!(
        refused(r#"[[5, "canary"], [1000001, "stable"]]"#)[0],
        "rollouts[0].ranges[1][0]: must be a whole number from 1 to 1000000, not 1000001"
    );
}

/// Every item of a table is read, whatever is wrong with the one before it.
#[test]
fn every_item_of_a_table_is_read() {
    assert_eq!(
        problems_of_ranges("coalmine-v1", r#"[5, [6], [7, "green"], "x", [1000000, "stable"]]"#),
        [
            "rollouts[0].ranges[0]: must be a pair [end, variant], not the number 5",
            "rollouts[0].ranges[1]: must be a pair [end, variant]",
            "rollouts[0].ranges[2][1]: \"green\" is not a variant of this rollout; it has: stable, canary, blue",
            "rollouts[0].ranges[3]: must be a pair [end, variant], not the string \"x\"",
        ]
    );
}

#[test]
fn ranges_keep_to_the_steps_of_the_algorithm() {
    assert_eq!(problems_of_ranges("unleash", r#"[[50000, "canary"], [1000000, "stable"]]"#), [""; 0]);
    assert_eq!(
        problems_of_ranges("unleash", r#"[[5000, "canary"], [1000000, "stable"]]"#),
        ["rollouts[0].ranges[0][0]: unleash has steps of 10000 buckets; 5000 lies between two"]
    );
    assert_eq!(
        problems_of_ranges("growthbook-v2", r#"[[150, "canary"], [1000000, "stable"]]"#),
        ["rollouts[0].ranges[0][0]: growthbook-v2 has steps of 100 buckets; 150 lies between two"]
    );
    assert_eq!(problems_of_ranges("flagd-v2", r#"[[1, "canary"], [1000000, "stable"]]"#), [""; 0]);
}

#[test]
fn ranges_and_weights_exclude_one_another() {
    assert_added(
        r#""ranges": [[50000, "canary"], [1000000, "stable"]]"#,
        ".variants[0].weight",
        "\"ranges\" or \"ramp\" set the weights; leave this one out",
    );
}
