//! The end of a release: the canary to 100 %, stable renewed, users back on stable.

use crate::actions::{About, Action, Kind, What};
use crate::at::At;
use crate::inputs::Workloads;
use crate::plan::Promote;
use crate::state::{Leg, Outcome, Stage};
use crate::text::percent;
use crate::verdict::Verdict;

// === impl At ===

impl At<'_> {
    /// Goes on with a promotion.
    pub(crate) fn promote(&mut self, leg: Leg, is_mixed: bool) {
        // What changed underneath may have gone on to another leg.
        match self.state.stage {
            Stage::Promoting(Leg::Rising) => self.rise(leg, is_mixed),
            Stage::Promoting(Leg::Full) => self.wait_for_stable(),
            Stage::Promoting(Leg::Returning) => self.walk_back(),
            Stage::Progressing => self.progress(is_mixed),
            Stage::Idle | Stage::RollingBack { .. } | Stage::RolledBack => {}
        }
    }

    /// Stable is still the old version, so harm still rolls back.
    fn rise(&mut self, leg: Leg, is_mixed: bool) {
        // On the tick of the verdict the evidence has been taken in already.
        let is_new = leg == Leg::Rising && self.verdict == Verdict::Promote;
        if !is_new && self.state.weight > 0 && self.weigh_harm(is_mixed) {
            return;
        }
        self.verdict = Verdict::Promote;
        self.hold_for_people();
        self.hold_for_obstacles();
        if let Some(lacks) = self.lacks_capacity(1_000_000) {
            self.hold(Kind::Capacity, lacks);
        }
        if self.is_held() {
            return;
        }
        self.move_to(1_000_000, What::Advanced, "the canary gets all users");
        self.state.stage = Stage::Promoting(Leg::Full);
        self.decided = Some("the canary gets all users; then stable is renewed".to_owned());
    }

    /// Whether harm is proved, and users are sent back. What is missing or doubted holds no promotion that is decided.
    fn weigh_harm(&mut self, is_mixed: bool) -> bool {
        let before = self.conditions.len();
        let is_back = self.weigh(is_mixed).is_none();
        let mut place = 0;
        self.conditions.retain(|condition| {
            place += 1;
            place <= before || matches!(condition.kind, Kind::Alarm | Kind::Harm)
        });
        is_back
    }

    /// The canary has all users, and there is nobody to compare it with.
    fn wait_for_stable(&mut self) {
        self.verdict = Verdict::Promote;
        let version = self.state.release.as_ref().and_then(|release| release.canary.clone());
        let (Some(Workloads { stable, .. }), Some(version)) = (&self.inputs.workloads, version) else {
            return self.decided_unless_held("the canary has all users; promote says that stable is renewed");
        };
        let is_new = stable.version == version;
        match self.plan.promote {
            Promote::WhenStableIsNew | Promote::Copy if is_new && stable.is_settled() => {
                self.state.stage = Stage::Promoting(Leg::Returning);
                self.record(What::Promotes, format!("stable runs version {version}; users go back to it"));
                self.walk_back();
            }
            Promote::WhenStableIsNew => {
                self.decided_unless_held(&format!("waits until stable runs version {version} and is ready"));
            }
            Promote::Copy => {
                if !is_new {
                    self.hold_for_people();
                    if !self.is_held() {
                        self.act(Action::CopyToStable { version: version.clone() });
                    }
                }
                self.decided_unless_held(&format!("stable gets version {version}"));
            }
            Promote::Manual => {
                self.decided_unless_held("the canary has all users; promote says that stable is renewed");
            }
        }
    }

    fn decided_unless_held(&mut self, message: &str) {
        if !self.is_held() {
            self.decided = Some(message.to_owned());
        }
    }

    /// Both arms are the new version: nobody changes version. Each step waits for stable's replicas.
    pub(crate) fn walk_back(&mut self) {
        self.verdict = Verdict::Promote;
        let is_published = self.is_published();
        if self.state.weight == 0 {
            if is_published {
                self.promoted();
            }
            return;
        }
        if self.inputs.workloads.is_none() && !self.inputs.obstacles.is_empty() {
            // Whether stable can carry them is not known, where it could be.
            return self.hold_for_obstacles();
        }
        let release = self.state.release.as_ref().and_then(|release| release.canary.as_ref());
        if let (Some(workloads), Some(version)) = (&self.inputs.workloads, release)
            && workloads.stable.version != *version
        {
            return self.alarm_about_stable();
        }
        let below = self.plan.below(self.state.weight);
        if let Some(lacks) = self.stable_lacks_capacity(below) {
            return self.hold(Kind::Capacity, lacks);
        }
        if !is_published {
            return;
        }
        let message = format!("both arms run the new version; the canary keeps {} %", percent(below));
        self.move_to(below, What::Lowered, &message);
        self.decided = Some(message);
    }

    fn promoted(&mut self) {
        let version = self.state.release.as_ref().and_then(|release| release.canary.clone());
        let why = match version {
            Some(version) => format!("all users have version {version}, on stable"),
            None => "all users have the new version, on stable".to_owned(),
        };
        self.end(Outcome::Promoted, Stage::Idle);
        self.state.scale_down = self.plan.scale_down_canary;
        self.record(What::Promoted, &why);
        self.notify(About::Promoted, format!("promoted: {why}"));
        self.decided = Some(format!("promoted: {why}"));
        self.finish_scale_down();
    }

    /// After a promotion the canary may go to 0, unless it is already something new.
    pub(crate) fn finish_scale_down(&mut self) {
        if !self.state.scale_down {
            return;
        }
        let Some(Workloads { stable, canary }) = &self.inputs.workloads else { return };
        if canary.replicas == 0 || canary.version != stable.version {
            self.state.scale_down = false;
            return;
        }
        self.act(Action::ScaleDownCanary);
    }
}
