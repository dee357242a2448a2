//! The plan as people write it: defaults, every problem with its place, and remarks.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use coalmine_document::Notation;
use coalmine_judge::Margin;
use coalmine_steer::Plan;
use coalmine_steer::plan::{
    AlphaPer, Capacity, GuardSource, Mode, OnInconclusive, OnServerAway, PlannedStep, Promote, Rollback,
    Setting, Start, advice,
};

const KUBERNETES: Setting = Setting { workloads: true };
const ENVOY: Setting = Setting { workloads: false };

fn read(text: &str, setting: Setting) -> Result<Plan, Vec<String>> {
    let documents = Notation::Yaml.read(text).unwrap();
    Plan::from_document(&documents[0], setting)
        .map_err(|problems| problems.shown().iter().map(ToString::to_string).collect())
}

fn problems(text: &str) -> Vec<String> {
    read(text, KUBERNETES).unwrap_err()
}

#[test]
fn an_empty_plan_is_the_usual_one() {
    let plan = read("{}", KUBERNETES).unwrap();
    assert_eq!(plan, Plan::usual(KUBERNETES));
    assert_eq!((plan.start, plan.promote), (Start::OnNewVersion, Promote::WhenStableIsNew));
    let weights: Vec<u32> = plan.steps.iter().map(|step| step.weight / 10_000).collect();
    assert_eq!(weights, [1, 5, 25, 50]);
    let plan = read("{}", ENVOY).unwrap();
    assert_eq!((plan.start, plan.promote), (Start::Manual, Promote::Manual));
}

#[test]
fn every_field_is_read() {
    let plan = read(
        "start: manual
steps:
- {weight: 0, dwell: 0s, gate: smoke-test}
- 1
- {weight: 25, dwell: 30m, approval: true}
dwell: 5m
minRequests: 2000
warmUp: 1m
guards:
  payments: {query: payments, worseThan: {times: 1, plus: 0.5}}
  latency: {slowerThan: 250ms, worseThan: {times: 1.25, plus: 1}}
  errors: {worseThan: {times: 1.5}, safeWithin: {times: 3, plus: 2}}
alpha: 0.5
alphaPer: release
beta: 10
onInconclusive: promote
deadline: 2d
rollback: {down: [25, 5, 0], every: 30s}
promote: copy
capacity: ready
scaleDownCanary: true
notify: [oncall]
mode: judge",
        KUBERNETES,
    )
    .unwrap();
    let mut gated = PlannedStep::of(0, 0);
    gated.gate = Some("smoke-test".to_owned());
    let mut approved = PlannedStep::of(250_000, 1800);
    approved.approval = true;
    assert_eq!(plan.steps, [gated, PlannedStep::of(10_000, 300), approved]);
    let guards: Vec<(&str, &GuardSource)> =
        plan.guards.iter().map(|guard| (guard.name.as_str(), &guard.source)).collect();
    assert_eq!(
        guards,
        [
            ("errors", &GuardSource::Errors),
            ("latency", &GuardSource::SlowerThan(250)),
            ("payments", &GuardSource::Query("payments".to_owned()))
        ],
        "those on responses come first"
    );
    assert_eq!(plan.guards[0].worse_than, Margin { times: 1.5, plus: 0.0 });
    assert_eq!(plan.guards[0].safe_within, Margin { times: 3.0, plus: 0.02 });
    assert_eq!((plan.alpha, plan.beta, plan.alpha_per), (0.005, 0.1, AlphaPer::Release));
    assert_eq!(plan.rollback, Rollback::Down { weights: vec![250_000, 50_000, 0], every: 30 });
    assert_eq!((plan.promote, plan.capacity, plan.mode), (Promote::Copy, Capacity::Ready, Mode::Judge));
    assert_eq!((plan.min_requests, plan.warm_up, plan.deadline), (2000, 60, 172_800));
    assert_eq!(plan.on_inconclusive, OnInconclusive::Promote);
    assert!(plan.scale_down_canary && plan.notify == ["oncall"]);
    let plan = read("onServerAway: {after: 30m, weight: 1}", ENVOY).unwrap();
    assert_eq!(plan.on_server_away, Some(OnServerAway { after: 1800, weight: 10_000 }));
    let plan = read("onServerAway: {after: 10s}", ENVOY).unwrap();
    assert_eq!(plan.on_server_away, Some(OnServerAway { after: 10, weight: 0 }));
}

