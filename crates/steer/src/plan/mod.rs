//! The plan of a rollout: what people write, with a default for every field.

mod advice;
mod guards;
mod read;

use coalmine_judge::{Config, GuardConfig, Margin, Process};

use crate::state::Life;

pub use advice::{Advice, advice};
pub use read::Setting;

/// How a rollout goes from no user to all users.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What begins a release.
    pub start: Start,
    /// The judged weights, strictly ascending, each below 100 %; at least one above 0.
    pub steps: Vec<PlannedStep>,
    /// Requests of the canary on each step before anything but a rollback is decided.
    pub min_requests: u64,
    /// Seconds of evidence that are left out after each change of a proxy's weight.
    pub warm_up: u64,
    /// What is watched: at least one guard, those on responses first.
    pub guards: Vec<Guard>,
    /// Chance that a harmless canary is ever rolled back, over all guards and looks, in (0, 1).
    pub alpha: f64,
    /// Chance that a canary that is not good enough is ever called safe in a guard, in (0, 1).
    pub beta: f64,
    /// What `alpha` is promised for.
    pub alpha_per: AlphaPer,
    /// What happens at the last step while safety is not proved.
    pub on_inconclusive: OnInconclusive,
    /// Observed seconds of an evidence life after which the rollout holds and people are notified.
    pub deadline: u64,
    /// How users are sent back.
    pub rollback: Rollback,
    /// How stable becomes the new version.
    pub promote: Promote,
    /// What the canary needs before it gets more users, where its replicas are known.
    pub capacity: Capacity,
    /// Whether the canary is scaled to 0 after a promotion.
    pub scale_down_canary: bool,
    /// Notifiers of the operator.
    pub notify: Vec<String>,
    /// Whether Coalmine moves the weights.
    pub mode: Mode,
    /// What proxies do by themselves once they have not heard of the server for long; none: they go on as they are.
    pub on_server_away: Option<OnServerAway>,
}

/// A judged weight, and what has to be met before it is left for a higher one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// Canary's weight in parts per million.
    pub weight: u32,
    /// Seconds on this step at least.
    pub dwell: u64,
    /// Whether a person has to approve.
    pub approval: bool,
    /// A gate of the operator that has to pass.
    pub gate: Option<String>,
}

/// One thing that is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Name for people, unique in the plan.
    pub name: String,
    /// What is counted.
    pub source: GuardSource,
    /// Harm is proved above this.
    pub worse_than: Margin,
    /// Safety is proved below this.
    pub safe_within: Margin,
}

/// What a guard counts as bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardSource {
    /// Responses that are errors.
    Errors,
    /// Responses slower than so many milliseconds.
    SlowerThan(u64),
    /// What a query of the operator counts.
    Query(String),
}

/// What begins a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The verb `start`.
    Manual,
    /// A canary whose version is neither stable's nor the one last rolled back, and that is ready; and the verb.
    OnNewVersion,
}

/// What `alpha` is promised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlphaPer {
    /// For each evidence life: one canary against one stable.
    Life,
    /// For a release with all its lives: life `j` uses `alpha / (j (j + 1))`.
    Release,
}

/// What happens at the last step while safety is not proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInconclusive {
    /// The rollout holds.
    Hold,
    /// The rollout is promoted when dwell and requests are met and nothing holds.
    Promote,
}

/// How users are sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// All at once.
    AtOnce,
    /// In steps, for backends that must scale up first.
    Down {
        /// Weights in parts per million, strictly descending to 0.
        weights: Vec<u32>,
        /// Seconds between them.
        every: u64,
    },
}

/// How stable becomes the new version once the canary has all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promote {
    /// Somebody else renews stable; the rollout waits until stable runs the canary's version.
    WhenStableIsNew,
    /// Coalmine copies the canary's pod template to stable.
    Copy,
    /// The verb `promote` says that stable is renewed.
    Manual,
}

/// What the canary needs before it gets more users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Ready replicas in proportion to its share of users.
    Replicas,
    /// Any ready replica: an autoscaler does the rest.
    Ready,
}

/// Whether Coalmine moves the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Coalmine judges and moves.
    Steer,
    /// Another controller moves; Coalmine judges.
    Judge,
}

/// What proxies do by themselves while a rollout is judged and nobody renews their policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnServerAway {
    /// After so many seconds.
    pub after: u64,
    /// Canary's weight falls to this, in parts per million.
    pub weight: u32,
}

// === impl Plan ===

impl Plan {
    /// The defaults: what `plan: {}` means where workloads are known, or not.
    pub fn usual(setting: Setting) -> Self {
        let step = |percent: u32| PlannedStep::of(percent * 10_000, Self::DWELL);
        Self {
            start: if setting.workloads { Start::OnNewVersion } else { Start::Manual },
            steps: [1, 5, 25, 50].map(step).to_vec(),
            min_requests: 500,
            warm_up: 30,
            guards: vec![Guard::errors()],
            alpha: 0.01,
            beta: 0.05,
            alpha_per: AlphaPer::Life,
            on_inconclusive: OnInconclusive::Hold,
            deadline: 24 * 60 * 60,
            rollback: Rollback::AtOnce,
            promote: if setting.workloads { Promote::WhenStableIsNew } else { Promote::Manual },
            capacity: Capacity::Replicas,
            scale_down_canary: false,
            notify: Vec::new(),
            mode: Mode::Steer,
            on_server_away: None,
        }
    }

