//! Who may do what: tokens with names, compared in constant time, and tokens that trusted issuers make.
//!
//! | file | what is in it |
//! |---|---|
//! | `oidc` | whose tokens are taken, and what they allow |
//! | `jwt`, `keys` | such a token, and what it is verified with |
//! | `fetch` | the keys of an issuer, fetched and kept |
//! | `review` | tokens and permissions that somebody else knows, as a Kubernetes API |

mod fetch;
mod jwt;
mod keys;
mod oidc;
mod review;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::rollout::Name;

use oidc::Oidc;

pub(crate) use fetch::address;
pub use oidc::{KeySource, Rule};
pub use review::{Deed, Reviewer, User};

/// What a token allows; each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum May {
    /// See rollouts.
    Read,
    /// Say verbs.
    Operate,
    /// Write and delete rollouts.
    Write,
}

/// Rollouts by name, the widest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Every rollout: `*`.
    Every,
    /// All of a namespace: `shop/*`.
    Namespace(String),
    /// This one: `shop/checkout`.
    One(Name),
}

/// What somebody may do, to which rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What.
    pub may: May,
    /// To which.
    pub patterns: Vec<Pattern>,
}

/// A token: its digest, not its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    digest: [u8; 32],
    scope: Scope,
}

/// The tokens in force, and the rules for those of others. They can be exchanged while the server runs.
#[derive(Clone, Debug)]
pub struct Tokens {
    known: Arc<RwLock<Arc<Known>>>,
    reviewer: Option<Arc<dyn Reviewer>>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: Vec<Token>,
    oidc: Oidc,
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    rights: Rights,
}

/// What somebody may do.
#[derive(Clone, Debug)]
enum Rights {
    /// Each of these gives what it allows.
    Scopes(Vec<Scope>),
    /// Somebody else knows.
    Reviewed(Arc<dyn Reviewer>, User),
}

/// Why somebody is nobody here. The sentences are for them, and hold no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// They brought no token.
    Missing,
    /// Theirs is none that is good here.
    Invalid(String),
    /// Whether it is cannot be known now.
    Away(String),
}

// === impl May ===

impl fmt::Display for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Write => "write",
        })
    }
}

// === impl Pattern ===

impl FromStr for Pattern {
    type Err = crate::rollout::NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Every);
        }
        if let Some(namespace) = text.strip_suffix("/*") {
            // A namespace is what may stand before any name.
            return Name::new(namespace, "x").map(|_| Self::Namespace(namespace.to_owned()));
        }
        text.parse().map(Self::One)
    }
}

impl Pattern {
    /// Whether this rollout is one of them.
    pub fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Every => true,
            Self::Namespace(namespace) => namespace == name.namespace(),
            Self::One(one) => one == name,
        }
    }

    /// Whether all that the other one means are of them.
    pub fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Every => *self == Self::Every,
            Self::Namespace(_) => *self == Self::Every || self == other,
            Self::One(name) => self.matches(name),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// Whether it allows this for all rollouts that this pattern means.
    pub fn allows_all(&self, may: May, pattern: &Pattern) -> bool {
        self.may >= may && self.patterns.iter().any(|own| own.covers(pattern))
    }
}

// === impl Token ===

impl Token {
    /// A token of this name and text.
    pub fn new(name: &str, text: &str, may: May, patterns: Vec<Pattern>) -> Self {
        Self { name: name.to_owned(), digest: digest(text), scope: Scope { may, patterns } }
    }

    /// What history calls who uses it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is its text. The time that this takes says nothing about it.
    pub fn is(&self, text: &str) -> bool {
        self.digest.ct_eq(&digest(text)).into()
    }

    /// What it allows.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("scope", &self.scope).finish_non_exhaustive()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

// === impl Tokens ===

impl Tokens {
    /// These tokens, and those of nobody else; with none, everybody is let in.
    pub fn new(tokens: Vec<Token>) -> Self {
        let known = Known { tokens, oidc: Oidc::default() };
        Self { known: Arc::new(RwLock::new(Arc::new(known))), reviewer: None }
    }

