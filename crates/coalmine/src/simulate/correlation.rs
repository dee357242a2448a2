//! Whether the draws of two rollouts have anything to do with each other.

use coalmine_core::policy::Rollout;
use serde::Serialize;

use super::statistics::{p_of_phi, phi};

/// Counts for every two rollouts, of users who were drawn for by both.
pub(super) struct Pairs {
    names: Vec<String>,
    /// The current user: whether each rollout took them away from stable.
    current: Vec<Option<bool>>,
    /// By pair, in the order of `Pairs::places`: both left stable, only the first, only the second, neither.
    counts: Vec<[u64; 4]>,
}

/// How two rollouts go together.
#[derive(Serialize)]
pub(super) struct Correlation {
    pub(super) rollouts: [String; 2],
    /// -1 to 1; near 0 where the two have nothing to do with each other.
    pub(super) phi: f64,
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
            counts: vec![[0; 4]; pairs],
        }
    }

    /// What this rollout did with the current user.
    pub(super) fn note(&mut self, rollout: usize, left_stable: Option<bool>) {
        if let Some(slot) = self.current.get_mut(rollout) {
            *slot = left_stable;
        }
    }

    /// The current user is done.
    pub(super) fn next(&mut self) {
        let mut counts = self.counts.iter_mut();
        for (place, first) in self.current.iter().enumerate() {
            for second in self.current.iter().skip(place + 1) {
                let Some([both, only_first, only_second, neither]) = counts.next() else { return };
                match (first, second) {
                    (Some(true), Some(true)) => *both += 1,
                    (Some(true), Some(false)) => *only_first += 1,
                    (Some(false), Some(true)) => *only_second += 1,
                    (Some(false), Some(false)) => *neither += 1,
                    _ => {}
                }
            }
        }
    }

    /// Every pair of which both rollouts have somebody in stable and somebody elsewhere.
    pub(super) fn correlations(&self) -> Vec<Correlation> {
        let mut counts = self.counts.iter();
        let mut found = Vec::new();
        for (place, first) in self.names.iter().enumerate() {
            for second in self.names.iter().skip(place + 1) {
                let Some(&[both, only_first, only_second, neither]) = counts.next() else { return found };
                let users = both + only_first + only_second + neither;
                found.extend(phi(both, only_first, only_second, neither).map(|phi| Correlation {
                    rollouts: [first.clone(), second.clone()],
                    phi,
                    p: p_of_phi(phi, users),
                }));
            }
        }
        found
    }
}
