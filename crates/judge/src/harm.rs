//! Is the canary worse? The share process, and leaving out the worst groups.
//!
//! Given the bad requests of a batch, the canary's share of them is a binomial whose parameter is at most `q0` while the
//! canary's rate is at most `times` that of stable. Against each alternative ratio the likelihood ratio is an e-value;
//! their products over batches, mixed over the ratios, are an e-process (Wald's sequential test with a mixture). The
//! summand `plus` is paid for by a factor `exp(-n_c plus (a - 1))`, since `E[a^x] <= exp(n p (a - 1))` for a binomial.
//! A batch needs nothing of its neighbours: weights and base rates may differ in each.

use crate::batch::{Arms, Counts, GROUPS};
use crate::config::Margin;
use crate::numeric::{log_mean_exp, log_sum_exp};

/// Alternative ratios of the canary's rate to the bound, all equally likely at the start.
pub const RATIOS: [f64; 7] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Groups that harm has to survive without.
pub const LEFT_OUT: usize = 2;

/// Increment of the logarithm of the process against the alternative `ratio > 1`; 0 when an arm has no requests.
pub fn increment(counts: &Arms<Counts>, margin: Margin, ratio: f64) -> f64 {
    if counts.lacks_an_arm() {
        return 0.0;
    }
    let (canary, stable) = (counts.canary.all as f64, counts.stable.all as f64);
    let scale = (margin.times * canary + stable) / (margin.times * ratio * canary + stable);
    let a = ratio * scale;
    counts.canary.bad as f64 * a.ln() + counts.stable.bad as f64 * scale.ln()
        - canary * margin.plus * (a - 1.0)
}

/// Logarithm of the evidence that is left without the `LEFT_OUT` groups that say most for harm.
///
/// `sums` has a row for each alternative, with the sum of increments of each group. Choosing the worst groups from the
/// data costs nothing: the result is at most the process without any fixed set of `LEFT_OUT` groups, so its bound holds
/// if the null hypothesis holds in all groups but that many.
pub fn without_worst(sums: &[[f64; GROUPS]]) -> f64 {
    log_mean_exp(sums.iter().map(|row| row_without_worst(row, None)))
}

/// Logarithm of the evidence that is left when, beside the worst groups of the canary, one further group may be left out
/// of both arms, as a mixture: 1/2 for none, 1/32 for each. A user who makes errors in stable hides harm in one group.
///
/// The second value is the group that matters most.
pub fn without_one_more(sums: &[[f64; GROUPS]]) -> (f64, usize) {
    let without = |group| log_mean_exp(sums.iter().map(|row| row_without_worst(row, Some(group))));
    let mut each = [0.0; GROUPS];
    let mut best = (f64::NEG_INFINITY, 0);
    for (group, slot) in each.iter_mut().enumerate() {
        *slot = without(group);
        if *slot > best.0 {
            best = (*slot, group);
        }
    }
    let half = 0.5f64.ln();
    let share = (0.5 / GROUPS as f64).ln();
    let all = each.iter().map(|value| value + share).chain([without_worst(sums) + half]);
    (log_sum_exp(all), best.1)
}

fn row_without_worst(row: &[f64; GROUPS], also: Option<usize>) -> f64 {
    let mut sum = 0.0;
    let mut largest = [f64::NEG_INFINITY; LEFT_OUT];
    for (_, &value) in row.iter().enumerate().filter(|(group, _)| Some(*group) != also) {
        sum += value;
        let mut value = value;
        for slot in &mut largest {
            if value > *slot {
                std::mem::swap(slot, &mut value);
            }
        }
    }
    sum - largest.iter().sum::<f64>()
}
