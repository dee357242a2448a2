//! One moment of a rollout, while its step is being made.

use crate::actions::{About, Action, Condition, Event, Kind, Notice, Step, What};
use crate::inputs::{Inputs, Workloads};
use crate::plan::{Capacity, Plan};
use crate::state::{Hand, Here, Life, Outcome, Phase, Release, Said, Stage, Standing, State};
use crate::text::percent;
use crate::verdict::Verdict;

/// The most notices that are kept; the oldest are given up.
const MAX_NOTICES: usize = 20;

/// A state on its way to the next one.
pub(crate) struct At<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) inputs: &'a Inputs,
    pub(crate) state: State,
    /// Observed seconds since the last tick.
    pub(crate) elapsed: u64,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) verdict: Verdict,
    /// What was decided, where something was.
    pub(crate) decided: Option<String>,
    /// Whether a release begins as soon as nothing holds it.
    pub(crate) is_due: bool,
    actions: Vec<Action>,
}

// === impl At ===

impl<'a> At<'a> {
    pub(crate) fn new(plan: &'a Plan, state: &State, inputs: &'a Inputs) -> Self {
        Self {
            plan,
            inputs,
            state: state.clone(),
            elapsed: 0,
            conditions: Vec::new(),
            verdict: Verdict::Hold,
            decided: None,
            is_due: false,
            actions: Vec::new(),
        }
    }

    /// Says something that holds the rollout.
    pub(crate) fn hold(&mut self, kind: Kind, message: String) {
        self.conditions.push(Condition { kind, holds: true, message });
    }

    /// Says something that does not.
    pub(crate) fn note(&mut self, kind: Kind, message: String) {
        self.conditions.push(Condition { kind, holds: false, message });
    }

