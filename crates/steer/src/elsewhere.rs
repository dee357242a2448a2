//! `mode: judge`: another controller moves the weights, and Coalmine answers for the verdict alone.

use crate::actions::{About, Kind, What};
use crate::at::At;
use crate::gates;
use crate::plan::OnInconclusive;
use crate::state::{Outcome, Stage};
use crate::text::percent;
use crate::verbs::{Refusal, refuse};
use crate::verdict::Verdict;

/// Seconds without a user on the canary after which users are drawn anew for the next release: by then every proxy has the
/// other controller's last routes, which a new draw would otherwise meet.
const DRAWN_AFTER: u64 = 30;

// === impl At ===

impl At<'_> {
    pub(crate) fn judge_only(&mut self) {
        self.take_policy();
        // What is read wins, and stays what is known last: an older word must not come back when it cannot be read.
        if self.inputs.held.is_some() {
            self.state.told = None;
        }
        let held = self.held();
        self.draw_ahead(held);
        let Some(held) = held else {
            let message =
                "the weight that the other controller holds is not known; the verb weights tells it";
            return self.hold(Kind::NoEvidence, message.to_owned());
        };
        self.follow(held);
        if self.state.stage != Stage::Progressing {
            // It asks before its first weight too, when there are no requests of a canary that evidence could be of.
            self.hold_for_people();
            // It would meet the first users.
            if !self.state.drawn_ahead || !self.is_published() {
                self.hold(Kind::Proxies, "users are drawn for the next release".to_owned());
            }
            if !self.is_held() {
                self.verdict = Verdict::Advance;
                self.decided = Some(
                    "no release: the other controller sends no user to the canary, and may begin".to_owned(),
                );
            }
            return;
        }
        let is_mixed = self.follow_versions();
        if self.state.weight >= 1_000_000 {
            return self.judge_all();
        }
        let Some(is_safe) = self.weigh(is_mixed) else { return };
        if self.verdict == Verdict::Rollback {
            return;
        }
        self.hold_for_people();
        if self.state.weight == 0 {
            return self
                .hold(Kind::Workload, "the other controller has taken the users back for now".to_owned());
        }
        self.hold_for_obstacles();
        gates::hold_for_step(self);
        let is_last = self.plan.next(self.state.weight).is_none();
        if is_last && !is_safe && self.plan.on_inconclusive == OnInconclusive::Hold {
            self.hold(Kind::Inconclusive, "safety is not proved yet in every guard".to_owned());
        }
        if self.is_held() {
            return;
        }
        self.verdict = if is_last { Verdict::Promote } else { Verdict::Advance };
        let weight = percent(self.state.weight);
        self.decided = Some(match is_last {
            true => format!("{weight} % may be promoted"),
            false => format!("{weight} % may be raised"),
        });
    }

    /// The verdict while the canary has all users: what was proved before it got them is all that there will be.
    fn judge_all(&mut self) {
        self.hold_for_people();
        self.hold_for_obstacles();
        if !self.is_held() {
            self.verdict = Verdict::Promote;
            self.decided = Some("100 % may be promoted: there is nobody left to compare with".to_owned());
        }
    }

    /// The weight that the other controller holds: what is read there, or else what somebody said.
    fn held(&self) -> Option<u32> {
        self.inputs.held.or(self.state.told).map(|held| held.min(1_000_000))
    }

    /// Takes it from somebody that the other controller holds this weight now.
    pub(crate) fn say_held(&mut self, weight: u32) -> Result<bool, Refusal> {
        if self.inputs.held.is_some() {
            return refuse("the weight is read where the other controller holds it; nobody has to say it");
        }
        if self.state.told == Some(weight) {
            return Ok(false);
        }
        self.state.told = Some(weight);
        self.take_policy();
        self.follow(weight);
        // What was said of the weight before says nothing of this one, unless it is that users are hurt.
        if self.verdict != Verdict::Rollback || self.state.going_on().is_none() {
            self.verdict = Verdict::Hold;
        }
        Ok(true)
    }

    /// Takes the weight that the other controller holds.
    fn follow(&mut self, held: u32) {
        let goes_on = self.state.going_on().is_some();
        match (held, goes_on) {
            (0, false) => self.state.stage = Stage::Idle,
            (0, true) if !self.is_over_there() => {
                if self.state.weight > 0 {
                    self.move_to(0, What::Lowered, "the other controller took the users back");
                }
            }
            (0, true) => {
                let outcome = self.outcome();
                self.move_to(0, What::Lowered, "the other controller took all users back");
                self.end(outcome, Stage::Idle);
                let what = match outcome {
                    Outcome::Promoted => What::Promoted,
                    Outcome::RolledBack => What::RolledBack,
                    Outcome::Superseded => What::Superseded,
                };
                self.record(what, "the other controller ended the release");
                let about = match outcome {
                    Outcome::Promoted => About::Promoted,
                    Outcome::RolledBack => About::RolledBack,
                    Outcome::Superseded => About::Superseded,
                };
                self.notify(about, "the other controller ended the release");
            }
            (_, false) => {
                let drawn = self.state.salt.clone().unwrap_or_else(|| self.new_salt());
                self.begin(drawn, "the other controller sends users to the canary");
                let version = self.version_there();
                if let Some(release) = self.state.release.as_mut().filter(|_| self.inputs.workloads.is_none())
                {
                    release.canary = version;
                }
                self.move_to(held, What::Advanced, "the other controller holds this weight");
            }
            (_, true) if held != self.state.weight => {
                let what = if held > self.state.weight { What::Advanced } else { What::Lowered };
                self.move_to(held, what, "the other controller holds this weight");
            }
            (_, true) => {}
        }
    }

    /// Draws users for the next release while nobody is on the canary. The other controller's first weight is in the proxies
    /// before it is known here, so a draw together with it would take users there and back.
    fn draw_ahead(&mut self, held: Option<u32>) {
        let is_due = match (held, &self.state.release) {
            (Some(0), Some(release)) => {
                release.outcome.is_some()
                    && self.inputs.now >= release.here.entered.saturating_add(DRAWN_AFTER)
            }
            (Some(0) | None, None) => self.state.salt.is_none(),
            _ => false,
        };
        if is_due && !self.state.drawn_ahead {
            self.state.salt = Some(self.new_salt());
            self.state.drawn_ahead = true;
        }
    }

    /// How a release ended that another controller ended.
    fn outcome(&self) -> Outcome {
        match self.inputs.holder.as_ref().and_then(|holder| holder.ended) {
            // What it runs everywhere is another version: the one before, or one that came later.
            Some(Outcome::Promoted) if self.is_another_version() => return Outcome::RolledBack,
            Some(told) => return told,
            None if self.state.said.verdict == Verdict::Rollback => return Outcome::RolledBack,
            None => {}
        }
        let canary = self.state.release.as_ref().and_then(|release| release.canary.as_ref());
        match (&self.inputs.workloads, canary) {
            (Some(workloads), Some(canary)) if workloads.stable.version == *canary => Outcome::Promoted,
            _ => Outcome::Superseded,
        }
    }

    /// Whether the release of the other controller is over. It also takes all users back for a while, as when the canary has no
    /// ready replica.
    fn is_over_there(&self) -> bool {
        let Some(holder) = &self.inputs.holder else { return true };
        holder.ended.is_some() || self.is_another_version()
    }

    /// Whether the other controller releases another version than that of the release.
    fn is_another_version(&self) -> bool {
        let known = self.state.going_on().and_then(|release| release.canary.clone());
        known.zip(self.version_there()).is_some_and(|(known, there)| known != there)
    }

    /// The version that the other controller says it releases, where no workload says it.
    fn version_there(&self) -> Option<String> {
        let holder = self.inputs.holder.as_ref().filter(|_| self.inputs.workloads.is_none())?;
        holder.version.clone()
    }

    /// Takes the versions that there are. Evidence of others begins anew.
    fn follow_versions(&mut self) -> bool {
        if self.is_another_version() {
            let version = self.version_there();
            if let Some(release) = &mut self.state.release {
                release.canary = version;
            }
            self.new_life("another version runs");
            return true;
        }
        let Some(workloads) = &self.inputs.workloads else { return false };
        let versions = (Some(workloads.canary.version.clone()), Some(workloads.stable.version.clone()));
        let Some(release) = &mut self.state.release else { return false };
        let before = (release.canary.clone(), release.stable.clone());
        let is_changed = before != versions;
        if is_changed {
            (release.canary, release.stable) = versions;
            self.new_life("another version runs");
        }
        is_changed || workloads.canary.updating || workloads.stable.updating
    }
}
