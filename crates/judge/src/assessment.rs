//! The answer: what is proved, what is missing, and what is not believed.

use std::fmt;

use crate::batch::{Arms, Counts};
use crate::interval::Interval;
use crate::trust::Trust;

/// What is known after all batches so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Batches that were taken in.
    pub looks: u64,
    /// One for each guard, in the order of the configuration.
    pub guards: Vec<GuardAssessment>,
    /// Whether the counts can be believed.
    pub trust: Trust,
}

/// What is known of one guard.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardAssessment {
    /// Name of the guard.
    pub name: String,
    /// What is proved.
    pub finding: Finding,
    /// Evidence that the canary is worse than allowed.
    pub harm: Evidence,
    /// Evidence that the canary is good enough.
    pub safe: Evidence,
    /// Sums over all batches, for people. They are not what is tested: weights may have differed.
    pub counts: Arms<Counts>,
    /// Interval for the canary's rate divided by stable's, at every look at once at `1 - beta`.
    pub ratio: Interval,
    /// Whether a few users could make or hide the difference.
    pub users: Users,
    /// What is missing for a decision.
    pub missing: Vec<Missing>,
}

/// What is proved about a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The canary is worse than allowed; proved first at the look of this number, from 1. It stays proved.
    Harm {
        /// Number of the look.
        at: u64,
    },
    /// The canary is good enough.
    Safe,
    /// Neither.
    Undecided,
}

/// Evidence for something, and how much is needed to prove it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Natural logarithm of the e-value. Its `exp` are the odds against chance: [`odds`].
    pub log: f64,
    /// Natural logarithm of what is needed.
    pub needed: f64,
}

/// Whether a few users could make or hide harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// The evidence has no groups.
    NotChecked,
    /// Harm is judged without the canary's worst two groups.
    Checked,
    /// Evidence for harm comes from two groups alone: perhaps a few users of the canary. It neither holds nor rolls back.
    FewInCanary,
    /// Harm would be proved without one group, in which stable may have a user who hides it. A reason to hold.
    HiddenByGroup(usize),
}

/// What is missing for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Requests of an arm that has none.
    Arm {
        /// Whether it is the canary.
        canary: bool,
    },
    /// Requests of the canary.
    Requests {
        /// How many there are.
        have: u64,
        /// How many there have to be at least.
        need: u64,
    },
    /// Evidence: neither harm nor safety is proved.
    Evidence,
}

/// Odds as a text: `1.0`, `320`, `80,000`, `1e12`.
pub fn odds(log: f64) -> String {
    let value = log.exp();
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 1e6 => {
            let digits = format!("{value:.0}");
            let head = digits.len().saturating_sub(3);
            match digits.split_at_checked(head) {
                Some((thousands, rest)) if !thousands.is_empty() => format!("{thousands},{rest}"),
                _ => digits,
            }
        }
        _ => format!("1e{:.0}", (log / std::f64::consts::LN_10).floor()),
    }
}

// === impl Assessment ===

impl Assessment {
    /// Guards whose harm is proved.
    pub fn harms(&self) -> impl Iterator<Item = &GuardAssessment> {
        self.guards.iter().filter(|guard| matches!(guard.finding, Finding::Harm { .. }))
    }

    /// True if every guard is proved safe.
    pub fn is_safe(&self) -> bool {
        self.guards.iter().all(|guard| guard.finding == Finding::Safe)
    }

    /// Reasons to hold: data that is not believed, and harm that a few users may hide.
    pub fn reasons_to_hold(&self) -> Vec<String> {
        let hidden = self.guards.iter().filter_map(|guard| match guard.users {
            Users::HiddenByGroup(group) => Some(format!(
                "{}: harm would be proved without group {group}, where a few users of stable may hide it",
                guard.name
            )),
            Users::NotChecked | Users::Checked | Users::FewInCanary => None,
        });
        self.trust.doubts().map(|doubt| doubt.to_string()).chain(hidden).collect()
    }
}

// === impl Evidence ===

impl Evidence {
    /// True if it is enough.
    pub fn is_proof(&self) -> bool {
        self.log >= self.needed
    }
}

// === impl Missing ===

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm { canary: true } => f.write_str("the canary has no requests"),
            Self::Arm { canary: false } => f.write_str("stable has no requests"),
            Self::Requests { have, need } => write!(f, "{have} of {need} requests"),
            Self::Evidence => f.write_str("neither harm nor safety is proved yet"),
        }
    }
}
