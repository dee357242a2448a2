//! From an assessment to a word: the plan of one step, as small as it can be.

use std::fmt;

use coalmine_judge::Assessment;
use serde::Serialize;

/// What a rollout should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Harm is proved.
    Rollback,
    /// Something is missing or not believed.
    Hold,
    /// The next weight may come.
    Advance,
    /// Every guard is proved safe: on the last step, the rollout may end.
    Promote,
}

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

    /// Rollback beats hold, and hold beats the rest. The reasons are those of the word.
    pub(super) fn verdict(&self, assessment: &Assessment, min_requests: u64) -> (Verdict, Vec<String>) {
        let harms: Vec<String> =
            assessment.harms().map(|guard| format!("{}: harm is proved", guard.name)).collect();
        if !harms.is_empty() {
            return (Verdict::Rollback, harms);
        }
        let mut reasons = assessment.reasons_to_hold();
        for guard in &assessment.guards {
            let arms = guard
                .missing
                .iter()
                .filter(|missing| matches!(missing, coalmine_judge::assessment::Missing::Arm { .. }));
            reasons.extend(arms.map(|missing| format!("{}: {missing}", guard.name)));
        }
        if self.requests < min_requests {
            reasons.push(format!("{} of {min_requests} requests", self.requests));
        }
        match (reasons.is_empty(), assessment.is_safe()) {
            (false, _) => (Verdict::Hold, reasons),
            (true, true) => (Verdict::Promote, reasons),
            (true, false) => (Verdict::Advance, reasons),
        }
    }
}

// === impl Verdict ===

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rollback => "rollback",
            Self::Hold => "hold",
            Self::Advance => "advance",
            Self::Promote => "promote",
        })
    }
}
