//! Before a step up: time, requests, the deadline, a gate, an approval.

use crate::actions::{About, Action, Kind};
use crate::at::At;
use crate::state::Here;
use crate::text::{duration, percent};
use crate::verdict::missing_requests;

/// Says everything that the weight in force still asks for before it is left for a higher one.
pub(crate) fn hold_for_step(at: &mut At<'_>) {
    let Some(release) = at.state.going_on() else { return };
    let (here, number) = (release.here.clone(), release.number);
    let weight = at.state.weight;
    deadline(at);
    if !at.is_published() && here.entered != at.inputs.now {
        let why = at.inputs.unpublished.clone();
        at.hold(Kind::Proxies, why.unwrap_or_else(|| "the weight in force is not published yet".to_owned()));
    }
    // Below the first step nothing is asked for but what every step needs.
    let Some(step) = at.plan.step_at(weight) else { return };
    if here.dwelt < step.dwell {
        let (dwelt, dwell) = (duration(here.dwelt), duration(step.dwell));
        at.hold(Kind::Dwell, format!("{dwelt} of {dwell}"));
    }
    if weight > 0 && here.requests < at.plan.min_requests {
        at.hold(Kind::Requests, missing_requests(here.requests, at.plan.min_requests));
    }
    if let Some(gate) = &step.gate {
        ask(at, gate, number, &here);
    }
    if step.approval && here.approved.is_none() {
        at.hold(Kind::Approval, format!("waits for approval at {} %", percent(weight)));
        let only_people =
            at.conditions.iter().filter(|condition| condition.holds).all(|it| it.kind.is_for_people());
        if only_people && !here.asked {
            at.notify(About::Approval, format!("waits for approval at {} %", percent(weight)));
            if let Some(release) = &mut at.state.release {
                release.here.asked = true;
            }
        }
    }
}

/// Past the deadline nothing goes up until a person has a word.
fn deadline(at: &mut At<'_>) {
    let deadline = at.plan.deadline;
    let Some(release) = &mut at.state.release else { return };
    if release.life.age < deadline {
        return;
    }
    let is_new = !std::mem::replace(&mut release.life.overdue, true);
    let message = format!("the deadline of {} has passed; resume gives it again", duration(deadline));
    if is_new {
        at.notify(About::Attention, message.clone());
    }
    at.hold(Kind::Deadline, message);
}

/// Asks a gate for as long as it has not passed at this weight. An answer from before the weight came into force, as about an
/// earlier canary, is none.
fn ask(at: &mut At<'_>, gate: &str, release: u64, here: &Here) {
    if here.gate_passed {
        return;
    }
    let (weight, entered) = (at.state.weight, here.entered);
    let answers = at.inputs.gates.get(gate);
    let answer = answers
        .filter(|answer| answer.release == release && answer.weight == weight && answer.entered == entered);
    match answer {
        Some(answer) if answer.passed => {
            if let Some(release) = &mut at.state.release {
                release.here.gate_passed = true;
            }
        }
        answer => {
            let said = answer.map_or("it is being asked", |answer| answer.message.as_str());
            at.hold(Kind::Gate, format!("gate {gate} has not passed: {said}"));
            at.act(Action::AskGate { gate: gate.to_owned(), release, weight, entered });
        }
    }
}
