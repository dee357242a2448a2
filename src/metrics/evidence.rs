//! What became of the responses of observed rollouts: the evidence that a rollout is judged by.
//!
//! Only requests whose users were drawn count: without an identity, pinned or forced they say nothing about a draw.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use coalmine_core::bucketing::Group;
use coalmine_core::policy::{Observe, Policy, Rollout, Threshold};
use coalmine_core::{Outcome, Reason};
use proxy_wasm::types::MetricType;

use super::labels;
use super::registry::{Lazy, Slot, Slots};
use crate::class::Class;
use crate::host::{Host, MetricId};

/// How many groups of users are counted by.
const GROUPS: usize = Group::COUNT;

thread_local! {
    /// The revision of each rollout's last change, by its name, of the policy that came into force last.
    static SINCE: RefCell<(Slots, Vec<Rc<Cell<u64>>>)> = RefCell::default();
}

/// The evidence that one policy asks for.
pub(crate) struct Evidence {
    observe: Observe,
    /// By the rollout's index; `None` for one that is not observed.
    rollouts: Vec<Option<RolloutEvidence>>,
}

/// A request of which the response will count.
pub(crate) struct Response {
    rollout: usize,
    variant: usize,
    group: usize,
    began: Duration,
    /// When the response's headers came, once they have come.
    answered: Option<Duration>,
}

struct RolloutEvidence {
    name: Box<str>,
    since: Option<Since>,
    late: Lazy,
    /// By [`coalmine_core::split::Variant::index`].
    variants: Vec<VariantEvidence>,
}

/// The revision of a rollout's last change: what it is in this policy, and what it is now.
struct Since {
    here: u64,
    now: Rc<Cell<u64>>,
}

struct VariantEvidence {
    labels: Box<str>,
    /// By [`Class::index`].
    responses: [Lazy; Class::ALL.len()],
    all: [Lazy; GROUPS],
    bad: [Lazy; GROUPS],
    /// By threshold, and by group where the threshold asks for it: `threshold * GROUPS + group`.
    slow: Vec<Lazy>,
    histogram: Option<MetricId>,
}

// === impl Evidence ===

impl Evidence {
    /// The evidence that this policy asks for, once it is in force. `coalmine_all_total` is shown from here on, so that a
    /// reader can tell *nothing yet* from *not observed*.
    pub(crate) fn new(policy: &Policy) -> Self {
        let observe = policy.observe();
        let rollouts = policy.rollouts().iter();
        let rollouts = rollouts.map(|rollout| {
            let is_observed = observe.responses && rollout.is_observed();
            is_observed.then(|| RolloutEvidence::new(rollout, observe))
        });
        Self { rollouts: rollouts.collect(), observe: observe.clone() }
    }

    /// A request that begins with this outcome; `None` where its response will not count. One that was redirected
    /// internally has begun with its first pass: its user has waited since.
    pub(crate) fn begin(&self, outcome: &Outcome<'_>) -> Option<Response> {
        let assignment = &outcome.assignment;
        let rollout = assignment.rollout?.index();
        self.rollouts.get(rollout)?.as_ref()?;
        let bucketed = assignment.bucketed.filter(|_| assignment.reason == Reason::Bucket)?;
        Some(Response {
            rollout,
            variant: assignment.variant.index(),
            group: usize::from(bucketed.group.number()),
            began: if outcome.is_redirected { Host.request_time() } else { self.now() },
            answered: None,
        })
    }

    /// Notes that the response's headers have come.
    pub(crate) fn answered(&self, response: &mut Response) {
        response.answered = Some(self.now());
    }

