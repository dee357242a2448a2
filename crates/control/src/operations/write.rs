//! A rollout is written or deleted.

use coalmine_document::{Code, Node, OwnedPath, Problem, json};
use coalmine_steer::plan::{Advice, advice};
use coalmine_steer::{Outcome, Stage, State, What};

use super::act::commit;
use super::{ATTEMPTS, Asked, Refused, Written};
use crate::rollout::{Logged, Name, Record, ReleaseRecord, Spec, read_text};
use crate::server::Server;
use crate::store::{Change, Entry, StoreError, Stored};

/// Creates a rollout, or replaces what is written of it; its state goes on. `text` is JSON or YAML.
///
/// # Errors
/// [`Refused`]: nothing has changed then, and its last accepted form stays in force.
pub async fn write(server: &Server, name: &Name, text: &str, asked: &Asked<'_>) -> Result<Written, Refused> {
    let document = read_text(text).map_err(Refused::Invalid)?;
    let spec = Spec::of_name(name, &document).map_err(Refused::Invalid)?;
    let problems = server.operator().refuses(server.fleets(), name, &spec, &document);
    if !problems.is_empty() {
        return Err(Refused::Invalid(problems));
    }
    let mut written = retried(server, name, asked, |before| {
        let now = server.now();
        Ok(match before {
            Found::Stored(before) => rewritten(before, text, &spec, asked.by, now),
            Found::Nothing(earlier) => Some(created(name, text, &spec, earlier, asked.by, now)),
        })
    })
    .await?;
    written.remarks = remarks(&spec, &document);
    Ok(written)
}

/// Deletes a rollout. Where users are on the canary, everybody goes to stable first, and then it goes.
///
/// # Errors
/// [`Refused`]: nothing has changed then.
pub async fn remove(server: &Server, name: &Name, asked: &Asked<'_>) -> Result<Written, Refused> {
    retried(server, name, asked, |before| {
        let Found::Stored(before) = before else { return Err(Refused::Unknown) };
        let mut record = before.record.clone();
        if record.deleted {
            return Ok(None);
        }
        record.deleted = true;
        let event = event(&record, What::Verb, asked.by, server.now(), "deleted".to_owned());
        Ok(Some(change(record, before.version, event)))
    })
    .await
}

/// What there is of a rollout.
enum Found<'a> {
    /// The rollout.
    Stored(&'a Stored),
    /// No rollout, and the latest release of an earlier one of this name, where there was one.
    Nothing(Option<&'a ReleaseRecord>),
}

/// Makes a change of a record and commits it, anew where somebody else was faster.
async fn retried(
    server: &Server,
    name: &Name,
    asked: &Asked<'_>,
    make: impl Fn(Found<'_>) -> Result<Option<Change>, Refused>,
) -> Result<Written, Refused> {
    for _ in 0..ATTEMPTS {
        let before = server.store().record(name).await?;
        let version = before.as_ref().map_or(0, |stored| stored.version);
        if asked.expected.is_some_and(|expected| expected != version) {
            return Err(Refused::Changed);
        }
        let change = match &before {
            Some(before) => make(Found::Stored(before))?,
            None => make(Found::Nothing(server.store().latest_release(name).await?.as_ref()))?,
        };
        let Some(change) = change else {
            let Some(stored) = before else { return Err(Refused::Unknown) };
            return Ok(answered(stored, false, false));
        };
        let stored = Stored { version, record: change.record.clone() };
        let mut written = answered(stored, before.is_none(), true);
        match commit(server, change, &mut written, asked).await {
            Err(StoreError::Moved) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(written),
        }
    }
    Err(StoreError::Moved.into())
}

/// What is odd about a plan that is right.
fn remarks(spec: &Spec, document: &Node) -> Vec<Problem> {
    let found = spec.plan.as_ref().map(|plan| advice(plan, None)).unwrap_or_default();
    let placed = |advice: Advice| {
        let path = OwnedPath::of(&["plan"]).join(&advice.path);
        let span = path.span_in(document);
        Problem { path, span, ..Problem::of_document(Code::InvalidValue, advice.message) }
    };
    found.into_iter().map(placed).collect()
}

fn answered(stored: Stored, is_new: bool, is_changed: bool) -> Written {
    Written {
        is_new,
        is_changed,
        release: ReleaseRecord::of(&stored.record.state),
        conditions: Vec::new(),
        remarks: Vec::new(),
        stored,
    }
}

/// The change that creates a rollout. Where there was one of this name, its releases stay: the next one has a new number.
fn created(
    name: &Name,
    text: &str,
    spec: &Spec,
    earlier: Option<&ReleaseRecord>,
    by: &str,
    now: u64,
) -> Change {
    let mut record = Record::new(name.clone(), text.to_owned(), now);
    if spec.plan.is_some() {
        record.state.take(&spec.policy_inputs());
    }
    record.state.release = earlier.map(ReleaseRecord::ended);
    let event = event(&record, What::PolicyChanged, by, now, "created".to_owned());
    change(record, 0, event)
}

/// The change that writes this text; none where it is written already.
fn rewritten(before: &Stored, text: &str, spec: &Spec, by: &str, now: u64) -> Option<Change> {
    if before.record.written == text && !before.record.deleted {
        return None;
    }
    let mut record = before.record.clone();
    record.deleted = false;
    record.policy = policy_in_force(&before.record, spec);
    text.clone_into(&mut record.written);
    let mut why = "the document is another one".to_owned();
    let is_going_on = record.state.release.as_ref().is_some_and(|release| release.outcome.is_none());
    if spec.plan.is_none() && is_going_on {
        supersede(&mut record.state, now);
        why = "the file owns the weights now; the release is superseded".to_owned();
    }
    let event = event(&record, What::PolicyChanged, by, now, why);
    let mut change = change(record, before.version, event);
    change.release = ReleaseRecord::of(&change.record.state).filter(|_| spec.plan.is_none() && is_going_on);
    Some(change)
}

/// The policy part that stays in force until steering takes the new one, where steering has taken one at all.
fn policy_in_force(before: &Record, spec: &Spec) -> Option<String> {
    let taken = before.state.policy.as_ref()?;
    if spec.plan.is_none() || taken.digest == spec.policy_inputs().digest {
        return None;
    }
    before.policy.clone().or_else(|| Some(json::flat(&before.spec().ok()?.policy)))
}

/// Ends the release where the file takes the weights over.
fn supersede(state: &mut State, now: u64) {
    if let Some(release) = &mut state.release {
        release.outcome = Some(Outcome::Superseded);
    }
    state.stage = Stage::Idle;
    state.weight = 0;
    state.said.since = now;
    state.said.message = "the file owns the weights".to_owned();
    state.said.phase = coalmine_steer::Phase::Idle;
}

fn event(record: &Record, what: What, by: &str, at: u64, why: String) -> Logged {
    Logged { at, what, weight: record.state.weight, by: Some(by.to_owned()), why }
}

fn change(record: Record, expected: u64, logged: Logged) -> Change {
    let history = vec![Entry { number: 0, logged, decision: None }];
    Change { record, expected, history, release: None, answer: None }
}
