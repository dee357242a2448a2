//! Can the counts be believed? Whatever is doubted holds a rollout and never rolls it back.

mod sample_ratio;

use std::fmt;

use crate::batch::{Arms, Batch, Open, Served};
pub(crate) use sample_ratio::SampleRatio;
pub use sample_ratio::{dirichlet, tilt};

/// Requests that an arm should have had while it had none: with independent requests, a chance of `exp(-20)`.
const SILENT_AFTER: f64 = 20.0;
/// Batches in a row in which requests are lost on the way to the canary.
const LEAKS: u32 = 3;
/// Looks in a row at which the canary has many more open requests.
const HANGS: u32 = 2;

/// What was checked, and what came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trust {
    /// Whether both arms have requests while they are assigned some.
    pub silence: Check,
    /// Whether the canary serves what it is assigned.
    pub leak: Check,
    /// Whether the canary's requests do not end.
    pub hang: Check,
    /// Whether the canary has the share of requests that its weight says.
    pub sample_ratio: Check,
}

/// Outcome of one check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// The batches do not have what the check needs.
    NotChecked,
    /// Nothing to doubt.
    Fine,
    /// The counts are not to be believed, or not to be acted upon.
    Doubt(Doubt),
}

/// Reason to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// An arm without requests, and how many were expected since its last one.
    Silent {
        /// Whether it is the canary.
        canary: bool,
        /// Requests that its weight makes likely.
        expected: f64,
    },
    /// Requests assigned to the canary and served by it, in the latest batch.
    Leak(Served),
    /// Requests that stay open, in each arm, at the latest look.
    Hang(Arms<Open>),
    /// Share of the requests of both arms that the canary has and that it is assigned; the evidence as a logarithm.
    SampleRatio {
        /// Share of the requests, from 0 to 1.
        found: f64,
        /// Share of the users, from 0 to 1.
        assigned: f64,
        /// Logarithm of the evidence, discounted for users who make many requests.
        log_evidence: f64,
    },
}

/// What the checks remember.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TrustState {
    pub(crate) expected: Arms<f64>,
    pub(crate) weight_seen: bool,
    pub(crate) served: Option<Served>,
    pub(crate) leaks: u32,
    pub(crate) open: Option<Arms<Open>>,
    pub(crate) hangs: u32,
    pub(crate) sample_ratio: SampleRatio,
}

// === impl Trust ===

impl Trust {
    /// Everything that is doubted.
    pub fn doubts(&self) -> impl Iterator<Item = Doubt> {
        self.checks().into_iter().filter_map(|(_, check)| match check {
            Check::Doubt(doubt) => Some(doubt),
            Check::NotChecked | Check::Fine => None,
        })
    }

    /// Every check with its name.
    pub fn checks(&self) -> [(&'static str, Check); 4] {
        [
            ("silence", self.silence),
            ("leak", self.leak),
            ("hang", self.hang),
            ("sample ratio", self.sample_ratio),
        ]
    }
}

// === impl TrustState ===

impl TrustState {
    pub(crate) fn observe(&mut self, batch: &Batch) {
        let Some(tally) = batch.guards.first() else { return };
        let seen = tally.total().map(|counts| counts.all);
        if let Some(weight) = batch.weight {
            self.weight_seen = true;
            let share = f64::from(weight) / 1e6;
            let total = (seen.stable + seen.canary) as f64;
            let next = |expected: f64, seen: u64, share: f64| match seen {
                0 => expected + total * share,
                _ => 0.0,
            };
            self.expected = Arms {
                stable: next(self.expected.stable, seen.stable, 1.0 - share),
                canary: next(self.expected.canary, seen.canary, share),
            };
        }
        if let Some(served) = batch.served {
            self.served = Some(served);
            let lost = (served.served as f64) < 0.95 * served.assigned as f64 - 5.0;
            self.leaks = if lost { self.leaks.saturating_add(1) } else { 0 };
        }
        if let Some(open) = batch.open {
            self.open = Some(open);
            self.hangs = if hangs(&open) { self.hangs.saturating_add(1) } else { 0 };
        }
        self.sample_ratio.observe(batch);
    }

    pub(crate) fn assess(&self, alpha: f64) -> Trust {
        let check = |known: bool, doubt: Option<Doubt>| match (known, doubt) {
            (false, _) => Check::NotChecked,
            (true, None) => Check::Fine,
            (true, Some(doubt)) => Check::Doubt(doubt),
        };
        let silent = [(true, self.expected.canary), (false, self.expected.stable)]
            .into_iter()
            .find(|(_, expected)| *expected >= SILENT_AFTER)
            .map(|(canary, expected)| Doubt::Silent { canary, expected });
        Trust {
            silence: check(self.weight_seen, silent),
            leak: check(self.served.is_some(), self.served.filter(|_| self.leaks >= LEAKS).map(Doubt::Leak)),
            hang: check(self.open.is_some(), self.open.filter(|_| self.hangs >= HANGS).map(Doubt::Hang)),
            sample_ratio: self.sample_ratio.assess(alpha),
        }
    }
}

/// More than twice stable's share of open requests and 1 point, by more than four standard deviations of a Poisson
/// count.
fn hangs(open: &Arms<Open>) -> bool {
    let Arms { canary, stable } = open;
    if canary.open < 10 || stable.begun == 0 {
        return false;
    }
    let spread = |open: u64| 4.0 * (open as f64).sqrt();
    let usual = (stable.open as f64 + spread(stable.open)) / stable.begun as f64;
    canary.open as f64 - spread(canary.open) > canary.begun as f64 * (2.0 * usual + 0.01)
}

// === impl Doubt ===

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { canary, expected } => {
                let arm = if *canary { "canary" } else { "stable" };
                write!(f, "{arm} has no requests where about {expected:.0} are expected")
            }
            Self::Leak(Served { assigned, served }) => write!(
                f,
                "{assigned} requests were assigned to the canary and it served {served}: a fault of routing or telemetry"
            ),
            Self::Hang(Arms { stable, canary }) => write!(
                f,
                "at least {} of {} requests to the canary do not end; stable has {} of {}",
                canary.open, canary.begun, stable.open, stable.begun
            ),
            Self::SampleRatio { found, assigned, log_evidence } => write!(
                f,
                "the canary has {:.2} % of the requests where {:.2} % is assigned, evidence {} to 1",
                found * 100.0,
                assigned * 100.0,
                crate::assessment::odds(*log_evidence)
            ),
        }
    }
}
