//! What a step asks for before the next one, what stops it, and what rolls it back.

use coalmine_steer::{About, Action, Kind, Phase, Verb, Verdict, What};

use crate::common::Story;

#[test]
fn harm_rolls_back_and_publishes_weight_0_before_anything_else() {
    let mut story = Story::kubernetes("{notify: [oncall]}");
    story.until_weight(5);
    story.canary_fails(0.3);
    story.until_phase(Phase::RollingBack);
    let step = story.step.clone().unwrap();
    assert!(matches!(&step.actions[0], Action::Publish(form) if form.weight == Some(0)));
    assert_eq!(step.state.said.verdict, Verdict::Rollback);
    let message = &step.state.said.message;
    assert!(message.starts_with("rolls back from 5 %: errors: the canary has "), "{message}");
    story.tick();
    assert_eq!(story.phase(), Phase::RolledBack);
}

#[test]
fn a_rollback_in_steps_goes_down_and_never_up() {
    let mut story = Story::kubernetes("{rollback: {down: [75, 25, 5, 0], every: 30s}}");
    story.until_weight(50);
    story.canary_fails(0.3);
    story.until_phase(Phase::RolledBack);
    assert_eq!(story.weights(), [1, 5, 25, 50, 25, 5, 0]);
}

#[test]
fn a_step_is_dwelt_on() {
    let mut story = Story::kubernetes("{minRequests: 0}");
    story.until_weight(1);
    let begun = story.world.time;
    story.run(585);
    assert_eq!(story.condition(Kind::Dwell), Some("9m 45s of 10m"));
    story.until_weight(5);
    assert!(story.world.time - begun >= 600);
}

#[test]
fn a_step_waits_for_requests() {
    let mut story = Story::kubernetes("{dwell: 0s}");
    story.world.traffic = 20.0;
    story.until_weight(1);
    story.run(600);
    assert_eq!(story.percent(), 1);
    let message = story.condition(Kind::Requests).unwrap();
    assert!(message.ends_with(" of 500 requests"), "{message}");
    assert!(story.message().starts_with("holds at 1 %: "), "{}", story.message());
    story.until_weight(5);
}

#[test]
fn a_step_waits_for_approval_and_people_are_told_once() {
    let mut story = Story::kubernetes("{steps: [1, {weight: 5, approval: true}, 50], notify: [oncall]}");
    story.until_phase(Phase::WaitingForApproval);
    story.run(3600);
    assert_eq!((story.percent(), story.message()), (5, "holds at 5 %: waits for approval at 5 %"));
    let told = story.world.state.next_notice;
    story.run(600);
    assert_eq!(story.world.state.next_notice, told);
    assert_eq!(story.told(), [About::Started, About::Approval]);
    story.say(Verb::Approve).unwrap();
    story.until_weight(50);
}

#[test]
fn a_step_waits_for_its_gate() {
    let mut story = Story::kubernetes("{steps: [{weight: 0, gate: smoke-test, dwell: 0s}, 5]}");
    story.world.gates_pass = false;
    story.run(3600);
    assert_eq!((story.percent(), story.phase()), (0, Phase::Progressing));
    assert_eq!(story.message(), "holds at 0 %: gate smoke-test has not passed: not yet");
    story.world.gates_pass = true;
    story.until_weight(5);
}

#[test]
fn a_gate_that_passed_for_an_earlier_canary_is_asked_anew() {
    let mut story = Story::kubernetes("{steps: [{weight: 0, gate: smoke-test, dwell: 0s}, 5, 25]}");
    story.until_weight(5);
    story.cluster().renew_canary("v3");
    story.until_weight(0);
    story.world.gates_pass = false;
    story.run(3600);
    assert_eq!((story.percent(), story.phase()), (0, Phase::Progressing));
    assert_eq!(story.message(), "holds at 0 %: gate smoke-test has not passed: not yet");
    story.world.gates_pass = true;
    story.until_weight(5);
}

#[test]
fn a_step_waits_for_replicas_in_proportion() {
    let mut story = Story::kubernetes("{}");
    story.cluster().canary.replicas = 1;
    story.cluster().canary.ready = 1;
    story.until_weight(25);
    story.until(|story| {
        story.conditions().iter().all(|it| it.kind == Kind::Capacity)
            && story.condition(Kind::Capacity).is_some()
    });
    assert_eq!(
        story.message(),
        "holds at 25 %: canary has 1 of 1 replicas ready, and 50 % of the users need 2"
    );
    story.world.plan.capacity = coalmine_steer::plan::Capacity::Ready;
    story.until_weight(50);
}

