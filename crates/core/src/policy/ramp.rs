//! Weights that follow the clock: every proxy computes the same step, without a push.

use std::time::Duration;

use coalmine_document::{Cursor, Known, quoted};

use super::weights::{BASELINE, read_weight, two_ended};
use crate::bucketing::Algorithm;
use crate::split::{Ranges, Weight};
use crate::time::parse_rfc3339;

const RAMP: Known = Known::new(&["start", "steps", "hold", "holdWeight", "allowDown"]);
const STEP: Known = Known::new(&["at", "weight"]);
/// How many steps a ramp may have.
const MAX_STEPS: usize = 1_000;

/// The steps of a ramp. Which of them is in force is a function of the time alone.
#[derive(Debug)]
pub(super) struct Ramp {
    /// What holds before the start, and at every instant while the ramp is held.
    before: Level,
    /// The steps and when they begin, since 1970, ascending.
    steps: Vec<(Duration, Level)>,
}

/// A level of a ramp.
#[derive(Debug)]
struct Level {
    weight: Weight,
    ranges: Ranges,
}

/// A ramp as it is written.
struct RampSpec {
    start: Duration,
    steps: Vec<(Duration, Weight)>,
    hold: Option<Weight>,
}

// === impl Ramp ===

impl Ramp {
    /// Reads the ramp of a rollout whose variants have these names, stable first.
    pub(super) fn read(cursor: &Cursor<'_, '_>, names: &[Box<str>], algorithm: Algorithm) -> Self {
        let spec = RampSpec::read(cursor, algorithm);
        let level = |weight| Level { weight, ranges: ranges(names, weight) };
        let (before, steps) = match spec.hold {
            Some(weight) => (weight, Vec::new()),
            None => (Weight::NONE, spec.steps),
        };
        let steps = steps.into_iter().map(|(at, weight)| (spec.start + at, level(weight)));
        Self { before: level(before), steps: steps.collect() }
    }

    /// The ranges at this time. The instant of a step belongs to it.
    pub(super) fn ranges(&self, now: Duration) -> &Ranges {
        &self.level(now).ranges
    }

    /// The canary's weight at this time.
    pub(super) fn weight(&self, now: Duration) -> Weight {
        self.level(now).weight
    }

    fn level(&self, now: Duration) -> &Level {
        let begun = self.steps.partition_point(|(from, _)| *from <= now);
        let current = begun.checked_sub(1).and_then(|last| self.steps.get(last));
        current.map_or(&self.before, |(_, level)| level)
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

// === impl RampSpec ===

impl RampSpec {
    fn read(cursor: &Cursor<'_, '_>, algorithm: Algorithm) -> Self {
        let fields = cursor.fields(&RAMP);
        let start = fields.required("start", "when the first step begins, as 2026-11-21T09:00:00Z");
        let start = start.and_then(|start| {
            let text = start.string_of("a time, as 2026-11-21T09:00:00Z")?;
            let time = parse_rfc3339(text);
            if time.is_none() {
                let text = quoted(text);
                start.problem(format!(
                    "{text} is not a time: RFC 3339 with an offset, as 2026-11-21T09:00:00Z"
                ));
            }
            time
        });
        let allow_down = fields.get("allowDown").is_some_and(|allow| allow.boolean());
        let steps = fields.required("steps", "the weights and when they begin, as [{at: 0s, weight: 1}]");
        let steps = steps.map_or_else(Vec::new, |steps| read_steps(&steps, allow_down, algorithm));
        let hold = fields.get("hold").is_some_and(|hold| hold.boolean());
        let hold_weight = fields.get("holdWeight").map(|weight| read_weight(&weight, algorithm));
        if hold && hold_weight.is_none() {
            cursor.conflict("\"holdWeight\" is missing: hold says that it holds, this says what");
        }
        let hold_weight = hold_weight.flatten().unwrap_or_default();
        Self { start: start.unwrap_or_default(), steps, hold: hold.then_some(hold_weight) }
    }
}

fn read_steps(cursor: &Cursor<'_, '_>, allow_down: bool, algorithm: Algorithm) -> Vec<(Duration, Weight)> {
    let items = cursor.filled_items("list the first step, as {at: 0s, weight: 1}");
    if items.len() > MAX_STEPS {
        cursor.too_large(format!("has {} steps; at most {MAX_STEPS}", items.len()));
        return Vec::new();
    }
    let mut steps: Vec<(Duration, Weight)> = Vec::new();
    for item in items {
        let fields = item.fields(&STEP);
        let at_field = fields.required("at", "how long after the start the step begins, as 30m");
        let weight_field = fields.required("weight", "0 to 100, in percent");
        let at = at_field.and_then(|at| at.duration()).map(Duration::from_secs);
        let weight = weight_field.and_then(|weight| read_weight(&weight, algorithm));
        if let (Some(cursor), Some(at)) = (at_field, at) {
            match steps.last() {
                None if !at.is_zero() => cursor.problem("the first step begins at 0s, with the ramp itself"),
                Some(&(before, _)) if at <= before => {
                    cursor.problem("does not lie behind the step before it")
                }
                _ => {}
            }
        }
        if let (Some(cursor), Some(weight), Some(&(_, before))) = (weight_field, weight, steps.last())
            && weight < before
            && !allow_down
        {
            cursor.problem(format!(
                "goes down from {before} to {weight}, which sends users back; \"allowDown: true\" says that it is meant"
            ));
        }
        steps.extend(at.zip(weight));
    }
    steps
}
