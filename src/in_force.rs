//! What a request is decided by.

use coalmine_core::policy::Policy;

use crate::metrics::Counters;

/// A policy and the counters that it needs.
pub(crate) struct InForce {
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
}

// === impl InForce ===

impl From<Policy> for InForce {
    fn from(policy: Policy) -> Self {
        Self { counters: Counters::new(&policy), policy }
    }
}

/// The empty policy: everybody stable.
impl Default for InForce {
    fn default() -> Self {
        Policy::default().into()
    }
}
