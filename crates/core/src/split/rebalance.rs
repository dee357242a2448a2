//! The movement rule: from one table of ranges to the next, moving the unavoidable minimum of users.
//!
//! For a change of weights the users who must move are half the sum of the absolute differences, stable included; no
//! other user does. Cumulative thresholds and weighted rendezvous hashing both move more.

use std::collections::BTreeMap;

use super::ranges::{Ranges, Variant};
use super::weight::Weight;
use crate::bucketing::BUCKETS;

/// Weights that add up to more than 100 %: the sum in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightsExceed100(pub u64);

/// The table for these weights that moves the fewest users from `current`. Variants that are not named have no weight
/// from then on; stable takes the rest.
///
/// A variant that shrinks keeps its lowest buckets and frees the others. The freed buckets go, from the lowest up, to
/// the variants that grow in the order of `weights`, to stable last.
///
/// # Errors
/// The weights add up to more than 100 %.
pub fn rebalance(current: &Ranges, weights: &[(Variant, Weight)]) -> Result<Ranges, WeightsExceed100> {
    let sum: u64 = weights.iter().map(|(_, weight)| u64::from(weight.ppm())).sum();
    let stable = u64::from(BUCKETS).checked_sub(sum).ok_or(WeightsExceed100(sum))? as u32;
    let order: Vec<(Variant, u32)> = weights
        .iter()
        .map(|&(variant, weight)| (variant, weight.ppm()))
        .chain([(Variant::STABLE, stable)])
        .collect();
    // What each variant may still take of the buckets that it has.
    let mut left: BTreeMap<usize, u32> =
        order.iter().map(|&(variant, size)| (variant.index(), size)).collect();
    let mut pieces: Vec<(u32, Option<Variant>)> = Vec::new();
    for (length, variant) in current.lengths() {
        let left = left.entry(variant.index()).or_default();
        let kept = length.min(*left);
        *left -= kept;
        pieces.push((kept, Some(variant)));
        pieces.push((length - kept, None));
    }
    let mut growing = order.iter().filter_map(|&(variant, _)| {
        let wanted = left.get(&variant.index()).copied().unwrap_or_default();
        (wanted > 0).then_some((variant, wanted))
    });
    let mut table = Table::default();
    let mut taking: Option<(Variant, u32)> = None;
    for (mut length, owner) in pieces {
        if let Some(owner) = owner {
            table.push(length, owner);
            continue;
        }
        while length > 0 {
            let Some((variant, wanted)) = taking.or_else(|| growing.next()) else { break };
            let taken = length.min(wanted);
            table.push(taken, variant);
            length -= taken;
            taking = (wanted > taken).then_some((variant, wanted - taken));
        }
    }
    Ok(Ranges::from_table(table.0))
}

/// A table that grows from bucket 0 up; equal neighbours become one.
#[derive(Default)]
struct Table(Vec<(u32, Variant)>);

impl Table {
    fn push(&mut self, length: u32, variant: Variant) {
        if length == 0 {
            return;
        }
        let start = self.0.last().map_or(0, |&(end, _)| end);
        match self.0.last_mut() {
            Some((end, last)) if *last == variant => *end += length,
            _ => self.0.push((start + length, variant)),
        }
    }
}

// === impl WeightsExceed100 ===

impl std::fmt::Display for WeightsExceed100 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = coalmine_document::number(self.0 as f64 / 10_000.0);
        write!(f, "weights add up to {percent} %, at most 100 % can leave stable")
    }
}

impl std::error::Error for WeightsExceed100 {}
