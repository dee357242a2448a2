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
            if !self.is_held() {
                self.verdict = Verdict::Advance;
                self.decided = Some(
                    "no release: the other controller sends no user to the canary, and may begin".to_owned(),
                );
            }
            return;
        }
        let is_mixed = self.follow_versions();
        let mut is_safe = false;
        if self.state.weight < 1_000_000 {
            match self.weigh(is_mixed) {
                Some(safe) => is_safe = safe,
                None => return,
            }
        }
        if self.verdict == Verdict::Rollback {
            return;
        }
        self.hold_for_people();
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
        if self.state.said.verdict == Verdict::Rollback {
            return Outcome::RolledBack;
        }
        if let Some(told) = self.inputs.ended_there {
            return told;
        }
        let canary = self.state.release.as_ref().and_then(|release| release.canary.as_ref());
        match (&self.inputs.workloads, canary) {
            (Some(workloads), Some(canary)) if workloads.stable.version == *canary => Outcome::Promoted,
            _ => Outcome::Superseded,
        }
    }

    /// Takes the versions that there are. Evidence of others begins anew.
    fn follow_versions(&mut self) -> bool {
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
