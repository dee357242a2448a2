//! What is to be done, and why a rollout does not move.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::State;

/// What comes of a tick or a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The state to record, by compare-and-set, before anything is done.
    pub state: State,
    /// What to do once it is recorded; a publication comes first. Actions may be repeated.
    pub actions: Vec<Action>,
    /// Why it does not move, and what people should know.
    pub conditions: Vec<Condition>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Compose and publish the policy with this form of the rollout.
    Publish(Form),
    /// Copy the canary's pod template, of this version, to stable.
    CopyToStable {
        /// Version of the canary.
        version: String,
    },
    /// Scale the canary to 0.
    ScaleDownCanary,
    /// Ask a gate of the operator.
    AskGate {
        /// Its name.
        gate: String,
        /// Number of the release.
        release: u64,
        /// Weight that it is asked about, in parts per million.
        weight: u32,
        /// When that weight came into force.
        entered: u64,
    },
    /// Tell people.
    Notify(Notice),
    /// Write a line of history.
    Record(Event),
    /// Nobody is on the canary any more: what holds the rollout may let it go.
    Forget,
}

/// What a policy says of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// Canary's weight in parts per million; none where another controller holds it.
    pub weight: Option<u32>,
    /// Salt of the draw; none before the first release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Digest of the policy part.
    pub policy: String,
    /// Whether its evidence is counted.
    pub observe: bool,
}

/// A message for people, delivered at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Its number, for [`crate::Inputs::delivered`].
    pub id: u64,
    /// What it is about.
    #[serde(default)]
    pub about: About,
    /// When it was written; 0 where an earlier release of Coalmine wrote it.
    #[serde(default)]
    pub at: u64,
    /// Number of the release that it is about; 0 where an earlier release of Coalmine wrote it.
    #[serde(default)]
    pub release: u64,
    /// Canary's weight then, in parts per million.
    #[serde(default)]
    pub weight: u32,
    /// Notifiers of the operator.
    pub to: Vec<String>,
    /// What to say.
    pub message: String,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// A release began.
    Started,
    /// It has been held for long by something that does not pass by itself.
    Held,
    /// A person has to approve.
    Approval,
    /// Users are sent back.
    RollsBack,
    /// All users are back.
    RolledBack,
    /// Judging is over; the canary goes to 100 %.
    Promotes,
    /// All users have the new version.
    Promoted,
    /// The release ended without a promotion or a rollback.
    Superseded,
    /// Something else that a person should know; also what a later release of Coalmine writes.
    #[default]
    #[serde(other)]
    Attention,
}

/// A line of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub at: u64,
    /// What happened.
    pub what: What,
    /// Canary's weight then, in parts per million.
    pub weight: u32,
    /// Why, as a sentence.
    pub why: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A release began.
    Started,
    /// The weight was raised.
    Advanced,
    /// The weight was lowered, without a rollback.
    Lowered,
    /// Users are sent back.
    RollsBack,
    /// All users are back.
    RolledBack,
    /// Judging is over; the canary goes to 100 %.
    Promotes,
    /// Both arms are the new version and the canary has no users.
    Promoted,
    /// The release ended without a promotion or a rollback.
    Superseded,
    /// Evidence begins anew.
    NewLife,
    /// The policy is another one.
    PolicyChanged,
    /// A person did something.
    Verb,
}

/// Why a rollout does not move, or what people should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The kind.
    pub kind: Kind,
    /// Whether it holds the rollout where it is.
    pub holds: bool,
    /// A sentence.
    pub message: String,
}

/// The kind of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Harm is proved.
    Harm,
    /// Rolling back by itself would be wrong, or is forbidden: a person is needed.
    Alarm,
    /// A person forbids rollbacks.
    NoRollback,
    /// A person has paused the rollout.
    Paused,
    /// The server is frozen.
    Frozen,
    /// The deadline has passed.
    Deadline,
    /// The rollout is to be deleted.
    Deleted,
    /// A changed policy is not taken while users are on the canary, or a proxy refused it.
    Policy,
    /// There is no evidence, or a part of it is missing.
    NoEvidence,
    /// Evidence is not to be believed.
    Untrusted,
    /// A workload is not as the next move needs it.
    Workload,
    /// Time on this step.
    Dwell,
    /// Requests on this step.
    Requests,
    /// A gate of the operator.
    Gate,
    /// Replicas for the next weight.
    Capacity,
    /// A person has to approve.
    Approval,
    /// Safety is not proved at the last step.
    Inconclusive,
    /// Proxies that do not run the latest form.
    Proxies,
}

// === impl Kind ===

impl Kind {
    /// Whether a person or a machine outside has the next word, and evidence would let the rollout go on.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Approval | Self::Capacity)
    }

    /// Whether nothing goes on by itself until a person decides.
    pub(crate) fn is_for_a_decision(self) -> bool {
        matches!(self, Self::Harm | Self::Alarm | Self::Deadline)
    }

    /// Whether it is a part of every release, or people know of it already: time and requests pass, and who pauses, approves
    /// or is past the deadline has been told.
    pub(crate) fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::Dwell
                | Self::Requests
                | Self::Inconclusive
                | Self::Approval
                | Self::Paused
                | Self::Deadline
                | Self::Deleted
        )
    }
}

// === impl About ===

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Started => "started",
            Self::Held => "held",
            Self::Approval => "approval",
            Self::RollsBack => "rollsBack",
            Self::RolledBack => "rolledBack",
            Self::Promotes => "promotes",
            Self::Promoted => "promoted",
            Self::Superseded => "superseded",
            Self::Attention => "attention",
        })
    }
}

// === impl What ===

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::Lowered => "lowered",
            Self::RollsBack => "rolls back",
            Self::RolledBack => "rolled back",
            Self::Promotes => "promotes",
            Self::Promoted => "promoted",
            Self::Superseded => "superseded",
            Self::NewLife => "evidence anew",
            Self::PolicyChanged => "policy",
            Self::Verb => "person",
        })
    }
}
