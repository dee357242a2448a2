//! A simulated service, its proxies and its workloads, steered by the same [`tick`](crate::tick()) as a real one.
//!
//! Requests arrive at random (Poisson), their users fall into 16 groups alike. A proxy obeys what it runs, which may be
//! older than what is published. Weights, evidence and failures are therefore those of the whole fleet.

mod cluster;
mod fleet;

use std::collections::BTreeMap;

pub use cluster::Cluster;
use coalmine_judge::Arms;
pub use coalmine_judge::simulate::{Random, repeat};
pub use fleet::{Exposure, SimulatedProxy};

use crate::actions::{Action, Step};
use crate::inputs::{GateAnswer, Holder, Inputs, Policy, Published};
use crate::plan::{Mode, Plan};
use crate::state::State;
use crate::verbs::{Refusal, Request, verb};

/// A service, its proxies, its workloads and the server that steers it.
#[derive(Clone, Debug)]
pub struct World {
    /// The plan in force.
    pub plan: Plan,
    /// Name of the rollout.
    pub name: String,
    /// The time, in seconds since 1970.
    pub time: u64,
    /// How many seconds the server's clock is ahead.
    pub clock: i64,
    /// Seconds between two ticks.
    pub tick: u64,
    /// Requests per second, of both arms together.
    pub traffic: f64,
    /// Share of bad requests of each guard in each arm.
    pub rates: BTreeMap<String, Arms<f64>>,
    /// The policy part of the rollout.
    pub policy: Policy,
    /// The proxies.
    pub proxies: Vec<SimulatedProxy>,
    /// The workloads, where they are known.
    pub cluster: Option<Cluster>,
    /// What is missing around the workloads, each as a sentence.
    pub obstacles: Vec<String>,
    /// Whether evidence cannot be read.
    pub is_source_away: bool,
    /// Whether gates pass.
    pub gates_pass: bool,
    /// Why the server is frozen, where it is.
    pub frozen: Option<String>,
    /// Whether the rollout is being deleted.
    pub is_deleted: bool,
    /// Canary's weight that another controller holds.
    pub held: Option<u32>,
    /// What that controller says of its release, where it is read.
    pub holder: Option<Holder>,
    /// Whether the server can read that there; otherwise somebody has to tell it.
    pub is_held_read: bool,
    /// The record in the store.
    pub state: State,
    /// The latest publication of this rollout's form.
    pub published: Option<Published>,
    /// All publications, for tests.
    pub publications: Vec<Published>,
    /// Whether the rollout was let go.
    pub is_forgotten: bool,
    asked: BTreeMap<String, (u64, u32, u64)>,
    revision: u64,
}

/// Where a server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It does not.
    None,
    /// Before it recorded the step: the step is forgotten.
    BeforeRecord,
    /// Between the record and the publication.
    BeforePublication,
    /// Between the publication and the rest.
    AfterPublication,
}

// === impl World ===

impl World {
    /// A world with this plan, so many proxies, and no bad request.
    pub fn new(plan: Plan, traffic: f64, proxies: usize) -> Self {
        let rates = plan.guards.iter().map(|guard| (guard.name.clone(), Arms::default())).collect();
        Self {
            plan,
            name: "checkout".to_owned(),
            time: 1_800_000_000,
            clock: 0,
            tick: 15,
            traffic,
            rates,
            policy: Policy { digest: "p1".to_owned(), draw: "d1".to_owned(), ..Policy::default() },
            proxies: (1..=proxies).map(SimulatedProxy::new).collect(),
            cluster: None,
            obstacles: Vec::new(),
            is_source_away: false,
            gates_pass: true,
            frozen: None,
            is_deleted: false,
            held: None,
            holder: None,
            is_held_read: true,
            state: State::default(),
            published: None,
            publications: Vec::new(),
            is_forgotten: false,
            asked: BTreeMap::new(),
            revision: 100,
        }
    }

