//! What is remembered between two ticks: the record of a rollout.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actions::{Form, Notice};
use crate::inputs::Policy;
use crate::plan::{Mode, Plan};
use crate::verdict::Verdict;

/// Version of the record's form.
pub const SCHEMA: u32 = 1;

/// The state of a rollout. It is written whole, by compare-and-set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of this form: [`SCHEMA`].
    pub schema: u32,
    /// Where the rollout is.
    pub stage: Stage,
    /// Canary's weight in parts per million.
    pub weight: u32,
    /// With `mode: judge`, the weight in parts per million that somebody said another controller holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<u32>,
    /// Salt of the draw: that of the latest release, or with `mode: judge` already that of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// With `mode: judge`, whether `salt` is that of the next release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn_ahead: bool,
    /// The policy part that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<TakenPolicy>,
    /// The latest release, over or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The version that was rolled back last: it never starts by itself again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
    /// The person who paused the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Hand>,
    /// The person who forbids rollbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_rollback: Option<Hand>,
    /// Time of the latest tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticked: Option<u64>,
    /// What the latest tick said.
    pub said: Said,
    /// Notices that are not known to be delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// Number of the next notice.
    #[serde(default)]
    pub next_notice: u64,
    /// Whether the canary is still to be scaled to 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scale_down: bool,
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// No release.
    Idle,
    /// The canary is judged, step by step.
    Progressing,
    /// The canary goes to 100 %, and stable becomes the new version.
    Promoting(Leg),
    /// Users are sent back.
    RollingBack {
        /// Observed seconds at this weight.
        waited: u64,
    },
    /// All users are back.
    RolledBack,
}

/// A part of the end of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leg {
    /// The canary is about to get all users, when its replicas can carry them.
    Rising,
    /// The canary has all users; stable is to be renewed.
    Full,
    /// Both arms are the new version; users walk back to stable.
    Returning,
}

/// What people see of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// No release.
    Idle,
    /// The canary is judged.
    Progressing,
    /// A person has paused the rollout.
    Paused,
    /// Nothing but an approval is missing.
    WaitingForApproval,
    /// The release is promoted.
    Promoting,
    /// Users are sent back.
    RollingBack,
    /// All users are back.
    RolledBack,
}

/// The policy part that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenPolicy {
    /// Digest of all of it.
    pub digest: String,
    /// Digest of what says which user is drawn where.
    pub draw: String,
}

/// One release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Its number, from 1.
    pub number: u64,
    /// When it began.
    pub started: u64,
    /// The canary's version, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// Stable's version, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// The evidence.
    pub life: Life,
    /// The weight in force.
    pub here: Here,
    /// How it ended; none while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why its users were sent back, where they were: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
}

/// Evidence of one canary against one stable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    /// Its number in the release, from 1.
    pub number: u32,
    /// Observed seconds since it began.
    pub age: u64,
    /// The largest number of guards that it had.
    pub most_guards: usize,
    /// Of each guard, whether its evidence comes by group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grouped: BTreeMap<String, bool>,
    /// The judge's state, in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub judge: String,
    /// Whether harm is proved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harmful: bool,
    /// Whether people know that the deadline has passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
}

/// What happened at the weight in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Here {
    /// When it came into force.
    pub entered: u64,
    /// Observed seconds since.
    pub dwelt: u64,
    /// Requests of the canary that were judged.
    pub requests: u64,
    /// The latest reading that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// The person who approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Hand>,
    /// Whether the gate passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gate_passed: bool,
    /// Whether people know that an approval is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
    /// Observed seconds for which something has held it that does not pass by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stuck: u64,
}

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All users have the new version.
    Promoted,
    /// All users have the old version.
    RolledBack,
    /// Neither: it was deleted, or its canary is no new version any more.
    Superseded,
}

/// A person, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hand {
    /// The person.
    pub by: String,
    /// Their reason; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When.
    pub at: u64,
}

/// What a tick said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// The verdict.
    pub verdict: Verdict,
    /// A sentence, never empty.
    pub message: String,
    /// Since when the verdict has been this one.
    pub since: u64,
    /// The phase.
    pub phase: Phase,
    /// What it asks of whoever waits for it.
    #[serde(default)]
    pub standing: Standing,
}

/// What a rollout asks of whoever waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Nothing: no release is on its way, and nothing is missing for one.
    #[default]
    Settled,
    /// Patience: a release is on its way, or begins as soon as nothing holds it.
    Moving,
    /// Something around the workloads, without which no release can begin.
    Lacking,
    /// A person's decision: it went wrong, or goes on only then.
    Stuck,
}

// === impl State ===

impl Default for State {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            stage: Stage::Idle,
            weight: 0,
            told: None,
            salt: None,
            drawn_ahead: false,
            policy: None,
            release: None,
            rolled_back: None,
            paused: None,
            no_rollback: None,
            ticked: None,
            said: Said {
                verdict: Verdict::Hold,
                message: "no release yet".to_owned(),
                since: 0,
                phase: Phase::Idle,
                standing: Standing::Settled,
            },
            notices: Vec::new(),
            next_notice: 0,
            scale_down: false,
        }
    }
}

impl State {
    /// What the policy has to say of the rollout.
    pub fn form(&self, plan: &Plan) -> Form {
        Form {
            weight: (plan.mode == Mode::Steer).then_some(self.weight),
            salt: self.salt.clone(),
            policy: self.policy.as_ref().map(|policy| policy.digest.clone()).unwrap_or_default(),
            observe: self.is_judged(),
        }
    }

    /// Takes a policy part as the one in force. Whoever creates a rollout does so at once: its first publication says then
    /// what the first tick would say, and no second one follows.
    pub fn take(&mut self, policy: &Policy) {
        self.policy = Some(TakenPolicy { digest: policy.digest.clone(), draw: policy.draw.clone() });
        if policy.salt.is_some() {
            self.salt.clone_from(&policy.salt);
        }
    }

    /// Whether evidence is judged: where both versions have users and stable is still the old one.
    pub fn is_judged(&self) -> bool {
        matches!(self.stage, Stage::Progressing | Stage::Promoting(Leg::Rising))
    }

    /// The release that goes on.
    pub(crate) fn going_on(&self) -> Option<&Release> {
        self.release.as_ref().filter(|release| release.outcome.is_none())
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl Hand ===

impl fmt::Display for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.by)?;
        if !self.why.is_empty() {
            write!(f, " ({})", self.why)?;
        }
        Ok(())
    }
}

// === impl Phase ===

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
            Self::WaitingForApproval => "WaitingForApproval",
            Self::Promoting => "Promoting",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
        })
    }
}

// === impl Outcome ===

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Promoted => "Promoted",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
        })
    }
}