    pub(crate) fn is_held(&self) -> bool {
        self.conditions.iter().any(|condition| condition.holds)
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn record(&mut self, what: What, why: impl Into<String>) {
        let event = Event { at: self.inputs.now, what, weight: self.state.weight, why: why.into() };
        self.actions.push(Action::Record(event));
    }

    /// Tells people, where the plan names notifiers.
    pub(crate) fn notify(&mut self, about: About, message: impl Into<String>) {
        if self.plan.notify.is_empty() {
            return;
        }
        let message = format!("{}: {}", self.inputs.name, message.into());
        let id = self.state.next_notice;
        self.state.next_notice += 1;
        let (at, weight) = (self.inputs.now, self.state.weight);
        let release = self.state.release.as_ref().map_or(0, |release| release.number);
        self.state.notices.push(Notice {
            id,
            about,
            at,
            release,
            weight,
            to: self.plan.notify.clone(),
            message,
        });
        let surplus = self.state.notices.len().saturating_sub(MAX_NOTICES);
        self.state.notices.drain(..surplus);
    }

    /// Whether the latest publication says what the state says.
    pub(crate) fn is_published(&self) -> bool {
        let form = self.state.form(self.plan);
        self.inputs.published.as_ref().is_some_and(|published| published.form == form)
    }

    /// Changes the weight. What happened at the old one is over.
    pub(crate) fn move_to(&mut self, weight: u32, what: What, why: impl Into<String>) {
        self.state.weight = weight;
        self.enter();
        self.record(what, why);
    }

    /// Begins the time at the weight in force.
    pub(crate) fn enter(&mut self) {
        let entered = self.inputs.now;
        if let Some(release) = &mut self.state.release {
            release.here = Here { entered, ..Here::default() };
        }
    }

    /// Begins evidence anew: another canary, another stable, or a source that cannot be compared with the one before.
    pub(crate) fn new_life(&mut self, why: &str) {
        let Some(release) = &mut self.state.release else { return };
        let number = release.life.number.saturating_add(1);
        release.life = Life { number, ..Life::default() };
        self.enter();
        self.record(What::NewLife, why);
    }

    /// Begins a release at weight 0; the first step is a step like every other.
    pub(crate) fn begin(&mut self, salt: String, why: &str) {
        let workloads = self.inputs.workloads.as_ref();
        self.state.release = Some(Release {
            number: self.state.release.as_ref().map_or(0, |release| release.number) + 1,
            started: self.inputs.now,
            canary: workloads.map(|workloads| workloads.canary.version.clone()),
            stable: workloads.map(|workloads| workloads.stable.version.clone()),
            life: Life { number: 1, ..Life::default() },
            here: Here::default(),
            outcome: None,
            taken_back: None,
        });
        self.state.salt = Some(salt);
        self.state.drawn_ahead = false;
        self.state.stage = Stage::Progressing;
        self.state.scale_down = false;
        self.state.no_rollback = None;
        self.move_to(0, What::Started, why);
        self.notify(About::Started, format!("a release begins: {why}"));
    }

    /// A salt for a new draw.
    pub(crate) fn new_salt(&self) -> String {
        let fixed = self.inputs.policy.salt.clone();
        fixed.unwrap_or_else(|| format!("{}-{}", self.inputs.name, self.inputs.now))
    }

    /// Ends the release.
    pub(crate) fn end(&mut self, outcome: Outcome, stage: Stage) {
        if let Some(release) = &mut self.state.release {
            release.outcome = Some(outcome);
        }
        self.state.stage = stage;
    }

    /// Sends users back.
    pub(crate) fn roll_back(&mut self, why: &str) {
        self.state.stage = Stage::RollingBack { waited: 0 };
        let version = self.state.release.as_ref().and_then(|release| release.canary.clone());
        if version.is_some() {
            self.state.rolled_back = version;
        }
        if let Some(release) = &mut self.state.release {
            release.taken_back = Some(why.to_owned());
        }
        let from = percent(self.state.weight);
        self.move_to(self.plan.first_back(self.state.weight), What::RollsBack, why);
        self.notify(About::RollsBack, format!("rolls back from {from} %: {why}"));
        self.decided = Some(format!("rolls back from {from} %: {why}"));
    }

    /// What the canary lacks to carry this weight; nothing where its replicas are not known.
    pub(crate) fn lacks_capacity(&self, weight: u32) -> Option<String> {
        let Workloads { stable, canary } = self.inputs.workloads.as_ref()?;
        let needed = match self.plan.capacity {
            Capacity::Replicas => replicas_for(weight, stable.ready),
            Capacity::Ready => 1,
        };
        let needed = needed.max(1);
        (canary.ready < needed).then(|| {
            format!(
                "canary has {} of {} replicas ready{}, and {} % of the users need {needed}",
                canary.ready,
                canary.replicas,
                canary.why(),
                percent(weight)
            )
        })
    }

    /// What stable lacks to carry all but this weight; nothing where its replicas are not known.
    pub(crate) fn stable_lacks_capacity(&self, weight: u32) -> Option<String> {
        let Workloads { stable, canary } = self.inputs.workloads.as_ref()?;
        let share = 1_000_000 - weight.min(1_000_000);
        let needed = match self.plan.capacity {
            Capacity::Replicas => replicas_for(share, canary.ready),
            Capacity::Ready => 1,
        };
        let needed = needed.max(1);
        if stable.is_settled() && stable.ready >= needed {
            return None;
        }
        Some(format!(
            "stable has {} of {} replicas ready{}, and {} % of the users need {needed}",
            stable.ready,
            stable.replicas,
            if stable.updating { ", not all of them new" } else { "" },
            percent(share)
        ))
    }

    /// The step: a publication first, then the rest.
    pub(crate) fn into_step(mut self) -> Step {
        let message = self.message();
        let since = match self.state.said.verdict == self.verdict {
            true => self.state.said.since,
            false => self.inputs.now,
        };
        let (phase, standing) = (self.phase(), self.standing());
        self.state.said = Said { verdict: self.verdict, message, since, phase, standing };
        let mut actions = Vec::new();
        if !self.is_published() {
            actions.push(Action::Publish(self.state.form(self.plan)));
        }
        actions.append(&mut self.actions);
        actions.extend(self.state.notices.iter().cloned().map(Action::Notify));
        Step { state: self.state, actions, conditions: self.conditions }
    }

    fn message(&self) -> String {
        if let Some(decided) = &self.decided {
            return decided.clone();
        }
        let holding: Vec<&str> = self
            .conditions
            .iter()
            .filter(|condition| condition.holds)
            .map(|condition| condition.message.as_str())
            .collect();
        let at = percent(self.state.weight);
        match holding.is_empty() {
            true => format!("stays at {at} %"),
            false => format!("holds at {at} %: {}", holding.join("; ")),
        }
    }

    /// What people see of the stage.
    pub(crate) fn phase(&self) -> Phase {
        let is_paused = self.state.paused.is_some();
        match self.state.stage {
            Stage::Idle => Phase::Idle,
            Stage::RolledBack => Phase::RolledBack,
            Stage::RollingBack { .. } => Phase::RollingBack,
            Stage::Progressing | Stage::Promoting(_) if is_paused => Phase::Paused,
            Stage::Promoting(_) => Phase::Promoting,
            Stage::Progressing => {
                let mut holding = self.conditions.iter().filter(|condition| condition.holds);
                let approval = self.conditions.iter().any(|condition| condition.kind == Kind::Approval);
                match approval && holding.all(|condition| condition.kind.is_for_people()) {
                    true => Phase::WaitingForApproval,
                    false => Phase::Progressing,
                }
            }
        }
    }

    /// What the rollout asks of whoever waits for it.
    fn standing(&self) -> Standing {
        let mut holding = self.conditions.iter().filter(|condition| condition.holds);
        let is_stuck = holding.any(|condition| condition.kind.is_for_a_decision());
        // The version that was rolled back is no longer what the canary is to run.
        let workloads = self.inputs.workloads.as_ref();
        let is_taken_back = workloads.is_some_and(|it| it.canary.version == it.stable.version);
        match self.state.stage {
            _ if is_stuck => Standing::Stuck,
            Stage::Progressing | Stage::Promoting(_) => Standing::Moving,
            Stage::RollingBack { .. } => Standing::Stuck,
            Stage::RolledBack if !self.is_due && !is_taken_back => Standing::Stuck,
            Stage::Idle | Stage::RolledBack if !self.inputs.obstacles.is_empty() => Standing::Lacking,
            Stage::Idle | Stage::RolledBack if self.is_due => Standing::Moving,
            Stage::Idle | Stage::RolledBack => Standing::Settled,
        }
    }

    /// Says what is missing around the workloads, which holds.
    pub(crate) fn hold_for_obstacles(&mut self) {
        for obstacle in &self.inputs.obstacles {
            self.hold(Kind::Workload, obstacle.clone());
        }
    }

    /// Holds for what a person, the server or a refusal stops: upward moves.
    pub(crate) fn hold_for_people(&mut self) {
        if let Some(paused) = self.state.paused.as_ref().map(Hand::to_string) {
            self.hold(Kind::Paused, format!("paused by {paused}"));
        }
        if let Some(why) = &self.inputs.frozen {
            self.hold(Kind::Frozen, format!("the server is frozen: {why}"));
        }
        if let Some(why) = &self.inputs.refused {
            self.hold(Kind::Policy, format!("a proxy refuses the policy: {why}"));
        }
    }
}

/// Replicas that carry a share, in parts per million, of what so many carry.
fn replicas_for(share: u32, of: u32) -> u32 {
    (u64::from(share) * u64::from(of)).div_ceil(1_000_000) as u32
}
