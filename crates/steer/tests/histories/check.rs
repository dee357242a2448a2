//! What must hold at each step of a history.

use coalmine_steer::inputs::{Inputs, Workloads};
use coalmine_steer::plan::{Capacity, Rollback};
use coalmine_steer::simulate::World;
use coalmine_steer::state::Leg;
use coalmine_steer::{Action, Stage, State, Step, What};

use crate::told::{Here, Told};

impl Told {
    pub(crate) fn check_tick(
        &self,
        before: &State,
        inputs: &Inputs,
        step: &Step,
        here: &Here,
    ) -> Result<(), String> {
        self.check_always(before, inputs, step)?;
        let after = &step.state;
        let started =
            step.actions.iter().any(|it| matches!(it, Action::Record(event) if event.what == What::Started));
        if started {
            let Workloads { stable, canary } =
                inputs.workloads.as_ref().ok_or("a release starts by itself")?;
            must!(
                before.rolled_back.as_ref() != Some(&canary.version),
                "a rolled back version starts by itself"
            );
            must!(
                canary.version != stable.version && canary.is_settled(),
                "a start without a new, ready canary"
            );
        }
        if after.weight > before.weight {
            self.check_up(before, inputs, after, here)?;
        } else if after.weight < before.weight {
            self.check_down(before, inputs, after)?;
        }
        self.check_harm(before, inputs, after, step)
    }

    fn check_up(&self, before: &State, inputs: &Inputs, after: &State, here: &Here) -> Result<(), String> {
        let plan = &self.world.plan;
        must!(before.paused.is_none() && inputs.frozen.is_none(), "a move up while paused or frozen");
        must!(!inputs.deleted, "a move up while it is deleted");
        must!(can_carry(&self.world, inputs, after.weight), "a step beyond the canary's replicas");
        let is_judged = before.stage == Stage::Progressing && before.weight > 0;
        must!(!is_judged || inputs.source_away.is_none(), "a move up without evidence");
        let next = plan.next(before.weight).map(|step| step.weight);
        match after.weight {
            1_000_000 if before.stage == Stage::Promoting(Leg::Rising) => return Ok(()),
            1_000_000 => must!(next.is_none(), "100 % before the last step"),
            weight => must!(next == Some(weight), "{weight} is not the next step after {}", before.weight),
        }
        if before.stage != Stage::Progressing {
            return Ok(());
        }
        if before.weight > 0 {
            let (have, need) = (here.requests, plan.min_requests);
            must!(have >= need, "a step up after {have} of {need} requests");
        }
        let Some(step) = plan.step_at(before.weight) else { return Ok(()) };
        must!(here.dwelt >= step.dwell, "a step up after {} of {} s", here.dwelt, step.dwell);
        must!(!step.approval || here.approved, "a step up without approval");
        must!(step.gate.is_none() || here.gate, "a step up without its gate");
        Ok(())
    }

    fn check_down(&self, before: &State, inputs: &Inputs, after: &State) -> Result<(), String> {
        let plan = &self.world.plan;
        let release = before.release.as_ref().ok_or("weight without a release")?;
        let (weight, from) = (after.weight, before.weight);
        if let Stage::RollingBack { .. } = after.stage {
            let planned = match &plan.rollback {
                Rollback::AtOnce => weight == 0,
                Rollback::Down { weights, .. } => weight == 0 || weights.contains(&weight),
            };
            must!(planned, "a rollback to {weight}, which is no weight of it");
            return Ok(());
        }
        if inputs.deleted {
            must!(weight == 0, "a deletion leaves {weight}");
            return Ok(());
        }
        let workloads = inputs.workloads.as_ref();
        let without_pods = workloads.is_some_and(|it| it.canary.ready == 0);
        let is_new_canary = workloads.is_some_and(|it| release.canary.as_ref() != Some(&it.canary.version));
        let stable_changed = workloads.is_some_and(|it| release.stable.as_ref() != Some(&it.stable.version));
        let stable_is_new = workloads
            .is_none_or(|it| release.canary.as_ref() == Some(&it.stable.version) && it.stable.is_settled());
        // Once stable is being changed, only a stable that is new and ready gets users back.
        if matches!(before.stage, Stage::Promoting(Leg::Full | Leg::Returning)) && stable_changed {
            must!(stable_is_new, "users go to a stable that is not ready");
        }
        let first = plan.steps.first().map_or(0, |step| step.weight);
        let is_walk =
            weight == plan.below(from) && stable_is_new && stable_can_carry(&self.world, inputs, weight);
        must!(
            weight == 0 && (without_pods || is_new_canary || stable_changed)
                || weight == first && is_new_canary
                || is_walk && matches!(after.stage, Stage::Promoting(Leg::Returning)),
            "from {from} down to {weight} without a reason, {:?} to {:?}",
            before.stage,
            after.stage
        );
        Ok(())
    }

