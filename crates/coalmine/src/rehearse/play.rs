//! One rehearsal: the world goes on, the server ticks, people do what people do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coalmine_judge::Arms;
use coalmine_steer::plan::{Mode, Plan, Promote};
use coalmine_steer::simulate::{Cluster, Crash, Exposure, Random, World};
use coalmine_steer::state::Leg;
use coalmine_steer::{
    Action, Condition, Inputs, Kind, Moment, Outcome, Phase, Request, Stage, Step, Verb, Verdict, What,
};
use serde::Serialize;

use super::happening::{Happening, Scheduled};
use crate::failure::Failure;

/// For how many ticks missing evidence holds before it is worth a line.
const LASTS: u32 = 4;

/// What is rehearsed.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) plan: Plan,
    pub(super) has_baseline: bool,
    pub(super) traffic: f64,
    pub(super) rates: Vec<(String, Arms<f64>)>,
    pub(super) proxies: usize,
    /// Replicas, where workloads are known.
    pub(super) replicas: Option<Arms<u32>>,
    /// In the order of their times.
    pub(super) happenings: Vec<Scheduled>,
    /// Seconds that people take.
    pub(super) people: u64,
    /// Weights of another controller, in parts per million.
    pub(super) elsewhere: Vec<u32>,
    pub(super) every: u64,
    pub(super) limit: u64,
}

/// A line of the timeline.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Seconds since the beginning.
    pub(super) seconds: u64,
    /// Canary's weight in parts per million.
    pub(super) weight: u32,
    pub(super) verdict: Verdict,
    pub(super) what: Said,
    pub(super) why: String,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Happened(What),
    /// What holds the rollout is something else than before.
    Holds,
    /// A verb was refused.
    Refused,
}

/// A tick, for the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) seconds: u64,
    pub(super) weight: u32,
    pub(super) exposure: Exposure,
}

/// A rehearsal that is over.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
    pub(super) moves: Vec<Moved>,
    /// How the release ended; none where it did not.
    pub(super) outcome: Option<Outcome>,
    pub(super) phase: Phase,
    pub(super) message: String,
    /// Seconds until the end.
    pub(super) seconds: u64,
    pub(super) exposure: Exposure,
    /// The largest weight that was in force, in parts per million.
    pub(super) most: u32,
    /// Every moment with its step, as JSON lines.
    pub(super) history: String,
}

/// A moment of the history with its step.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    moment: &'a Moment,
    step: &'a Step,
}

/// A rehearsal that goes on.
struct Rehearsal<'a> {
    setup: &'a Setup,
    world: World,
    played: Played,
    keeps_history: bool,
    seconds: u64,
    server_away_until: u64,
    source_away_until: u64,
    /// Since when people are waited for.
    asked_since: Option<u64>,
    conditions: Vec<Condition>,
    /// When the latest release ended.
    ended: Option<u64>,
    /// For how many ticks each kind of condition has held.
    held_by: BTreeMap<Kind, u32>,
}

/// Plays the rehearsal of this seed.
pub(super) fn once(setup: &Setup, seed: u64, keeps_history: bool) -> Result<Played, Failure> {
    play(setup, &mut Random::new(seed), keeps_history)
}

/// Plays a rehearsal with these random numbers.
pub(super) fn play(setup: &Setup, random: &mut Random, keeps_history: bool) -> Result<Played, Failure> {
    let mut rehearsal = Rehearsal::new(setup, keeps_history);
    let mut happenings = setup.happenings.iter().peekable();
    loop {
        while let Some(happening) = happenings.next_if(|it| it.at <= rehearsal.seconds) {
            rehearsal.happen(&happening.what)?;
        }
        if rehearsal.seconds >= rehearsal.server_away_until {
            rehearsal.do_as_people_do()?;
            rehearsal.tick()?;
        }
        let is_over = rehearsal.is_over() && happenings.peek().is_none();
        if is_over || rehearsal.seconds >= setup.limit {
            return Ok(rehearsal.finish());
        }
        rehearsal.world.pass(setup.every, random);
        rehearsal.seconds += setup.every;
    }
}

// === impl Rehearsal ===

