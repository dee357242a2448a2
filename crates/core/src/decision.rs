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
    /// A signed token forced the variant.
    Override,
    /// The rollout matched, but nothing names the user.
    NoIdentity,
    /// The rollout matched, but is switched off.
    Disabled,
    /// No rollout speaks of this request.
    NoMatch,
    /// There is no policy yet, or it lacks the secret that the draw needs.
    NoPolicy,
}

/// What became of an override token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverrideResult {
    /// It has not the form of a token, or its header was sent twice.
    Malformed,
    /// No secret of the rollout has signed it.
    Signature,
    /// It is for another rollout.
    Rollout,
    /// The rollout has no such variant.
    Variant,
    /// Its time is over.
    Expired,
    /// It would be valid for more than a day.
    TooFar,
    /// It decides.
    Accepted,
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
        Self::NoPolicy,
    ];

    /// How metrics, logs and the command name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Pinned => "pinned",
            Self::Override => "override",
            Self::NoIdentity => "noIdentity",
            Self::Disabled => "disabled",
            Self::NoMatch => "noMatch",
            Self::NoPolicy => "noPolicy",
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

// === impl OverrideResult ===

impl OverrideResult {
    /// Every result, in the order of the checks.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Signature,
        Self::Rollout,
        Self::Variant,
        Self::Expired,
        Self::TooFar,
        Self::Accepted,
    ];

    /// How metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Rollout => "rollout",
            Self::Variant => "variant",
            Self::Expired => "expired",
            Self::TooFar => "tooFar",
            Self::Accepted => "accepted",
        }
    }

    /// Its place in [`OverrideResult::ALL`].
    pub const fn index(self) -> usize {
        self as usize
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
