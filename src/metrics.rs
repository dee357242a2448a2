//! The counters, defined once.
//!
//! A request adds to a sum in the VM; the sums go to the host on a tick. Every definition makes a new metric in the
//! VM, so ids and sums are kept by name for as long as the VM lives, across policies. This static and the one of [`crate::host`] are the only ones.
//!
//! Labels are part of the name, in Istio's own encoding: `tag=.=value;.;`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use coalmine_core::policy::Policy;
use coalmine_core::{Assignment, Outcome, OverrideResult, Reason};
use fnv::FnvHashMap;

use crate::host::{Host, MetricId};

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::default();
}

/// The counters of this VM.
#[derive(Default)]
struct Registry {
    counters: Vec<Counter>,
    /// Their places by name: a policy with a thousand rollouts looks up a thousand of them.
    slots: FnvHashMap<Rc<str>, Slot>,
}

struct Counter {
    name: Rc<str>,
    /// The host's number for it, once it was defined.
    id: Option<MetricId>,
    /// What the host has not been told yet.
    pending: u64,
}

/// A counter's place in the registry.
#[derive(Clone, Copy)]
struct Slot(usize);

/// The counters that one policy needs, found without building a name per request.
pub(crate) struct Counters {
    /// By rollout (its index plus one; 0 where there is none).
    rollouts: Vec<RolloutCounters>,
}

struct RolloutCounters {
    /// By variant and reason: `variant * Reason::ALL.len() + reason`.
    requests: Vec<Lazy>,
    forged: Lazy,
    overrides: [Lazy; OverrideResult::ALL.len()],
}

/// A counter that is looked up when it is first used: one that never counts is never defined.
#[derive(Clone, Default)]
struct Lazy(Cell<Option<Slot>>);

/// Tells the host what was counted since the last time.
pub(crate) fn flush() {
    REGISTRY.with_borrow_mut(|registry| registry.counters.iter_mut().for_each(Counter::flush));
}

/// Counts a refused policy, at once: the VM that refuses may not live until the next tick.
pub(crate) fn policy_rejected() {
    REGISTRY.with_borrow_mut(|registry| {
        let slot = registry.slot("coalmine_policy_rejected_total");
        registry.add(slot);
        if let Some(counter) = registry.counters.get_mut(slot.0) {
            counter.flush();
        }
    });
}

// === impl Registry ===

impl Registry {
    /// The counter of this name. Asked once per counter and policy.
    fn slot(&mut self, name: &str) -> Slot {
        if let Some(&slot) = self.slots.get(name) {
            return slot;
        }
        let slot = Slot(self.counters.len());
        let name: Rc<str> = name.into();
        self.counters.push(Counter { name: Rc::clone(&name), id: None, pending: 0 });
        self.slots.insert(name, slot);
        slot
    }

    fn add(&mut self, slot: Slot) {
        if let Some(counter) = self.counters.get_mut(slot.0) {
            counter.pending += 1;
        }
    }
}

// === impl Counter ===

impl Counter {
    fn flush(&mut self) {
        if self.pending == 0 {
            return;
        }
        self.id = self.id.or_else(|| Host.define_counter(&self.name));
        if let Some(id) = self.id {
            Host.increment(id, self.pending);
            self.pending = 0;
        }
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn new(policy: &Policy) -> Self {
        let none = RolloutCounters::new(1);
        let rollouts =
            policy.rollouts().iter().map(|rollout| RolloutCounters::new(rollout.variants().count()));
        Self { rollouts: std::iter::once(none).chain(rollouts).collect() }
    }

    /// Counts a request.
    pub(crate) fn count(&self, outcome: &Outcome<'_>) {
        let assignment = &outcome.assignment;
        let rollout = assignment.rollout.map_or(0, |rollout| rollout.index() + 1);
        let Some(counters) = self.rollouts.get(rollout) else { return };
        if let Some(requests) = counters.requests.get(requests_index(assignment)) {
            requests.add(|| requests_name(assignment));
        }
        let rollout = assignment.rollout_name();
        if outcome.forged {
            counters.forged.add(|| format!("rollout=.={rollout};.;coalmine_forged_total"));
        }
        if let Some(result) = outcome.override_result
            && let Some(counter) = counters.overrides.get(result.index())
        {
            let result = result.as_str();
            counter.add(|| format!("rollout=.={rollout};.;result=.={result};.;coalmine_override_total"));
        }
    }
}

impl RolloutCounters {
    fn new(variants: usize) -> Self {
        Self {
            requests: vec![Lazy::default(); variants * Reason::ALL.len()],
            forged: Lazy::default(),
            overrides: Default::default(),
        }
    }
}

fn requests_index(assignment: &Assignment<'_>) -> usize {
    assignment.variant.index() * Reason::ALL.len() + assignment.reason.index()
}

fn requests_name(assignment: &Assignment<'_>) -> String {
    let (rollout, variant, reason) =
        (assignment.rollout_name(), assignment.variant_name(), assignment.reason);
    format!("rollout=.={rollout};.;variant=.={variant};.;reason=.={reason};.;coalmine_requests_total")
}

// === impl Lazy ===

impl Lazy {
    fn add(&self, name: impl FnOnce() -> String) {
        REGISTRY.with_borrow_mut(|registry| {
            let slot = self.0.get().unwrap_or_else(|| registry.slot(&name()));
            self.0.set(Some(slot));
            registry.add(slot);
        });
    }
}
