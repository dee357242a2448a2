//! A history while it is played, and what must hold at each of its steps.

use coalmine_steer::inputs::{Inputs, Workloads};
use coalmine_steer::plan::{Capacity, Rollback};
use coalmine_steer::simulate::{Cluster, Crash, Random, World};
use coalmine_steer::state::Leg;
use coalmine_steer::{Action, Moment, Request, Stage, State, Step, Verb, What, tick};

use crate::moments::{Op, Setup};

/// How far histories got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) steps: u64,
    pub(crate) advanced: u64,
    pub(crate) rolled_back: u64,
    pub(crate) by_harm: u64,
    pub(crate) promoted: u64,
    pub(crate) superseded: u64,
    pub(crate) refused: u64,
    pub(crate) lives: u64,
}

/// What happened at the weight in force, by a count of its own.
#[derive(Clone, Debug, Default)]
struct Here {
    dwelt: u64,
    requests: u64,
    approved: bool,
    gate: bool,
}

/// A history while it is played.
pub(crate) struct Told {
    world: World,
    other: coalmine_steer::Plan,
    random: Random,
    here: Here,
    ticked: Option<u64>,
    moments: Vec<(coalmine_steer::Plan, Moment)>,
    pub(crate) seen: Seen,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.advanced += other.advanced;
        self.rolled_back += other.rolled_back;
        self.by_harm += other.by_harm;
        self.promoted += other.promoted;
        self.superseded += other.superseded;
        self.refused += other.refused;
        self.lives += other.lives;
    }
}

macro_rules! must {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}

