//! What is decided for one request.

use std::borrow::Cow;

use super::overrides::OverrideResult;
use super::rollout::{NO_ROLLOUT, Rollout};
use super::variants::STABLE;
use crate::bucketing::Bucketed;
use crate::split::Variant;

/// Why a request got its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The identity's bucket lies in the variant's range.
    Bucket,
    /// The policy fixes this identity to a variant.
    Pinned,
    /// A signed token forced the variant.
    Override,
    /// The rollout matched, but no source names the user.
    NoIdentity,
    /// The rollout matched, but is switched off.
    Disabled,
    /// No rollout matches this request.
    NoMatch,
    /// The rollout matched, but the key that its buckets need was not read.
    NoKey,
}

/// The assignment of one request.
#[derive(Clone, Debug)]
pub struct Assignment<'p> {
    /// The rollout that matched.
    pub rollout: Option<&'p Rollout>,
    /// The variant that the request gets.
    pub variant: Variant,
    /// Why.
    pub reason: Reason,
    /// Bucket and group of the identity, where there is one.
    pub bucketed: Option<Bucketed>,
}

/// An assignment with everything that follows from it.
#[derive(Debug)]
pub struct Outcome<'p> {
    /// The assignment.
    pub assignment: Assignment<'p>,
    /// The changes of the request's headers, in this order.
    pub edits: Vec<Edit<'p>>,
    /// Each `Set-Cookie` to add to the response: what earlier passes would have added to a response that the host has kept
    /// to itself, then the identity that this user was issued.
    pub set_cookies: Vec<String>,
    /// Whether the host has redirected the request internally, so that the filter runs for it again. The first pass has
    /// counted it.
    pub is_redirected: bool,
    /// What to leave under [`Policy::NOTES`](super::Policy::NOTES) for the pass after an internal redirect, where there
    /// is something to tell it.
    pub notes: Option<String>,
    /// What became of the request's override token, where it had one.
    pub override_result: Option<OverrideResult>,
    /// Whether the client sent a header that only Coalmine sets.
    pub forged: bool,
}

/// A change of the request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'p> {
    /// The header has this value and no other.
    Set(&'p str, Cow<'p, [u8]>),
    /// The header is gone, however often it was sent.
    Remove(&'p str),
}

// === impl Reason ===

impl Reason {
    /// Every reason, in the order of [`Reason::index`].
    pub const ALL: [Self; 7] = [
        Self::Bucket,
        Self::Pinned,
        Self::Override,
        Self::NoIdentity,
        Self::Disabled,
        Self::NoMatch,
        Self::NoKey,
    ];

    /// Its name in metrics, logs and the command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Pinned => "pinned",
            Self::Override => "override",
            Self::NoIdentity => "noIdentity",
            Self::Disabled => "disabled",
            Self::NoMatch => "noMatch",
            Self::NoKey => "noKey",
        }
    }

    /// Its place in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Assignment ===

impl<'p> Assignment<'p> {
    /// The assignment where no rollout has a say.
    pub(super) fn without_rollout(reason: Reason) -> Self {
        Self { rollout: None, variant: Variant::STABLE, reason, bucketed: None }
    }

    /// The name of the rollout, `none` where there is none.
    pub fn rollout_name(&self) -> &'p str {
        self.rollout.map_or(NO_ROLLOUT, Rollout::name)
    }

    /// The name of the variant.
    pub fn variant_name(&self) -> &'p str {
        self.rollout.map_or(STABLE, |rollout| rollout.variant_name(self.variant))
    }
}
