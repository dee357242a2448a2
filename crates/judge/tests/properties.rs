//! What holds for all batches: no panic, no number that is none, state that goes through bytes, arms that may be
//! swapped, batches that may be split.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use coalmine_judge::batch::{Open, Served};
use coalmine_judge::simulate::{Random, Rollout, User, World, repeat};
use coalmine_judge::{
    Arms, Assessment, Batch, Config, Counts, Finding, GROUPS, GuardConfig, Judge, Margin, Process, Tally,
};
use proptest::prelude::*;

/// Two guards, of both processes.
fn config(groups: bool) -> Config {
    let with = |guard: GuardConfig| GuardConfig { groups, ..guard };
    Config { guards: vec![with(GuardConfig::errors()), with(GuardConfig::latency())], ..Config::default() }
}

fn count() -> impl Strategy<Value = Counts> {
    let all = prop_oneof![3 => 0u64..5, 3 => 0u64..5000, 1 => 0u64..(1 << 45)];
    (all, 0.0..1.0f64, 0u32..4).prop_map(|(all, share, kind)| {
        let bad = match kind {
            0 => 0,
            1 => all,
            _ => (all as f64 * share) as u64,
        };
        Counts::new(all, bad)
    })
}

fn arms() -> impl Strategy<Value = Arms<Counts>> {
    (count(), count()).prop_map(|(stable, canary)| Arms { stable, canary })
}

fn tally(groups: bool) -> BoxedStrategy<Tally> {
    match groups {
        true => proptest::collection::vec(arms(), GROUPS)
            .prop_map(|groups| Tally::Groups(Box::new(groups.try_into().unwrap())))
            .boxed(),
        false => arms().prop_map(Tally::Whole).boxed(),
    }
}

fn batch(groups: bool) -> impl Strategy<Value = Batch> {
    let open = (0u64..1000, 0u64..1000).prop_map(|(a, b)| Open { begun: a.max(b), open: a.min(b) });
    let served = (0u64..1000, 0u64..1000).prop_map(|(assigned, served)| Served { assigned, served });
    (
        proptest::option::of(prop_oneof![Just(0u32), Just(1_000_000), 0u32..=1_000_000]),
        proptest::collection::vec(tally(groups), 2),
        proptest::option::of(served),
        proptest::option::of((open.clone(), open).prop_map(|(stable, canary)| Arms { stable, canary })),
    )
        .prop_map(|(weight, guards, served, open)| Batch { weight, guards, served, open })
}

fn sequence() -> impl Strategy<Value = (bool, Vec<Batch>)> {
    any::<bool>().prop_flat_map(|groups| (Just(groups), proptest::collection::vec(batch(groups), 1..12)))
}

fn check_numbers(assessment: &Assessment) {
    for guard in &assessment.guards {
        assert!(guard.harm.log.is_finite(), "{guard:?}");
        assert!(guard.safe.log.is_finite(), "{guard:?}");
        assert!(
            guard.ratio.low.is_finite() && guard.ratio.low >= 0.0 && !guard.ratio.high.is_nan(),
            "{guard:?}"
        );
    }
    for doubt in assessment.trust.doubts() {
        assert!(!doubt.to_string().contains("NaN"), "{doubt}");
    }
}

