//! Is the canary good enough? The mirrored share process.

use crate::batch::{Arms, Counts};
use crate::config::Margin;

/// Alternative ratios of the canary's rate to the bound, all equally likely at the start.
pub const RATIOS: [f64; 7] = [0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85];

/// Increment of the logarithm of the process against the alternative `ratio < 1`; 0 when an arm has no requests.
///
/// The null hypothesis is that the canary's rate is at least the bound. Without any errors, `ln(1 / beta) / plus`
/// requests of the canary are needed at least ([`fewest_requests`]).
pub fn increment(counts: &Arms<Counts>, margin: Margin, ratio: f64) -> f64 {
    if counts.lacks_an_arm() {
        return 0.0;
    }
    let (canary, stable) = (counts.canary.all as f64, counts.stable.all as f64);
    let b = 1.0 + margin.times * canary / stable * (1.0 - ratio);
    counts.canary.bad as f64 * ratio.ln()
        + counts.stable.bad as f64 * b.ln()
        + canary * margin.plus * (1.0 - ratio)
}

/// Requests of the canary without which safety cannot be proved when nobody sees an error; none without a summand,
/// where errors of stable are needed.
pub fn fewest_requests(margin: Margin, threshold: f64) -> Option<u64> {
    (margin.plus > 0.0).then(|| (threshold / margin.plus).ceil() as u64)
}
