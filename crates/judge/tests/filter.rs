//! Counts that the filter itself has shown, judged.
//!
//! A real Envoy served two rollouts at a weight of 30 %, 500 requests of each between two looks; `make test-prometheus`
//! recorded its `/stats/prometheus` (`COALMINE_RECORD` names the folder). Stable fails 1 % of its requests in both, and
//! the harmful canary 10 %. 5 % of all requests are slow.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use coalmine_judge::{Arms, Assessment, Batch, Config, Counts, Finding, GROUPS, GuardConfig, Judge, Tally};
use serde_json::Value;

const HARMFUL: &str = include_str!("filter/harmful.jsonl");
const HARMLESS: &str = include_str!("filter/harmless.jsonl");
const GUARDS: [&str; 2] = ["errors", "250ms"];

/// A line of evidence: counts of both arms by group, since the line before.
fn batch(line: &str) -> Batch {
    let line: Value = serde_json::from_str(line).unwrap();
    let count = |arm: &str, name: &str, group: usize| line[arm][name][group].as_u64().unwrap();
    let guards = GUARDS.map(|guard| {
        let arm = |arm, group| Counts::new(count(arm, "all", group), count(arm, guard, group));
        let groups: [_; GROUPS] =
            std::array::from_fn(|group| Arms { stable: arm("stable", group), canary: arm("canary", group) });
        Tally::Groups(Box::new(groups))
    });
    let weight = line["weight"].as_f64().unwrap() * 10_000.0;
    Batch { weight: Some(weight as u32), guards: guards.into(), ..Batch::default() }
}

/// What is known after each look.
fn looks(lines: &str) -> Vec<Assessment> {
    let latency = GuardConfig { name: GUARDS[1].to_owned(), ..GuardConfig::latency() };
    let config = Config { guards: vec![GuardConfig::errors(), latency], ..Config::default() };
    let mut judge = Judge::new(config).unwrap();
    let looks = lines.lines().map(|line| {
        judge.observe(&batch(line)).unwrap();
        judge.assess()
    });
    looks.collect()
}

fn findings(look: &Assessment) -> [Finding; 2] {
    [look.guards[0].finding, look.guards[1].finding]
}

#[test]
fn a_canary_that_fails_more_is_harmful_from_the_third_look_on() {
    let looks = looks(HARMFUL);
    assert_eq!(looks.len(), 8);
    for (place, look) in looks.iter().enumerate() {
        let [errors, slow] = findings(look);
        match place {
            0 | 1 => assert_eq!(errors, Finding::Undecided),
            _ => assert_eq!(errors, Finding::Harm { at: 3 }),
        }
        assert!(!matches!(slow, Finding::Harm { .. }), "both arms are as slow");
        assert_eq!(look.reasons_to_hold(), [""; 0]);
    }
    let counts = looks[7].guards[0].counts;
    assert_eq!((counts.stable, counts.canary), (Counts::new(2804, 27), Counts::new(1196, 124)));
}

#[test]
fn a_harmless_canary_is_never_harmful_and_safe_in_the_end() {
    let looks = looks(HARMLESS);
    assert_eq!(looks.len(), 8);
    for look in &looks {
        assert_eq!(look.harms().count(), 0);
        assert_eq!(look.reasons_to_hold(), [""; 0]);
    }
    assert_eq!(findings(&looks[5])[0], Finding::Undecided);
    assert!(looks[6].is_safe() && looks[7].is_safe());
    let counts = looks[7].guards[0].counts;
    assert_eq!((counts.stable, counts.canary), (Counts::new(2789, 27), Counts::new(1211, 13)));
}
