//! Tokens that somebody else makes: of pipelines (GitHub, GitLab) and of workloads (SPIFFE). No secret is kept for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::fetch::{Fetched, WITHIN};
use super::jwt::{Jwt, shown};
use super::keys::Keys;
use super::{Caller, Denial, Scope};
use crate::text_pattern::TextPattern;

/// The most characters of a caller's name, which is in history with everything that they do.
const MAX_NAME: usize = 256;

/// Whose tokens are taken, and what those allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the names of its callers in history begin with.
    pub name: String,
    /// Who makes the tokens: their `iss`, and where the issuer is found.
    pub issuer: String,
    /// Whom they are made for: what has to be in their `aud`.
    pub audience: String,
    /// Where the keys of the issuer are.
    pub keys: KeySource,
    /// What each of these claims has to be.
    pub claims: BTreeMap<String, TextPattern>,
    /// What they allow.
    pub scope: Scope,
    /// The claim that names a caller in history.
    pub named_by: String,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Where the issuer says.
    Discovered,
    /// At this address.
    Url(String),
    /// Here: a JSON web key set, and the file that it was read from.
    File {
        /// The file.
        path: String,
        /// What is in it.
        text: String,
    },
}

/// The rules in force, by their issuers.
#[derive(Debug, Default)]
pub(super) struct Oidc(Vec<Trusted>);

/// An issuer, and the rules for its tokens.
#[derive(Debug)]
struct Trusted {
    issuer: String,
    source: KeySource,
    keys: IssuerKeys,
    rules: Vec<Rule>,
}

/// The keys of an issuer.
#[derive(Clone, Debug)]
enum IssuerKeys {
    Given(Arc<Keys>),
    Fetched(Arc<Fetched>),
}

// === impl Rule ===

impl Rule {
    /// Whether the claims of a token are what this rule wants.
    ///
    /// # Errors
    /// The first claim that is not.
    fn check<'r>(&'r self, jwt: &Jwt<'_>) -> Result<(), &'r str> {
        let holds = |name: &str, pattern: &TextPattern| jwt.texts(name).any(|text| pattern.matches(text));
        match self.claims.iter().find(|(name, pattern)| !holds(name, pattern)) {
            Some((name, _)) => Err(name),
            None => Ok(()),
        }
    }

    /// What history calls who has this token.
    ///
    /// # Errors
    /// The token does not say.
    fn name(&self, jwt: &Jwt<'_>) -> Result<String, String> {
        let claim = jwt.texts(&self.named_by).next().filter(|text| !text.is_empty());
        let claim =
            claim.ok_or_else(|| format!("it has no {}, which names its caller", shown(&self.named_by)))?;
        let whole = format!("{}:{claim}", self.name).replace(|it: char| it.is_control(), "\u{fffd}");
        if whole.chars().count() <= MAX_NAME {
            return Ok(whole);
        }
        Ok(whole.chars().take(MAX_NAME - 1).chain(['\u{2026}']).collect())
    }
}

// === impl Oidc ===

