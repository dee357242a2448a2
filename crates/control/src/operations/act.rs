//! Verbs, and the freeze of everything.

use coalmine_steer::{Moment, Phase, Request, verb};

use super::{ATTEMPTS, Asked, Known, Refused, Written, settle};
use crate::rollout::{Name, ReleaseRecord};
use crate::server::Server;
use crate::store::{Answer, Change, StoreError, Stored};

/// Says a verb to a rollout. What has its effect already changes nothing and is no error.
///
/// # Errors
/// [`Refused`]: nothing has changed then.
pub async fn act(
    server: &Server,
    name: &Name,
    request: &Request,
    asked: &Asked<'_>,
) -> Result<Written, Refused> {
    for _ in 0..ATTEMPTS {
        let stored = server.store().record(name).await?.ok_or(Refused::Unknown)?;
        if asked.expected.is_some_and(|expected| expected != stored.version) {
            return Err(Refused::Changed);
        }
        let latest = stored.record.state.release.as_ref().map(|release| release.number);
        if let Some(meant) = asked.release.filter(|meant| Some(*meant) != latest) {
            let why = format!("release {meant}, which this is about, is over; the latest is another one");
            return Err(Refused::Refusal(why));
        }
        match act_once(server, stored, request, asked).await {
            Err(Refused::Store(StoreError::Moved)) => {}
            done => return done,
        }
    }
    Err(StoreError::Moved.into())
}

async fn act_once(
    server: &Server,
    mut stored: Stored,
    request: &Request,
    asked: &Asked<'_>,
) -> Result<Written, Refused> {
    let spec = stored.record.spec().map_err(Refused::Invalid)?;
    let Some(plan) = &spec.plan else {
        let why = "the file owns the weights of this rollout; change \"weights\" there, or give it a plan";
        return Err(Refused::Refusal(why.to_owned()));
    };
    let known = Known::read(server).await?;
    if is_at_rest(stored.record.state.said.phase) {
        // Nobody counted the time while there was no release, and none of it may count as time on its first step.
        stored.record.state.ticked = Some(known.now);
    }
    let inputs = known.inputs(&stored.record, &spec, spec.policy_inputs());
    let step = verb(plan, &stored.record.state, &inputs, request)
        .map_err(|refusal| Refused::Refusal(refusal.to_string()))?;
    let moment = Moment { inputs, request: Some(request.clone()) };
    let change = settle(&stored, &moment, &step);
    let mut written = Written {
        release: ReleaseRecord::of(&step.state),
        is_new: false,
        is_changed: change.is_some(),
        conditions: step.conditions.clone(),
        remarks: Vec::new(),
        stored,
    };
    match change {
        Some(change) => commit(server, change, &mut written, asked).await?,
        // Whoever asks again is told the same as now.
        None if asked.answer.is_some() && !asked.dry_run => {
            let change = unchanged(&written.stored);
            commit(server, change, &mut written, asked).await?;
        }
        None => {}
    }
    Ok(written)
}

/// Keeps an answer with a rollout of which nothing changes.
///
/// # Errors
/// [`Refused`]: it is not kept then.
pub async fn keep(server: &Server, name: &Name, answer: &Answer) -> Result<(), Refused> {
    for _ in 0..ATTEMPTS {
        let stored = server.store().record(name).await?.ok_or(Refused::Unknown)?;
        let change = Change { answer: Some(answer.clone()), ..unchanged(&stored) };
        match server.store().commit(change).await {
            Err(StoreError::Moved) => {}
            done => return done.map(drop).map_err(Refused::from),
        }
    }
    Err(StoreError::Moved.into())
}

fn unchanged(stored: &Stored) -> Change {
    Change {
        record: stored.record.clone(),
        expected: stored.version,
        history: Vec::new(),
        release: None,
        answer: None,
    }
}

/// Commits a change, or only says what it would be.
pub(super) async fn commit(
    server: &Server,
    mut change: Change,
    written: &mut Written,
    asked: &Asked<'_>,
) -> Result<(), StoreError> {
    written.stored.record = change.record.clone();
    if asked.dry_run {
        return Ok(());
    }
    written.stored.version = change.expected + 1;
    change.answer = asked.answer.map(|answer| answer(written));
    written.stored.version = server.store().commit(change).await?;
    server.wake();
    Ok(())
}

fn is_at_rest(phase: Phase) -> bool {
    matches!(phase, Phase::Idle | Phase::RolledBack)
}

/// Freezes everything for this reason, or ends that: judging and rollbacks go on, no weight goes up.
///
/// # Errors
/// The store did not do it.
pub async fn freeze(server: &Server, why: Option<&str>) -> Result<(), Refused> {
    server.store().freeze(why).await?;
    server.wake();
    Ok(())
}
