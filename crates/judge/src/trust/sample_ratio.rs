//! Does the canary have the share of requests that its weight says?
//!
//! Requests of one user come together, so a test on requests alarms in most harmless rollouts. How much the groups
//! differ among each other shows how strongly requests cluster; the evidence is divided by that factor, and must hold
//! without any one group. This is calibrated by simulation and is not anytime-valid.

use super::{Check, Doubt};
use crate::batch::{Arms, Batch, GROUPS, Tally};
use crate::numeric::{ln_gamma, log_mean_exp, logistic, logit};

/// Changes of the log-odds that are looked for.
const TILTS: [f64; 8] = [-0.5, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.5];

/// Requests of each group since the weight changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SampleRatio {
    pub(crate) weight: Option<u32>,
    pub(crate) requests: Option<Box<[Arms<u64>; GROUPS]>>,
}

/// Logarithm of the evidence that `canary` of `all` requests are not a share `assigned` of them, each count divided by
/// `dispersion`. All finite; `assigned` in (0, 1), `dispersion` at least 1.
pub fn tilt(canary: f64, all: f64, assigned: f64, dispersion: f64) -> f64 {
    let (x, n) = (canary / dispersion, all / dispersion);
    log_mean_exp(TILTS.iter().map(|tilt| {
        let share = logistic(logit(assigned) + tilt);
        x * (share / assigned).ln() + (n - x) * ((1.0 - share) / (1.0 - assigned)).ln()
    }))
}

/// Logarithm of the Bayes factor that counts of independent units (each user's first request) do not have these shares,
/// with a Dirichlet prior (Lindon and Malek, *Anytime-valid inference for multinomial count data*, NeurIPS 2022; PyPI
/// ssrm-test). Exact at every look.
pub fn dirichlet(counts: &[u64], shares: &[f64], prior: &[f64]) -> f64 {
    let total: f64 = counts.iter().map(|&count| count as f64).sum();
    let prior_total: f64 = prior.iter().sum();
    let each = counts.iter().zip(shares).zip(prior).map(|((&count, &share), &prior)| {
        let count = count as f64;
        ln_gamma(prior + count) - ln_gamma(prior) - count * share.ln()
    });
    ln_gamma(prior_total) - ln_gamma(prior_total + total) + each.sum::<f64>()
}

// === impl SampleRatio ===

impl SampleRatio {
    /// Adds a batch; a weight that changed starts anew.
    pub(crate) fn observe(&mut self, batch: &Batch) {
        let groups = batch.guards.iter().find_map(|tally| match tally {
            Tally::Groups(groups) => Some(groups),
            Tally::Whole(_) => None,
        });
        let (Some(groups), Some(weight)) = (groups, batch.weight) else { return };
        if self.weight != Some(weight) {
            *self = Self { weight: Some(weight), requests: None };
        }
        let requests = self.requests.get_or_insert_default();
        for (sum, group) in requests.iter_mut().zip(groups.iter()) {
            sum.stable = sum.stable.saturating_add(group.stable.all);
            sum.canary = sum.canary.saturating_add(group.canary.all);
        }
    }

    pub(crate) fn assess(&self, alpha: f64) -> Check {
        let (Some(requests), Some(weight)) = (&self.requests, self.weight) else { return Check::NotChecked };
        if weight == 0 || weight >= 1_000_000 {
            return Check::NotChecked;
        }
        let assigned = f64::from(weight) / 1e6;
        let mut log_evidence = f64::INFINITY;
        for left_out in 0..GROUPS {
            log_evidence = log_evidence.min(evidence(requests, Some(left_out), assigned));
        }
        if log_evidence < (1.0 / alpha).ln() {
            return Check::Fine;
        }
        let (canary, all) = sums(requests, None);
        Check::Doubt(Doubt::SampleRatio { found: canary / all, assigned, log_evidence })
    }
}

/// The groups but one, if one is left out.
fn kept(requests: &[Arms<u64>; GROUPS], left_out: Option<usize>) -> impl Iterator<Item = &Arms<u64>> {
    let kept = requests.iter().enumerate().filter(move |(group, _)| Some(*group) != left_out);
    kept.map(|(_, arms)| arms)
}

fn sums(requests: &[Arms<u64>; GROUPS], left_out: Option<usize>) -> (f64, f64) {
    kept(requests, left_out).fold((0.0, 0.0), |(canary, all), arms| {
        (canary + arms.canary as f64, all + arms.canary as f64 + arms.stable as f64)
    })
}

fn evidence(requests: &[Arms<u64>; GROUPS], left_out: Option<usize>, assigned: f64) -> f64 {
    let (canary, all) = sums(requests, left_out);
    if all == 0.0 {
        return 0.0;
    }
    // A share of 0 or 1 has no dispersion: such groups cannot differ.
    let share = canary / all;
    let variance = share * (1.0 - share);
    let mut dispersion = 0.0;
    for arms in kept(requests, left_out) {
        let n = arms.canary as f64 + arms.stable as f64;
        if n > 0.0 && variance > 0.0 {
            dispersion += (arms.canary as f64 - share * n).powi(2) / (variance * n);
        }
    }
    let free = GROUPS - 1 - usize::from(left_out.is_some());
    tilt(canary, all, assigned, (dispersion / free as f64).max(1.0))
}
