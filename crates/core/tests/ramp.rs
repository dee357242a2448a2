//! Weights that follow the clock: which step holds when, whatever the clock does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::time::parse_rfc3339;
use proptest::prelude::*;
use serde_json::{Value, json};

const START: &str = "2026-11-21T09:00:00Z";

fn document(variants: &Value, ramp: &Value) -> String {
    json!({"rollouts": [{
        "name": "checkout",
        "identity": [{"header": "x-user-id"}],
        "variants": variants,
        "ramp": ramp,
    }]})
    .to_string()
}

fn policy(ramp: &Value) -> Policy {
    let variants = json!([{"name": "canary"}, {"name": "baseline"}]);
    Policy::from_json(document(&variants, ramp).as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(ramp: &Value) -> String {
    let variants = json!([{"name": "canary"}]);
    Policy::from_json(document(&variants, ramp).as_bytes()).unwrap_err().to_string()
}

fn usual() -> Value {
    json!({"start": START, "steps": [
        {"at": "0s", "weight": 1}, {"at": "30m", "weight": 5}, {"at": "2h", "weight": 25},
        {"at": "1d", "weight": 80}, {"at": "2d", "weight": 100}]})
}

fn start() -> Duration {
    parse_rfc3339(START).unwrap()
}

/// The weights of canary and baseline at this point in time, in parts per million, from the table itself.
fn weights(policy: &Policy, now: Duration) -> (u32, u32) {
    let rollout = &policy.rollouts()[0];
    let (mut begin, mut canary, mut baseline) = (0, 0, 0);
    for &(end, variant) in rollout.ranges(now).table() {
        match rollout.variant_name(variant) {
            "canary" => canary += end - begin,
            "baseline" => baseline += end - begin,
            _ => {}
        }
        begin = end;
    }
    assert_eq!(rollout.ramp_weight(now).unwrap().ppm(), canary);
    (canary, baseline)
}

#[test]
fn the_instant_of_a_step_belongs_to_it_and_before_the_start_there_is_none() {
    let policy = policy(&usual());
    let (millisecond, minute) = (Duration::from_millis(1), Duration::from_secs(60));
    for (at, before, from) in [
        (start(), 0, 10_000),
        (start() + 30 * minute, 10_000, 50_000),
        (start() + 120 * minute, 50_000, 250_000),
        (start() + 24 * 60 * minute, 250_000, 800_000),
        (start() + 48 * 60 * minute, 800_000, 1_000_000),
    ] {
        assert_eq!(weights(&policy, at - millisecond).0, before);
        assert_eq!(weights(&policy, at).0, from);
        assert_eq!(weights(&policy, at + millisecond).0, from);
    }
    assert_eq!(weights(&policy, Duration::ZERO), (0, 0));
    assert_eq!(weights(&policy, Duration::MAX), (1_000_000, 0));
}

#[test]
fn a_decision_takes_the_step_of_its_own_time() {
    let policy = policy(&usual());
    let request = StaticRequest::new("GET", "a", "/").with_header("x-user-id", "alice");
    for (now, variant) in [(Duration::ZERO, "stable"), (Duration::MAX, "canary"), (Duration::ZERO, "stable")]
    {
        assert_eq!(policy.decide(&request, now).assignment.variant_name(), variant, "{now:?}");
    }
}

#[test]
fn a_baseline_takes_as_much_as_the_canary_as_far_as_there_is() {
    let policy = policy(&usual());
    let at = |hours: u64| weights(&policy, start() + Duration::from_secs(hours * 3600));
    assert_eq!(at(0), (10_000, 10_000));
    assert_eq!(at(3), (250_000, 250_000));
    assert_eq!(at(30), (800_000, 200_000));
    assert_eq!(at(50), (1_000_000, 0));
}

#[test]
fn a_clock_that_jumps_is_followed_forward_and_back() {
    let policy = policy(&usual());
    let hours = |hours: u64| start() + Duration::from_secs(hours * 3600);
    for (now, expected) in [
        (hours(0), 10_000),
        (hours(26), 800_000),
        (hours(1), 50_000),
        (Duration::ZERO, 0),
        (Duration::MAX, 1_000_000),
        (start() - Duration::from_nanos(1), 0),
        (hours(3), 250_000),
    ] {
        assert_eq!(weights(&policy, now).0, expected, "{now:?}");
        assert_eq!(weights(&policy, now).0, expected, "{now:?} again");
    }
}

#[test]
fn held_it_stays_at_its_weight_at_every_instant() {
    let mut ramp = usual();
    ramp["hold"] = json!(true);
    ramp["holdWeight"] = json!(7.5);
    let held = policy(&ramp);
    for now in [Duration::ZERO, start(), start() + Duration::from_secs(1_000_000), Duration::MAX] {
        assert_eq!(weights(&held, now), (75_000, 75_000));
    }
    ramp["hold"] = json!(false);
    assert_eq!(weights(&policy(&ramp), start()).0, 10_000, "a weight to hold is ready, and does not hold");
    ramp["hold"] = json!(true);
    ramp.as_object_mut().unwrap().remove("holdWeight");
    assert!(refused(&ramp).contains("\"holdWeight\" is missing"), "{}", refused(&ramp));
}

#[test]
fn steps_go_down_only_when_that_is_meant() {
    let mut ramp =
        json!({"start": START, "steps": [{"at": "0s", "weight": 5}, {"at": "1m", "weight": 4.9999}]});
    let problems = refused(&ramp);
    assert!(problems.starts_with("rollouts[0].ramp.steps[1].weight: goes down from 5"), "{problems}");
    ramp["allowDown"] = json!(true);
    let policy = policy(&ramp);
    assert_eq!(weights(&policy, start() + Duration::from_secs(60)).0, 49_999);
    assert_eq!(weights(&policy, start() + Duration::from_secs(59)).0, 50_000);
}

#[test]
fn what_is_no_ramp_is_refused_with_its_place() {
    let step = |at: &str| json!({"at": at, "weight": 1});
    for (ramp, place) in [
        (json!({"start": START, "steps": []}), "rollouts[0].ramp.steps: "),
        (json!({"start": START, "steps": [step("1s")]}), "rollouts[0].ramp.steps[0].at: "),
        (json!({"start": START, "steps": [step("0s"), step("0s")]}), "rollouts[0].ramp.steps[1].at: "),
        (
            json!({"start": START, "steps": [step("0s"), step("2m"), step("1m")]}),
            "rollouts[0].ramp.steps[2].at: ",
        ),
        (json!({"start": START, "steps": [step("0s"), step("-1m")]}), "rollouts[0].ramp.steps[1].at: "),
        (json!({"start": START, "steps": [step("0s"), step("1.5m")]}), "rollouts[0].ramp.steps[1].at: "),
        (json!({"start": "2026-11-21T09:00:00", "steps": [step("0s")]}), "rollouts[0].ramp.start: "),
        (json!({"start": "tomorrow", "steps": [step("0s")]}), "rollouts[0].ramp.start: "),
        (json!({"steps": [step("0s")]}), "rollouts[0].ramp: "),
        (json!({"start": START, "steps": [step("0s")], "holdWeight": 101}), "rollouts[0].ramp.holdWeight: "),
    ] {
        assert!(refused(&ramp).lines().any(|line| line.starts_with(place)), "{place}\n{}", refused(&ramp));
    }
    let variants = json!([{"name": "canary", "weight": 5}]);
    let problems = Policy::from_json(document(&variants, &usual()).as_bytes()).unwrap_err().to_string();
    assert!(problems.contains("rollouts[0].variants"), "a weight beside a ramp: {problems}");
}

proptest! {
    /// Whatever the clock showed before, what it shows now decides; while steps rise, a later time only takes users
    /// out of stable.
    #[test]
    fn only_the_time_counts_and_later_only_adds(
        jumps in prop::collection::vec(0_u64..300_000, 1..8),
        user in "[a-z]{1,8}",
    ) {
        let memory = policy(&usual());
        let variant = |policy: &Policy, now: Duration| {
            policy.rollouts()[0].assign(Some(user.as_bytes()), now).variant_name().to_owned()
        };
        let day_before = start() - Duration::from_secs(86_400);
        let mut seen: Vec<(u64, String)> = Vec::new();
        for jump in jumps {
            let now = day_before + Duration::from_secs(jump);
            let found = variant(&memory, now);
            prop_assert_eq!(&found, &variant(&policy(&usual()), now));
            seen.push((jump, found));
        }
        seen.sort();
        let canary = seen.iter().position(|(_, variant)| variant == "canary").unwrap_or(seen.len());
        prop_assert!(seen[canary..].iter().all(|(_, variant)| variant == "canary"), "{:?}", seen);
    }
}