impl<'a> Rehearsal<'a> {
    fn new(setup: &'a Setup, keeps_history: bool) -> Self {
        let mut world = World::new(setup.plan.clone(), setup.traffic, setup.proxies);
        world.name.clone_from(&setup.name);
        world.tick = setup.every;
        world.policy.baseline = setup.has_baseline;
        world.rates.extend(setup.rates.iter().cloned());
        world.cluster = setup.replicas.map(|replicas| Cluster::new(replicas.stable, replicas.canary));
        if setup.plan.mode == Mode::Judge {
            world.held = Some(0);
        }
        let played = Played {
            name: setup.name.clone(),
            lines: Vec::new(),
            moves: Vec::new(),
            outcome: None,
            phase: Phase::Idle,
            message: String::new(),
            seconds: 0,
            exposure: Exposure::default(),
            most: 0,
            history: String::new(),
        };
        Self {
            setup,
            world,
            played,
            keeps_history,
            seconds: 0,
            server_away_until: 0,
            source_away_until: 0,
            asked_since: None,
            conditions: Vec::new(),
            ended: None,
            held_by: BTreeMap::new(),
        }
    }

    fn is_over(&self) -> bool {
        let is_at_rest = matches!(self.world.state.stage, Stage::Idle | Stage::RolledBack);
        let has_ended = self.world.state.release.as_ref().is_some_and(|release| release.outcome.is_some());
        is_at_rest && has_ended || self.world.is_forgotten
    }

    fn happen(&mut self, what: &Happening) -> Result<(), Failure> {
        let world = &mut self.world;
        let no_workloads = || {
            Failure::usage(
                "the rollout names no workloads, so none can change",
                "give it workloads, or leave it out",
            )
        };
        match what {
            Happening::Errors { stable, canary } => {
                for rates in world.rates.values_mut() {
                    rates.stable = stable.unwrap_or(rates.stable);
                    rates.canary = canary.unwrap_or(rates.canary);
                }
            }
            Happening::Traffic(traffic) => world.traffic = *traffic,
            Happening::CanaryVersion(version) => {
                world.cluster.as_mut().ok_or_else(no_workloads)?.renew_canary(version);
            }
            Happening::StableVersion(version) => {
                world.cluster.as_mut().ok_or_else(no_workloads)?.renew_stable(version);
            }
            Happening::CanaryReplicas(replicas) => {
                world.cluster.as_mut().ok_or_else(no_workloads)?.scale_canary(*replicas);
            }
            Happening::RestartCanary => world.cluster.as_mut().ok_or_else(no_workloads)?.restart_canary(),
            Happening::Lag(_) | Happening::ProxyLeaves | Happening::ProxyReturns => {
                if let Some(last) = world.proxies.last_mut() {
                    match what {
                        Happening::Lag(lag) => last.lag = *lag,
                        _ => last.is_away = *what == Happening::ProxyLeaves,
                    }
                }
            }
            Happening::ServerAway(seconds) => self.server_away_until = self.seconds + seconds,
            Happening::SourceAway(seconds) => self.source_away_until = self.seconds + seconds,
            Happening::Clock(seconds) => world.clock += seconds,
            Happening::Gates(pass) => world.gates_pass = *pass,
            Happening::Frozen(is_frozen) => world.frozen = is_frozen.then(|| "rehearsed".to_owned()),
            Happening::Deleted => world.is_deleted = true,
            Happening::Says(verb) => return self.say(*verb),
        }
        Ok(())
    }

    /// What people, and another controller, do by themselves in time.
    fn do_as_people_do(&mut self) -> Result<(), Failure> {
        if self.setup.plan.mode == Mode::Judge {
            self.move_elsewhere();
            return Ok(());
        }
        let state = &self.world.state;
        let is_new = state.release.is_none() && state.stage == Stage::Idle;
        if is_new && self.setup.plan.start == coalmine_steer::plan::Start::Manual {
            return self.say(Verb::Start { new_users: false });
        }
        let waits_for_approval = self.conditions.iter().any(|condition| condition.kind == Kind::Approval);
        let waits_for_stable = state.stage == Stage::Promoting(Leg::Full);
        if !waits_for_approval && !waits_for_stable {
            self.asked_since = None;
            return Ok(());
        }
        let since = *self.asked_since.get_or_insert(self.seconds);
        if self.seconds - since < self.setup.people {
            return Ok(());
        }
        if waits_for_approval {
            self.asked_since = None;
            return self.say(Verb::Approve);
        }
        let version = state.release.as_ref().and_then(|release| release.canary.clone());
        match (&mut self.world.cluster, version) {
            (Some(cluster), Some(version)) => {
                if self.setup.plan.promote != Promote::Copy {
                    cluster.renew_stable(&version);
                }
                if self.setup.plan.promote == Promote::Manual && cluster.stable.is_settled() {
                    return self.say(Verb::Promote);
                }
                Ok(())
            }
            _ => self.say(Verb::Promote),
        }
    }

