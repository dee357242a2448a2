//! How many users each variant of a rollout gets.

use std::time::Duration;

use coalmine_core::Reason;
use coalmine_core::bucketing::{BUCKETS, Bucket};
use coalmine_core::policy::Rollout;
use serde::Serialize;

use super::statistics::{ChiSquare, chi_square, interval};

/// How many bars the picture of the buckets has.
pub(super) const BARS: usize = 100;
/// The confidence of the intervals.
pub(super) const CONFIDENCE: f64 = 0.95;
/// Below so many expected users in a cell a chi-square is not to be trusted.
const FEW: f64 = 5.0;

/// A rollout while users are assigned.
pub(super) struct Split<'p> {
    rollout: &'p Rollout,
    at: Duration,
    /// Users by variant: those by their bucket, and those that got it otherwise.
    drawn: Vec<u64>,
    others: Vec<u64>,
    bars: Vec<u64>,
    pinned: u64,
    without_identity: u64,
}

/// What came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SplitOutput {
    pub(super) rollout: String,
    pub(super) enabled: bool,
    pub(super) variants: Vec<VariantOutput>,
    pub(super) pinned: u64,
    pub(super) without_identity: u64,
    /// Of the variants against their weights.
    pub(super) split: Option<ChiSquare>,
    /// Of a hundred equal stretches of buckets against each other.
    pub(super) buckets: Option<ChiSquare>,
    /// Whether every variant is expected to have users enough for the chi-squares.
    pub(super) enough_users: bool,
    /// Users by hundredth of the buckets.
    pub(super) histogram: Vec<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VariantOutput {
    pub(super) name: String,
    /// In percent, as a decimal text.
    pub(super) weight: String,
    /// The weight as a fraction.
    pub(super) expected_share: f64,
    pub(super) users: u64,
    /// Users by their bucket, over all such users.
    pub(super) share: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

// === impl Split ===

impl<'p> Split<'p> {
    pub(super) fn new(rollout: &'p Rollout, at: Duration) -> Self {
        let variants = rollout.variants().count();
        Self {
            rollout,
            at,
            drawn: vec![0; variants],
            others: vec![0; variants],
            bars: vec![0; BARS],
            pinned: 0,
            without_identity: 0,
        }
    }

    /// Assigns a user; returns the bucket, where the bucket decided.
    pub(super) fn add(&mut self, user: &[u8]) -> Option<Bucket> {
        let assignment = self.rollout.assign(Some(user), self.at);
        let index = assignment.variant.index();
        let drawn = match assignment.reason {
            Reason::Bucket => true,
            Reason::Pinned => {
                self.pinned += 1;
                false
            }
            _ => {
                self.without_identity += u64::from(assignment.reason == Reason::NoIdentity);
                false
            }
        };
        let counts = if drawn { &mut self.drawn } else { &mut self.others };
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
        let bucketed = assignment.bucketed.filter(|_| drawn)?;
        let bar = bucketed.bucket.number() as usize * BARS / BUCKETS as usize;
        if let Some(count) = self.bars.get_mut(bar) {
            *count += 1;
        }
        Some(bucketed.bucket)
    }

    pub(super) fn summary(&self) -> SplitOutput {
        let total: u64 = self.drawn.iter().sum();
        let shares = self.rollout.shares(self.at);
        let counts = self.drawn.iter().zip(&self.others);
        let variants = shares.iter().zip(counts).map(|((name, weight), (&drawn, &others))| {
            let (low, high) = if total == 0 { (0.0, 1.0) } else { interval(drawn, total, CONFIDENCE) };
            VariantOutput {
                name: (*name).to_owned(),
                weight: weight.to_string(),
                expected_share: weight.fraction(),
                users: drawn + others,
                share: if total == 0 { 0.0 } else { drawn as f64 / total as f64 },
                low,
                high,
            }
        });
        let expected: Vec<f64> = shares.iter().map(|(_, weight)| weight.fraction() * total as f64).collect();
        let bar = total as f64 / BARS as f64;
        SplitOutput {
            rollout: self.rollout.name().to_owned(),
            enabled: self.rollout.is_enabled(),
            variants: variants.collect(),
            pinned: self.pinned,
            without_identity: self.without_identity,
            split: chi_square(self.drawn.iter().copied().zip(expected.iter().copied())),
            buckets: chi_square(self.bars.iter().map(|&count| (count, bar))),
            enough_users: expected.iter().all(|&users| users == 0.0 || users >= FEW),
            histogram: self.bars.clone(),
        }
    }
}
