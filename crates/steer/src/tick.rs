//! One tick: what is known becomes the next weight, or the reason why not.

use crate::actions::{About, Action, Kind, Step, What};
use crate::at::At;
use crate::inputs::Inputs;
use crate::plan::{Mode, OnInconclusive, Plan, Rollback, Start};
use crate::state::{Leg, Outcome, Stage, State};
use crate::text::{duration, percent};
use crate::verdict::{Verdict, Weighed, proof};

/// Observed seconds after which people are told that a release is held.
const LASTS: u64 = 15 * 60;

/// The next state of a rollout, what to do, and why it does not move.
///
/// It is a function: the same plan, state and inputs give the same step. Record the state first, by compare-and-set; where
/// that fails, forget the step.
pub fn tick(plan: &Plan, state: &State, inputs: &Inputs) -> Step {
    let mut at = At::new(plan, state, inputs);
    at.observe_time();
    at.state.notices.retain(|notice| !inputs.delivered.contains(&notice.id));
    match plan.mode {
        _ if inputs.deleted => at.delete(),
        Mode::Judge => at.judge_only(),
        Mode::Steer => at.steer(),
    }
    at.tell_of_a_lasting_hold();
    at.into_step()
}

// === impl At ===

impl At<'_> {
    /// Counts the time since the last tick, at most two ticks of it: a clock that jumps forwards skips no dwell, and one
    /// that jumps backwards makes nobody wait twice.
    fn observe_time(&mut self) {
        let now = self.inputs.now;
        let passed = self.state.ticked.map_or(0, |before| now.saturating_sub(before));
        self.elapsed = passed.min(2 * self.inputs.tick);
        self.state.ticked = Some(now);
        let (elapsed, is_published) = (self.elapsed, self.is_published());
        if let Some(release) = self.state.release.as_mut().filter(|release| release.outcome.is_none()) {
            release.life.age += elapsed;
            // A weight that nobody has published is not dwelt on.
            if is_published {
                release.here.dwelt += elapsed;
            }
        }
    }

    /// Tells people once at each weight when something that does not pass by itself has held the release for long.
    fn tell_of_a_lasting_hold(&mut self) {
        let holding: Vec<&str> = self
            .conditions
            .iter()
            .filter(|condition| condition.holds && !condition.kind.is_ordinary())
            .map(|condition| condition.message.as_str())
            .collect();
        let message = format!(
            "held for {} at {} %: {}",
            duration(LASTS),
            percent(self.state.weight),
            holding.join("; ")
        );
        let (is_held, elapsed) = (!holding.is_empty(), self.elapsed);
        let Some(release) = self.state.release.as_mut().filter(|release| release.outcome.is_none()) else {
            return;
        };
        let before = release.here.stuck;
        // What has been told stays so: a trouble that comes and goes is not told each time.
        release.here.stuck = match is_held {
            true => before.saturating_add(elapsed),
            false if before >= LASTS => before,
            false => 0,
        };
        if before < LASTS && release.here.stuck >= LASTS {
            self.notify(About::Held, message);
        }
    }

    fn steer(&mut self) {
        // A plan that was `mode: judge` before: what was told then is nothing that holds later.
        self.state.told = None;
        self.state.drawn_ahead = false;
        self.take_policy();
        let is_mixed = self.look_underneath();
        match self.state.stage {
            Stage::Idle | Stage::RolledBack => self.rest(),
            Stage::Progressing => self.progress(is_mixed),
            Stage::Promoting(leg) => self.promote(leg, is_mixed),
            Stage::RollingBack { waited } => self.go_on_back(waited),
        }
    }

    /// Takes the policy as it is written now, unless it would draw users anew who are on the canary.
    pub(crate) fn take_policy(&mut self) {
        let written = &self.inputs.policy;
        match &self.state.policy {
            Some(taken) if taken.digest == written.digest => return,
            Some(taken) if taken.draw != written.draw && self.state.weight > 0 => {
                let message = "the changed policy would draw users anew while some are on the canary, so the one before \
                               stays in force; take back the change of salt, identity or algorithm, or roll back first";
                return self.hold(Kind::Policy, message.to_owned());
            }
            Some(_) => {
                self.record(What::PolicyChanged, "the policy is another one; evidence goes on under it")
            }
            None => {}
        }
        self.state.take(written);
    }

    /// Everybody goes to stable before the rollout may be forgotten.
    fn delete(&mut self) {
        if self.state.weight > 0 {
            self.move_to(0, What::Lowered, "the rollout is deleted: everybody goes to stable first");
        }
        if self.state.going_on().is_some() {
            self.end(Outcome::Superseded, Stage::Idle);
            self.record(What::Superseded, "the rollout is deleted");
            self.notify(About::Superseded, "the rollout is deleted");
        }
        self.state.stage = Stage::Idle;
        self.state.scale_down = false;
        if self.is_published() || self.inputs.published.is_none() {
            self.act(Action::Forget);
        }
        self.hold(Kind::Deleted, "the rollout is deleted".to_owned());
    }

    /// No release: is there one to begin?
    fn rest(&mut self) {
        self.finish_scale_down();
        // Said before anybody begins a release, and so that nobody has to begin one for it.
        self.hold_for_obstacles();
        if self.state.stage == Stage::RolledBack {
            let version = self.state.rolled_back.as_ref();
            let what = version.map_or("rolled back".to_owned(), |it| format!("version {it} was rolled back"));
            self.decided = Some(format!("{what}{}; start retries it", self.taken_back()));
        }
        let (Start::OnNewVersion, Some(workloads)) = (self.plan.start, &self.inputs.workloads) else {
            return self.stay("no release; start begins one");
        };
        let canary = &workloads.canary;
        if canary.version == workloads.stable.version {
            return self.stay("no release: the canary runs stable's version");
        }
        if self.state.rolled_back.as_ref() == Some(&canary.version) {
            return self.stay("no release: the canary's version was rolled back; start retries it");
        }
        self.decided = None;
        self.is_due = true;
        if !canary.is_settled() {
            let (version, ready, replicas) = (&canary.version, canary.ready, canary.replicas);
            let mixed = if canary.updating { ", not all of them new" } else { "" };
            let why = canary.why();
            let message =
                format!("version {version} is new and has {ready} of {replicas} replicas ready{mixed}{why}");
            self.hold(Kind::Workload, message);
        }
        self.hold_for_people();
        if self.is_held() {
            return;
        }
        self.begin(self.new_salt(), &format!("the canary runs the new version {}", canary.version));
        self.progress(false);
    }

    /// Why the users of the latest release were sent back, to be put behind what is said of that.
    fn taken_back(&self) -> String {
        let why = self.state.release.as_ref().and_then(|release| release.taken_back.as_ref());
        why.map(|why| format!(": {why}")).unwrap_or_default()
    }

    /// No release begins, and what is missing for one is said before anybody wants one.
    fn stay(&mut self, message: &str) {
        let decided = self.decided.take().unwrap_or_else(|| message.to_owned());
        let said = std::iter::once(decided).chain(self.inputs.obstacles.iter().cloned());
        self.decided = Some(said.collect::<Vec<_>>().join("; "));
    }

    /// Judges, and goes up where nothing holds.
    pub(crate) fn progress(&mut self, is_mixed: bool) {
        let mut is_safe = false;
        if self.state.weight > 0 {
            match self.weigh(is_mixed) {
                Some(safe) => is_safe = safe,
                None => return,
            }
        } else if self.is_harmful() {
            // It lost its users for another reason, before this could be done.
            let why = "harm is proved by the evidence from before";
            match &self.state.no_rollback {
                None => return self.roll_back(why),
                Some(hand) => {
                    self.hold(Kind::Alarm, format!("{why}, and {hand} forbids the rollback"));
                }
            }
        }
        self.hold_for_people();
        self.hold_for_obstacles();
        self.hold_for_step(is_safe);
        let next = self.plan.next(self.state.weight).map(|step| step.weight);
        if let Some(lacks) = self.lacks_capacity(next.unwrap_or(1_000_000)) {
            self.hold(Kind::Capacity, lacks);
        }
        // What runs since this tick has been on no step yet.
        if is_mixed && !self.is_held() {
            self.hold(Kind::Workload, "another version runs since this tick".to_owned());
        }
        if self.is_held() {
            return;
        }
        let from = percent(self.state.weight);
        match next {
            Some(weight) => {
                self.verdict = Verdict::Advance;
                let message = format!("advances from {from} % to {} %", percent(weight));
                self.move_to(weight, What::Advanced, &message);
                self.decided = Some(message);
            }
            None => {
                let why = match is_safe {
                    true => "every guard is proved safe",
                    false => "the plan promotes without proof of safety",
                };
                self.begin_promotion(why);
                self.promote(Leg::Rising, false);
            }
        }
    }

    /// Whether harm is proved in this evidence life.
    pub(crate) fn is_harmful(&self) -> bool {
        self.state.going_on().is_some_and(|release| release.life.harmful)
    }

    pub(crate) fn begin_promotion(&mut self, why: &str) {
        self.verdict = Verdict::Promote;
        self.state.stage = Stage::Promoting(Leg::Rising);
        self.record(What::Promotes, why);
        self.notify(About::Promotes, format!("promotes: {why}"));
    }

    /// Takes in evidence. Rolls back on harm, and then there is nothing more to do; otherwise says what is doubted, and
    /// whether every guard is safe.
    pub(crate) fn weigh(&mut self, is_mixed: bool) -> Option<bool> {
        let assessment = self.judge(is_mixed)?;
        let weighed = Weighed::of(&assessment);
        if let Some(release) = &mut self.state.release {
            release.life.harmful = !weighed.harms.is_empty();
        }
        if !weighed.harms.is_empty() {
            let proofs: Vec<String> = assessment.harms().map(proof).collect();
            let why = proofs.join("; ");
            if let Some(hand) = &self.state.no_rollback {
                let message = format!("harm is proved, and {hand} forbids the rollback: {why}");
                self.hold(Kind::Alarm, message);
                return Some(false);
            }
            self.verdict = Verdict::Rollback;
            if self.plan.mode == Mode::Judge {
                self.hold(Kind::Harm, why);
                return Some(false);
            }
            self.roll_back(&why);
            return None;
        }
        for doubt in weighed.doubts {
            self.hold(Kind::Untrusted, doubt);
        }
        Some(weighed.is_safe)
    }

    fn go_on_back(&mut self, waited: u64) {
        self.verdict = Verdict::Rollback;
        let is_published = self.is_published();
        let canary = self.inputs.workloads.as_ref().map(|workloads| &workloads.canary);
        if let Some(canary) = canary.filter(|canary| self.state.weight > 0 && canary.ready == 0) {
            let why = format!("the canary has no ready replica{}", canary.why());
            self.move_to(0, What::Lowered, why);
        } else if self.state.weight > 0 {
            let waited = if is_published { waited + self.elapsed } else { waited };
            self.state.stage = Stage::RollingBack { waited };
            let every = match self.plan.rollback {
                Rollback::AtOnce => 0,
                Rollback::Down { every, .. } => every,
            };
            if waited >= every {
                self.state.stage = Stage::RollingBack { waited: 0 };
                let down = self.plan.first_back(self.state.weight);
                self.move_to(down, What::Lowered, "the rollback goes on");
            }
        } else if is_published {
            self.end(Outcome::RolledBack, Stage::RolledBack);
            self.record(What::RolledBack, "all users are on stable");
            self.notify(About::RolledBack, "rolled back: all users are on stable");
            self.decided = Some(format!("rolled back{}; all users are on stable", self.taken_back()));
            return;
        }
        let why = self.inputs.unpublished.as_ref().filter(|_| !is_published);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        self.decided = Some(format!("rolls back, now {} %{why}", percent(self.state.weight)));
    }

    /// What is missing for a higher weight, of all that this step asks for.
    pub(crate) fn hold_for_step(&mut self, is_safe: bool) {
        crate::gates::hold_for_step(self);
        let is_last = self.plan.next(self.state.weight).is_none();
        if is_last && !is_safe && self.plan.on_inconclusive == OnInconclusive::Hold {
            let message = "safety is not proved yet in every guard, and the plan promotes only then";
            self.hold(Kind::Inconclusive, message.to_owned());
        }
    }
}