    /// Another controller raises the weight when the verdict lets it, takes all users back when it must, and at the end
    /// renews stable.
    fn move_elsewhere(&mut self) {
        let held = self.world.held.unwrap_or_default();
        let next = self.setup.elsewhere.iter().copied().find(|weight| *weight > held);
        let is_promoted = held == 1_000_000;
        let held = match (self.world.state.said.verdict, next) {
            _ if self.world.state.release.is_none() => self.setup.elsewhere.first().copied().unwrap_or(held),
            (Verdict::Rollback, _) => 0,
            (Verdict::Advance | Verdict::Promote, Some(weight)) if held > 0 => weight,
            (Verdict::Promote, None) if held > 0 && !is_promoted => 1_000_000,
            _ => held,
        };
        self.world.held = Some(held);
        let canary = self.world.state.release.as_ref().and_then(|release| release.canary.clone());
        if !is_promoted {
            return;
        }
        if let (Some(cluster), Some(version)) = (&mut self.world.cluster, canary) {
            cluster.renew_stable(&version);
            if !cluster.stable.is_settled() {
                return;
            }
        }
        self.world.held = Some(0);
    }

    fn say(&mut self, verb: Verb) -> Result<(), Failure> {
        let request = Request { verb, by: "a person".to_owned(), message: String::new() };
        match self.world.say(&request, Crash::None) {
            Ok((inputs, step)) => self.keep(inputs, Some(request), step),
            Err(refusal) => {
                self.line(self.world.state.weight, Said::Refused, format!("{verb}: {refusal}"));
                Ok(())
            }
        }
    }

    fn tick(&mut self) -> Result<(), Failure> {
        self.world.is_source_away = self.seconds < self.source_away_until;
        let (inputs, step) = self.world.tick_once(Crash::None);
        self.conditions.clone_from(&step.conditions);
        self.keep(inputs, None, step)?;
        self.tell_holding();
        let (weight, exposure) = (self.world.state.weight, self.world.exposure());
        self.played.most = self.played.most.max(weight);
        self.played.moves.push(Moved { seconds: self.seconds, weight, exposure });
        Ok(())
    }

    fn keep(&mut self, inputs: Inputs, request: Option<Request>, step: Step) -> Result<(), Failure> {
        for action in &step.actions {
            if let Action::Record(event) = action {
                if matches!(event.what, What::Promoted | What::RolledBack | What::Superseded) {
                    self.ended = Some(self.seconds);
                }
                self.line(event.weight, Said::Happened(event.what), event.why.clone());
            }
        }
        if self.keeps_history {
            let moment = Moment { inputs, request };
            let line = serde_json::to_string(&Written { moment: &moment, step: &step })
                .map_err(|error| Failure::Write(error.into()))?;
            let _ = writeln!(self.played.history, "{line}");
        }
        Ok(())
    }

    /// A line where something else holds than before. What every step asks for goes without saying, and so does what lasts
    /// a moment after each change.
    fn tell_holding(&mut self) {
        let is_told = |condition: &&Condition| match condition.kind {
            Kind::Dwell | Kind::Requests | Kind::Inconclusive => false,
            Kind::Proxies => condition.message.contains("left out:"),
            _ => condition.holds,
        };
        let told: Vec<Condition> = self.conditions.iter().filter(is_told).cloned().collect();
        self.held_by.retain(|kind, _| told.iter().any(|condition| condition.kind == *kind));
        let weight = self.world.state.weight;
        let mut before = None;
        for condition in told {
            if before.replace(condition.kind) == Some(condition.kind) {
                continue;
            }
            let ticks = self.held_by.entry(condition.kind).or_default();
            *ticks += 1;
            let is_fleeting = matches!(condition.kind, Kind::NoEvidence | Kind::Untrusted | Kind::Proxies);
            if *ticks == if is_fleeting { LASTS } else { 1 } {
                self.line(weight, Said::Holds, condition.message);
            }
        }
    }

    fn line(&mut self, weight: u32, what: Said, why: String) {
        let verdict = self.world.state.said.verdict;
        self.played.lines.push(Line { seconds: self.seconds, weight, verdict, what, why });
    }

    fn finish(mut self) -> Played {
        let state = &self.world.state;
        self.played.outcome = state.release.as_ref().and_then(|release| release.outcome);
        self.played.phase = state.said.phase;
        self.played.message.clone_from(&state.said.message);
        let ended = self.ended.filter(|_| self.played.outcome.is_some());
        self.played.seconds = ended.unwrap_or(self.seconds);
        self.played.exposure = self.world.exposure();
        self.played
    }
}
