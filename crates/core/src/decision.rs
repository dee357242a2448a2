//! What is decided for one request.

use std::borrow::Cow;

use crate::draw::Lot;
use crate::policy::Rollout;
use crate::ranges::Variant;

/// Why a request got its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The identity's bucket lies in the variant's range.
    Bucket,
    /// The policy fixes this identity to a variant.
    Pinned,
    /// The rollout matched, but nothing names the user.
    NoIdentity,
    /// The rollout matched, but is switched off.
    Disabled,
    /// No rollout speaks of this request.
    NoMatch,
}

/// The assignment of one request.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    /// The rollout that matched.
    pub rollout: Option<&'p Rollout>,
    /// The variant that the request gets.
    pub variant: Variant,
    /// Why.
    pub reason: Reason,
    /// What the identity drew, where one was drawn for.
    pub lot: Option<Lot>,
}

/// A decision with everything that follows from it.
#[derive(Debug)]
pub struct Outcome<'p> {
    /// The decision.
    pub decision: Decision<'p>,
    /// What has to change on the request, in this order.
    pub edits: Vec<Edit<'p>>,
    /// A `Set-Cookie` to add to the response: the identity that this user was issued.
    pub set_cookie: Option<String>,
    /// Whether the client sent a header that is Coalmine's own.
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
    pub const ALL: [Self; 5] = [Self::Bucket, Self::Pinned, Self::NoIdentity, Self::Disabled, Self::NoMatch];

    /// How metrics, logs and the command name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Pinned => "pinned",
            Self::NoIdentity => "noIdentity",
            Self::Disabled => "disabled",
            Self::NoMatch => "noMatch",
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

// === impl Decision ===

impl<'p> Decision<'p> {
    /// The decision where no rollout has a say.
    pub(crate) fn without_rollout(reason: Reason) -> Self {
        Self { rollout: None, variant: Variant::STABLE, reason, lot: None }
    }

    /// The name of the rollout, `none` where there is none.
    pub fn rollout_name(&self) -> &'p str {
        self.rollout.map_or("none", Rollout::name)
    }

    /// The name of the variant.
    pub fn variant_name(&self) -> &'p str {
        self.rollout.map_or("stable", |rollout| rollout.variant_name(self.variant))
    }
}