    /// Counts a response that is over.
    pub(crate) fn end(&self, response: &Response) {
        let rollout = self.rollouts.get(response.rollout).and_then(Option::as_ref);
        let Some(rollout) = rollout else { return };
        let status = Host.status();
        // An answer that no filter was shown is one that the host keeps to itself, because it redirects the request
        // internally: the next pass counts.
        if status.is_some() && response.answered.is_none() {
            return;
        }
        if rollout.since.as_ref().is_some_and(|since| since.here != since.now.get()) {
            rollout.late.add(|| format!("rollout=.={};.;coalmine_late_total", rollout.name));
            return;
        }
        if let Some(variant) = rollout.variants.get(response.variant) {
            let end = response.answered.unwrap_or_else(|| self.now());
            variant.count(
                Class::of_response(status.as_deref()),
                response.group,
                end.saturating_sub(response.began),
                &self.observe,
            );
        }
    }

    /// The time, where it is needed at all.
    fn now(&self) -> Duration {
        if self.observe.slow.is_empty() && !self.observe.histogram { Duration::ZERO } else { Host.now() }
    }
}

// === impl RolloutEvidence ===

impl RolloutEvidence {
    fn new(rollout: &Rollout, observe: &Observe) -> Self {
        let name = rollout.name();
        let since = rollout.since().map(|here| {
            let now = SINCE.with_borrow_mut(|(slots, all)| since_now(slots, all, name));
            now.set(here);
            Since { here, now }
        });
        let variants =
            rollout.variants().map(|(_, variant)| VariantEvidence::new(labels(name, variant), observe));
        Self { variants: variants.collect(), name: name.into(), since, late: Lazy::default() }
    }
}

/// Where the revision of the last change of the rollout of this name is kept.
fn since_now(slots: &mut Slots, all: &mut Vec<Rc<Cell<u64>>>, name: &str) -> Rc<Cell<u64>> {
    if let Some(known) = slots.get(name).and_then(|slot| all.get(slot.0)) {
        return Rc::clone(known);
    }
    let now = Rc::default();
    slots.insert(name.into(), Slot(all.len()));
    all.push(Rc::clone(&now));
    now
}

// === impl VariantEvidence ===

impl VariantEvidence {
    fn new(labels: String, observe: &Observe) -> Self {
        let histogram =
            || Host.define(MetricType::Histogram, &format!("{labels}coalmine_response_milliseconds"));
        Self {
            responses: Default::default(),
            all: std::array::from_fn(|group| {
                Lazy::defined(&format!("{labels}group=.={group};.;coalmine_all_total"))
            }),
            bad: Default::default(),
            slow: vec![Lazy::default(); observe.slow.len() * GROUPS],
            histogram: if observe.histogram { histogram() } else { None },
            labels: labels.into(),
        }
    }

    fn count(&self, class: Class, group: usize, took: Duration, observe: &Observe) {
        let Self { labels, .. } = self;
        let add = |counters: &[Lazy], index: usize, name: &dyn Fn() -> String| {
            if let Some(counter) = counters.get(index) {
                counter.add(name);
            }
        };
        let name = class.as_str();
        add(&self.responses, class.index(), &|| format!("{labels}class=.={name};.;coalmine_responses_total"));
        add(&self.all, group, &|| format!("{labels}group=.={group};.;coalmine_all_total"));
        if class.is_bad() {
            add(&self.bad, group, &|| format!("{labels}group=.={group};.;coalmine_bad_total"));
        }
        let slow = observe.slow.iter().enumerate().take_while(|(_, threshold)| took > threshold.at);
        for (place, threshold) in slow {
            let slot = if threshold.groups { group } else { 0 };
            add(&self.slow, place * GROUPS + slot, &|| slow_name(labels, threshold, group));
        }
        if let Some(histogram) = self.histogram {
            Host.record(histogram, took.as_secs() * 1000 + u64::from(took.subsec_millis()));
        }
    }
}

fn slow_name(labels: &str, threshold: &Threshold, group: usize) -> String {
    let group = if threshold.groups { format!("group=.={group};.;") } else { String::new() };
    let threshold = threshold.name();
    format!("{labels}{group}threshold=.={threshold};.;coalmine_slow_total")
}