impl Oidc {
    /// These rules. Keys of issuers that were known before are kept.
    ///
    /// # Errors
    /// A file holds no keys, or an issuer cannot be asked: a sentence.
    pub(super) fn new(rules: &[Rule], before: &Self) -> Result<Self, String> {
        let mut all: Vec<Trusted> = Vec::new();
        for rule in rules {
            let same = |it: &&mut Trusted| it.issuer == rule.issuer && it.source == rule.keys;
            if let Some(trusted) = all.iter_mut().find(same) {
                trusted.rules.push(rule.clone());
                continue;
            }
            let known = before.0.iter().find(|it| it.issuer == rule.issuer && it.source == rule.keys);
            let keys = match known {
                Some(known) => known.keys.clone(),
                None => IssuerKeys::of(rule)?,
            };
            let (issuer, source) = (rule.issuer.clone(), rule.keys.clone());
            all.push(Trusted { issuer, source, keys, rules: vec![rule.clone()] });
        }
        Ok(Self(all))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this says that it is a token of an issuer that is known here.
    pub(super) fn knows(&self, text: &str) -> bool {
        let jwt = Jwt::read(text).ok();
        jwt.and_then(|jwt| jwt.issuer().map(|issuer| self.0.iter().any(|it| it.issuer == issuer)))
            .unwrap_or(false)
    }

    /// Who has this token, which has the shape of one. Every rule that it fits gives what it allows, and the first one
    /// the name.
    pub(super) async fn caller(&self, text: &str, now: u64) -> Result<Caller, Denial> {
        let jwt = Jwt::read(text).map_err(Denial::of)?;
        let issuer = jwt.issuer().ok_or_else(|| Denial::of("it has no \"iss\""))?;
        let trusted = self.0.iter().find(|trusted| trusted.issuer == issuer);
        let trusted =
            trusted.ok_or_else(|| Denial::of(format!("its issuer {} is not known here", shown(issuer))))?;
        // Before anything else is told about it: who has no token of this issuer learns no more.
        let keys = trusted.keys.at(now, |keys| keys.know(jwt.signed())).await;
        let keys = keys.map_err(|why| {
            Denial::Away(format!(
                "the keys of {issuer}, which this token is of, cannot be had: {why}; try again"
            ))
        })?;
        keys.verify(jwt.signed()).map_err(Denial::of)?;
        jwt.check_times(now).map_err(Denial::of)?;
        trusted.caller(&jwt).map_err(Denial::of)
    }

    /// Fetches the keys of every issuer, so that the log says at once where that cannot be done.
    pub(super) async fn ask(&self, now: u64) {
        // Where one gives none, the log has said why.
        join_all(self.0.iter().map(|trusted| trusted.keys.at(now, |_| true))).await;
    }
}

// === impl Trusted ===

impl Trusted {
    fn caller(&self, jwt: &Jwt<'_>) -> Result<Caller, String> {
        let is_for = |rule: &&Rule| jwt.texts("aud").any(|audience| audience == rule.audience);
        let rules: Vec<&Rule> = self.rules.iter().filter(is_for).collect();
        if rules.is_empty() {
            let wanted: Vec<&str> = self.rules.iter().map(|rule| rule.audience.as_str()).collect();
            let given: Vec<String> = jwt.texts("aud").map(shown).collect();
            return Err(match given.first() {
                Some(first) => format!("its audience {first} is not one of {}", wanted.join(", ")),
                None => format!("it has no audience, \"aud\", which must be one of {}", wanted.join(", ")),
            });
        }
        let (mut name, mut scopes, mut missed) = (None, Vec::new(), None);
        for rule in rules {
            match rule.check(jwt) {
                Ok(()) => {
                    name = name.or(Some(rule.name(jwt)));
                    scopes.push(rule.scope.clone());
                }
                Err(claim) => missed = missed.or(Some((rule, claim))),
            }
        }
        match (name, missed) {
            (Some(name), _) => Ok(Caller::new(name?, scopes)),
            (None, Some((rule, claim))) => Err(match jwt.texts(claim).next() {
                Some(text) => format!("its {} {} is not what {} wants", claim, shown(text), rule.name),
                None => format!("it has no text as {}, which {} wants", shown(claim), rule.name),
            }),
            (None, None) => Err("no rule is for it".to_owned()),
        }
    }
}

// === impl IssuerKeys ===

impl IssuerKeys {
    fn of(rule: &Rule) -> Result<Self, String> {
        let wrong = |why: String| format!("oidc: the issuer of {}: {why}", rule.name);
        let fetched = |keys| Fetched::new(&rule.issuer, keys, WITHIN).map(Arc::new).map(Self::Fetched);
        match &rule.keys {
            KeySource::Discovered => fetched(None).map_err(wrong),
            KeySource::Url(url) => fetched(Some(url)).map_err(wrong),
            KeySource::File { path, text } => match Keys::read(text.as_bytes()) {
                Ok(keys) if keys.len() == 0 => {
                    Err(wrong(format!("{path} has no key that a token can be verified with")))
                }
                Ok(keys) => Ok(Self::Given(Arc::new(keys))),
                Err(why) => Err(wrong(format!("{path} holds no keys: {why}"))),
            },
        }
    }

    async fn at(&self, now: u64, enough: impl Fn(&Keys) -> bool) -> Result<Arc<Keys>, String> {
        match self {
            Self::Given(keys) => Ok(keys.clone()),
            Self::Fetched(fetched) => fetched.keys(now, enough).await,
        }
    }
}
