//! Who may do what: tokens with names, compared in constant time.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::rollout::Name;

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Every rollout: `*`.
    Every,
    /// All of a namespace: `shop/*`.
    Namespace(String),
    /// This one: `shop/checkout`.
    One(Name),
}

/// A token: its digest, not its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    digest: [u8; 32],
    may: May,
    patterns: Vec<Pattern>,
}

/// The tokens in force. They can be exchanged while the server runs.
#[derive(Clone, Debug)]
pub struct Tokens {
    tokens: Arc<RwLock<Arc<[Token]>>>,
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// None where the server has no tokens at all, and everybody on this host may do everything.
    token: Option<Token>,
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

// === impl Token ===

impl Token {
    /// A token of this name and text.
    pub fn new(name: &str, text: &str, may: May, patterns: Vec<Pattern>) -> Self {
        Self { name: name.to_owned(), digest: digest(text), may, patterns }
    }

    /// What history calls who uses it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is its text. The time that this takes says nothing about it.
    pub fn is(&self, text: &str) -> bool {
        self.digest.ct_eq(&digest(text)).into()
    }

    /// Whether it allows this for a rollout.
    pub fn allows(&self, may: May, name: &Name) -> bool {
        self.may >= may && self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether it allows this for all rollouts that these patterns mean.
    pub fn allows_all(&self, may: May, patterns: &[Pattern]) -> bool {
        let is_covered = |pattern: &Pattern| self.patterns.iter().any(|own| own.covers(pattern));
        self.may >= may && patterns.iter().all(is_covered)
    }

    /// Whether it allows this for every rollout.
    pub fn allows_everywhere(&self, may: May) -> bool {
        self.may >= may && self.patterns.contains(&Pattern::Every)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("may", &self.may)
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

// === impl Tokens ===

impl Tokens {
    /// These tokens; with none, everybody is let in.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens: Arc::new(RwLock::new(tokens.into())) }
    }

    /// From now on, these.
    pub fn set(&self, tokens: Vec<Token>) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
    }

    /// Who has this token; none where nobody has. All are compared, so that the time does not say which one it is.
    pub fn caller(&self, text: Option<&str>) -> Option<Caller> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone();
        if tokens.is_empty() {
            return Some(Caller { token: None });
        }
        let text = text?;
        let found = tokens.iter().fold(None, |found, token| if token.is(text) { Some(token) } else { found });
        found.map(|token| Caller { token: Some(token.clone()) })
    }
}

// === impl Caller ===

impl Caller {
    /// What history calls them.
    pub fn name(&self) -> &str {
        self.token.as_ref().map_or("anonymous", Token::name)
    }

    /// Whether they may do this to a rollout.
    pub fn may(&self, may: May, name: &Name) -> bool {
        self.token.as_ref().is_none_or(|token| token.allows(may, name))
    }

    /// Whether they may do this to all rollouts that these patterns mean.
    pub fn may_all(&self, may: May, patterns: &[Pattern]) -> bool {
        self.token.as_ref().is_none_or(|token| token.allows_all(may, patterns))
    }

    /// Whether they may do this to every rollout.
    pub fn may_everywhere(&self, may: May) -> bool {
        self.token.as_ref().is_none_or(|token| token.allows_everywhere(may))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let shop = vec!["shop/*".parse().unwrap(), "bank/payments".parse().unwrap()];
        Tokens::new(vec![
            Token::new("pipeline", "pipeline-secret", May::Operate, shop),
            Token::new("admins", "admin-secret", May::Write, vec![Pattern::Every]),
        ])
    }

    #[test]
    fn a_token_allows_what_it_says_for_the_rollouts_that_it_names() {
        let caller = tokens().caller(Some("pipeline-secret")).unwrap();
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert_eq!(caller.name(), "pipeline");
        assert!(
            caller.may(May::Read, &name("shop/checkout")) && caller.may(May::Operate, &name("bank/payments"))
        );
        assert!(!caller.may(May::Write, &name("shop/checkout")));
        assert!(!caller.may(May::Read, &name("bank/accounts")) && !caller.may(May::Read, &name("shopper/x")));
        assert!(!caller.may_everywhere(May::Read));
        assert!(tokens().caller(Some("admin-secret")).unwrap().may_everywhere(May::Write));
    }

    #[test]
    fn a_token_allows_a_fleet_whose_rollouts_it_may_all_have() {
        let caller = tokens().caller(Some("pipeline-secret")).unwrap();
        let may = |texts: &[&str]| {
            let patterns: Vec<Pattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
            caller.may_all(May::Read, &patterns)
        };
        assert!(may(&["shop/*"]) && may(&["shop/checkout", "bank/payments"]));
        assert!(!may(&["shop/*", "bank/*"]) && !may(&["*"]) && !may(&["bank/accounts"]));
    }

    #[test]
    fn who_has_no_token_is_nobody_unless_there_are_none() {
        assert_eq!(tokens().caller(None), None);
        assert_eq!(tokens().caller(Some("pipeline-secre")), None);
        assert_eq!(tokens().caller(Some("")), None);
        let open = Tokens::new(Vec::new());
        assert!(open.caller(None).unwrap().may_everywhere(May::Write));
        open.set(vec![Token::new("a", "b", May::Read, Vec::new())]);
        assert_eq!(open.caller(None), None);
    }

    #[test]
    fn patterns_are_all_a_namespace_or_one() {
        for text in ["*", "shop/*", "shop/checkout", "checkout"] {
            assert!(text.parse::<Pattern>().is_ok(), "{text}");
        }
        for text in ["", "*/*", "shop*", "*/checkout", "shop/c*", "SHOP/*", "/*"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
