//! From an assessment to a word, at the weight in force.

use coalmine_judge::Assessment;
use coalmine_steer::{Verdict, Weighed};

/// Requests of the canary at the weight in force.
#[derive(Default)]
pub(super) struct Step {
    weight: Option<u32>,
    requests: u64,
}

// === impl Step ===

impl Step {
    /// Counts the canary's requests; a new weight starts from 0.
    pub(super) fn count(&mut self, weight: Option<u32>, requests: u64) {
        if self.weight != weight {
            *self = Self { weight, requests: 0 };
        }
        self.requests += requests;
    }

    /// The word, and the reasons for it.
    pub(super) fn verdict(&self, assessment: &Assessment, min_requests: u64) -> (Verdict, Vec<String>) {
        Weighed::of(assessment).verdict(self.requests, min_requests)
    }
}
