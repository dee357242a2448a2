//! How many users each variant of a rollout gets.

use coalmine_core::Reason;
use coalmine_core::draw::{BUCKETS, Bucket};
use coalmine_core::policy::Rollout;
use serde::Serialize;

use super::statistics::{ChiSquare, chi_square, interval};
use crate::shares::shares;

/// How many bars the picture of the buckets has.
pub(super) const BARS: usize = 100;
/// The confidence of the intervals.
pub(super) const CONFIDENCE: f64 = 0.95;
/// Below so many expected users in a cell a chi-square is not to be trusted.
const FEW: f64 = 5.0;

/// A rollout while users are drawn for.
pub(super) struct Split<'p> {
    rollout: &'p Rollout,
    /// Users by variant: those that were drawn for, and those that got it otherwise.
    drawn: Vec<u64>,
    others: Vec<u64>,
    bars: Vec<u64>,
    pinned: u64,
    without_identity: u64,
}

/// What came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SplitAnswer {
    pub(super) rollout: String,
    pub(super) enabled: bool,
    pub(super) variants: Vec<VariantAnswer>,
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
pub(super) struct VariantAnswer {
    pub(super) name: String,
    /// In percent, as a decimal text.
    pub(super) weight: String,
    /// The weight as a fraction.
    pub(super) expected_share: f64,
    pub(super) users: u64,
    /// Users that were drawn for, over all that were.
    pub(super) share: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

// === impl Split ===

impl<'p> Split<'p> {
    pub(super) fn new(rollout: &'p Rollout) -> Self {
        let variants = rollout.variants().count();
        Self {
            rollout,
            drawn: vec![0; variants],
            others: vec![0; variants],
            bars: vec![0; BARS],
            pinned: 0,
            without_identity: 0,
        }
    }

    /// Draws for a user; what was drawn, where the draw decided.
    pub(super) fn add(&mut self, user: &[u8]) -> Option<Bucket> {
        let decision = self.rollout.assign(Some(user));
        let index = decision.variant.index();
        let drawn = match decision.reason {
            Reason::Bucket => true,
            Reason::Pinned => {
                self.pinned += 1;
                false
            }
            _ => {
                self.without_identity += u64::from(decision.reason == Reason::NoIdentity);
                false
            }
        };
        let counts = if drawn { &mut self.drawn } else { &mut self.others };
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
        let lot = decision.lot.filter(|_| drawn)?;
        let bar = lot.bucket.number() as usize * BARS / BUCKETS as usize;
        if let Some(count) = self.bars.get_mut(bar) {
            *count += 1;
        }
        Some(lot.bucket)
    }

    pub(super) fn answer(&self) -> SplitAnswer {
        let total: u64 = self.drawn.iter().sum();
        let shares = shares(self.rollout);
        let counts = self.drawn.iter().zip(&self.others);
        let variants = shares.iter().zip(counts).map(|((name, weight), (&drawn, &others))| {
            let (low, high) = if total == 0 { (0.0, 1.0) } else { interval(drawn, total, CONFIDENCE) };
            VariantAnswer {
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
        SplitAnswer {
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
