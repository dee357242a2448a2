//! A history while it is played.

use coalmine_steer::inputs::Inputs;
use coalmine_steer::simulate::{Cluster, Crash, Random, World};
use coalmine_steer::{Action, Moment, Request, State, Step, Verb, What, tick};

use crate::check::can_carry;
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
pub(crate) struct Here {
    pub(crate) dwelt: u64,
    pub(crate) requests: u64,
    pub(crate) approved: bool,
    pub(crate) gate: bool,
}

/// A history while it is played.
pub(crate) struct Told {
    pub(crate) world: World,
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
        let entered = before.release.as_ref().map(|release| release.here.entered);
        here.gate |= inputs
            .gates
            .values()
            .any(|answer| answer.passed && answer.weight == before.weight && Some(answer.entered) == entered);
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
