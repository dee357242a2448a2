//! A `CanaryRollout` as the store sees it: the record in its status, its history, its releases and its answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::ResourceExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::conditions::{set_accepted, set_standing};
use crate::kubernetes::{CanaryRollout, CanaryRolloutSpec, CanaryRolloutStatus, FINALIZER, HistoryLine};
use crate::rollout::{Logged, Name, Record, ReleaseRecord, read_text};
use crate::store::{ANSWERS_FOR, Answer, Change, Entry, Recorded, StoreError, Stored};

/// How many lines of history are kept.
const KEPT_LINES: usize = 50;
/// How many releases.
const KEPT_RELEASES: usize = 10;
/// How many answers.
const KEPT_ANSWERS: usize = 20;
/// How many lines one version of an object may add, for their positions.
const LINES: u64 = 64;
/// The most bytes of the decisions behind all lines: those of the oldest lines go first.
const MAX_DECISIONS: usize = 128 << 10;
/// The most bytes of a status. The API takes objects of 1.5 MiB, with what others write into them.
const MAX_STATUS: usize = 1 << 20;

/// An object at one version.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The object.
    pub(super) object: CanaryRollout,
    /// Its `resourceVersion`.
    pub(super) version: u64,
    /// The record; none of an object that the server has not accepted yet, and why it cannot be read.
    pub(super) record: Result<Option<Record>, String>,
    /// Its history, the oldest first.
    pub(super) lines: Vec<Line>,
    /// The position of the last line that is gone.
    pub(super) forgotten: u64,
    /// Its releases, the oldest first.
    pub(super) releases: Vec<ReleaseRecord>,
    /// Its answers, the oldest first.
    pub(super) answers: Vec<Answer>,
}

/// A line of history and its position among those of all rollouts.
///
/// The position is made of the version of the object in which the line was seen first. Versions are of all objects, so
/// every line has a higher one than those that were recorded before it, of whichever rollout. That version is known
/// once the line is written, and written down with the next change.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) position: u64,
    pub(super) entry: Entry,
}

/// The version of an object, as a number.
pub(super) fn version_of(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// The spec of what is written, JSON or YAML.
pub(super) fn spec_of(written: &str) -> Result<CanaryRolloutSpec, StoreError> {
    let unreadable =
        || StoreError::Refused("what is written is no rollout, with a policy and a plan".to_owned());
    let node = read_text(written).map_err(|problems| StoreError::Refused(problems.to_string()))?;
    let document: Value =
        serde_json::from_str(&coalmine_document::json::flat(&node)).map_err(|_| unreadable())?;
    CanaryRolloutSpec::of(document).ok_or_else(unreadable)
}

/// A time in RFC 3339.
pub(super) fn written_time(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn read_time(text: &str) -> u64 {
    let time = humantime::parse_rfc3339(text).unwrap_or(SystemTime::UNIX_EPOCH);
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn percent(weight: u32) -> f64 {
    f64::from(weight) / 10_000.0
}

fn text_of<T: serde::Serialize>(value: &T, what: &str) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unreadable(format!("{what} cannot be written: {error}")))
}

fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    number.try_into().unwrap_or_default()
}

// === impl Kept ===

impl Kept {
    /// What an object holds. Lines that were there `before` keep the positions that they were seen at.
    pub(super) fn new(object: CanaryRollout, before: Option<&Self>) -> Self {
        let version = version_of(object.metadata.resource_version.as_deref());
        let status = object.status.clone().unwrap_or_default();
        let mut kept = Self {
            version,
            record: status.record.as_deref().map(read_record).transpose(),
            lines: Vec::new(),
            forgotten: unsigned(status.forgotten.unwrap_or_default()),
            releases: status
                .releases
                .iter()
                .filter_map(|it| serde_json::from_value(it.clone()).ok())
                .collect(),
            answers: status
                .answers
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            object,
        };
        let mut added = 0;
        for line in &status.history {
            let Some(entry) = read_line(line) else { continue };
            let seen =
                before.and_then(|before| before.lines.iter().find(|it| it.entry.number == entry.number));
            let position =
                line.position.map(unsigned).or_else(|| Some(seen?.position)).unwrap_or_else(|| {
                    added += 1;
                    version * LINES + added - 1
                });
            kept.lines.push(Line { position, entry });
        }
        kept
    }

