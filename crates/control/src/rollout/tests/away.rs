//! Weights that fall by themselves where proxies hear nothing more of the server.

use coalmine_core::policy::{Environment, Rollout};
use coalmine_document::json;
use serde_json::{Value, json};

use super::{Fleet, of_host};

const NAME: &str = "shop/checkout";
/// 2026-11-27T00:00:00Z.
const NOW: u64 = 1_795_737_600;

fn text(after: &str) -> String {
    let away = format!("plan: {{onServerAway: {{after: {after}, weight: 1}}}}");
    of_host("checkout.example").replace("plan: {}", &away)
}

fn fleet(weight: u32) -> Fleet {
    let mut fleet = Fleet { now: NOW, ..Fleet::default() };
    fleet.has(NAME, 1, &text("30m"), weight);
    fleet.compose();
    fleet
}

fn ramp(fleet: &Fleet) -> Value {
    let rollout = fleet.rollout(NAME).unwrap();
    // What a filter would say of it.
    let node = json::read(rollout.to_string().as_bytes()).unwrap();
    Rollout::from_document(&node, Environment::Unread).unwrap();
    rollout["ramp"].clone()
}

#[test]
fn a_ramp_falls_to_the_weight_that_the_plan_names() {
    let fleet = fleet(25);
    let steps = json!([{"at": "0s", "weight": 25.0}, {"at": "1800s", "weight": 1.0}]);
    let expected = json!({"start": "2026-11-27T00:00:00Z", "steps": steps, "allowDown": true});
    let same =
        |one: &Value, other: &Value| one.to_string().replace(".0", "") == other.to_string().replace(".0", "");
    assert!(same(&ramp(&fleet), &expected), "{}", ramp(&fleet));
    assert_eq!(fleet.weight(NAME), None, "the ramp has the weights");
}

#[test]
fn it_is_said_again_before_half_of_the_time_has_passed_and_cuts_no_evidence() {
    let mut fleet = fleet(25);
    let since = fleet.since(NAME);
    fleet.now = NOW + 899;
    assert!(fleet.compose().publication.is_none());
    assert_eq!(fleet.latest.as_ref().unwrap().renewed_from(), Some(NOW + 900));
    // A change of another rollout says it as it was.
    fleet.has("shop/other", 2, &of_host("other.example"), 5);
    fleet.compose();
    assert_eq!(ramp(&fleet)["start"], "2026-11-27T00:00:00Z");
    fleet.now = NOW + 900;
    assert!(fleet.compose().publication.is_some());
    assert_eq!((ramp(&fleet)["start"].clone(), fleet.since(NAME)), (json!("2026-11-27T00:15:00Z"), since));
}

#[test]
fn proxies_that_have_fallen_begin_anew() {
    let mut fleet = fleet(25);
    fleet.now = NOW + 1_800;
    fleet.compose();
    assert_eq!(fleet.since(NAME), fleet.revision(), "what was counted meanwhile is not evidence of 25 %");
    assert_eq!(ramp(&fleet)["steps"][0]["weight"], 25.0);
}

#[test]
fn there_is_none_where_the_canary_has_no_more_than_that_or_is_not_judged() {
    assert_eq!(ramp(&fleet(1)), Value::Null);
    let mut fleet = fleet(50);
    fleet.rollouts[0].3.observe = false;
    fleet.compose();
    assert_eq!((ramp(&fleet), fleet.weight(NAME)), (Value::Null, Some(50.0)));
}

#[test]
fn another_time_is_said_at_once() {
    let mut fleet = fleet(25);
    let since = fleet.since(NAME);
    fleet.now += 1;
    fleet.has(NAME, 1, &text("1h"), 25);
    fleet.compose();
    assert_eq!((ramp(&fleet)["steps"][1]["at"].clone(), fleet.since(NAME)), (json!("3600s"), since));
}

#[test]
fn a_rollback_reaches_who_refused_the_latest_policy() {
    let mut fleet = fleet(25);
    fleet.has(NAME, 1, &text("30m").replace("x-user-id", "x-other-id"), 50);
    fleet.compose();
    fleet.refuse("it crashes");
    fleet.compose();
    assert_eq!(ramp(&fleet)["steps"][0]["weight"], 25.0, "as it was");
    fleet.has(NAME, 1, &text("30m").replace("x-user-id", "x-other-id"), 0);
    fleet.compose();
    let rollout = fleet.rollout(NAME).unwrap();
    assert_eq!((fleet.weight(NAME), &rollout["ramp"]), (Some(0.0), &Value::Null));
    assert_eq!(rollout["identity"][0]["header"], "x-user-id");
}
