//! A rollout in a simulated world, told moment by moment.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use coalmine_document::Notation;
use coalmine_judge::Arms;
use coalmine_steer::actions::Condition;
use coalmine_steer::plan::Setting;
use coalmine_steer::simulate::{Cluster, Crash, Random, World};
use coalmine_steer::{About, Action, Form, Kind, Moment, Phase, Plan, Request, Step, Verb, What};

pub(crate) fn plan(text: &str, workloads: bool) -> Plan {
    let documents = Notation::Yaml.read(text).unwrap();
    match Plan::from_document(&documents[0], Setting { workloads }) {
        Ok(plan) => plan,
        Err(problems) => panic!("{problems}"),
    }
}

/// A rollout while it is told.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) random: Random,
    pub(crate) history: Vec<Moment>,
    /// Step of the latest moment.
    pub(crate) step: Option<Step>,
    /// What was recorded so far, and at which weight.
    pub(crate) events: Vec<(What, u32, String)>,
    /// What people were told so far.
    pub(crate) told: Vec<(About, String)>,
}

impl Story {
    /// On Kubernetes: stable with four replicas of version v1, the canary with four of v2.
    pub(crate) fn kubernetes(text: &str) -> Self {
        let mut story = Self::of(plan(text, true));
        story.world.cluster = Some(Cluster::new(4, 4));
        story
    }

    /// On plain Envoy: nothing is known of workloads.
    pub(crate) fn envoy(text: &str) -> Self {
        Self::of(plan(text, false))
    }

    pub(crate) fn of(plan: Plan) -> Self {
        let mut world = World::new(plan, 200.0, 4);
        for arms in world.rates.values_mut() {
            *arms = Arms { stable: 0.002, canary: 0.002 };
        }
        Self {
            world,
            random: Random::new(1),
            history: Vec::new(),
            step: None,
            events: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn cluster(&mut self) -> &mut Cluster {
        self.world.cluster.as_mut().unwrap()
    }

    /// Errors of the canary as a share.
    pub(crate) fn canary_fails(&mut self, share: f64) {
        self.world.rates.get_mut("errors").unwrap().canary = share;
    }

    fn keep(&mut self, inputs: coalmine_steer::Inputs, request: Option<Request>, step: Step) {
        for action in &step.actions {
            match action {
                Action::Record(event) => self.events.push((event.what, event.weight, event.why.clone())),
                Action::Notify(notice) => self.told.push((notice.about, notice.message.clone())),
                _ => {}
            }
        }
        self.history.push(Moment { inputs, request });
        self.step = Some(step);
    }

    pub(crate) fn tick(&mut self) -> &Step {
        self.world.pass(self.world.tick, &mut self.random);
        let (inputs, step) = self.world.tick_once(Crash::None);
        self.keep(inputs, None, step);
        self.step.as_ref().unwrap()
    }

    /// Ticks for so many seconds.
    pub(crate) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds / self.world.tick {
            self.tick();
        }
    }

    /// Ticks until this holds, for at most a day.
    pub(crate) fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..24 * 240 {
            if holds(self) {
                return;
            }
            self.tick();
        }
        panic!("never; at last: {:?}", self.world.state.said);
    }

    pub(crate) fn until_weight(&mut self, percent: u32) {
        self.until(|story| story.world.state.weight == percent * 10_000);
    }

    pub(crate) fn until_phase(&mut self, phase: Phase) {
        self.until(|story| story.phase() == phase);
    }

    pub(crate) fn say(&mut self, verb: Verb) -> Result<(), String> {
        let request = Request { verb, by: "alice".to_owned(), message: "because".to_owned() };
        match self.world.say(&request, Crash::None) {
            Ok((inputs, step)) => {
                self.keep(inputs, Some(request), step);
                Ok(())
            }
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    pub(crate) fn percent(&self) -> u32 {
        self.world.state.weight / 10_000
    }

    pub(crate) fn phase(&self) -> Phase {
        self.world.state.said.phase
    }

    pub(crate) fn message(&self) -> &str {
        &self.world.state.said.message
    }

    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.step.as_ref().unwrap().conditions
    }

    /// The sentence of a condition that stands now.
    pub(crate) fn condition(&self, kind: Kind) -> Option<&str> {
        let conditions = &self.step.as_ref()?.conditions;
        conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.message.as_str())
    }

    pub(crate) fn published(&self) -> &Form {
        &self.world.published.as_ref().unwrap().form
    }

    pub(crate) fn life(&self) -> u32 {
        self.world.state.release.as_ref().unwrap().life.number
    }

    pub(crate) fn happened(&self, what: What) -> usize {
        self.events.iter().filter(|(happened, ..)| *happened == what).count()
    }

    /// What people were told about, in the order in which they were.
    pub(crate) fn told(&self) -> Vec<About> {
        self.told.iter().map(|(about, _)| *about).collect()
    }

    /// Weights in percent that were published, each once while it lasted.
    pub(crate) fn weights(&self) -> Vec<u32> {
        let mut weights: Vec<u32> =
            self.world.publications.iter().filter_map(|it| it.form.weight).map(|ppm| ppm / 10_000).collect();
        weights.dedup();
        weights
    }
}
