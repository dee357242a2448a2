//! What a decision tells while it is made. The filter listens to nothing of it, and pays nothing for it.

use super::identity::IdentitySource;
use super::match_rules::Refusal;
use super::rollout::Rollout;

/// A listener to one decision. Each method is called when the decision comes to that point, in the order of asking.
pub trait Observer<'p> {
    /// A rollout that the request's host may concern was asked; without a refusal it is the one that matched.
    fn candidate(&mut self, rollout: &'p Rollout, refusal: Option<Refusal<'p>>) {
        let _ = (rollout, refusal);
    }

    /// The rollouts that the host may concern too, and that were not asked because one matched before them.
    fn not_asked(&mut self, rollouts: impl Iterator<Item = &'p Rollout>) {
        let _ = rollouts;
    }

    /// A source of the rollout that matched was asked; an empty value counts as none.
    fn source(&mut self, source: &'p IdentitySource, value: Option<&[u8]>) {
        let _ = (source, value);
    }

    /// An identity was issued, since no source had one.
    fn issued(&mut self, identity: &str) {
        let _ = identity;
    }

    /// The identity does not count: one of the headers that were asked for it is repeated.
    fn ambiguous(&mut self) {}
}

/// An observer that listens to nothing, for the filter.
pub(super) struct Unobserved;

impl Observer<'_> for Unobserved {}
