//! One row: many rollouts in one world.

use std::time::Instant;

use coalmine_judge::simulate::{Random, Rollout, User, World, repeat};
use coalmine_judge::{Arms, Batch, Config, Judge};
use indicatif::{ProgressBar, ProgressStyle};
use statrs::distribution::{Beta, ContinuousCDF as _};

use crate::rules::{Argo, Flagger};

pub(crate) type Weight = Box<dyn Fn(u32) -> f64 + Sync>;
pub(crate) type Rates = Box<dyn Fn(u32, &mut Random) -> Vec<Arms<f64>> + Sync>;
pub(crate) type Users = Box<dyn Fn(&mut Random) -> Vec<User> + Sync>;
/// What becomes of the counts of a look before the judge sees them: none when nothing arrives.
pub(crate) type Change = Box<dyn Fn(&mut Memory, u32, Batch, &mut Random) -> Option<Batch> + Sync>;

/// What a change keeps from one look to the next.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) kept: Option<Batch>,
    pub(crate) numbers: [f64; 4],
}

/// One row.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Requests per look, in both arms.
    pub(crate) requests: f64,
    pub(crate) looks: u32,
    pub(crate) weight: Weight,
    pub(crate) rates: Rates,
    pub(crate) users: Users,
    pub(crate) change: Change,
    pub(crate) config: Config,
    /// Runs for one that the row takes; a row with many looks takes fewer.
    pub(crate) one_in: u64,
    /// Which threshold the rules see.
    pub(crate) rule: Rule,
}

/// What the other tools look at.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Looks are minutes; errors are the first guard.
    Errors,
    /// Looks are minutes; the last tally has requests above the threshold of the rule, and is not the judge's.
    Duration,
    /// Looks are not minutes.
    None,
}

/// What came of one rollout.
struct Outcome {
    harm_at: Option<u32>,
    /// Bad requests of the canary until then.
    canary_bad: u64,
    flagger_at: Option<u32>,
    argo_at: Option<u32>,
    safe: bool,
    holds: bool,
    ever_held: bool,
}

// === impl Case ===

impl Case {
    fn run(&self, random: &mut Random) -> Outcome {
        let groups = self.config.guards.iter().any(|guard| guard.groups);
        let world = World { requests: self.requests, weight: &*self.weight, rates: &*self.rates, groups };
        let mut rollout = Rollout::new(&world, (self.users)(random));
        let mut memory = Memory::default();
        let (mut flagger, mut argo) = (Flagger::default(), Argo::default());
        let mut outcome = Outcome {
            harm_at: None,
            canary_bad: 0,
            flagger_at: None,
            argo_at: None,
            safe: false,
            holds: false,
            ever_held: false,
        };
        let Ok(mut judge) = Judge::new(self.config.clone()) else { return outcome };
        for look in 1..=self.looks {
            let mut batch = rollout.next(random);
            if self.rule != Rule::None {
                let canary = |place: Option<&coalmine_judge::Tally>| {
                    place.map(|tally| tally.total().canary).unwrap_or_default()
                };
                let (slow, errors) = (canary(batch.guards.last()), canary(batch.guards.first()));
                let seen = if self.rule == Rule::Duration { slow } else { errors };
                outcome.flagger_at = outcome.flagger_at.or(flagger.minute(seen).then_some(look));
                if self.rule == Rule::Errors {
                    outcome.argo_at = outcome.argo_at.or(argo.minute(errors).then_some(look));
                } else {
                    batch.guards.pop();
                }
            }
            if outcome.harm_at.is_some() {
                if self.rule == Rule::None || outcome.flagger_at.is_some() {
                    break;
                }
                continue;
            }
            let Some(batch) = (self.change)(&mut memory, look, batch, random) else { continue };
            outcome.canary_bad +=
                batch.guards.first().map(|tally| tally.total().canary.bad).unwrap_or_default();
            // Nothing that is simulated makes no sense; if it did, the row would show it as never decided.
            if judge.observe(&batch).is_err() {
                continue;
            }
            let assessment = judge.assess();
            outcome.safe |= assessment.is_safe();
            outcome.holds = !assessment.reasons_to_hold().is_empty();
            outcome.ever_held |= outcome.holds;
            if assessment.harms().next().is_some() {
                outcome.harm_at = Some(look);
            }
        }
        outcome
    }
}