#[test]
fn what_is_missing_around_the_workloads_is_said_first_and_stops_upward_moves_only() {
    let route = "no route leads to canary";
    let mut story = Story::kubernetes("{}");
    story.world.obstacles = vec![route.to_owned()];
    story.run(3600);
    assert_eq!((story.percent(), story.phase()), (0, Phase::Idle));
    assert_eq!(
        (story.message(), story.condition(Kind::Workload)),
        ("holds at 0 %: no route leads to canary", Some(route))
    );
    assert_eq!(story.say(Verb::Start { new_users: false }).unwrap_err(), route);
    story.world.obstacles.clear();
    story.until_weight(5);
    story.world.obstacles = vec![route.to_owned()];
    story.run(4 * 3600);
    assert_eq!((story.percent(), story.condition(Kind::Workload)), (5, Some(route)));
    story.canary_fails(0.2);
    story.until_phase(Phase::RolledBack);
}

#[test]
fn a_pause_stops_upward_moves_only() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.say(Verb::Pause).unwrap();
    story.run(4 * 3600);
    assert_eq!((story.percent(), story.phase()), (5, Phase::Paused));
    assert_eq!(story.message(), "holds at 5 %: paused by alice (because)");
    story.canary_fails(0.2);
    story.until_phase(Phase::RolledBack);
}

#[test]
fn a_freeze_of_the_server_stops_upward_moves_only() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.world.frozen = Some("end of the quarter".to_owned());
    story.run(4 * 3600);
    assert_eq!(story.message(), "holds at 5 %: the server is frozen: end of the quarter");
    assert!(story.say(Verb::Advance).unwrap_err().contains("frozen"));
    story.canary_fails(0.2);
    story.until_phase(Phase::RolledBack);
}

#[test]
fn a_person_may_forbid_rollbacks() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.say(Verb::HoldNoRollback).unwrap();
    story.canary_fails(0.2);
    story.run(1800);
    assert_eq!((story.percent(), story.world.state.said.verdict), (5, Verdict::Hold));
    assert!(story.condition(Kind::Alarm).unwrap().contains("alice (because) forbids the rollback"));
    assert!(story.say(Verb::Advance).unwrap_err().contains("harm is proved"));
    story.say(Verb::Resume).unwrap();
    story.until_phase(Phase::RolledBack);
}

#[test]
fn past_the_deadline_the_rollout_holds_and_never_jumps() {
    let mut story = Story::kubernetes("{deadline: 30m, notify: [oncall]}");
    story.until(|story| story.condition(Kind::Deadline).is_some());
    let percent = story.percent();
    story.run(4 * 3600);
    assert_eq!(story.percent(), percent);
    assert!(story.message().contains("the deadline of 30m has passed"), "{}", story.message());
    story.say(Verb::Resume).unwrap();
    story.until(|story| story.percent() > percent);
}

#[test]
fn without_proof_of_safety_the_last_step_holds() {
    let mut story = Story::kubernetes(
        "{steps: [5], dwell: 1m, minRequests: 10, guards: {errors: {safeWithin: {times: 1, plus: 0}}}}",
    );
    story.run(4 * 3600);
    assert_eq!(story.percent(), 5);
    assert!(story.condition(Kind::Inconclusive).is_some());
    story.world.plan.on_inconclusive = coalmine_steer::plan::OnInconclusive::Promote;
    story.until_weight(100);
}

#[test]
fn a_weight_by_hand_goes_on_from_there() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(1);
    story.say(Verb::Weight(300_000)).unwrap();
    assert_eq!(story.published().weight, Some(300_000));
    story.until(|story| story.percent() != 30);
    assert_eq!(story.percent(), 50);
    assert!(story.say(Verb::Weight(1_000_000)).unwrap_err().contains("use promote"));
    assert!(story.say(Verb::Weight(0)).unwrap_err().contains("use pause or rollback"));
}

#[test]
fn verbs_that_have_their_effect_already_change_nothing() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    for verb in [Verb::Start { new_users: false }, Verb::Pause, Verb::Pause, Verb::Approve, Verb::Approve] {
        story.say(verb).unwrap();
    }
    assert_eq!(story.happened(What::Verb), 2);
    // Who said it first, and when, stays: the second time is in no history.
    let before = story.world.state.clone();
    story.world.time += 5;
    for verb in [Verb::Pause, Verb::Approve] {
        story.say(verb).unwrap();
    }
    assert_eq!(story.world.state, before);
    story.say(Verb::Rollback).unwrap();
    story.until_phase(Phase::RolledBack);
    story.say(Verb::Rollback).unwrap();
    assert_eq!(story.happened(What::RolledBack), 1);
    assert!(story.say(Verb::Advance).unwrap_err().contains("no release is in progress"));
}