    /// Its name; none of a name that no rollout has, as one with a dot.
    pub(super) fn name_of(object: &CanaryRollout) -> Option<Name> {
        Name::new(&object.namespace()?, &object.name_any()).ok()
    }

    /// The record, where there is one.
    pub(super) fn stored(&self) -> Result<Option<Stored>, StoreError> {
        match &self.record {
            Ok(record) => Ok(record.clone().map(|record| Stored { version: self.version, record })),
            Err(why) => Err(StoreError::Unreadable(format!("{}: {why}", self.object.name_any()))),
        }
    }

    /// Whether there is no record yet.
    pub(super) fn is_unaccepted(&self) -> bool {
        matches!(self.record, Ok(None))
    }

    /// Whether somebody has deleted the object, and the finalizer keeps it.
    pub(super) fn is_being_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// Whether the finalizer is there.
    pub(super) fn is_held(&self) -> bool {
        self.object.finalizers().iter().any(|it| it == FINALIZER)
    }

    /// Who wrote the spec last, as the API noted it.
    pub(super) fn author(&self) -> Option<&str> {
        let fields = self.object.metadata.managed_fields.as_deref().unwrap_or_default();
        let wrote_spec = fields.iter().filter(|field| {
            field.subresource.is_none()
                && field.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some())
        });
        wrote_spec.max_by_key(|field| field.time.as_ref().map(|time| time.0))?.manager.as_deref()
    }

    pub(super) fn recorded(&self, name: &Name) -> impl Iterator<Item = Recorded> {
        self.lines.iter().map(|line| Recorded {
            position: line.position,
            is_after_gap: false,
            rollout: name.clone(),
            number: line.entry.number,
            logged: line.entry.logged.clone(),
        })
    }

    /// Without history from before this time, but for the latest line, and without answers from before that one; none where
    /// nothing is as old.
    pub(super) fn without(&self, history_before: u64, answers_before: u64) -> Option<Self> {
        let mut left = self.clone();
        let latest = left.lines.last().map(|line| line.entry.number);
        let is_old = |line: &Line| line.entry.logged.at < history_before && Some(line.entry.number) != latest;
        let old = left.lines.iter().filter(|line| is_old(line)).map(|line| line.position).max();
        left.forgotten = left.forgotten.max(old.unwrap_or_default());
        left.lines.retain(|line| !is_old(line));
        left.answers.retain(|answer| answer.at >= answers_before);
        let is_same = left.lines.len() == self.lines.len() && left.answers.len() == self.answers.len();
        (!is_same).then_some(left)
    }

    /// The status without a change of the record.
    pub(super) fn status(&self) -> Result<CanaryRolloutStatus, StoreError> {
        let mut status = self.object.status.clone().unwrap_or_default();
        self.write_lists(&mut status)?;
        Ok(status)
    }

    fn write_lists(&self, status: &mut CanaryRolloutStatus) -> Result<(), StoreError> {
        let mut decisions = 0;
        status.history.clear();
        for line in self.lines.iter().rev() {
            let mut written = write_line(line)?;
            decisions += written.decision.as_ref().map_or(0, String::len);
            if decisions > MAX_DECISIONS {
                written.decision = None;
            }
            status.history.push(written);
        }
        status.history.reverse();
        status.forgotten = (self.forgotten > 0).then(|| signed(self.forgotten));
        status.releases = self.releases.iter().filter_map(|it| serde_json::to_value(it).ok()).collect();
        status.answers = (!self.answers.is_empty()).then(|| text_of(&self.answers, "answers")).transpose()?;
        Ok(())
    }

    fn add(&mut self, change: &Change) {
        let next = self.lines.last().map_or(0, |line| line.entry.number) + 1;
        for (number, entry) in (next..).zip(&change.history) {
            // Its position is known once it is written.
            self.lines.push(Line { position: 0, entry: Entry { number, ..entry.clone() } });
        }
        let surplus = self.lines.len().saturating_sub(KEPT_LINES);
        let gone = self.lines.drain(..surplus).map(|line| line.position).max();
        self.forgotten = self.forgotten.max(gone.unwrap_or_default());
        if let Some(release) = &change.release {
            self.releases.retain(|it| it.release != release.release);
            self.releases.push(release.clone());
            self.releases.sort_by_key(|it| it.release);
            let surplus = self.releases.len().saturating_sub(KEPT_RELEASES);
            self.releases.drain(..surplus);
        }
        if let Some(answer) = &change.answer {
            self.answers.retain(|it| it.at + ANSWERS_FOR >= answer.at);
            self.answers.push(answer.clone());
            let surplus = self.answers.len().saturating_sub(KEPT_ANSWERS);
            self.answers.drain(..surplus);
        }
    }
}

