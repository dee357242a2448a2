//! Weights that follow the clock: every proxy computes the same step, without a push.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::weights::{BASELINE, read_weight, two_ended};
use crate::document::{Cursor, Known, quoted};
use crate::draw::Algorithm;
use crate::ranges::Ranges;
use crate::time::parse_rfc3339;
use crate::weight::Weight;

const RAMP: Known =
    Known { fields: &["start", "steps", "hold", "holdWeight", "allowDown"], unsupported: &[] };
const STEP: Known = Known { fields: &["at", "weight"], unsupported: &[] };
/// How many steps a ramp may have.
const MAX_STEPS: usize = 1_000;

/// The steps of a ramp, and which one the clock has come to.
///
/// The place is an atomic only so that a policy stays `Sync`; it is set from a clock's reading alone, and remembers
/// nothing of those before.
#[derive(Debug)]
pub(super) struct Ramp {
    /// What holds before the start, and at every instant while the ramp is held.
    before: Level,
    /// The steps, ascending.
    steps: Vec<Level>,
    /// How many steps have begun.
    begun: AtomicUsize,
}

/// A level and when it begins.
#[derive(Debug)]
struct Level {
    /// Since 1970.
    from: Duration,
    weight: Weight,
    ranges: Ranges,
}

/// A ramp as it is written.
struct Written {
    start: Duration,
    steps: Vec<(Duration, Weight)>,
    hold: Option<Weight>,
}

// === impl Ramp ===

impl Ramp {
    /// Reads the ramp of a rollout whose variants have these names, stable first; `None` in `names` where they could
    /// not be read.
    pub(super) fn read(
        cursor: &Cursor<'_>,
        names: Option<&[Box<str>]>,
        algorithm: Option<Algorithm>,
    ) -> Option<Self> {
        let written = Written::read(cursor, algorithm)?;
        let names = names?;
        let level = |from, weight| Level { from, weight, ranges: ranges(names, weight) };
        let (before, steps) = match written.hold {
            Some(weight) => (weight, Vec::new()),
            None => (Weight::NONE, written.steps),
        };
        let steps = steps.into_iter().map(|(at, weight)| level(written.start + at, weight)).collect();
        Some(Self { before: level(Duration::ZERO, before), steps, begun: AtomicUsize::new(0) })
    }

    /// Goes to the step of this point in time, forward or back. The instant of a step belongs to it.
    pub(super) fn follow(&self, now: Duration) {
        self.begun.store(self.steps.partition_point(|step| step.from <= now), Ordering::Relaxed);
    }

    /// The ranges of the current step.
    pub(super) fn ranges(&self) -> &Ranges {
        &self.current().ranges
    }

    /// The canary's weight at the current step.
    pub(super) fn weight(&self) -> Weight {
        self.current().weight
    }

    fn current(&self) -> &Level {
        let begun = self.begun.load(Ordering::Relaxed);
        begun.checked_sub(1).and_then(|last| self.steps.get(last)).unwrap_or(&self.before)
    }
}

/// The table at this weight of the canary. A baseline takes as much, as far as there is.
fn ranges(names: &[Box<str>], weight: Weight) -> Ranges {
    let rest = Weight::from_ppm(Weight::ALL.ppm() - weight.ppm()).unwrap_or(Weight::NONE);
    let weights: Vec<Weight> = names
        .iter()
        .skip(1)
        .map(|name| if **name == *BASELINE { weight.min(rest) } else { weight })
        .collect();
    two_ended(names, &weights)
}

// === impl Written ===

impl Written {
    fn read(cursor: &Cursor<'_>, algorithm: Option<Algorithm>) -> Option<Self> {
        let fields = cursor.map(&RAMP)?;
        let start = fields.required("start", "when the first step begins, as 2026-11-21T09:00:00Z");
        let start = start.and_then(|start| {
            let text = start.string()?;
            let time = parse_rfc3339(text);
            if time.is_none() {
                start.problem(format!(
                    "{} is no time: RFC 3339 with an offset, as 2026-11-21T09:00:00Z",
                    quoted(text)
                ));
            }
            time
        });
        let allow_down = fields.get("allowDown").map_or(Some(false), |allow| allow.boolean());
        let steps = fields.required("steps", "the weights and when they begin, as [{at: 0s, weight: 1}]");
        let steps = steps.and_then(|steps| read_steps(&steps, allow_down == Some(true), algorithm));
        let hold = fields.get("hold").map_or(Some(false), |hold| hold.boolean());
        let hold_weight = fields.get("holdWeight").map(|weight| read_weight(&weight, algorithm));
        if hold == Some(true) && hold_weight.is_none() {
            cursor.problem("\"holdWeight\" is missing: hold says that it holds, this says what");
            return None;
        }
        let hold_weight = hold_weight.map_or(Some(None), |weight| weight.map(Some))?;
        Some(Self { start: start?, steps: steps?, hold: hold_weight.filter(|_| hold == Some(true)) })
    }
}

fn read_steps(
    cursor: &Cursor<'_>,
    allow_down: bool,
    algorithm: Option<Algorithm>,
) -> Option<Vec<(Duration, Weight)>> {
    let items = cursor.filled_list("list the first step, as {at: 0s, weight: 1}")?;
    if items.len() > MAX_STEPS {
        cursor.problem(format!("has {} steps; at most {MAX_STEPS}", items.len()));
        return None;
    }
    let mut steps: Vec<(Duration, Weight)> = Vec::new();
    for item in &items {
        let Some(fields) = item.map(&STEP) else { continue };
        let at_field = fields.required("at", "how long after the start the step begins, as 30m");
        let weight_field = fields.required("weight", "0 to 100, in percent");
        let at = at_field.as_ref().and_then(Cursor::duration).map(Duration::from_secs);
        let weight = weight_field.as_ref().and_then(|weight| read_weight(weight, algorithm));
        if let (Some(cursor), Some(at)) = (&at_field, at) {
            match steps.last() {
                None if !at.is_zero() => cursor.problem("the first step begins at 0s, with the ramp itself"),
                Some(&(before, _)) if at <= before => {
                    cursor.problem("does not lie behind the step before it")
                }
                _ => {}
            }
        }
        if let (Some(cursor), Some(weight), Some(&(_, before))) = (&weight_field, weight, steps.last())
            && weight < before
            && !allow_down
        {
            cursor.problem(format!(
                "goes down from {before} to {weight}, which sends users back; \"allowDown: true\" says that it is meant"
            ));
        }
        steps.extend(at.zip(weight));
    }
    (steps.len() == items.len()).then_some(steps)
}
