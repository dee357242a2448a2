//! What is wrong with variants, weights and ranges.

use super::assert_problem;

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
