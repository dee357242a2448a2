//! Where rollouts are kept: one record per rollout, moved by compare-and-set, and an append-only list of publications.
//!
//! These two rules are all that safety needs, with one server or with several: no lease and no lock. A record is written
//! only at the version that it was read at; a publication is written only while no record that it was composed of has
//! moved, and no other publication has come before it.
//!
//! | file | what is in it |
//! |---|---|
//! | `sql`, `writes` | [`Sql`]: SQLite in one file, or PostgreSQL |
//! | `schema` | its tables |
//! | `reserve` | room on the disk that is kept for rollbacks |
//! | `session`, `address` | a connection, its times, and what a database says in our words |
//! | `backup` | a copy while it runs |
//! | `kubernetes` | [`Kubernetes`]: the API of a cluster |
//! | `contract` | what every store must do, as a test |
//! | `scripted` | for tests: a store that can be away |

mod address;
mod backup;
#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod crash_tests;
pub(crate) mod kubernetes;
#[cfg(test)]
mod postgres_tests;
mod reserve;
mod schema;
#[cfg(test)]
pub(crate) mod scripted;
mod session;
mod sql;
mod writes;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use coalmine_steer::{Moment, State, What};
use serde::{Deserialize, Serialize};

use crate::publish::Publication;
use crate::rollout::{Logged, Name, Record, ReleaseRecord};

pub use address::Address;
pub use backup::{NoBackup, back_up};
pub use kubernetes::{Intent, Kubernetes, Unpublished};
pub use sql::Sql;

/// Seconds for which answers are kept: as long as a pipeline may last that has said `start`, with a person in it who judges.
pub(crate) const ANSWERS_FOR: u64 = 30 * 24 * 60 * 60;

/// What a store can do. Times are seconds since 1970, and arguments: a store reads no clock.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// The versions of all rollouts, by name.
    ///
    /// # Errors
    /// As everything here: [`StoreError`].
    async fn versions(&self) -> Result<Versions, StoreError>;

    /// All rollouts, by name.
    async fn records(&self) -> Result<Vec<Stored>, StoreError>;

    /// One rollout.
    async fn record(&self, name: &Name) -> Result<Option<Stored>, StoreError>;

    /// Writes a record with all that belongs to the change, or nothing. Gives its new version, which may be the one before
    /// where nothing is another.
    async fn commit(&self, change: Change) -> Result<u64, StoreError>;

    /// Removes a rollout at this version. Its history and its releases stay.
    async fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError>;

    /// A number that changes with every commit, removal, publication, refusal and freeze: for other servers on the same
    /// store.
    async fn counter(&self) -> Result<u64, StoreError>;

    /// The history of a rollout, the newest first: at most `limit` lines with a number below `before`. The decisions behind them
    /// may be left out.
    async fn history(&self, name: &Name, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError>;

    /// Lines of history of all rollouts, in the order in which they were recorded: at most `limit` of those behind this
    /// position. Positions only go up; they need not follow one another.
    async fn lines(&self, after: u64, limit: u32) -> Result<Vec<Recorded>, StoreError>;

    /// The position of the line that was recorded last; 0 before the first.
    async fn last_line(&self) -> Result<u64, StoreError>;

    /// One release of a rollout.
    async fn release(&self, name: &Name, number: u64) -> Result<Option<ReleaseRecord>, StoreError>;

    /// The release of a rollout with the highest number, also of one that is gone.
    async fn latest_release(&self, name: &Name) -> Result<Option<ReleaseRecord>, StoreError>;

    /// Removes history from before this time, and answers from more than [`ANSWERS_FOR`] before `now`.
    async fn forget(&self, history_before: u64, now: u64) -> Result<(), StoreError>;

    /// Which [`Store::publications`] of a fleet there are, without reading them.
    async fn head(&self, fleet: &str) -> Result<Head, StoreError>;

    /// The publication of a fleet with the highest revision, and that one which no proxy refused.
    async fn publications(&self, fleet: &str) -> Result<Publications, StoreError>;

    /// One publication of a fleet.
    async fn publication(&self, fleet: &str, revision: u64) -> Result<Option<Publication>, StoreError>;

    /// Writes a publication, while every record still has the version that it was composed of and its revision is higher
    /// than all of its fleet. [`StoreError::Moved`] otherwise.
    async fn publish(&self, publication: &Publication, versions: &Versions) -> Result<(), StoreError>;

    /// Writes down that a proxy refused a publication. The first reason stays.
    async fn refuse(&self, fleet: &str, revision: u64, why: &str) -> Result<(), StoreError>;

    /// Why everything is frozen, where it is.
    async fn frozen(&self) -> Result<Option<String>, StoreError>;

    /// Freezes everything for this reason, or ends that.
    async fn freeze(&self, why: Option<&str>) -> Result<(), StoreError>;

    /// The answer that was given under this idempotency key.
    async fn answer(&self, key: &str) -> Result<Option<Answer>, StoreError>;

    /// Takes or keeps the lease until a time, for this holder; whether it has it. It only saves work.
    async fn lease(&self, holder: &str, now: u64, until: u64) -> Result<bool, StoreError>;
}