    /// Harm that is proved sends users back in the next publication.
    fn check_harm(&self, before: &State, inputs: &Inputs, after: &State, step: &Step) -> Result<(), String> {
        // Where somebody made stable the same version, there is nothing to send users back to.
        let canary = before.release.as_ref().and_then(|release| release.canary.as_ref());
        let stable_is_new = inputs.workloads.as_ref().is_some_and(|it| canary == Some(&it.stable.version));
        let is_judged =
            matches!(before.stage, Stage::Progressing | Stage::Promoting(Leg::Rising)) && !stable_is_new;
        let harmful = after.release.as_ref().is_some_and(|it| it.outcome.is_none() && it.life.harmful);
        if !is_judged || !harmful || before.no_rollback.is_some() {
            return Ok(());
        }
        must!(
            matches!(after.stage, Stage::RollingBack { .. }) || after.weight == 0,
            "harm is proved, and nothing is done"
        );
        if self.world.plan.rollback == Rollback::AtOnce {
            must!(after.weight == 0, "harm is proved, and {} stays", after.weight);
        }
        let published = step.actions.first();
        let is_published =
            matches!(published, Some(Action::Publish(form)) if form.weight == Some(after.weight));
        must!(
            is_published || before.weight == after.weight,
            "harm is proved, and the first action is {published:?}"
        );
        Ok(())
    }

    pub(crate) fn check_always(&self, before: &State, inputs: &Inputs, step: &Step) -> Result<(), String> {
        let after = &step.state;
        must!(!after.said.message.is_empty(), "nothing is said");
        must!(after.weight <= 1_000_000, "a weight above 100 %");
        let has_users = before.weight > 0 && after.weight > 0;
        let draw =
            |state: &State| (state.salt.clone(), state.policy.as_ref().map(|policy| policy.draw.clone()));
        must!(!has_users || draw(before) == draw(after), "users are drawn anew while some are on the canary");
        let published = inputs.published.as_ref();
        let form = after.form(&self.world.plan);
        let publishes = matches!(step.actions.first(), Some(Action::Publish(said)) if *said == form);
        must!(publishes || published.is_some_and(|it| it.form == form), "what is recorded is not published");
        if step.actions.contains(&Action::Forget) {
            must!(
                published.is_none_or(|it| it.form.weight == Some(0)),
                "forgotten while users are on the canary"
            );
        }
        must!(
            matches!(after.stage, Stage::Progressing | Stage::Promoting(_) | Stage::RollingBack { .. })
                || after.weight == 0,
            "users on the canary without a release"
        );
        Ok(())
    }
}

pub(crate) fn can_carry(world: &World, inputs: &Inputs, weight: u32) -> bool {
    let Some(Workloads { stable, canary }) = &inputs.workloads else { return true };
    carries(world, canary.ready, stable.ready, weight)
}

fn stable_can_carry(world: &World, inputs: &Inputs, weight: u32) -> bool {
    let Some(Workloads { stable, canary }) = &inputs.workloads else { return true };
    carries(world, stable.ready, canary.ready, 1_000_000 - weight)
}

fn carries(world: &World, ready: u32, of: u32, share: u32) -> bool {
    let needed = (f64::from(of) * f64::from(share) / 1e6 - 1e-9).ceil().max(1.0);
    match world.plan.capacity {
        Capacity::Replicas => f64::from(ready) >= needed,
        Capacity::Ready => ready >= 1,
    }
}