/// Runs the cases and prints a table.
pub(crate) fn print(cases: &[Case], runs: u64, seed: u64) -> anyhow::Result<()> {
    println!(
        "| case | runs | Flagger: rolled back | median look | Argo: aborted | judge: rolled back | median look (90 %) \
         | canary's bad requests, median | ever safe | ever held, at the end | s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let threads = std::thread::available_parallelism()?.get();
    for case in cases {
        let runs = (runs / case.one_in).max(1);
        let bar = ProgressBar::new(runs).with_message(case.name);
        if let Ok(style) = ProgressStyle::with_template("{wide_msg} {bar:20} {pos} of {len}") {
            bar.set_style(style);
        }
        let begin = Instant::now();
        let outcomes = repeat(runs, seed, threads, |_, random| case.run(random), || bar.inc(1));
        bar.finish_and_clear();
        let rule = |found: &dyn Fn(&Outcome) -> Option<u32>, known: bool| match known {
            true => share(outcomes.iter().filter(|outcome| found(outcome).is_some()).count() as u64, runs),
            false => "".to_owned(),
        };
        let look = |found: &dyn Fn(&Outcome) -> Option<u32>, part| {
            quantile(outcomes.iter().map(|outcome| found(outcome).map(u64::from)).collect(), part)
        };
        let harmed = outcomes.iter().filter(|outcome| outcome.harm_at.is_some());
        println!(
            "| {} | {runs} | {} | {} | {} | {} | {} ({}) | {} | {} | {}, {} | {:.0} |",
            case.name,
            rule(&|outcome| outcome.flagger_at, case.rule != Rule::None),
            if case.rule == Rule::None { String::new() } else { look(&|outcome| outcome.flagger_at, 0.5) },
            rule(&|outcome| outcome.argo_at, case.rule == Rule::Errors),
            rule(&|outcome| outcome.harm_at, true),
            look(&|outcome| outcome.harm_at, 0.5),
            look(&|outcome| outcome.harm_at, 0.9),
            quantile(harmed.map(|outcome| Some(outcome.canary_bad)).collect(), 0.5),
            percent(outcomes.iter().filter(|outcome| outcome.safe).count() as u64, runs),
            percent(outcomes.iter().filter(|outcome| outcome.ever_held).count() as u64, runs),
            percent(outcomes.iter().filter(|outcome| outcome.holds).count() as u64, runs),
            begin.elapsed().as_secs_f64(),
        );
    }
    println!();
    Ok(())
}

/// A share, and its exact (Clopper-Pearson) 95 % interval in percent.
fn share(hits: u64, runs: u64) -> String {
    let (x, n) = (hits as f64, runs as f64);
    let quantile = |a: f64, b: f64, part: f64| Beta::new(a, b).map_or(0.0, |beta| beta.inverse_cdf(part));
    let low = if hits == 0 { 0.0 } else { quantile(x, n - x + 1.0, 0.025) };
    let high = if hits == runs { 1.0 } else { quantile(x + 1.0, n - x, 0.975) };
    format!("{:.4} ({:.2} to {:.2})", x / n, 100.0 * low, 100.0 * high)
}

fn percent(hits: u64, runs: u64) -> String {
    format!("{:.3}", hits as f64 / runs as f64)
}

/// Quantile of values of which some never come.
fn quantile(mut values: Vec<Option<u64>>, part: f64) -> String {
    values.sort_by_key(|value| value.unwrap_or(u64::MAX));
    let place = (values.len() as f64 * part).ceil() as usize;
    match values.get(place.saturating_sub(1)) {
        Some(Some(value)) => value.to_string(),
        _ => "never".to_owned(),
    }
}
