//! What a plan that is right may still not do.

use coalmine_document::OwnedPath;
use coalmine_judge::safety;

use super::{GuardSource, OnInconclusive, Plan, PlannedStep};
use crate::text::{duration, percent, thousands};

/// A remark about a plan that is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The field that it is about, from the plan.
    pub path: OwnedPath,
    /// What may not be meant, and what to do.
    pub message: String,
}

/// Remarks about a plan; more of them where the requests per second of both arms together are known.
pub fn advice(plan: &Plan, traffic: Option<f64>) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut tell = |fields: &[&str], message: String| {
        advice.push(Advice { path: OwnedPath::of(fields), message });
    };
    if !plan.guards.iter().any(|guard| guard.source == GuardSource::Errors) {
        let message = "no guard counts errors; add \"errors: {}\", or failed requests go unseen";
        tell(&["guards"], message.to_owned());
    }
    for guard in &plan.guards {
        if guard.worse_than.plus >= 0.01 && guard.source.is_small_share() {
            let points = coalmine_document::number(guard.worse_than.plus * 100.0);
            tell(
                &["guards", &guard.name, "worseThan"],
                format!("a canary that fails up to {points} percentage points more than stable is not found"),
            );
        }
    }
    let dwells: u64 = plan.steps.iter().map(|step| step.dwell).sum();
    if dwells >= plan.deadline {
        tell(
            &["deadline"],
            format!(
                "the dwells add up to {}, so no rollout ends within the deadline of {}",
                duration(dwells),
                duration(plan.deadline)
            ),
        );
    }
    for (place, step) in plan.steps.iter().enumerate() {
        if step.weight > 0 && step.dwell > 0 && step.dwell <= plan.warm_up {
            let path = OwnedPath::of(&["steps"]).item(place);
            let message = format!(
                "the dwell of {} is within the warm-up of {}, whose evidence is left out",
                duration(step.dwell),
                duration(plan.warm_up)
            );
            advice.push(Advice { path, message });
        }
    }
    if let Some(traffic) = traffic.filter(|traffic| *traffic > 0.0) {
        advice.extend(with_traffic(plan, traffic));
    }
    advice
}

/// Seconds that a step takes with so many requests per second.
fn seconds(plan: &Plan, step: &PlannedStep, traffic: f64) -> f64 {
    if step.weight == 0 {
        return step.dwell as f64;
    }
    let requests = plan.min_requests as f64 / (traffic * f64::from(step.weight) / 1e6);
    (step.dwell as f64).max(requests + plan.warm_up as f64)
}

fn with_traffic(plan: &Plan, traffic: f64) -> Vec<Advice> {
    let mut advice = Vec::new();
    let rate = coalmine_document::number(traffic);
    let deadline = plan.deadline as f64;
    let mut passed = 0.0;
    for (place, step) in plan.steps.iter().enumerate() {
        passed += seconds(plan, step, traffic);
        if passed > deadline {
            let message = format!(
                "{} % of {rate} requests a second cannot reach `minRequests` ({}) in the deadline of {}: up to here the \
                 rollout takes {}",
                percent(step.weight),
                thousands(plan.min_requests),
                duration(plan.deadline),
                duration(passed as u64)
            );
            advice.push(Advice { path: OwnedPath::of(&["steps"]).item(place), message });
            return advice;
        }
    }
    if plan.on_inconclusive == OnInconclusive::Promote {
        return advice;
    }
    // What the canary gets on every step, and on the last one until the deadline.
    let last = plan.steps.last().map_or(0, |step| step.weight);
    let share = |weight: u32| f64::from(weight) / 1e6;
    let on_steps: f64 = plan.steps.iter().map(|step| seconds(plan, step, traffic) * share(step.weight)).sum();
    let requests = traffic * (on_steps + (deadline - passed) * share(last));
    for guard in plan.guards.iter().filter(|guard| guard.source.is_small_share()) {
        let fewest = safety::fewest_requests(guard.safe_within, (1.0 / plan.beta).ln());
        if let Some(fewest) = fewest.filter(|fewest| *fewest as f64 > requests) {
            let message = format!(
                "safety needs at least {} requests of the canary, even without any error, and {rate} requests a second \
                 give it {} within the deadline; widen the margin, or write \"onInconclusive: promote\"",
                thousands(fewest),
                thousands(requests as u64)
            );
            advice.push(Advice { path: OwnedPath::of(&["guards", &guard.name, "safeWithin"]), message });
        }
    }
    advice
}
