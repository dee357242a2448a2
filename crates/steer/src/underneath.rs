//! When something changes underneath: versions and replicas.

use crate::actions::{About, Kind, What};
use crate::at::At;
use crate::inputs::{Workload, Workloads};
use crate::state::{Leg, Outcome, Stage};

/// Which versions are others than those of the release.
struct Changed {
    canary: bool,
    stable: bool,
}

// === impl At ===

impl At<'_> {
    /// Looks at versions and replicas. True if evidence of this tick is that of more than one version in an arm.
    pub(crate) fn look_underneath(&mut self) -> bool {
        let Some(workloads) = &self.inputs.workloads else { return false };
        let Some(release) = self.state.going_on() else { return false };
        let of = |known: &Option<String>, now: &Workload| known.as_ref() != Some(&now.version);
        let changed = Changed {
            canary: of(&release.canary, &workloads.canary),
            stable: of(&release.stable, &workloads.stable),
        };
        let stable_is_new = release.canary.as_ref() == Some(&workloads.stable.version);
        match self.state.stage {
            Stage::Progressing | Stage::Promoting(Leg::Rising) => {
                self.while_judged(workloads, &changed, stable_is_new);
            }
            Stage::Promoting(leg @ (Leg::Full | Leg::Returning)) => {
                self.while_promoted(leg, workloads, &changed, stable_is_new);
            }
            Stage::Idle | Stage::RollingBack { .. } | Stage::RolledBack => {}
        }
        if self.state.weight > 0 && workloads.canary.ready == 0 {
            self.without_canary(workloads, stable_is_new);
        }
        if !self.state.is_judged() {
            return false;
        }
        let mut is_mixed = changed.canary || changed.stable;
        for (name, workload) in [("canary", &workloads.canary), ("stable", &workloads.stable)] {
            if workload.updating {
                let Workload { version, ready, replicas, .. } = workload;
                let why = workload.why();
                let message = format!(
                    "{name} is being changed to version {version}, {ready} of {replicas} replicas ready{why}; evidence of two \
                     versions is left out"
                );
                self.hold(Kind::Workload, message);
                is_mixed = true;
            }
        }
        is_mixed
    }

    fn while_judged(&mut self, workloads: &Workloads, changed: &Changed, stable_is_new: bool) {
        let Workloads { stable, canary } = workloads;
        if changed.stable && stable_is_new {
            // Somebody renewed stable without waiting: what is left is the way back to it.
            self.state.stage = Stage::Promoting(Leg::Returning);
            let although = if self.is_harmful() { ", although harm is proved; a person decides" } else { "" };
            let why = format!("stable already runs the canary's version {}{although}", stable.version);
            self.record(What::Promotes, &why);
            self.notify(About::Attention, why);
        } else if canary.version == stable.version && (changed.canary || changed.stable) {
            let why = format!("the canary runs stable's version {}: nothing is released", stable.version);
            self.move_to(0, What::Lowered, &why);
            self.end(Outcome::Superseded, Stage::Idle);
            self.record(What::Superseded, &why);
            self.notify(About::Superseded, why);
        } else if changed.canary {
            self.new_canary(workloads);
        } else if changed.stable {
            let before = self.take_versions(workloads);
            self.state.stage = Stage::Progressing;
            let why = format!("stable changed from {before} to {}", stable.version);
            self.new_life(&why);
            self.notify(About::Attention, why);
        }
    }

    /// Another canary: at once the first step, the same salt, and evidence begins anew.
    fn new_canary(&mut self, workloads: &Workloads) {
        let before =
            self.state.release.as_ref().and_then(|release| release.canary.clone()).unwrap_or_default();
        self.take_versions(workloads);
        self.state.stage = Stage::Progressing;
        let why = format!("the canary changed from {before} to {}", workloads.canary.version);
        self.new_life(&why);
        let first = self.plan.steps.first().map_or(0, |step| step.weight);
        if self.state.weight > first {
            self.move_to(first, What::Lowered, &why);
        }
        self.notify(About::Attention, why);
    }

    /// The versions of the release are those of the workloads from now on. Gives stable's earlier one.
    fn take_versions(&mut self, workloads: &Workloads) -> String {
        let Some(release) = &mut self.state.release else { return String::new() };
        release.canary = Some(workloads.canary.version.clone());
        release.stable.replace(workloads.stable.version.clone()).unwrap_or_default()
    }

    /// The canary has all users, or did. Stable is being changed, so nothing but its readiness lets users go there.
    fn while_promoted(&mut self, leg: Leg, workloads: &Workloads, changed: &Changed, stable_is_new: bool) {
        let Workloads { stable, canary } = workloads;
        if changed.canary && !changed.stable {
            self.new_canary(workloads);
        } else if changed.stable && !stable_is_new {
            self.alarm_about_stable();
        } else if changed.canary {
            // Stable is the version that was judged; the canary is not any more.
            self.state.stage = Stage::Promoting(Leg::Returning);
            let message = format!(
                "the canary was changed to version {} while it has the users of the judged one; they go to stable as fast \
                 as it can carry them",
                canary.version
            );
            self.alarm(message);
        } else if leg == Leg::Full && stable_is_new && !stable.is_settled() {
            let (ready, replicas) = (stable.ready, stable.replicas);
            self.note(
                Kind::Workload,
                format!("stable is being renewed: {ready} of {replicas} replicas ready{}", stable.why()),
            );
        }
    }

    /// The canary lost its pods while it has users.
    fn without_canary(&mut self, workloads: &Workloads, stable_is_new: bool) {
        let why =
            format!("the canary has no ready replica{}: everybody goes to stable", workloads.canary.why());
        let stable_changed = self
            .state
            .going_on()
            .is_some_and(|release| release.stable.as_ref() != Some(&workloads.stable.version));
        match self.state.stage {
            Stage::Progressing | Stage::Promoting(Leg::Rising) => self.state.stage = Stage::Progressing,
            Stage::Promoting(Leg::Full) if !stable_changed => self.state.stage = Stage::Progressing,
            Stage::Promoting(_) if stable_is_new && workloads.stable.is_settled() => {
                self.state.stage = Stage::Promoting(Leg::Returning);
            }
            Stage::Promoting(_) => {
                let message =
                    "the canary has no ready replica and stable is not ready either: a person decides";
                return self.alarm(message.to_owned());
            }
            Stage::Idle | Stage::RollingBack { .. } | Stage::RolledBack => return,
        }
        self.move_to(0, What::Lowered, why.as_str());
        self.hold(Kind::Workload, why.clone());
        self.notify(About::Attention, why);
    }

    /// Stable runs neither the old version nor the judged one, or was taken back to the old one on the way to it.
    pub(crate) fn alarm_about_stable(&mut self) {
        let judged =
            self.state.release.as_ref().and_then(|release| release.canary.clone()).unwrap_or_default();
        let runs = self.inputs.workloads.as_ref().map_or("", |workloads| workloads.stable.version.as_str());
        let message = format!(
            "stable runs version {runs} and not the canary's {judged}: nobody is moved; a person decides"
        );
        if !self.conditions.iter().any(|condition| condition.message == message) {
            self.alarm(message);
        }
    }

    /// Something that only a person can decide; people are told once.
    pub(crate) fn alarm(&mut self, message: String) {
        if !self.state.said.message.contains(&message) {
            self.notify(About::Attention, message.clone());
        }
        self.hold(Kind::Alarm, message);
    }
}
