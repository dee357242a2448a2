//! From a record to what the API says of it.

use coalmine_steer::{Outcome, Phase};

use super::shapes::{Line, Release, Rollout, ShownVerdict, Time};
use crate::rollout::{Logged, Name, Record, ReleaseRecord};
use crate::server::{Seen, View};
use crate::store::Stored;

/// A rollout, with what the latest tick saw of it.
pub(super) fn rollout(stored: &Stored, view: &View) -> Rollout {
    let record = &stored.record;
    let state = &record.state;
    let spec = record.spec().ok();
    let plan = spec.as_ref().and_then(|spec| spec.plan.as_ref());
    let nothing = Seen::default();
    let seen = view.rollouts.get(&record.name).unwrap_or(&nothing);
    let file_owns = spec.as_ref().is_some_and(|spec| spec.plan.is_none());
    Rollout {
        name: record.name.clone(),
        version: stored.version,
        created: Time(record.created),
        phase: state.said.phase.to_string(),
        weight: percent(state.weight),
        steps: plan.map(|plan| plan.steps.iter().map(|step| percent(step.weight)).collect()),
        weights: spec
            .iter()
            .flat_map(|spec| &spec.weights)
            .map(|(variant, weight)| (variant.clone(), percent(*weight)))
            .collect(),
        salt: state.salt.clone(),
        verdict: state.said.verdict,
        message: if file_owns { "the file owns the weights".to_owned() } else { state.said.message.clone() },
        since: Time(state.said.since),
        release: ReleaseRecord::of(state).map(|it| release(&record.name, &it)),
        requests: state.release.as_ref().map_or(0, |release| release.here.requests),
        conditions: seen.conditions.iter().map(Into::into).collect(),
        left_out: seen.left_out.clone(),
        deleted: record.deleted,
        written: record.written.clone(),
    }
}

pub(super) fn release(name: &Name, record: &ReleaseRecord) -> Release {
    let phase = match (record.outcome, record.phase) {
        (Some(Outcome::Promoted), _) => "Promoted".to_owned(),
        (Some(Outcome::RolledBack), _) => "RolledBack".to_owned(),
        (Some(Outcome::Superseded), _) => "Superseded".to_owned(),
        // A release that goes on is never idle, whatever was said last.
        (None, Phase::Idle) => Phase::Progressing.to_string(),
        (None, phase) => phase.to_string(),
    };
    Release {
        rollout: name.clone(),
        release: record.release,
        started: Time(record.started),
        phase,
        outcome: record.outcome,
        weight: percent(record.weight),
        message: record.message.clone(),
    }
}

pub(super) fn verdict(record: &Record) -> ShownVerdict {
    let state = &record.state;
    let spec = record.spec().ok();
    let steps = spec.iter().filter_map(|spec| spec.plan.as_ref()).flat_map(|plan| &plan.steps);
    ShownVerdict {
        rollout: record.name.clone(),
        release: state.release.as_ref().map_or(0, |release| release.number),
        verdict: state.said.verdict,
        step: steps.filter(|step| step.weight <= state.weight && state.weight > 0).count(),
        weight: percent(state.weight),
        message: state.said.message.clone(),
        since: Time(state.said.since),
        requests: state.release.as_ref().map_or(0, |release| release.here.requests),
    }
}

pub(super) fn line(name: &Name, number: u64, logged: &Logged) -> Line {
    Line {
        number,
        rollout: name.clone(),
        at: Time(logged.at),
        what: logged.what,
        weight: percent(logged.weight),
        by: logged.by.clone(),
        why: logged.why.clone(),
    }
}

/// Parts per million in percent.
pub(super) fn percent(weight: u32) -> f64 {
    f64::from(weight) / 10_000.0
}
