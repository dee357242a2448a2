//! How requests were assigned.

use coalmine_core::policy::Policy;
use coalmine_core::{Assignment, Outcome, OverrideResult, Reason};

use super::labels;
use super::registry::Lazy;

/// The counters that one policy needs, found without building a name per request.
pub(crate) struct Counters {
    /// By rollout (its index plus one; 0 where there is none).
    rollouts: Vec<RolloutCounters>,
}

struct RolloutCounters {
    /// By variant and reason: `variant * Reason::ALL.len() + reason`.
    requests: Vec<Lazy>,
    forged: Lazy,
    overrides: [Lazy; OverrideResult::ALL.len()],
}

// === impl Counters ===

impl Counters {
    pub(crate) fn new(policy: &Policy) -> Self {
        let none = RolloutCounters::new(1);
        let rollouts =
            policy.rollouts().iter().map(|rollout| RolloutCounters::new(rollout.variants().count()));
        Self { rollouts: std::iter::once(none).chain(rollouts).collect() }
    }

    /// Counts a request.
    pub(crate) fn count(&self, outcome: &Outcome<'_>) {
        let assignment = &outcome.assignment;
        let rollout = assignment.rollout.map_or(0, |rollout| rollout.index() + 1);
        let Some(counters) = self.rollouts.get(rollout) else { return };
        if let Some(requests) = counters.requests.get(requests_index(assignment)) {
            requests.add(|| requests_name(assignment));
        }
        let rollout = assignment.rollout_name();
        if outcome.forged {
            counters.forged.add(|| format!("rollout=.={rollout};.;coalmine_forged_total"));
        }
        if let Some(result) = outcome.override_result
            && let Some(counter) = counters.overrides.get(result.index())
        {
            let result = result.as_str();
            counter.add(|| format!("rollout=.={rollout};.;result=.={result};.;coalmine_override_total"));
        }
    }
}

impl RolloutCounters {
    fn new(variants: usize) -> Self {
        Self {
            requests: vec![Lazy::default(); variants * Reason::ALL.len()],
            forged: Lazy::default(),
            overrides: Default::default(),
        }
    }
}

fn requests_index(assignment: &Assignment<'_>) -> usize {
    assignment.variant.index() * Reason::ALL.len() + assignment.reason.index()
}

fn requests_name(assignment: &Assignment<'_>) -> String {
    let labels = labels(assignment.rollout_name(), assignment.variant_name());
    let reason = assignment.reason;
    format!("{labels}reason=.={reason};.;coalmine_requests_total")
}
