//! A step of steering becomes a change of the store: the record, its history, its release.

use coalmine_steer::{Action, Event, Moment, State, Step};

use crate::rollout::{Logged, Record, ReleaseRecord};
use crate::store::{Change, Decision, Entry, Stored};

/// The change that records a step; none where nothing but the time is another one.
///
/// The decision goes with the first line of its history. Later ticks leave a release alone that has ended: what it says then
/// is its last word.
pub(crate) fn settle(stored: &Stored, moment: &Moment, step: &Step) -> Option<Change> {
    let before = &stored.record.state;
    let events: Vec<&Event> = step
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Record(event) => Some(event),
            _ => None,
        })
        .collect();
    if events.is_empty() && is_same_but_time(before, &step.state) {
        return None;
    }
    let by = moment.request.as_ref().map(|request| request.by.clone());
    let mut record = stored.record.clone();
    record.state = step.state.clone();
    keep_policy_in_force(&stored.record, moment, &mut record);
    let mut history = Vec::new();
    for event in events {
        let logged = logged(event, by.clone());
        let decision = history.is_empty().then(|| Decision {
            written: stored.record.written.clone(),
            state: before.clone(),
            moment: moment.clone(),
        });
        history.push(Entry { number: 0, logged, decision });
    }
    let release = ReleaseRecord::of(&record.state).filter(|release| !had_ended(before, release.release));
    Some(Change { record, expected: stored.version, history, release, answer: None })
}

/// The policy part in force is that of the document once the state has taken it; until then it is the one before.
fn keep_policy_in_force(before: &Record, moment: &Moment, record: &mut Record) {
    let taken = record.state.policy.as_ref().map(|policy| policy.digest.as_str());
    if taken.is_none_or(|taken| taken == moment.inputs.policy.digest) {
        record.policy = None;
    } else {
        record.policy.clone_from(&before.policy);
    }
}

fn had_ended(state: &State, number: u64) -> bool {
    state.release.as_ref().is_some_and(|release| release.number == number && release.outcome.is_some())
}

fn is_same_but_time(before: &State, after: &State) -> bool {
    State { ticked: None, ..before.clone() } == State { ticked: None, ..after.clone() }
}

fn logged(event: &Event, by: Option<String>) -> Logged {
    Logged { at: event.at, what: event.what, weight: event.weight, by, why: event.why.clone() }
}
