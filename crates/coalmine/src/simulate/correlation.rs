//! The correlation of the buckets of two rollouts.

use coalmine_core::bucketing::Bucket;
use coalmine_core::policy::Rollout;
use serde::Serialize;

use super::statistics::Columns;

/// The buckets of every two rollouts, for the users who have one in both.
pub(super) struct Pairs {
    names: Vec<String>,
    /// The current user's bucket in each rollout.
    current: Vec<Option<Bucket>>,
    /// By pair: the first with each later one, the second with each later one, and so on.
    columns: Vec<Columns>,
}

/// How two rollouts go together.
#[derive(Serialize)]
pub(super) struct Correlation {
    pub(super) rollouts: [String; 2],
    /// Pearson's, of the buckets: -1 to 1, near 0 where the two have nothing to do with each other.
    pub(super) correlation: f64,
    /// How often chance alone gives at least this much.
    pub(super) p: f64,
}

// === impl Pairs ===

impl Pairs {
    pub(super) fn new(rollouts: &[&Rollout]) -> Self {
        let pairs = rollouts.len() * rollouts.len().saturating_sub(1) / 2;
        Self {
            names: rollouts.iter().map(|rollout| rollout.name().to_owned()).collect(),
            current: vec![None; rollouts.len()],
            columns: vec![Columns::default(); pairs],
        }
    }

    /// What the current user drew in this rollout.
    pub(super) fn note(&mut self, rollout: usize, bucket: Option<Bucket>) {
        if let Some(slot) = self.current.get_mut(rollout) {
            *slot = bucket;
        }
    }

    /// The current user is done.
    pub(super) fn next(&mut self) {
        let mut columns = self.columns.iter_mut();
        for (place, first) in self.current.iter().enumerate() {
            for second in self.current.iter().skip(place + 1) {
                let Some(columns) = columns.next() else { return };
                if let (Some(first), Some(second)) = (first, second) {
                    columns.add(f64::from(first.number()), f64::from(second.number()));
                }
            }
        }
    }

    /// Every pair that drew for users enough.
    pub(super) fn correlations(&self) -> Vec<Correlation> {
        let mut columns = self.columns.iter();
        let mut found = Vec::new();
        for (place, first) in self.names.iter().enumerate() {
            for second in self.names.iter().skip(place + 1) {
                let Some((correlation, p)) = columns.next().and_then(Columns::correlation) else { continue };
                found.push(Correlation { rollouts: [first.clone(), second.clone()], correlation, p });
            }
        }
        found
    }
}