    /// Seconds on each step unless the plan says otherwise.
    pub(crate) const DWELL: u64 = 600;

    /// The step that a weight belongs to: the highest one that is not above it, or the first one where a person or
    /// another plan set a weight below it. None without users before the first step.
    pub fn step_at(&self, weight: u32) -> Option<&PlannedStep> {
        let not_above = self.steps.iter().rev().find(|step| step.weight <= weight);
        not_above.or_else(|| self.steps.first().filter(|_| weight > 0))
    }

    /// The step above a weight.
    pub fn next(&self, weight: u32) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.weight > weight)
    }

    /// The weight below a weight: a step's, or 0.
    pub fn below(&self, weight: u32) -> u32 {
        self.steps.iter().rev().map(|step| step.weight).find(|below| *below < weight).unwrap_or_default()
    }

    /// Number of the step that a weight belongs to, from 1; 0 below the first one.
    pub fn position(&self, weight: u32) -> usize {
        self.steps.iter().filter(|step| step.weight <= weight).count()
    }

    /// The first weight with users of a rollback from this weight.
    pub(crate) fn first_back(&self, weight: u32) -> u32 {
        match &self.rollback {
            Rollback::AtOnce => 0,
            Rollback::Down { weights, .. } => {
                weights.iter().copied().find(|down| *down < weight).unwrap_or(0)
            }
        }
    }

    /// What the judge is told in this life.
    pub(crate) fn judged_in(&self, life: &Life) -> Config {
        let grouped = |name: &str| life.grouped.get(name).copied().unwrap_or(true);
        self.judged(grouped, life.most_guards, life.number)
    }

    /// What the judge is told. `grouped` says of a guard whether its evidence comes by group; `most` is the largest
    /// number of guards that this evidence life had, `life` its number in the release.
    pub(crate) fn judged(&self, grouped: impl Fn(&str) -> bool, most: usize, life: u32) -> Config {
        let guards: Vec<GuardConfig> =
            self.guards.iter().map(|guard| guard.judged(grouped(&guard.name))).collect();
        // The judge divides by the guards that there are; the promise needs the largest number that there were.
        let share = guards.len() as f64 / most.max(guards.len()) as f64;
        let lives = match self.alpha_per {
            AlphaPer::Life => 1.0,
            AlphaPer::Release => f64::from(life) * (f64::from(life) + 1.0),
        };
        Config { guards, alpha: self.alpha * share / lives, beta: self.beta, min_requests: self.min_requests }
    }
}

// === impl PlannedStep ===

impl PlannedStep {
    /// A step that needs nobody.
    pub fn of(weight: u32, dwell: u64) -> Self {
        Self { weight, dwell, approval: false, gate: None }
    }
}

// === impl Guard ===

impl Guard {
    /// The usual guard on errors.
    pub fn errors() -> Self {
        Self::usual("errors".to_owned(), GuardSource::Errors)
    }

    /// A guard on this source with the usual margins.
    pub(crate) fn usual(name: String, source: GuardSource) -> Self {
        let GuardConfig { worse_than, safe_within, .. } = source.usual();
        Self { name, source, worse_than, safe_within }
    }

    fn judged(&self, groups: bool) -> GuardConfig {
        GuardConfig {
            name: self.name.clone(),
            process: self.source.usual().process,
            worse_than: self.worse_than,
            safe_within: self.safe_within,
            groups,
        }
    }
}

// === impl GuardSource ===

impl GuardSource {
    fn usual(&self) -> GuardConfig {
        match self {
            Self::Errors | Self::Query(_) => GuardConfig::errors(),
            Self::SlowerThan(_) => GuardConfig::latency(),
        }
    }

    /// Whether safety is proved by the process for small shares, which needs a number of requests at least.
    pub(crate) fn is_small_share(&self) -> bool {
        self.usual().process == Process::Share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alpha(plan: &Plan, most: usize, life: u32) -> f64 {
        plan.judged(|_| true, most, life).alpha
    }

    #[test]
    fn life_j_of_a_release_uses_its_share_of_alpha() {
        let mut plan = Plan::usual(Setting::default());
        assert_eq!(alpha(&plan, 1, 3), 0.01);
        plan.alpha_per = AlphaPer::Release;
        let shares: Vec<f64> = (1..=3).map(|life| alpha(&plan, 1, life)).collect();
        assert_eq!(shares, [0.01 / 2.0, 0.01 / 6.0, 0.01 / 12.0]);
        let all: f64 = (1..=100_000).map(|life| alpha(&plan, 1, life)).sum();
        assert!(all <= 0.01 && all > 0.009_99, "{all}");
    }

    #[test]
    fn a_plan_that_loses_a_guard_uses_the_largest_number_that_there_was() {
        let plan = Plan::usual(Setting::default());
        let config = plan.judged(|_| true, 3, 1);
        assert!((config.harm_threshold() - (3.0 / 0.01_f64).ln()).abs() < 1e-12);
    }

    #[test]
    fn a_weight_below_the_first_step_asks_for_what_the_first_step_asks() {
        let plan = Plan::usual(Setting::default());
        assert_eq!(plan.step_at(0), None);
        assert_eq!(plan.step_at(5_000), plan.steps.first());
        assert_eq!(plan.step_at(60_000).map(|step| step.weight), Some(50_000));
        assert_eq!((plan.below(1_000_000), plan.below(10_000), plan.position(50_000)), (500_000, 0, 2));
    }
}
