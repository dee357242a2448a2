//! What may happen, at random.

use coalmine_steer::Verb;
use coalmine_steer::plan::{
    AlphaPer, Capacity, Guard, OnInconclusive, Plan, PlannedStep, Promote, Rollback, Setting, Start,
};
use coalmine_steer::simulate::Crash;
use proptest::prelude::*;

/// Where a history begins.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    /// The plan that is written later.
    pub(crate) other: Plan,
    pub(crate) workloads: bool,
    pub(crate) proxies: usize,
    pub(crate) traffic: f64,
    pub(crate) baseline: bool,
    pub(crate) seed: u64,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// So many ticks; the last one with this crash.
    Ticks(u32, Crash),
    Says(Verb, Crash),
    /// The server is away for so many seconds.
    ServerAway(u64),
    CanaryFails(f64),
    BothFail(f64),
    NewCanary(u8),
    NewStable(u8),
    StableAsCanary,
    CanaryRestarts,
    CanaryReplicas(u32),
    StableReady(u32),
    Policy {
        draw: bool,
    },
    Lag(usize, u64),
    Away(usize, bool),
    SourceAway(bool),
    Frozen(bool),
    Gates(bool),
    ClockJumps(i64),
    OtherPlan,
    Deleted,
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        8 => Just(Crash::None),
        1 => Just(Crash::BeforeRecord),
        1 => Just(Crash::BeforePublication),
        1 => Just(Crash::AfterPublication),
    ]
}

fn verbs() -> impl Strategy<Value = Verb> {
    prop_oneof![
        3 => any::<bool>().prop_map(|new_users| Verb::Start { new_users }),
        1 => Just(Verb::Pause),
        1 => Just(Verb::HoldNoRollback),
        3 => Just(Verb::Resume),
        2 => Just(Verb::Advance),
        4 => Just(Verb::Approve),
        1 => Just(Verb::Rollback),
        2 => Just(Verb::Promote),
        1 => (0u32..=1_000_000).prop_map(Verb::Weight),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let share = prop_oneof![Just(0.002), Just(0.1), Just(0.6)];
    let jump = prop_oneof![-100_000i64..100_000, -60i64..60];
    prop_oneof![
        40 => (1u32..12, crash()).prop_map(|(count, crash)| Op::Ticks(count, crash)),
        14 => (verbs(), crash()).prop_map(|(verb, crash)| Op::Says(verb, crash)),
        2 => (1u64..4000).prop_map(Op::ServerAway),
        9 => share.clone().prop_map(Op::CanaryFails),
        1 => share.prop_map(Op::BothFail),
        3 => (2u8..5).prop_map(Op::NewCanary),
        1 => (1u8..5).prop_map(Op::NewStable),
        4 => Just(Op::StableAsCanary),
        1 => Just(Op::CanaryRestarts),
        2 => (0u32..5).prop_map(Op::CanaryReplicas),
        1 => (0u32..5).prop_map(Op::StableReady),
        2 => any::<bool>().prop_map(|draw| Op::Policy { draw }),
        2 => (0usize..4, prop_oneof![Just(0u64), Just(40), Just(100_000)]).prop_map(|(who, lag)| Op::Lag(who, lag)),
        2 => (0usize..4, any::<bool>()).prop_map(|(who, is_away)| Op::Away(who, is_away)),
        2 => proptest::bool::weighted(0.3).prop_map(Op::SourceAway),
        2 => proptest::bool::weighted(0.3).prop_map(Op::Frozen),
        2 => any::<bool>().prop_map(Op::Gates),
        2 => jump.prop_map(Op::ClockJumps),
        1 => Just(Op::OtherPlan),
        1 => proptest::bool::weighted(0.1).prop_map(|is_real| if is_real { Op::Deleted } else { Op::Gates(true) }),
    ]
}

fn step() -> impl Strategy<Value = (u32, u64, bool, bool)> {
    let weight = prop_oneof![Just(0u32), Just(1), Just(10_000), Just(50_000), 1u32..999_999, Just(500_000)];
    let dwell = prop_oneof![Just(0u64), Just(15), Just(60), 0u64..200];
    (weight, dwell, proptest::bool::weighted(0.15), proptest::bool::weighted(0.15))
}

fn plan(workloads: bool) -> impl Strategy<Value = Plan> {
    let rollback = prop_oneof![
        3 => Just(Rollback::AtOnce),
        1 => Just(Rollback::Down { weights: vec![400_000, 30_000, 0], every: 30 }),
    ];
    let promote = prop_oneof![Just(Promote::WhenStableIsNew), Just(Promote::Copy), Just(Promote::Manual)];
    let numbers = (
        prop_oneof![Just(0u64), Just(20), 0u64..200],
        prop_oneof![Just(0u64), Just(15), Just(30)],
        prop_oneof![Just(86_400u64), 300u64..4000],
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (proptest::collection::vec(step(), 1..5), rollback, promote, numbers, flags, any::<bool>()).prop_map(
        move |(steps, rollback, promote, (min_requests, warm_up, deadline), flags, two_guards)| {
            let (by_itself, replicas, per_life, hold, scale_down) = flags;
            let mut plan = Plan::usual(Setting { workloads });
            let mut steps: Vec<PlannedStep> = steps
                .into_iter()
                .map(|(weight, dwell, approval, gate)| PlannedStep {
                    weight,
                    dwell,
                    approval,
                    gate: gate.then(|| "smoke-test".to_owned()),
                })
                .collect();
            steps.sort_by_key(|step| step.weight);
            steps.dedup_by_key(|step| step.weight);
            if steps.iter().all(|step| step.weight == 0) {
                steps.push(PlannedStep::of(250_000, 15));
            }
            plan.steps = steps;
            plan.rollback = rollback;
            plan.min_requests = min_requests;
            plan.warm_up = warm_up;
            plan.deadline = deadline;
            plan.on_inconclusive = if hold { OnInconclusive::Hold } else { OnInconclusive::Promote };
            plan.alpha_per = if per_life { AlphaPer::Life } else { AlphaPer::Release };
            plan.capacity = if replicas { Capacity::Replicas } else { Capacity::Ready };
            plan.notify = vec!["oncall".to_owned()];
            if two_guards {
                let source = coalmine_steer::plan::GuardSource::SlowerThan(250);
                plan.guards.push(Guard { name: "latency".to_owned(), source, ..Guard::errors() });
            }
            if workloads {
                plan.promote = promote;
                plan.start = if by_itself { Start::OnNewVersion } else { Start::Manual };
                plan.scale_down_canary = scale_down;
            }
            plan
        },
    )
}

/// A setup, and what happens then.
pub(crate) fn histories() -> impl Strategy<Value = (Setup, Vec<Op>)> {
    any::<bool>().prop_flat_map(|workloads| {
        let world =
            (1usize..4, prop_oneof![Just(20.0), Just(200.0), Just(2.0)], proptest::bool::weighted(0.2));
        let setup = (plan(workloads), plan(workloads), world, any::<u64>()).prop_map(
            move |(plan, other, (proxies, traffic, baseline), seed)| Setup {
                plan,
                other,
                workloads,
                proxies,
                traffic,
                baseline,
                seed,
            },
        );
        (setup, proptest::collection::vec(op(), 1..40))
    })
}
