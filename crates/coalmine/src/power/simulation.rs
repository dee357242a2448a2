//! Simulated rollouts of one plan.

use coalmine_judge::simulate::{Random, Rollout, World, repeat};
use coalmine_judge::{Arms, Config, Judge};
use serde::Serialize;

/// A plan and the traffic under it.
pub(super) struct Setup {
    pub(super) config: Config,
    /// Requests per look.
    pub(super) requests: f64,
    /// Stable's rate, from 0 to 1.
    pub(super) stable: f64,
    /// The canary's weights, from 0 to 1.
    pub(super) weights: Vec<f64>,
    pub(super) looks_per_step: u32,
    /// Seconds between looks.
    pub(super) every: f64,
}

/// What came of a canary with this rate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// The canary's rate, from 0 to 1.
    pub(super) canary: f64,
    /// Share of rollouts that end with a rollback.
    pub(super) rolled_back: f64,
    /// Share that is proved safe at the end, and so may be promoted.
    pub(super) safe: f64,
    /// Seconds until half, and until 90 %, of all rollouts are rolled back; none where fewer are.
    pub(super) median_seconds: Option<f64>,
    pub(super) ninety_percent_seconds: Option<f64>,
    /// Bad requests of canary users until the rollback or the end: mean.
    pub(super) bad_requests: f64,
    /// Share of rollouts that are rolled back at the end of each look.
    #[serde(skip)]
    pub(super) by_look: Vec<f64>,
}

struct Outcome {
    rolled_back: Option<u32>,
    safe: bool,
    bad: u64,
}

// === impl Setup ===

impl Setup {
    fn looks(&self) -> u32 {
        self.looks_per_step * self.weights.len() as u32
    }

    /// Seconds of the whole plan.
    pub(super) fn duration(&self) -> f64 {
        self.every * f64::from(self.looks())
    }

    /// Requests that the canary gets.
    pub(super) fn canary_requests(&self) -> f64 {
        self.weights.iter().sum::<f64>() * self.requests * f64::from(self.looks_per_step)
    }
}

/// Simulates a canary with this rate in every guard.
pub(super) fn row(setup: &Setup, canary: f64, runs: u64, seed: u64, done: impl Fn() + Sync) -> Row {
    let weight = |look: u32| {
        let step = (look - 1) / setup.looks_per_step;
        setup.weights.get(step as usize).copied().unwrap_or_default()
    };
    let rates =
        |_: u32, _: &mut Random| vec![Arms { stable: setup.stable, canary }; setup.config.guards.len()];
    let groups = setup.config.guards.iter().any(|guard| guard.groups);
    let world = World { requests: setup.requests, weight: &weight, rates: &rates, groups };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let outcomes = repeat(runs, seed, threads, |_, random| one(setup, &world, random), done);
    let share = |count: usize| count as f64 / runs as f64;
    let mut ends: Vec<u32> = outcomes.iter().filter_map(|outcome| outcome.rolled_back).collect();
    ends.sort_unstable();
    let seconds = |part: f64| {
        let place = (part * runs as f64).ceil() as usize;
        ends.get(place.saturating_sub(1)).map(|look| f64::from(*look) * setup.every)
    };
    Row {
        canary,
        rolled_back: share(ends.len()),
        safe: share(outcomes.iter().filter(|outcome| outcome.safe).count()),
        median_seconds: seconds(0.5),
        ninety_percent_seconds: seconds(0.9),
        bad_requests: outcomes.iter().map(|outcome| outcome.bad as f64).sum::<f64>() / runs as f64,
        by_look: (1..=setup.looks()).map(|look| share(ends.partition_point(|end| *end <= look))).collect(),
    }
}

fn one(setup: &Setup, world: &World<'_>, random: &mut Random) -> Outcome {
    let mut outcome = Outcome { rolled_back: None, safe: false, bad: 0 };
    let mut rollout = Rollout::new(world, Vec::new());
    // The configuration has been checked, and what is simulated makes sense.
    let Ok(mut judge) = Judge::new(setup.config.clone()) else { return outcome };
    for look in 1..=setup.looks() {
        let batch = rollout.next(random);
        outcome.bad += batch.guards.first().map(|tally| tally.total().canary.bad).unwrap_or_default();
        if judge.observe(&batch).is_ok() && judge.harm_is_proved() {
            outcome.rolled_back = Some(look);
            return outcome;
        }
    }
    outcome.safe = judge.assess().is_safe();
    outcome
}