#[test]
fn all_problems_are_told_with_their_places() {
    let found = problems(
        "start: onNewRelease
steps: [0, {weight: 5, dwel: 3m}, 5, 100]
dwell: 10
minRequests: -1
guards: {speed: {}, latency: {slowerThan: 250, query: x, worseThan: {times: 0}}, other: {slowerThan: 2h}}
alpha: 0
deadline: 5s
rollback: {down: [25, 30], every: 0s}
promote: 1
notify: [On-Call]
mode: judge
onServerAway: {after: 5s, weight: 101}
colour: blue",
    );
    assert_eq!(
        found,
        [
            "colour: unknown field; known here: start, steps, dwell, minRequests, warmUp, guards, alpha, alphaPer, beta, \
             onInconclusive, deadline, rollback, promote, capacity, scaleDownCanary, notify, mode, onServerAway",
            "dwell: must be a duration, not the number 10: write its unit too, as 10s",
            "start: \"onNewRelease\" is not known; known here: manual, onNewVersion",
            "steps[1].dwel: unknown field; did you mean \"dwell\"?",
            "steps[2]: does not lie above the step before it, 5 %: steps ascend",
            "steps[3]: is 100 %, where nobody is left to compare with; leave it out: the promotion goes to 100 % after the \
             last step",
            "minRequests: must be a whole number from 0 to 1000000000, not -1",
            "guards.speed: does not say what it counts: \"slowerThan\" with a time, or \"query\" with the name of one; \
             without both only the guard \"errors\" is known",
            "guards.latency.query: \"slowerThan\" and \"query\" both say what is counted; keep one",
            "guards.latency.slowerThan: must be a time, as 250ms, not the number 250",
            "guards.latency.worseThan.times: must be from 0.01 to 100, not 0",
            "guards.other.slowerThan: \"2h\" is no threshold: 1ms to 60m, a whole number and ms, s or m, as 250ms",
            "guards.other: counts the same as the guard \"latency\"; keep one",
            "alpha: must be above 0 and at most 50, in percent, not 0",
            "deadline: must be from 1m to 90d, not 5s",
            "rollback.every: must be from 1s to 1d, not 0s",
            "rollback.down[1]: does not lie below the weight before it: a rollback goes down",
            "rollback.down: does not end at 0: a rollback sends all users back",
            "promote: must be one of whenStableIsNew, copy, manual, not the number 1",
            "notify[0]: \"On-Call\" is not a valid name of a notifier: 1 to 63 of a-z, 0-9 and -",
            "onServerAway: is about a weight that another controller holds with \"mode: judge\"; leave it out",
            "onServerAway.after: must be from 10s to 30d, not 5s",
            "onServerAway.weight: a weight is 0 to 100 percent, not 101",
        ]
    );
}

#[test]
fn what_needs_workloads_is_refused_without_them() {
    let found = read("{start: onNewVersion, promote: copy, capacity: ready, scaleDownCanary: true}", ENVOY)
        .unwrap_err();
    assert_eq!(
        found,
        [
            "start: needs \"workloads\", which this rollout does not name; write manual, or leave it out",
            "promote: needs \"workloads\", which this rollout does not name; write manual, or leave it out",
            "capacity: needs \"workloads\", which this rollout does not name; leave it out",
            "scaleDownCanary: needs \"workloads\", which this rollout does not name; leave it out",
        ]
    );
}

#[test]
fn other_kinds_are_told() {
    assert_eq!(problems("[]"), ["must be a plan, or {} for the usual one, not a list"]);
    assert_eq!(
        problems("{steps: [], guards: {}, rollback: slowly}"),
        [
            "steps: is an empty list; list the first weight, as 1",
            "guards: has no guard; leave it out for one on errors, or name one, as {errors: {}}",
            "rollback: \"slowly\" is not known; known here: atOnce",
        ]
    );
    assert_eq!(problems("steps: [0]"), ["steps: has no step with users; add one, as 1"]);
    assert_eq!(
        problems("rollback: {every: 3s}"),
        ["rollback: \"down\" is missing: the weights on the way back, as [25, 5, 0]"]
    );
    assert_eq!(
        problems("guards: {errors: {worseThan: {}}}")[0].split(';').next(),
        Some(
            "guards.errors.worseThan: says nothing: write a factor, percentage points or both, as {times: 1.25, plus: 0.1}"
        )
    );
}

#[test]
fn advice_says_what_a_plan_cannot_do() {
    let remarks = |text: &str, traffic: Option<f64>| -> Vec<String> {
        let plan = read(text, KUBERNETES).unwrap();
        let remarks = advice(&plan, traffic);
        remarks.iter().map(|remark| format!("{}: {}", remark.path, remark.message)).collect()
    };
    assert_eq!(remarks("{}", Some(50.0)), [""; 0]);
    assert_eq!(
        remarks("{steps: [5], deadline: 50m}", Some(3.0)),
        [
            "steps[0]: 5 % of 3 requests a second cannot reach `minRequests` (500) in the deadline of 50m: up to here the \
          rollout takes 56m 3s"
        ]
    );
    assert_eq!(
        remarks(
            "{steps: [5], deadline: 55m, minRequests: 200, guards: {errors: {safeWithin: {times: 2, plus: 0.1}}}}",
            Some(3.0)
        ),
        [
            "guards.errors.safeWithin: safety needs at least 2,996 requests of the canary, even without any error, and 3 \
          requests a second give it 495 within the deadline; widen the margin, or write \"onInconclusive: promote\""
        ]
    );
    assert_eq!(
        remarks("{dwell: 7h, warmUp: 7h, guards: {payments: {query: payments, worseThan: {plus: 2}}}}", None),
        [
            "guards: no guard counts errors; add \"errors: {}\", or failed requests go unseen",
            "guards.payments.worseThan: a canary that fails up to 2 percentage points more than stable is not found",
            "deadline: the dwells add up to 1d 4h, so no rollout ends within the deadline of 1d",
            "steps[0]: the dwell of 7h is within the warm-up of 7h, whose evidence is left out",
            "steps[1]: the dwell of 7h is within the warm-up of 7h, whose evidence is left out",
            "steps[2]: the dwell of 7h is within the warm-up of 7h, whose evidence is left out",
            "steps[3]: the dwell of 7h is within the warm-up of 7h, whose evidence is left out",
        ]
    );
}