impl Told {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut world = World::new(setup.plan.clone(), setup.traffic, setup.proxies);
        if setup.workloads {
            world.cluster = Some(Cluster::new(4, 4));
        }
        world.policy.baseline = setup.baseline;
        Self {
            world,
            other: setup.other.clone(),
            random: Random::new(setup.seed),
            here: Here::default(),
            ticked: None,
            moments: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Where it stands, in a line.
    pub(crate) fn line(&self) -> String {
        let state = &self.world.state;
        let published = self.world.published.as_ref().and_then(|published| published.form.weight);
        format!(
            "{:?} {} ppm, published {published:?}, {}: {}",
            state.stage, state.weight, state.said.verdict, state.said.message
        )
    }

    pub(crate) fn play(&mut self, op: &Op) -> Result<(), String> {
        let world = &mut self.world;
        match op {
            Op::Ticks(count, crash) => {
                for place in 1..=*count {
                    self.tick(if place == *count { *crash } else { Crash::None })?;
                }
            }
            Op::Says(verb, crash) => return self.say(*verb, *crash),
            Op::ServerAway(seconds) => world.pass(*seconds, &mut self.random),
            Op::CanaryFails(share) => {
                world.rates.get_mut("errors").unwrap().canary = *share;
            }
            Op::BothFail(share) => {
                let rates = world.rates.get_mut("errors").unwrap();
                (rates.stable, rates.canary) = (*share, *share);
            }
            Op::Policy { draw } => {
                world.policy.digest.push('x');
                if *draw {
                    world.policy.draw.push('x');
                }
            }
            Op::Lag(who, lag) => {
                if let Some(proxy) = world.proxies.get_mut(*who) {
                    proxy.lag = *lag;
                }
            }
            Op::Away(who, is_away) => {
                if let Some(proxy) = world.proxies.get_mut(*who) {
                    proxy.is_away = *is_away;
                }
            }
            Op::SourceAway(is_away) => world.is_source_away = *is_away,
            Op::Frozen(is_frozen) => world.frozen = is_frozen.then(|| "a test".to_owned()),
            Op::Gates(pass) => world.gates_pass = *pass,
            Op::ClockJumps(seconds) => world.clock += seconds,
            Op::OtherPlan => std::mem::swap(&mut world.plan, &mut self.other),
            Op::Deleted => world.is_deleted = true,
            _ => self.change_workloads(op),
        }
        Ok(())
    }

    fn change_workloads(&mut self, op: &Op) {
        let Some(cluster) = &mut self.world.cluster else { return };
        match op {
            Op::NewCanary(version) => cluster.renew_canary(&format!("v{version}")),
            Op::NewStable(version) => cluster.renew_stable(&format!("v{version}")),
            Op::StableAsCanary => {
                let version = cluster.canary.version.clone();
                cluster.renew_stable(&version);
            }
            Op::CanaryRestarts => cluster.restart_canary(),
            Op::CanaryReplicas(replicas) => cluster.scale_canary(*replicas),
            Op::StableReady(ready) => cluster.stable.ready = *ready,
            _ => {}
        }
    }

    fn tick(&mut self, crash: Crash) -> Result<(), String> {
        self.world.pass(self.world.tick, &mut self.random);
        let before = self.world.state.clone();
        let published = self.world.publications.len();
        let (inputs, step) = self.world.tick_once(crash);
        must!(step == tick(&self.world.plan, &before, &inputs), "the same inputs give another step");
        self.seen.steps += 1;
        let mut here = self.here.clone();
        if inputs.published.as_ref().is_some_and(|it| it.form == before.form(&self.world.plan)) {
            let passed = self.ticked.map_or(0, |ticked| inputs.now.saturating_sub(ticked));
            here.dwelt += passed.min(2 * inputs.tick);
        }
        here.requests += requests(&inputs);
        here.gate |= inputs.gates.values().any(|answer| answer.passed && answer.weight == before.weight);
        self.check_tick(&before, &inputs, &step, &here)?;
        if crash == Crash::BeforeRecord {
            must!(self.world.state == before, "a step that was not recorded is not forgotten");
            must!(self.world.publications.len() == published, "a step that was not recorded is published");
            return Ok(());
        }
        self.here = here;
        self.ticked = Some(inputs.now);
        self.keep(&before, inputs, None, &step)
    }

    fn say(&mut self, verb: Verb, crash: Crash) -> Result<(), String> {
        let before = self.world.state.clone();
        let request = Request { verb, by: "alice".to_owned(), message: String::new() };
        let Ok((inputs, step)) = self.world.say(&request, crash) else {
            self.seen.refused += 1;
            return Ok(());
        };
        let harmful = before.release.as_ref().is_some_and(|it| it.outcome.is_none() && it.life.harmful);
        let is_up = step.state.weight > before.weight;
        must!(!(harmful && is_up), "a verb raises the weight of a canary that is proved harmful");
        must!(
            !is_up || can_carry(&self.world, &inputs, step.state.weight),
            "a verb goes beyond the replicas"
        );
        self.check_always(&before, &inputs, &step)?;
        if crash == Crash::BeforeRecord {
            return Ok(());
        }
        if verb == Verb::Approve {
            self.here.approved = true;
        }
        self.keep(&before, inputs, Some(request), &step)
    }

    /// Keeps a moment that was recorded.
    fn keep(
        &mut self,
        before: &State,
        inputs: Inputs,
        request: Option<Request>,
        step: &Step,
    ) -> Result<(), String> {
        let life = |state: &State| {
            state.release.as_ref().map(|release| (release.number, release.life.number, release.here.entered))
        };
        if step.state.weight != before.weight || life(&step.state) != life(before) {
            self.here = Here::default();
        }
        for action in &step.actions {
            let Action::Record(event) = action else { continue };
            match event.what {
                What::Advanced => self.seen.advanced += 1,
                What::RollsBack if request.is_none() => self.seen.by_harm += 1,
                What::RolledBack => self.seen.rolled_back += 1,
                What::Promoted => self.seen.promoted += 1,
                What::Superseded => self.seen.superseded += 1,
                What::NewLife => self.seen.lives += 1,
                _ => {}
            }
        }
        if let Some(published) = self.world.publications.last() {
            must!(published.form.weight <= Some(1_000_000), "a weight above 100 % is published");
        }
        self.moments.push((self.world.plan.clone(), Moment { inputs, request }));
        Ok(())
    }

    fn check_tick(&self, before: &State, inputs: &Inputs, step: &Step, here: &Here) -> Result<(), String> {
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

    fn check_always(&self, before: &State, inputs: &Inputs, step: &Step) -> Result<(), String> {
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

    /// The recorded moments, fed back one by one through their written form, give the same state.
    pub(crate) fn replay(&self) -> Result<(), String> {
        let mut state = State::default();
        for (place, (plan, moment)) in self.moments.iter().enumerate() {
            // Writing and reading each moment is what takes the time; some are enough.
            let again = match place % 16 {
                0 => {
                    let text = serde_json::to_string(&(moment, &state)).unwrap();
                    let (moment, read): (Moment, State) = serde_json::from_str(&text).unwrap();
                    must!(read == state, "a state is another one when it is read");
                    moment.play(plan, &read)
                }
                _ => moment.play(plan, &state),
            };
            state =
                again.map_err(|refusal| format!("moment {place} is refused in the replay: {refusal}"))?.state;
            // The world takes delivered notices out of the record.
            state.notices.clear();
        }
        let mut last = self.world.state.clone();
        last.notices.clear();
        must!(state == last, "the history, fed back, gives another state");
        Ok(())
    }
}

/// Requests of the canary in the first guard.
fn requests(inputs: &Inputs) -> u64 {
    let counted = inputs.proxies.iter().filter_map(|proxy| proxy.counted.as_ref());
    counted
        .flat_map(|counted| counted.guards.get("errors"))
        .flat_map(|it| &it.canary)
        .map(|[all, _]| *all)
        .sum()
}

fn can_carry(world: &World, inputs: &Inputs, weight: u32) -> bool {
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