    /// Lets time pass for the service: requests come, proxies take what was published, replicas get ready.
    pub fn pass(&mut self, seconds: u64, random: &mut Random) {
        self.time += seconds;
        let held = self.held.filter(|_| self.plan.mode == Mode::Judge);
        let present = self.proxies.iter().filter(|proxy| !proxy.is_away).count().max(1);
        let requests = self.traffic * seconds as f64 / present as f64;
        for proxy in &mut self.proxies {
            proxy.take(self.time - seconds);
            proxy.serve(&self.plan, requests, &self.rates, held, self.time, random);
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.pass(seconds);
        }
    }

    /// What the server knows now.
    pub fn inputs(&self) -> Inputs {
        let gates = self.asked.iter().map(|(gate, (release, weight, entered))| {
            let message = if self.gates_pass { "" } else { "not yet" };
            let answer = GateAnswer {
                release: *release,
                weight: *weight,
                entered: *entered,
                passed: self.gates_pass,
                message: message.to_owned(),
            };
            (gate.clone(), answer)
        });
        Inputs {
            now: self.time.saturating_add_signed(self.clock),
            tick: self.tick,
            name: self.name.clone(),
            policy: self.policy.clone(),
            workloads: self.cluster.as_ref().map(Cluster::workloads),
            obstacles: self.obstacles.clone(),
            published: self.published.clone(),
            unpublished: None,
            refused: None,
            proxies: match self.is_source_away {
                true => Vec::new(),
                false => self.proxies.iter().filter_map(SimulatedProxy::seen).collect(),
            },
            queried: BTreeMap::new(),
            source_away: self.is_source_away.then(|| "Prometheus does not answer".to_owned()),
            gates: gates.collect(),
            frozen: self.frozen.clone(),
            deleted: self.is_deleted,
            held: self.held.filter(|_| self.is_held_read),
            holder: self.holder.clone(),
            delivered: Vec::new(),
        }
    }

    /// One tick of the server on what it knows now: the inputs, and the step that came of them.
    pub fn tick_once(&mut self, crash: Crash) -> (Inputs, Step) {
        let inputs = self.inputs();
        let step = crate::tick(&self.plan, &self.state, &inputs);
        if crash != Crash::BeforeRecord {
            // What was taken in is recorded with the state; what was not is read again.
            self.proxies.iter_mut().for_each(|proxy| proxy.read(inputs.source_away.is_none()));
        }
        self.carry_out(&step, crash);
        (inputs, step)
    }

    /// What a person says.
    ///
    /// # Errors
    /// The verb is refused.
    pub fn say(&mut self, request: &Request, crash: Crash) -> Result<(Inputs, Step), Refusal> {
        let inputs = self.inputs();
        let step = verb(&self.plan, &self.state, &inputs, request)?;
        self.carry_out(&step, crash);
        Ok((inputs, step))
    }

    /// Records a step and does what it says, as far as the server gets.
    fn carry_out(&mut self, step: &Step, crash: Crash) {
        if crash == Crash::BeforeRecord {
            return;
        }
        self.state = step.state.clone();
        if crash == Crash::BeforePublication {
            return;
        }
        for action in &step.actions {
            match action {
                Action::Publish(form) => {
                    self.revision += 1;
                    let published = Published { form: form.clone(), revision: self.revision };
                    for proxy in &mut self.proxies {
                        proxy.push(&published, self.time);
                    }
                    self.publications.push(published.clone());
                    self.published = Some(published);
                }
                _ if crash == Crash::AfterPublication => {}
                Action::CopyToStable { version } => {
                    if let Some(cluster) = &mut self.cluster {
                        cluster.renew_stable(version);
                    }
                }
                Action::ScaleDownCanary => {
                    if let Some(cluster) = &mut self.cluster {
                        cluster.scale_canary(0);
                    }
                }
                Action::AskGate { gate, release, weight, entered } => {
                    self.asked.insert(gate.clone(), (*release, *weight, *entered));
                }
                Action::Notify(notice) => self.state.notices.retain(|kept| kept.id != notice.id),
                Action::Record(_) => {}
                Action::Forget => self.is_forgotten = true,
            }
        }
    }

    /// What the canary's users had so far, over all proxies.
    pub fn exposure(&self) -> Exposure {
        self.proxies.iter().fold(Exposure::default(), |sum, proxy| sum.plus(proxy.exposure))
    }
}
