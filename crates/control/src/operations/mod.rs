//! What people and pipelines may do to rollouts, whoever asks: the same for HTTP and for every other door.
//!
//! Each operation reads a record, makes another one of it by a pure function, and writes it at the version that it read;
//! where somebody else was faster it begins again.
//!
//! | file | what is in it |
//! |---|---|
//! | `write` | a rollout is written or deleted |
//! | `act` | verbs, and the freeze of everything |
//! | `known` | what is known of a rollout at a moment, beside the evidence |
//! | `settle` | a step of steering becomes a change of the store |

mod act;
mod known;
mod settle;
mod write;

use std::fmt;

use coalmine_document::{Problem, Problems};
use coalmine_steer::Condition;

use crate::rollout::ReleaseRecord;
use crate::store::{Answer, StoreError, Stored};

pub use act::{act, freeze, keep};
pub(crate) use known::Known;
pub(crate) use settle::settle;
pub use write::{remove, write};

/// How often an operation is begun again when somebody else was faster.
const ATTEMPTS: usize = 5;

/// Who asks, and under which conditions.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The person or the tool.
    pub by: &'a str,
    /// The version that the record must have, where that is said; 0 for a rollout that must be new.
    pub expected: Option<u64>,
    /// The number of the release that it is about, where that is said: a verb about another one is refused.
    pub release: Option<u64>,
    /// Whether only to say what would happen.
    pub dry_run: bool,
    /// Makes the answer that is kept with the change, under its idempotency key.
    pub answer: Option<&'a (dyn Fn(&Written) -> Answer + Send + Sync)>,
}

/// What an operation made.
#[derive(Clone, Debug)]
pub struct Written {
    /// The record as it is now, or as it would be.
    pub stored: Stored,
    /// Whether the rollout is new.
    pub is_new: bool,
    /// Whether anything changed.
    pub is_changed: bool,
    /// The latest release; none before the first.
    pub release: Option<ReleaseRecord>,
    /// Why it does not move, and what people should know, as far as a verb can tell.
    pub conditions: Vec<Condition>,
    /// What is odd about the document and is no mistake.
    pub remarks: Vec<Problem>,
}

/// Why an operation was not done. Nothing has changed then.
#[derive(Debug)]
pub enum Refused {
    /// There is no such rollout.
    Unknown,
    /// The document is wrong: everything that is, each with its place.
    Invalid(Problems),
    /// It makes no sense now, or would do harm: a sentence.
    Refusal(String),
    /// The record has another version than the one that was asked for.
    Changed,
    /// The store did not do it.
    Store(StoreError),
}

// === impl Asked ===

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("by", &self.by)
            .field("expected", &self.expected)
            .field("release", &self.release)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

// === impl Refused ===

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such rollout"),
            Self::Invalid(problems) => write!(f, "{problems}"),
            Self::Refusal(why) => f.write_str(why),
            Self::Changed => f.write_str("the rollout has changed since it was read; read it again"),
            Self::Store(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Refused {}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
