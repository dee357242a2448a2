//! Proxies: each obeys what it runs, and counts.

use std::collections::BTreeMap;

use coalmine_judge::simulate::Random;
use coalmine_judge::{Arms, Counts, GROUPS, Tally};

use crate::actions::Form;
use crate::inputs::{Counted, GuardCounts, Proxy, Published};
use crate::plan::Plan;

/// A proxy of the simulation.
#[derive(Clone, Debug)]
pub struct SimulatedProxy {
    /// Its name.
    pub name: String,
    /// Seconds from a publication until it is in force here.
    pub lag: u64,
    /// Whether it is away: it serves nobody and is not seen.
    pub is_away: bool,
    /// Whether it cannot run the rollout, as without its key.
    pub is_disabled: bool,
    /// How many seconds the clock that stamps its readings is ahead.
    pub clock: i64,
    /// What the canary's users had here.
    pub exposure: Exposure,
    /// What it runs, and since when.
    runs: Option<(Published, u64)>,
    /// What is on its way to it, and when it is there.
    comes: Vec<(Published, u64)>,
    /// Counts since the last reading.
    counts: BTreeMap<String, Tally>,
    from: u64,
    until: u64,
}

/// What the canary's users had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Their requests.
    pub requests: u64,
    /// Those that were bad by the first guard.
    pub bad: u64,
}

// === impl Exposure ===

impl Exposure {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, bad: self.bad + other.bad }
    }
}

// === impl SimulatedProxy ===

impl SimulatedProxy {
    /// A proxy with this number, from 1.
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("proxy-{number}"),
            lag: 0,
            is_away: false,
            is_disabled: false,
            clock: 0,
            exposure: Exposure::default(),
            runs: None,
            comes: Vec::new(),
            counts: BTreeMap::new(),
            from: 0,
            until: 0,
        }
    }

    pub(super) fn push(&mut self, published: &Published, now: u64) {
        self.comes.push((published.clone(), now + self.lag));
    }

    /// Takes what has arrived.
    pub(super) fn take(&mut self, now: u64) {
        if self.is_away {
            return;
        }
        let Some(place) = self.comes.iter().rposition(|(_, at)| *at <= now) else { return };
        let mut arrived: Vec<(Published, u64)> = self.comes.drain(..=place).collect();
        let Some((published, _)) = arrived.pop() else { return };
        self.runs = Some((published, now));
        self.counts.clear();
        self.from = now;
    }

    /// Serves so many requests, as it is told by what it runs or, where another controller holds the weight, by that.
    pub(super) fn serve(
        &mut self,
        plan: &Plan,
        requests: f64,
        rates: &BTreeMap<String, Arms<f64>>,
        held: Option<u32>,
        now: u64,
        random: &mut Random,
    ) {
        if self.is_away {
            return;
        }
        self.until = now;
        let form: Option<&Form> = self.runs.as_ref().map(|(published, _)| &published.form);
        let weight = held.or_else(|| form.and_then(|form| form.weight)).unwrap_or_default();
        let share = f64::from(weight) / 1e6;
        let is_observed = form.is_some_and(|form| form.observe);
        if weight == 0 && !is_observed {
            return;
        }
        let each = requests / GROUPS as f64;
        let all: Vec<[u64; 2]> = (0..GROUPS)
            .map(|_| [random.poisson(each * (1.0 - share)), random.poisson(each * share)])
            .collect();
        for (place, guard) in plan.guards.iter().enumerate() {
            let Arms { stable, canary } = rates.get(&guard.name).copied().unwrap_or_default();
            let mut groups = Box::new([Arms::<Counts>::default(); GROUPS]);
            for (slot, [of_stable, of_canary]) in groups.iter_mut().zip(&all) {
                *slot = Arms {
                    stable: Counts::new(*of_stable, random.binomial(*of_stable, stable)),
                    canary: Counts::new(*of_canary, random.binomial(*of_canary, canary)),
                };
            }
            let tally = Tally::Groups(groups);
            if place == 0 {
                let Counts { all, bad } = tally.total().canary;
                self.exposure = self.exposure.plus(Exposure { requests: all, bad });
            }
            if is_observed {
                let sum =
                    self.counts.entry(guard.name.clone()).or_insert_with(|| tally.map(|_| Arms::default()));
                *sum = sum.plus(&tally);
            }
        }
    }

    /// What the server sees of it; nothing while it is away.
    pub(super) fn seen(&self) -> Option<Proxy> {
        let stamp = |time: u64| time.saturating_add_signed(self.clock);
        let counted = (!self.counts.is_empty()).then(|| Counted {
            from: stamp(self.from),
            until: stamp(self.until),
            guards: self.counts.iter().map(|(name, tally)| (name.clone(), GuardCounts::of(tally))).collect(),
            served: None,
            open: None,
        });
        (!self.is_away).then(|| Proxy {
            name: self.name.clone(),
            revision: self.runs.as_ref().map(|(published, _)| published.revision),
            running_since: self.runs.as_ref().map_or(0, |(_, since)| stamp(*since)),
            seen: stamp(self.until),
            disabled: self.is_disabled,
            counted,
        })
    }

    /// What was counted has been read.
    pub(super) fn read(&mut self, is_read: bool) {
        if is_read {
            self.counts.clear();
            self.from = self.until;
        }
    }
}
