//! From an assessment to a word.

use std::fmt;

use coalmine_judge::assessment::{Missing, odds};
use coalmine_judge::{Assessment, Counts, GuardAssessment};
use serde::{Deserialize, Serialize};

/// What a rollout should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Harm is proved.
    Rollback,
    /// Something is missing or not believed.
    Hold,
    /// The next weight may come.
    Advance,
    /// On the last step: the canary may get all users.
    Promote,
}

/// What an assessment says to a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// Guards whose harm is proved, each in a sentence.
    pub harms: Vec<String>,
    /// Reasons to hold: data that is not believed, and arms without requests.
    pub doubts: Vec<String>,
    /// Whether every guard is proved safe.
    pub is_safe: bool,
}

// === impl Weighed ===

impl Weighed {
    /// Weighs an assessment.
    pub fn of(assessment: &Assessment) -> Self {
        let mut doubts = assessment.reasons_to_hold();
        for guard in &assessment.guards {
            let arms = guard.missing.iter().filter(|missing| matches!(missing, Missing::Arm { .. }));
            doubts.extend(arms.map(|missing| format!("{}: {missing}", guard.name)));
        }
        let harms = assessment.harms().map(|guard| format!("{}: harm is proved", guard.name)).collect();
        Self { harms, doubts, is_safe: assessment.is_safe() }
    }

    /// The word for `requests` of the canary at the weight in force, and the reasons for it. Rollback beats hold, and hold
    /// beats the rest.
    pub fn verdict(self, requests: u64, min_requests: u64) -> (Verdict, Vec<String>) {
        if !self.harms.is_empty() {
            return (Verdict::Rollback, self.harms);
        }
        let mut reasons = self.doubts;
        if requests < min_requests {
            reasons.push(missing_requests(requests, min_requests));
        }
        match (reasons.is_empty(), self.is_safe) {
            (false, _) => (Verdict::Hold, reasons),
            (true, true) => (Verdict::Promote, reasons),
            (true, false) => (Verdict::Advance, reasons),
        }
    }
}

/// The sentence about requests that are still missing.
pub(crate) fn missing_requests(have: u64, need: u64) -> String {
    format!("{have} of {need} requests")
}

/// What proves harm, for people: `errors: the canary has 3.00 % bad (60 of 2000), stable 0.20 % (4 of 2000), evidence 80,000
/// to 1`.
pub(crate) fn proof(guard: &GuardAssessment) -> String {
    let rate = |counts: Counts| {
        let share = counts.rate().unwrap_or_default() * 100.0;
        format!("{share:.2} % ({} of {})", counts.bad, counts.all)
    };
    format!(
        "{}: the canary has {} bad, stable {}, evidence {} to 1",
        guard.name,
        rate(guard.counts.canary),
        rate(guard.counts.stable),
        odds(guard.harm.log)
    )
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
