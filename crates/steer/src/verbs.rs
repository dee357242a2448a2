//! What people, pipelines and tools may say.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actions::{Step, What};
use crate::at::At;
use crate::inputs::Inputs;
use crate::plan::{Mode, Plan};
use crate::state::{Hand, Leg, Stage, State};
use crate::text::percent;
use crate::verdict::Verdict;

/// A verb of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Begin a release, or retry one that was rolled back.
    Start {
        /// Draw users anew, where a retry would have the same ones.
        new_users: bool,
    },
    /// Stop upward moves.
    Pause,
    /// Forbid rollbacks that nobody asks for.
    HoldNoRollback,
    /// Undo `pause` and `hold --no-rollback`, and give the deadline again.
    Resume,
    /// Go to the next step now.
    Advance,
    /// Approve the step.
    Approve,
    /// Send all users back.
    Rollback,
    /// Give the canary all users now; or say that stable is renewed.
    Promote,
    /// Set the canary's weight in parts per million, by hand; or with `mode: judge` say which one another controller holds.
    Weight(u32),
}

/// A verb, and who says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The verb.
    pub verb: Verb,
    /// The person or the tool.
    pub by: String,
    /// Their reason; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Why a verb is refused: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

/// What a verb makes of a rollout. It takes in no evidence and counts no time; the next tick does. A verb that has its
/// effect already changes nothing and is no error.
///
/// # Errors
/// The verb makes no sense here, or would do harm; the sentence says why.
pub fn verb(plan: &Plan, state: &State, inputs: &Inputs, request: &Request) -> Result<Step, Refusal> {
    let mut at = At::new(plan, state, inputs);
    at.verdict = state.said.verdict;
    let hand = Hand { by: request.by.clone(), why: request.message.clone(), at: inputs.now };
    let is_change = at.say(request.verb, &hand)?;
    if is_change {
        let message = format!("{} by {hand}", request.verb);
        at.record(What::Verb, &message);
        at.decided = Some(message);
    } else {
        at.decided = Some(state.said.message.clone());
    }
    Ok(at.into_step())
}

pub(crate) fn refuse<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(why.into()))
}

// === impl At ===

