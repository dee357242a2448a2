//! Tokens and permissions that somebody else knows, as a Kubernetes API: who has a token, and whether they may do something.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

use super::{Denial, May, Pattern};

/// The most characters of a user's name, which is in history with everything that they do.
const MAX_NAME: usize = 256;

/// Who knows tokens and permissions.
#[async_trait]
pub trait Reviewer: Send + Sync + fmt::Debug {
    /// Who has this token.
    ///
    /// # Errors
    /// It is nobody's, or that cannot be known now.
    async fn user(&self, token: &str) -> Result<User, Denial>;

    /// Whether a user may do what this word says to all rollouts that this pattern means.
    ///
    /// # Errors
    /// That cannot be known now.
    async fn allows(&self, user: &User, word: &str, pattern: &Pattern) -> Result<bool, Denial>;
}

/// Who has a token, as its issuer says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Their name.
    pub name: String,
    /// What tells them from another user who had that name before.
    pub uid: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// What else is known of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What somebody wants to do, and the word for it where permissions are finer than [`May`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed {
    pub(super) may: May,
    word: &'static str,
}

/// Whether a user may do this to all rollouts that these patterns mean.
pub(super) async fn may(
    reviewer: &dyn Reviewer,
    user: &User,
    deed: Deed,
    patterns: &[Pattern],
) -> Result<bool, Denial> {
    for pattern in patterns {
        // Who may operate may say every verb.
        let is_verb = deed.may == May::Operate && deed.word != May::Operate.word();
        let may_operate = is_verb && reviewer.allows(user, May::Operate.word(), pattern).await?;
        if !may_operate && !reviewer.allows(user, deed.word, pattern).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

// === impl User ===

impl User {
    /// What history calls them.
    pub(super) fn shown(&self) -> String {
        self.name.replace(|it: char| it.is_control(), "\u{fffd}").chars().take(MAX_NAME).collect()
    }
}

// === impl Deed ===

impl Deed {
    /// Deletes a rollout.
    pub const DELETE: Self = Self { may: May::Write, word: "delete" };

    /// Says this verb to a rollout.
    pub fn say(verb: &str) -> Self {
        let verbs =
            ["start", "pause", "hold", "resume", "advance", "approve", "rollback", "promote", "weights"];
        let word = verbs.into_iter().find(|known| *known == verb);
        Self { may: May::Operate, word: word.unwrap_or(May::Operate.word()) }
    }
}

impl From<May> for Deed {
    fn from(may: May) -> Self {
        Self { may, word: may.word() }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.may.fmt(f)
    }
}

// === impl May ===

impl May {
    /// The word for it among the verbs of Kubernetes.
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "get",
            Self::Operate => "operate",
            Self::Write => "update",
        }
    }
}
