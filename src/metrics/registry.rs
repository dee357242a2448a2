//! The counters of this VM, defined once each, and the gauges.
//!
//! A request adds to a sum in the VM; the sums go to the host on a tick. Every definition makes a new metric in the
//! VM, so ids and sums are kept by name for as long as the VM lives, across policies.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use coalmine_core::policy::Policy;
use proxy_wasm::types::MetricType;
use rustc_hash::FxHashMap;

use crate::host::{Host, MetricId};

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::default();
}

/// The metrics of this VM.
#[derive(Default)]
struct Registry {
    counters: Vec<Counter>,
    /// The places of counters by name: a policy with a thousand rollouts looks up a thousand of them.
    slots: Slots,
    gauges: Vec<Gauge>,
    gauge_slots: Slots,
}

/// The places of things by their names. One kind of map: each further one would be compiled anew.
pub(super) type Slots = FxHashMap<Rc<str>, Slot>;

struct Counter {
    name: Rc<str>,
    /// The host's number for it, once it was defined.
    id: Option<MetricId>,
    /// What the host has not been told yet.
    pending: u64,
}

struct Gauge {
    id: MetricId,
    /// Whether it says that a rollout is switched off.
    is_disabled: bool,
}

/// A place in a list of what has names.
#[derive(Clone, Copy)]
pub(super) struct Slot(pub(super) usize);

/// A counter that is looked up when it is first used: one that never counts is never defined.
#[derive(Clone, Default)]
pub(super) struct Lazy(Cell<Option<Slot>>);

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

/// Shows the policy that has just come into force: never one that is refused, whose numbers would stay.
pub(crate) fn policy_accepted(policy: &Policy, version: &str) {
    REGISTRY.with_borrow_mut(|registry| {
        registry.set_gauge("coalmine_policy_revision", policy.revision().unwrap_or(0), false);
        let node = Host.node().unwrap_or_default();
        registry.set_gauge(&format!("version=.={version};.;node=.={node};.;coalmine_build_info"), 1, false);
        // What an earlier policy has switched off is shown as long as it is, and no longer.
        for gauge in registry.gauges.iter().filter(|gauge| gauge.is_disabled) {
            Host.record(gauge.id, 0);
        }
        for rollout in policy.rollouts().iter().filter(|rollout| !rollout.draws()) {
            let name = rollout.name();
            registry.set_gauge(&format!("rollout=.={name};.;coalmine_rollout_disabled"), 1, true);
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

    fn set_gauge(&mut self, name: &str, value: u64, is_disabled: bool) {
        let known = self.gauge_slots.get(name).and_then(|slot| self.gauges.get(slot.0));
        if let Some(gauge) = known {
            Host.record(gauge.id, value);
        } else if let Some(id) = Host.define(MetricType::Gauge, name) {
            self.gauge_slots.insert(name.into(), Slot(self.gauges.len()));
            self.gauges.push(Gauge { id, is_disabled });
            Host.record(id, value);
        }
    }
}

// === impl Counter ===

impl Counter {
    fn flush(&mut self) {
        if self.pending == 0 {
            return;
        }
        self.define();
        if let Some(id) = self.id {
            Host.increment(id, self.pending);
            self.pending = 0;
        }
    }

    /// From here on the host shows it, at 0 until it counts.
    fn define(&mut self) {
        self.id = self.id.or_else(|| Host.define(MetricType::Counter, &self.name));
    }
}

// === impl Lazy ===

impl Lazy {
    /// The counter of this name, which the host shows at once.
    pub(super) fn defined(name: &str) -> Self {
        REGISTRY.with_borrow_mut(|registry| {
            let slot = registry.slot(name);
            if let Some(counter) = registry.counters.get_mut(slot.0) {
                counter.define();
            }
            Self(Cell::new(Some(slot)))
        })
    }

    /// Counts one; the name is asked for the first time.
    pub(super) fn add(&self, name: impl FnOnce() -> String) {
        REGISTRY.with_borrow_mut(|registry| {
            let slot = self.0.get().unwrap_or_else(|| registry.slot(&name()));
            self.0.set(Some(slot));
            registry.add(slot);
        });
    }
}