/// The status that a change makes of what is there. `generation` is that of the spec that is written with it.
pub(super) fn changed(
    kept: Option<&Kept>,
    change: &Change,
    generation: Option<i64>,
) -> Result<CanaryRolloutStatus, StoreError> {
    let mut next =
        kept.cloned().unwrap_or_else(|| Kept::new(CanaryRollout::default_of(&change.record.name), None));
    next.add(change);
    let before = next.object.status.clone().unwrap_or_default();
    let state = &change.record.state;
    let at = [change.history.last().map(|entry| entry.logged.at), state.ticked, Some(change.record.created)];
    let at = at.into_iter().flatten().max().unwrap_or_default();
    let mut status = CanaryRolloutStatus {
        observed_generation: generation.or(before.observed_generation),
        phase: Some(state.said.phase.to_string()),
        weight: Some(percent(state.weight)),
        verdict: Some(state.said.verdict.to_string()),
        message: Some(state.said.message.clone()),
        release: state.release.as_ref().map(|release| signed(release.number)),
        record: Some(text_of(&change.record, "the record of a rollout")?),
        conditions: before.conditions,
        ..CanaryRolloutStatus::default()
    };
    next.write_lists(&mut status)?;
    if kept.is_none_or(|kept| {
        kept.record.as_ref().is_ok_and(|it| written_in(it) != Some(&change.record.written))
    }) {
        set_accepted(&mut status, None, at);
    }
    set_standing(&mut status, &change.record, at);
    let bytes = text_of(&status, "the status of a rollout")?.len();
    if bytes > MAX_STATUS {
        let what = format!("the status of a rollout has {bytes} bytes, and at most {MAX_STATUS} are kept");
        return Err(StoreError::Full(what));
    }
    Ok(status)
}

fn written_in(record: &Option<Record>) -> Option<&String> {
    record.as_ref().map(|record| &record.written)
}

fn read_record(text: &str) -> Result<Record, String> {
    serde_json::from_str(text).map_err(|error| format!("its record: {error}"))
}

fn read_line(line: &HistoryLine) -> Option<Entry> {
    Some(Entry {
        number: unsigned(line.number),
        logged: Logged {
            at: read_time(&line.at),
            what: read_word(&line.what)?,
            weight: (line.weight * 10_000.0).round() as u32,
            by: line.by.clone(),
            why: line.why.clone(),
        },
        decision: line.decision.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    })
}

fn read_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(Value::String(word.to_owned())).ok()
}

fn write_line(line: &Line) -> Result<HistoryLine, StoreError> {
    let logged = &line.entry.logged;
    let what = serde_json::to_value(logged.what).ok();
    Ok(HistoryLine {
        number: signed(line.entry.number),
        position: (line.position > 0).then(|| signed(line.position)),
        at: written_time(logged.at),
        what: what.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
        weight: percent(logged.weight),
        by: logged.by.clone(),
        why: logged.why.clone(),
        decision: line.entry.decision.as_ref().map(|it| text_of(it, "a decision")).transpose()?,
    })
}

// === impl CanaryRollout ===

impl CanaryRollout {
    /// An object of this name without anything in it.
    pub(super) fn default_of(name: &Name) -> Self {
        let mut object = Self::new(name.name(), CanaryRolloutSpec::default());
        object.metadata.namespace = Some(name.namespace().to_owned());
        object
    }
}