/// A record and its version.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The version, from 1.
    pub version: u64,
    /// The record.
    pub record: Record,
}

/// A change of one rollout.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record as it shall be.
    pub record: Record,
    /// The version that it was read at; 0 where it is new.
    pub expected: u64,
    /// New lines of history.
    pub history: Vec<Entry>,
    /// The release that goes on or has just ended.
    pub release: Option<ReleaseRecord>,
    /// What is answered to who asked for this.
    pub answer: Option<Answer>,
}

impl Change {
    /// Whether a full disk must not prevent it: it takes users off the canary, or it is the evidence that says so.
    fn is_urgent(&self) -> bool {
        let back = [What::RollsBack, What::RolledBack, What::Lowered, What::Superseded];
        let is_evidence = self.expected > 0 && self.history.is_empty() && self.answer.is_none();
        is_evidence || self.history.iter().any(|entry| back.contains(&entry.logged.what))
    }
}

/// A line of history, and the decision behind it, so that it can be made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number in its rollout, from 1; the store gives it.
    #[serde(default)]
    pub number: u64,
    /// What happened.
    pub logged: Logged,
    /// How it was decided; none of a change of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// A line of history among those of all rollouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its position among all lines, from 1.
    pub position: u64,
    /// Whether lines between it and the one before, or the position that was asked for, were forgotten.
    pub is_after_gap: bool,
    /// Its rollout.
    pub rollout: Name,
    /// Its number in its rollout, from 1.
    pub number: u64,
    /// What happened.
    pub logged: Logged,
}

/// A decision: with the plan of `written` it makes the same step again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The document that was in force.
    pub written: String,
    /// The state before.
    pub state: State,
    /// What was known, and the verb where it was one.
    pub moment: Moment,
}

/// The answer to a request that may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The idempotency key, with the name of the token that sent it in front.
    pub key: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// SHA-256 of the request: the same key with another request is refused.
    pub request: String,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The place of the release, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// The publications of a fleet that matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publications {
    /// The one with the highest revision.
    pub latest: Option<Publication>,
    /// The one with the highest revision that no proxy refused, where that is another one.
    pub good: Option<Publication>,
}

/// The revisions of the publications of a fleet that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The highest.
    pub latest: Option<u64>,
    /// The highest that no proxy refused.
    pub good: Option<u64>,
}

/// The versions of the records that a publication was composed of.
pub type Versions = BTreeMap<Name, u64>;

/// Why a store did not do it.
#[derive(Debug)]
pub enum StoreError {
    /// Somebody else was faster: read again.
    Moved,
    /// There is no room: what, in words.
    Full(String),
    /// It does not answer: what, in words, without the address's password.
    Away(String),
    /// What it holds cannot be read: what, in words.
    Unreadable(String),
    /// It takes no such rollout: why, in words.
    Refused(String),
}

// === impl Publications ===

impl Publications {
    /// As composition takes them.
    pub fn before(&self) -> crate::rollout::place::Before<'_> {
        let latest = self.latest.as_ref();
        let good = latest.filter(|latest| latest.refused.is_none()).or(self.good.as_ref());
        crate::rollout::place::Before { latest, good, shown: 0 }
    }

    /// Whether these are the same of one fleet: a publication never changes but that a proxy refuses it.
    pub fn is_same(&self, other: &Self) -> bool {
        let marks = |publications: &Self| {
            let before = publications.before();
            [before.latest, before.good].map(|it| it.map(|publication| publication.revision))
        };
        marks(self) == marks(other)
    }
}

// === impl StoreError ===

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => f.write_str("somebody else changed it meanwhile"),
            Self::Full(what) => write!(f, "the store has no room: {what}"),
            Self::Away(what) => write!(f, "the store does not answer: {what}"),
            Self::Unreadable(what) => write!(f, "the store holds what cannot be read: {what}"),
            Self::Refused(why) => write!(f, "the store does not take it: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
