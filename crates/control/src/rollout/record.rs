//! What the store keeps of a rollout.

use coalmine_document::{Problems, json};
use coalmine_steer::state::{Here, Life, Release};
use coalmine_steer::{Outcome, Phase, State, What};
use serde::{Deserialize, Serialize};

use super::{Name, Spec, read_text};

/// A rollout: its intent as it is written, and its state. It is written whole, by compare-and-set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// When it was first written, in seconds since 1970: where two rollouts exclude each other, the older one stays.
    pub created: u64,
    /// The document as it was written, JSON or YAML: see [`super::Spec`]. It is valid.
    pub written: String,
    /// The policy part in force, in JSON, where it is not that of `written`: a change that would draw users anew waits until
    /// none is on the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where it is.
    pub state: State,
    /// Whether it is to be deleted once everybody is on stable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// A line of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logged {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What happened.
    pub what: What,
    /// Canary's weight then, in parts per million.
    pub weight: u32,
    /// Who: a person or a tool; none where the server acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, as a sentence.
    pub why: String,
}

/// One release, for ever: what pipelines wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRecord {
    /// Its number in its rollout, from 1.
    pub release: u64,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// Where it was last; once there is an outcome, that says more.
    pub phase: Phase,
    /// How it ended, once and for ever; none while it goes on.
    pub outcome: Option<Outcome>,
    /// Canary's weight in parts per million.
    pub weight: u32,
    /// A sentence, never empty.
    pub message: String,
}

// === impl ReleaseRecord ===

impl ReleaseRecord {
    /// The latest release of a state; none before the first.
    pub fn of(state: &State) -> Option<Self> {
        let release = state.release.as_ref()?;
        Some(Self {
            release: release.number,
            started: release.started,
            phase: state.said.phase,
            outcome: release.outcome,
            weight: state.weight,
            message: state.said.message.clone(),
        })
    }

    /// The same as the latest release of a state. One that never ended, as with a lost record, is superseded.
    pub(crate) fn ended(&self) -> Release {
        Release {
            number: self.release,
            started: self.started,
            canary: None,
            stable: None,
            life: Life::default(),
            here: Here::default(),
            outcome: Some(self.outcome.unwrap_or(Outcome::Superseded)),
            taken_back: None,
        }
    }
}

// === impl Record ===

impl Record {
    /// A rollout that is new.
    pub fn new(name: Name, written: String, now: u64) -> Self {
        Self { name, created: now, written, policy: None, state: State::default(), deleted: false }
    }

    /// What is written, read. A record that an earlier version wrote may hold what this one refuses.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn spec(&self) -> Result<Spec, Problems> {
        let document = read_text(&self.written)?;
        Spec::of_name(&self.name, &document)
    }

    /// The rollout as proxies are to have it: with the policy part in force.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn spec_in_force(&self) -> Result<Spec, Problems> {
        let mut spec = self.spec()?;
        if let Some(policy) = &self.policy {
            spec.policy = json::read(policy.as_bytes())?;
        }
        Ok(spec)
    }
}
