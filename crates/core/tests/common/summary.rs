//! What two decisions are compared by.

use coalmine_core::policy::Outcome;

/// All that a request gets, as text.
pub(crate) fn summary(outcome: &Outcome<'_>) -> String {
    let Outcome { assignment, edits, set_cookies, is_redirected, notes, override_result, forged } = outcome;
    let (rollout, reason) = (assignment.rollout_name(), assignment.reason);
    let assignment = (rollout, assignment.variant, reason, assignment.bucketed);
    format!("{:?}", (assignment, edits, set_cookies, is_redirected, notes, override_result, forged))
}