impl At<'_> {
    /// Whether something changed.
    fn say(&mut self, verb: Verb, hand: &Hand) -> Result<bool, Refusal> {
        let is_elsewhere = self.plan.mode == Mode::Judge;
        let moves = matches!(verb, Verb::Start { .. } | Verb::Advance | Verb::Rollback | Verb::Promote);
        if moves && is_elsewhere {
            return refuse("another controller holds the weights (mode: judge); say it there");
        }
        if self.inputs.deleted && verb != Verb::Rollback {
            return refuse("the rollout is being deleted");
        }
        match verb {
            Verb::Weight(weight) if is_elsewhere => self.say_held(weight),
            Verb::Start { new_users } => self.say_start(new_users, hand),
            Verb::Pause => Ok(put(&mut self.state.paused, hand)),
            Verb::HoldNoRollback => Ok(put(&mut self.state.no_rollback, hand)),
            Verb::Resume => Ok(self.say_resume()),
            Verb::Advance => self.say_advance(),
            Verb::Approve => self.say_approve(hand),
            Verb::Rollback => self.say_rollback(hand),
            Verb::Promote => self.say_promote(hand),
            Verb::Weight(weight) => self.say_weight(weight, hand),
        }
    }

    fn refuse_while_frozen(&self) -> Result<(), Refusal> {
        match &self.inputs.frozen {
            Some(why) => refuse(format!("the server is frozen: {why}")),
            None => Ok(()),
        }
    }

    fn refuse_without_capacity(&self, weight: u32) -> Result<(), Refusal> {
        match self.lacks_capacity(weight) {
            Some(lacks) => refuse(lacks),
            None => Ok(()),
        }
    }

    fn refuse_harmful(&self) -> Result<(), Refusal> {
        match self.is_harmful() {
            true => refuse("harm is proved: more users would be hurt; roll back"),
            false => Ok(()),
        }
    }

    fn say_start(&mut self, new_users: bool, hand: &Hand) -> Result<bool, Refusal> {
        let is_retry = match self.state.stage {
            Stage::Progressing if !new_users => return Ok(false),
            Stage::Progressing => {
                return refuse("a release is in progress; roll it back before users are drawn anew");
            }
            Stage::Promoting(_) => return refuse("the release is being promoted"),
            Stage::RollingBack { .. } => return refuse("users are being sent back; start when that is done"),
            Stage::Idle => false,
            Stage::RolledBack => true,
        };
        self.refuse_while_frozen()?;
        if !self.inputs.obstacles.is_empty() {
            return refuse(self.inputs.obstacles.join("; "));
        }
        let mut is_same = true;
        if let Some(workloads) = &self.inputs.workloads {
            let canary = &workloads.canary;
            if canary.version == workloads.stable.version {
                let version = &canary.version;
                return refuse(format!("canary and stable both run version {version}: nothing to release"));
            }
            if !canary.is_settled() {
                let (ready, replicas) = (canary.ready, canary.replicas);
                return refuse(format!("the canary is not ready: {ready} of {replicas} replicas"));
            }
            is_same = self.state.rolled_back.as_ref() == Some(&canary.version);
        }
        self.take_policy();
        let kept = self.state.salt.clone().filter(|_| is_retry && is_same && !new_users);
        let salt = kept.unwrap_or_else(|| self.new_salt());
        self.begin(salt, &format!("started by {hand}"));
        self.verdict = Verdict::Hold;
        Ok(true)
    }

    fn say_resume(&mut self) -> bool {
        let was_stopped = self.state.paused.take().is_some() | self.state.no_rollback.take().is_some();
        let release = self.state.release.as_mut().filter(|release| release.life.overdue);
        let was_late = release.is_some();
        if let Some(release) = release {
            release.life.overdue = false;
            release.life.age = 0;
        }
        was_stopped || was_late
    }

    fn say_advance(&mut self) -> Result<bool, Refusal> {
        if self.state.stage != Stage::Progressing {
            return refuse("no release is in progress");
        }
        self.refuse_while_frozen()?;
        self.refuse_harmful()?;
        match self.plan.next(self.state.weight).map(|step| step.weight) {
            Some(weight) => {
                self.refuse_without_capacity(weight)?;
                self.move_to(weight, What::Advanced, "a person goes on");
            }
            None => self.begin_promotion("a person goes on"),
        }
        Ok(true)
    }

    fn say_approve(&mut self, hand: &Hand) -> Result<bool, Refusal> {
        let stage = self.state.stage;
        match &mut self.state.release {
            Some(release) if stage == Stage::Progressing => Ok(put(&mut release.here.approved, hand)),
            _ => refuse("no release is in progress"),
        }
    }

    fn say_rollback(&mut self, hand: &Hand) -> Result<bool, Refusal> {
        match self.state.stage {
            Stage::RollingBack { .. } | Stage::RolledBack => Ok(false),
            Stage::Idle => refuse("no release is in progress, so there is nothing to roll back"),
            Stage::Progressing | Stage::Promoting(_) => {
                self.verdict = Verdict::Rollback;
                self.roll_back(&format!("{hand} rolls back"));
                Ok(true)
            }
        }
    }

    fn say_promote(&mut self, hand: &Hand) -> Result<bool, Refusal> {
        match self.state.stage {
            Stage::Promoting(Leg::Rising | Leg::Returning) => Ok(false),
            Stage::Idle | Stage::RolledBack | Stage::RollingBack { .. } => {
                refuse("no release is in progress")
            }
            Stage::Progressing => {
                self.refuse_while_frozen()?;
                self.refuse_harmful()?;
                self.begin_promotion(&format!("{hand} promotes"));
                Ok(true)
            }
            Stage::Promoting(Leg::Full) => {
                let release = self.state.release.as_ref().and_then(|release| release.canary.clone());
                if let (Some(workloads), Some(version)) = (&self.inputs.workloads, release)
                    && workloads.stable.version != version
                {
                    let runs = &workloads.stable.version;
                    return refuse(format!("stable still runs version {runs}; renew it to {version} first"));
                }
                self.state.stage = Stage::Promoting(Leg::Returning);
                self.record(What::Promotes, format!("{hand} says that stable is renewed"));
                Ok(true)
            }
        }
    }

    fn say_weight(&mut self, weight: u32, hand: &Hand) -> Result<bool, Refusal> {
        if weight >= 1_000_000 {
            return refuse(format!("{} % leaves nobody to compare with; use promote", percent(weight)));
        }
        if weight == 0 {
            return refuse("from 0 % the rollout would go up again at once; use pause or rollback");
        }
        if self.state.stage != Stage::Progressing {
            return refuse("no release is in progress");
        }
        if weight == self.state.weight {
            return Ok(false);
        }
        let is_up = weight > self.state.weight;
        if is_up {
            self.refuse_while_frozen()?;
            self.refuse_harmful()?;
            self.refuse_without_capacity(weight)?;
        }
        let what = if is_up { What::Advanced } else { What::Lowered };
        self.move_to(weight, what, format!("{hand} sets the weight"));
        Ok(true)
    }
}

// === impl Verb ===

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { new_users: false } => f.write_str("start"),
            Self::Start { new_users: true } => f.write_str("start --new-users"),
            Self::Pause => f.write_str("pause"),
            Self::HoldNoRollback => f.write_str("hold --no-rollback"),
            Self::Resume => f.write_str("resume"),
            Self::Advance => f.write_str("advance"),
            Self::Approve => f.write_str("approve"),
            Self::Rollback => f.write_str("rollback"),
            Self::Promote => f.write_str("promote"),
            Self::Weight(weight) => write!(f, "weight {} %", percent(*weight)),
        }
    }
}

/// The first who says it is who has said it: a second time has no effect, and is not recorded.
fn put(hand: &mut Option<Hand>, by: &Hand) -> bool {
    let is_new = hand.is_none();
    hand.get_or_insert_with(|| by.clone());
    is_new
}

// === impl Refusal ===

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}
