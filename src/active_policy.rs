//! The policy that requests are decided by.

use std::cell::Cell;
use std::time::Duration;

use coalmine_core::policy::Policy;

use crate::metrics::{Counters, Evidence};

/// A policy, the counters and the evidence that it needs, and the time that its root context knows.
pub(crate) struct ActivePolicy {
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    pub(crate) evidence: Evidence,
    /// The time of the last tick, since 1970: a request reads no clock.
    now: Cell<Duration>,
}

// === impl ActivePolicy ===

impl ActivePolicy {
    /// The policy, taken into force at this time.
    pub(crate) fn new(policy: Policy, now: Duration) -> Self {
        Self {
            counters: Counters::new(&policy),
            evidence: Evidence::new(&policy),
            policy,
            now: Cell::new(now),
        }
    }

    /// The time of the last tick.
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    /// Takes in the time of a tick.
    pub(crate) fn tick(&self, now: Duration) {
        self.now.set(now);
    }
}

/// The empty policy: everybody stable.
impl Default for ActivePolicy {
    fn default() -> Self {
        Self::new(Policy::default(), Duration::ZERO)
    }
}