/// How many random cases a test tries.
fn cases() -> u32 {
    std::env::var("COALMINE_FUZZ_CASES").map_or(150, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_panics_or_gives_nan((groups, batches) in sequence()) {
        let mut judge = Judge::new(config(groups)).unwrap();
        for batch in &batches {
            judge.observe(batch).unwrap();
            check_numbers(&judge.assess());
        }
    }

    #[test]
    fn a_state_goes_on_as_if_it_had_not_been_written((groups, batches) in sequence(), at in 0usize..12) {
        let mut judge = Judge::new(config(groups)).unwrap();
        let mut copy = judge.clone();
        for (place, batch) in batches.iter().enumerate() {
            if place == at {
                copy = Judge::from_bytes(config(groups), &copy.to_bytes()).unwrap();
            }
            judge.observe(batch).unwrap();
            copy.observe(batch).unwrap();
            prop_assert_eq!(judge.assess(), copy.assess());
        }
        prop_assert_eq!(judge, copy);
    }

    #[test]
    fn bytes_that_are_no_state_never_panic((groups, batches) in sequence(), cut in any::<prop::sample::Index>(),
        value in any::<u8>(), change in any::<bool>()) {
        let mut judge = Judge::new(config(groups)).unwrap();
        batches.iter().for_each(|batch| judge.observe(batch).unwrap());
        let mut bytes = judge.to_bytes();
        let at = cut.index(bytes.len());
        if change { bytes[at] = value } else { bytes.truncate(at) }
        match Judge::from_bytes(config(groups), &bytes) {
            Ok(judge) => check_numbers(&judge.assess()),
            Err(problem) => prop_assert!(!problem.to_string().is_empty()),
        }
    }

    #[test]
    fn what_is_refused_changes_nothing((groups, batches) in sequence(), kind in 0usize..4) {
        let mut judge = Judge::new(config(groups)).unwrap();
        judge.observe(&batches[0]).unwrap();
        let before = judge.clone();
        let mut wrong = batches[0].clone();
        match kind {
            0 => wrong.weight = Some(1_000_001),
            1 => { wrong.guards.pop(); }
            2 => wrong.open = Some(Arms { stable: Open { begun: 1, open: 2 }, canary: Open::default() }),
            _ => match &mut wrong.guards[1] {
                Tally::Whole(arms) => arms.canary = Counts::new(3, 4),
                Tally::Groups(groups) => groups[15].stable = Counts::new(3, 4),
            },
        }
        prop_assert!(judge.observe(&wrong).is_err());
        prop_assert_eq!(judge, before);
    }

    /// Without a margin, harm of one arm is never harm of the other.
    #[test]
    fn swapped_arms_are_swapped_verdicts((_, batches) in sequence(), exact in any::<bool>()) {
        let even = Margin { times: 1.0, plus: 0.0 };
        let process = if exact { Process::Exact } else { Process::Share };
        let guard = GuardConfig { worse_than: even, safe_within: even, groups: false, process,
            ..GuardConfig::errors() };
        let config = Config { guards: vec![guard], ..Config::default() };
        let (mut one, mut other) = (Judge::new(config.clone()).unwrap(), Judge::new(config).unwrap());
        for batch in &batches {
            let arms = batch.guards[0].total();
            let of = |arms| Batch { guards: vec![Tally::Whole(arms)], ..Batch::default() };
            // Bets of the exact process start from stable's past: it is the same for both while both are alike.
            one.observe(&of(arms)).unwrap();
            other.observe(&of(arms.swapped())).unwrap();
            let (one, other) = (one.assess(), other.assess());
            let harm = |assessment: &Assessment| assessment.harms().count() > 0;
            // After harm of one, later batches may say the opposite; until then they cannot.
            if harm(&one) || harm(&other) {
                prop_assert!(harm(&one) != harm(&other));
                break;
            }
        }
    }
}

/// A steady difference: harm in one order is safety in the other, in both processes.
#[test]
fn a_steady_difference_is_harm_one_way_and_safety_the_other() {
    for process in [Process::Share, Process::Exact] {
        let even = Margin { times: 1.0, plus: 0.0 };
        let guard = GuardConfig {
            worse_than: even,
            safe_within: even,
            groups: false,
            process,
            ..GuardConfig::errors()
        };
        let config = Config { guards: vec![guard], ..Config::default() };
        let (mut one, mut other) = (Judge::new(config.clone()).unwrap(), Judge::new(config).unwrap());
        let arms = Arms { stable: Counts::new(1000, 100), canary: Counts::new(1000, 200) };
        for _ in 0..10 {
            let of = |arms| Batch { guards: vec![Tally::Whole(arms)], ..Batch::default() };
            one.observe(&of(arms)).unwrap();
            other.observe(&of(arms.swapped())).unwrap();
        }
        assert!(matches!(one.assess().guards[0].finding, Finding::Harm { .. }), "{process:?}");
        assert_eq!(other.assess().guards[0].finding, Finding::Safe, "{process:?}");
    }
}

/// However batches are split, a canary at the very edge of its margin is called harmful at most as often as promised.
#[test]
fn splitting_at_random_keeps_the_promise() {
    let alpha = 0.05;
    let guard =
        GuardConfig { groups: false, worse_than: Margin { times: 1.0, plus: 0.0 }, ..GuardConfig::errors() };
    let config = Config { guards: vec![guard], alpha, ..Config::default() };
    let weight = |_| 0.3;
    let rates = |_, _: &mut Random| vec![Arms { stable: 0.02, canary: 0.02 }];
    let world = World { requests: 20.0, weight: &weight, rates: &rates, groups: false };
    let runs = 2000;
    let outcomes = repeat(
        runs,
        11,
        2,
        |_, random| {
            let mut rollout = Rollout::new(&world, Vec::new());
            let mut judges = [Judge::new(config.clone()).unwrap(), Judge::new(config.clone()).unwrap()];
            let mut pending = Arms::<Counts>::default();
            for _ in 0..400 {
                let batch = rollout.next(random);
                judges[0].observe(&batch).unwrap();
                pending = pending.plus(batch.guards[0].total());
                if random.share() < 0.2 {
                    let merged = Batch { guards: vec![Tally::Whole(pending)], ..batch };
                    judges[1].observe(&merged).unwrap();
                    pending = Arms::default();
                }
            }
            judges.map(|judge| judge.assess().harms().count() > 0)
        },
        || {},
    );
    for kind in 0..2 {
        let alarms = outcomes.iter().filter(|outcome| outcome[kind]).count();
        // Seed 11. The bound is 100; four standard errors above it are 139.
        assert!(alarms <= 139, "{alarms} of {runs} with alpha {alpha}");
    }
}

/// One user of the canary who makes only errors does not make harm; a version that fails does.
#[test]
fn a_noisy_user_is_not_a_bad_version() {
    let weight = |_| 0.1;
    let noisy = vec![User { share: 0.01, bad: 1.0, bucket: 0.0, group: 3 }];
    let found = |canary: f64, users: Vec<User>| {
        let rates = move |_, _: &mut Random| vec![Arms { stable: 0.002, canary }];
        let world = World { requests: 3000.0, weight: &weight, rates: &rates, groups: true };
        let mut random = Random::new(5);
        let mut rollout = Rollout::new(&world, users);
        let mut judge = Judge::new(Config::default()).unwrap();
        for _ in 0..60 {
            judge.observe(&rollout.next(&mut random)).unwrap();
        }
        judge.assess().guards[0].finding
    };
    assert!(!matches!(found(0.002, noisy.clone()), Finding::Harm { .. }));
    assert!(matches!(found(0.02, noisy), Finding::Harm { .. }));
}
