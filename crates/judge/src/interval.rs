//! Intervals that hold at every look at once (confidence sequences).

use crate::batch::{Arms, Counts};
use crate::config::Margin;
use crate::numeric::{ln_beta, log_mean_exp};
use crate::{harm, safety};

/// Interval with both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Smallest value that is not excluded.
    pub low: f64,
    /// Largest value that is not excluded; infinite where nothing bounds it.
    pub high: f64,
}

/// Ratios of the rates that are tested, from 1/64 to 64, each `sqrt(2)` times the one before.
const CANDIDATES: usize = 25;
/// Alternatives to each candidate.
const ALTERNATIVES: [f64; 3] = [1.3, 2.0, 6.0];

/// Evidence against each ratio of the canary's rate to stable's.
///
/// A candidate is excluded when the share process of [`crate::harm`] proves the ratio to be larger, or that of
/// [`crate::safety`] proves it to be smaller. What remains is an interval for a ratio that is the same in all batches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RatioEvidence {
    /// By candidate: that the ratio is larger, against each alternative; then that it is smaller.
    pub(crate) sums: Vec<[[f64; ALTERNATIVES.len()]; 2]>,
}

/// Interval for the rate of one arm, at every look at once with a chance of `1 - alpha`, for independent requests that
/// all have the same rate; none without requests. It is narrowest near `best_at` requests.
///
/// For each rate, the bad requests are weighed against a beta mixture around that rate; the interval has the rates that
/// are not excluded (the two-sided beta-binomial mixture of Howard, Ramdas, McAuliffe and Sekhon, *Time-uniform,
/// nonparametric, nonasymptotic confidence sequences*, Annals of Statistics 2021, as in their library confseq).
pub fn rate(counts: Counts, alpha: f64, best_at: f64) -> Option<Interval> {
    let observed = counts.rate()?;
    let excluded = |rate: f64| beta_binomial(counts, rate, alpha, best_at) - (1.0 / alpha).ln();
    let (mut low, mut high) = (0.0, 1.0);
    if counts.bad > 0 {
        low = crate::numeric::bisect(0.0, observed, |rate| -excluded(rate));
    }
    if counts.bad < counts.all {
        high = crate::numeric::bisect(observed, 1.0, excluded);
    }
    Some(Interval { low, high })
}

/// Logarithm of the evidence against this rate, in (0, 1).
pub fn beta_binomial(counts: Counts, rate: f64, alpha: f64, best_at: f64) -> f64 {
    let strength = (best_at * normal_rho(1.0, alpha) - 1.0).max(1e-3);
    let (bad, good) = (counts.bad as f64, counts.all.saturating_sub(counts.bad) as f64);
    let (a, b) = (strength * rate, strength * (1.0 - rate));
    ln_beta(a + bad, b + good) - ln_beta(a, b) - bad * rate.ln() - good * (1.0 - rate).ln()
}

/// Variance of the two-sided normal mixture whose bound is tightest at the intrinsic time `v`, approximately.
pub fn normal_rho(v: f64, alpha: f64) -> f64 {
    let twice = 2.0 * (1.0 / alpha).ln();
    v / (twice + twice.ln_1p())
}

// === impl RatioEvidence ===

impl Default for RatioEvidence {
    fn default() -> Self {
        Self { sums: vec![[[0.0; ALTERNATIVES.len()]; 2]; CANDIDATES] }
    }
}

impl RatioEvidence {
    pub(crate) fn observe(&mut self, counts: &Arms<Counts>) {
        for (place, [larger, smaller]) in self.sums.iter_mut().enumerate() {
            let margin = Margin { times: candidate(place as f64), plus: 0.0 };
            for (sum, alternative) in larger.iter_mut().zip(ALTERNATIVES) {
                *sum += harm::increment(counts, margin, alternative);
            }
            for (sum, alternative) in smaller.iter_mut().zip(ALTERNATIVES) {
                *sum += safety::increment(counts, margin, 1.0 / alternative);
            }
        }
    }

    /// Ratios that are not excluded at `1 - alpha`. Between two candidates the evidence is taken as linear.
    pub(crate) fn interval(&self, alpha: f64) -> Interval {
        let threshold = (2.0 / alpha).ln();
        let evidence = |side: usize| {
            self.sums.iter().map(move |sums| {
                sums.get(side).map_or(0.0, |sums| log_mean_exp(sums.iter().copied())) - threshold
            })
        };
        // The last candidate that is proved too small, and the first that is proved too large.
        let last = |over: &[f64]| -> Option<f64> {
            let at = over.iter().rposition(|&value| value >= 0.0)?;
            let next = over.get(at + 1).copied().unwrap_or(0.0);
            let value = over.get(at).copied().unwrap_or(0.0);
            let part = if value > next { value / (value - next) } else { 0.0 };
            Some(at as f64 + part)
        };
        let larger: Vec<f64> = evidence(0).collect();
        let mut smaller: Vec<f64> = evidence(1).collect();
        smaller.reverse();
        Interval {
            low: last(&larger).map_or(0.0, candidate),
            high: last(&smaller).map_or(f64::INFINITY, |at| candidate((CANDIDATES - 1) as f64 - at)),
        }
    }
}

fn candidate(place: f64) -> f64 {
    (0.5 * (place - (CANDIDATES / 2) as f64)).exp2()
}