    /// The same, and the tokens that this one knows.
    #[must_use]
    pub fn with_reviewer(self, reviewer: Arc<dyn Reviewer>) -> Self {
        Self { reviewer: Some(reviewer), ..self }
    }

    /// From now on, these, and those that the rules are for.
    ///
    /// # Errors
    /// A rule cannot be followed: a sentence. Those before stay in force.
    pub fn set(&self, tokens: Vec<Token>, rules: &[Rule]) -> Result<(), String> {
        let oidc = Oidc::new(rules, &self.known().oidc)?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Known { tokens, oidc });
        Ok(())
    }

    /// Whether there are none at all, so that everybody is let in.
    pub fn are_none(&self) -> bool {
        self.known().is_empty() && self.reviewer.is_none()
    }

    /// Fetches the keys of every issuer now, in seconds since 1970, so that the log says at once where that cannot be done.
    pub(crate) async fn fetch_keys(&self, now: u64) {
        self.known().oidc.ask(now).await;
    }

    /// Who has this token, now, in seconds since 1970. All tokens are compared, so that the time does not say which one
    /// it is. It may take as long as [`fetch`] waits for keys.
    ///
    /// # Errors
    /// It is nobody's, or one may not know whose.
    pub async fn caller(&self, text: Option<&str>, now: u64) -> Result<Caller, Denial> {
        let known = self.known();
        if known.is_empty() && self.reviewer.is_none() {
            return Ok(Caller::anybody());
        }
        let text = text.ok_or(Denial::Missing)?;
        let found =
            known.tokens.iter().fold(None, |found, token| if token.is(text) { Some(token) } else { found });
        match (found, &self.reviewer) {
            (Some(token), _) => Ok(Caller::new(token.name.clone(), vec![token.scope.clone()])),
            // A token of an issuer that is known here is nobody else's.
            (None, Some(reviewer)) if !known.oidc.knows(text) => {
                let user = reviewer.user(text).await?;
                Ok(Caller { name: user.shown(), rights: Rights::Reviewed(reviewer.clone(), user) })
            }
            (None, _) if !known.oidc.is_empty() && jwt::is_jwt(text) => known.oidc.caller(text, now).await,
            (None, _) => Err(Denial::Invalid("this token is not known here".to_owned())),
        }
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Known ===

impl Known {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.oidc.is_empty()
    }
}

// === impl Caller ===

impl Caller {
    fn new(name: String, scopes: Vec<Scope>) -> Self {
        Self { name, rights: Rights::Scopes(scopes) }
    }

    /// Who comes where the server has no tokens at all: everybody on this host may do everything.
    fn anybody() -> Self {
        Self::new("anonymous".to_owned(), vec![Scope { may: May::Write, patterns: vec![Pattern::Every] }])
    }

    /// What history calls them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether they may do this to all rollouts that these patterns mean.
    ///
    /// # Errors
    /// That cannot be known now.
    pub async fn may(&self, deed: impl Into<Deed>, patterns: &[Pattern]) -> Result<bool, Denial> {
        let deed = deed.into();
        match &self.rights {
            Rights::Scopes(scopes) => {
                let is_allowed = |pattern| scopes.iter().any(|scope| scope.allows_all(deed.may, pattern));
                Ok(patterns.iter().all(is_allowed))
            }
            Rights::Reviewed(reviewer, user) => review::may(reviewer.as_ref(), user, deed, patterns).await,
        }
    }
}

// === impl Denial ===

impl Denial {
    /// A token that is refused for this reason.
    fn of(why: impl fmt::Display) -> Self {
        Self::Invalid(format!("this token is refused: {why}"))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("a token is needed: \"Authorization: Bearer TOKEN\""),
            Self::Invalid(why) | Self::Away(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Denial {}

#[cfg(test)]
pub(crate) mod tests;
