//! What every store must do: one test that all of them pass.

mod racing;

pub(super) use racing::{how_often, races, servers};

use std::sync::Arc;

use coalmine_steer::{Form, Outcome, Phase, What};

use super::{ANSWERS_FOR, Answer, Change, Entry, Head, Store, StoreError, Versions};
use crate::publish::{Part, Publication};
use crate::rollout::{Logged, Name, Record, ReleaseRecord};

pub(super) const FLEET: &str = "default";
/// How many lines, releases and answers of a rollout every store keeps at least.
pub(super) const KEPT: u32 = 10;
/// A rollout as every store takes it.
pub(super) const WRITTEN: &str = "\
policy: {identity: [{header: x-user}], variants: [{name: canary}]}
plan: {}
workloads: {service: checkout, stable: {deployment: checkout}, canary: {deployment: checkout-canary}}
";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn logged(why: &str, at: u64) -> Logged {
    Logged { at, what: What::Verb, weight: 0, by: Some("alice".to_owned()), why: why.to_owned() }
}

fn change(record: Record, expected: u64) -> Change {
    Change { record, expected, history: Vec::new(), release: None, answer: None }
}

pub(super) fn new(text: &str) -> Change {
    change(Record::new(name(text), WRITTEN.to_owned(), 7), 0)
}

pub(crate) fn publication(revision: u64) -> Publication {
    let form = Form { weight: Some(5), salt: None, policy: "p".to_owned(), observe: true };
    let part = Part { form, since: revision, digest: "d".to_owned(), falls: None };
    Publication {
        fleet: FLEET.to_owned(),
        revision,
        at: 1,
        document: format!("{{\"revision\":{revision}}}"),
        filter: String::new(),
        parts: [(name("shop/checkout"), part)].into(),
        held: [].into(),
        refused: None,
    }
}

async fn versions(store: &dyn Store) -> Versions {
    store.records().await.unwrap().into_iter().map(|it| (it.record.name, it.version)).collect()
}

/// Everything, on an empty store.
pub(super) async fn holds(store: Arc<dyn Store>) {
    records(&*store).await;
    history(&*store).await;
    lines(&*store).await;
    answers(&*store).await;
    publications(&*store).await;
    settings(&*store).await;
    racing::hold(store).await;
}

async fn records(store: &dyn Store) {
    assert!(store.records().await.unwrap().is_empty());
    assert_eq!(store.record(&name("shop/checkout")).await.unwrap(), None);
    let before = store.counter().await.unwrap();
    let first = store.commit(new("shop/checkout")).await.unwrap();
    assert!(store.counter().await.unwrap() > before);
    assert!(matches!(store.commit(new("shop/checkout")).await, Err(StoreError::Moved)));
    let stored = store.record(&name("shop/checkout")).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.record.created), (first, 7));
    let mut record = stored.record;
    record.state.weight = 50_000;
    let second = store.commit(change(record.clone(), first)).await.unwrap();
    assert!(second > first);
    assert!(matches!(store.commit(change(record.clone(), first)).await, Err(StoreError::Moved)));
    assert_eq!(store.record(&record.name).await.unwrap().unwrap().record, record);
    store.commit(new("bank/payments")).await.unwrap();
    let names: Vec<Name> = store.records().await.unwrap().into_iter().map(|it| it.record.name).collect();
    assert_eq!(names, [name("bank/payments"), name("shop/checkout")]);
    assert_eq!(store.versions().await.unwrap(), versions(store).await);
    assert!(matches!(store.remove(&record.name, first).await, Err(StoreError::Moved)));
    store.remove(&record.name, second).await.unwrap();
    assert_eq!(store.record(&record.name).await.unwrap(), None);
    let again = store.commit(new("shop/checkout")).await.unwrap();
    assert!(again > second, "a version comes twice");
    let written = format!("{WRITTEN}# {}\n", "x".repeat(5 << 20));
    let mut large = Record::new(name("shop/large"), written, 7);
    assert!(matches!(store.commit(change(large.clone(), 0)).await, Err(StoreError::Full(_))));
    WRITTEN.clone_into(&mut large.written);
    store.commit(change(large, 0)).await.unwrap();
}

async fn history(store: &dyn Store) {
    let of = name("shop/history");
    let mut made = new("shop/history");
    let entry = |why: &str, at| Entry { number: 0, logged: logged(why, at), decision: None };
    made.history = vec![entry("one", 10), entry("two", 20)];
    let release = |outcome| ReleaseRecord {
        release: 1,
        started: 3,
        phase: Phase::Progressing,
        outcome,
        weight: 5,
        message: "goes on".to_owned(),
    };
    made.release = Some(release(None));
    let record = made.record.clone();
    let version = store.commit(made).await.unwrap();
    assert_eq!(store.release(&of, 1).await.unwrap(), Some(release(None)));
    assert_eq!(store.release(&of, 2).await.unwrap(), None);
    let mut more = change(record.clone(), version);
    more.history = vec![entry("three", 30)];
    more.release = Some(release(Some(Outcome::Promoted)));
    let version = store.commit(more).await.unwrap();
    assert_eq!(store.release(&of, 1).await.unwrap(), Some(release(Some(Outcome::Promoted))));
    let mut next = change(record.clone(), version);
    next.release = Some(ReleaseRecord { release: 10, ..release(None) });
    let version = store.commit(next).await.unwrap();
    let latest = store.latest_release(&of).await.unwrap();
    assert_eq!(latest.map(|latest| latest.release), Some(10));
    assert_eq!(store.latest_release(&name("shop/checkout")).await.unwrap(), None);
    let read = |lines: Vec<Entry>| -> Vec<(u64, String)> {
        lines.into_iter().map(|line| (line.number, line.logged.why)).collect()
    };
    let lines =
        |pairs: &[(u64, &str)]| pairs.iter().map(|(n, why)| (*n, (*why).to_owned())).collect::<Vec<_>>();
    assert_eq!(read(store.history(&of, None, 2).await.unwrap()), lines(&[(3, "three"), (2, "two")]));
    assert_eq!(read(store.history(&of, Some(2), 9).await.unwrap()), lines(&[(1, "one")]));
    // What was not written whole was not written at all.
    let mut lost = change(record, version - 1);
    lost.history = vec![entry("lost", 40)];
    assert!(matches!(store.commit(lost).await, Err(StoreError::Moved)));
    assert_eq!(store.history(&of, None, 9).await.unwrap().len(), 3);
    store.forget(20, 100).await.unwrap();
    assert_eq!(read(store.history(&of, None, 9).await.unwrap()), lines(&[(3, "three"), (2, "two")]));
    store.forget(1_000, 100).await.unwrap();
    let stored = store.record(&of).await.unwrap().unwrap();
    let mut late = change(stored.record, stored.version);
    late.history = vec![entry("four", 2_000)];
    store.commit(late).await.unwrap();
    let left = read(store.history(&of, None, 9).await.unwrap());
    assert_eq!(left.first(), Some(&(4, "four".to_owned())), "no number comes twice");
}

async fn lines(store: &dyn Store) {
    let before = store.last_line().await.unwrap();
    let entry = |why: &str, at| Entry { number: 0, logged: logged(why, at), decision: None };
    let mut versions = Vec::new();
    for (of, whys) in [("shop/line-a", vec!["a1", "a2"]), ("shop/line-b", vec!["b1"])] {
        let mut made = new(of);
        // What counts is the order in which they were recorded, not when they say that they were.
        made.history = whys.into_iter().zip([9_000, 8_000]).map(|(why, at)| entry(why, at)).collect();
        versions.push((made.record.clone(), store.commit(made).await.unwrap()));
    }
    let (record, version) = versions.swap_remove(0);
    let mut more = change(record.clone(), version);
    more.history = vec![entry("a3", 8_500)];
    store.commit(more).await.unwrap();
    let mut lost = change(record, version);
    lost.history = vec![entry("lost", 8_600)];
    assert!(matches!(store.commit(lost).await, Err(StoreError::Moved)));
    let read = async |after, limit| -> Vec<(u64, String)> {
        let lines = store.lines(after, limit).await.unwrap();
        assert!(lines.windows(2).all(|pair| pair[0].position < pair[1].position), "{lines:?}");
        assert!(lines.iter().all(|line| line.rollout.name().ends_with(&line.logged.why[..1])), "{lines:?}");
        lines.into_iter().map(|line| (line.number, line.logged.why)).collect()
    };
    let line = |number, why: &str| (number, why.to_owned());
    let all = [line(1, "a1"), line(2, "a2"), line(1, "b1"), line(3, "a3")];
    assert_eq!(read(before, 9).await, all);
    assert_eq!(read(before, 2).await, all[..2]);
    let positions: Vec<u64> =
        store.lines(before, 9).await.unwrap().into_iter().map(|line| line.position).collect();
    assert!(positions[0] > before);
    assert_eq!(read(positions[1], 9).await, all[2..]);
    assert_eq!(store.last_line().await.unwrap(), positions[3]);
    let gaps = async || {
        let lines = store.lines(before, 9).await.unwrap();
        lines.iter().filter(|line| line.is_after_gap).count()
    };
    assert_eq!(gaps().await, 0);
    store.forget(8_700, 100).await.unwrap();
    assert_eq!(read(before, 9).await, [&all[..1], &all[2..]].concat());
    assert_eq!(gaps().await, 1, "where one is forgotten");
    store.forget(10_000, 100).await.unwrap();
    assert_eq!(read(before, 9).await, all[2..], "the last one of each stays");
    assert_eq!(store.last_line().await.unwrap(), positions[3]);
}

async fn answers(store: &dyn Store) {
    let answer = Answer {
        key: "pipeline 1".to_owned(),
        at: 100,
        request: "digest".to_owned(),
        status: 202,
        body: "{}".to_owned(),
        location: Some("/v1/rollouts/shop/answered/releases/1".to_owned()),
    };
    let mut made = new("shop/answered");
    made.answer = Some(answer.clone());
    let record = made.record.clone();
    let version = store.commit(made).await.unwrap();
    assert_eq!(store.answer("pipeline 1").await.unwrap(), Some(answer.clone()));
    assert_eq!(store.answer("pipeline 2").await.unwrap(), None);
    // The same key at the same time: the second one does nothing.
    let mut second = change(record, version);
    second.answer = Some(answer);
    assert!(matches!(store.commit(second).await, Err(StoreError::Moved)));
    assert_eq!(store.record(&name("shop/answered")).await.unwrap().unwrap().version, version);
    store.forget(0, 100 + ANSWERS_FOR).await.unwrap();
    assert!(store.answer("pipeline 1").await.unwrap().is_some());
    store.forget(0, 101 + ANSWERS_FOR).await.unwrap();
    assert_eq!(store.answer("pipeline 1").await.unwrap(), None);
}

async fn publications(store: &dyn Store) {
    let none = store.publications(FLEET).await.unwrap();
    assert_eq!((none.latest, none.good), (None, None));
    assert_eq!(store.head(FLEET).await.unwrap(), Head::default());
    let seen = versions(store).await;
    store.publish(&publication(100), &seen).await.unwrap();
    assert!(matches!(store.publish(&publication(100), &seen).await, Err(StoreError::Moved)));
    assert!(matches!(store.publish(&publication(99), &seen).await, Err(StoreError::Moved)));
    store.commit(new("shop/newcomer")).await.unwrap();
    assert!(matches!(store.publish(&publication(101), &seen).await, Err(StoreError::Moved)));
    let seen = versions(store).await;
    store.publish(&publication(101), &seen).await.unwrap();
    let found = store.publications(FLEET).await.unwrap();
    assert_eq!((found.latest, found.good), (Some(publication(101)), None));
    assert_eq!(store.head(FLEET).await.unwrap(), Head { latest: Some(101), good: Some(101) });
    store.refuse(FLEET, 101, "no such module").await.unwrap();
    store.refuse(FLEET, 101, "another reason").await.unwrap();
    let found = store.publications(FLEET).await.unwrap();
    assert_eq!(found.latest.unwrap().refused.as_deref(), Some("no such module"));
    assert_eq!(found.good, Some(publication(100)));
    assert_eq!(store.head(FLEET).await.unwrap(), Head { latest: Some(101), good: Some(100) });
    assert_eq!(store.head("other").await.unwrap(), Head::default());
    assert_eq!(store.publications("other").await.unwrap().latest, None);
    for revision in 102..230 {
        store.publish(&publication(revision), &seen).await.unwrap();
        store.refuse(FLEET, revision, "no").await.unwrap();
    }
    assert_eq!(store.publication(FLEET, 110).await.unwrap(), None, "old publications go");
    assert_eq!(store.publication(FLEET, 229).await.unwrap().unwrap().revision, 229);
    assert_eq!(store.publications(FLEET).await.unwrap().good, Some(publication(100)), "the good one stays");
    let of = |revision| Publication { fleet: "unlucky".to_owned(), ..publication(revision) };
    for revision in 1..=110 {
        store.publish(&of(revision), &seen).await.unwrap();
        store.refuse("unlucky", revision, "no").await.unwrap();
    }
    assert_eq!(store.publication("unlucky", 5).await.unwrap(), None, "old ones go where none is good, too");
    assert_eq!(store.publications("unlucky").await.unwrap().good, None);
    assert_eq!(store.head("unlucky").await.unwrap(), Head { latest: Some(110), good: None });
}

async fn settings(store: &dyn Store) {
    assert_eq!(store.frozen().await.unwrap(), None);
    store.freeze(Some("an incident")).await.unwrap();
    store.freeze(Some("a fire")).await.unwrap();
    assert_eq!(store.frozen().await.unwrap().as_deref(), Some("a fire"));
    store.freeze(None).await.unwrap();
    assert_eq!(store.frozen().await.unwrap(), None);
    assert!(store.lease("a", 100, 130).await.unwrap());
    assert!(!store.lease("b", 110, 140).await.unwrap());
    assert!(store.lease("a", 120, 150).await.unwrap());
    assert!(store.lease("b", 150, 180).await.unwrap());
    assert!(!store.lease("a", 151, 181).await.unwrap());
}

/// One commit of all kinds on a rollout: its weight counts them, and each has a line of history, a release and an answer.
pub(super) async fn step(store: &dyn Store, of: &str) -> Result<(), StoreError> {
    let stored = store.record(&name(of)).await?;
    let mut next = stored.map_or_else(|| new(of), |stored| change(stored.record, stored.version));
    next.record.state.weight += 1;
    let number = next.record.state.weight;
    let why = format!("step {number}");
    next.history = vec![Entry { number: 0, logged: logged(&why, 1_000), decision: None }];
    next.release = Some(ReleaseRecord {
        release: number.into(),
        started: 3,
        phase: Phase::Progressing,
        outcome: None,
        weight: number,
        message: why,
    });
    next.answer = Some(Answer {
        key: format!("{of} {number}"),
        at: 100,
        request: "digest".to_owned(),
        status: 202,
        body: "{}".to_owned(),
        location: None,
    });
    store.commit(next).await.map(drop)
}

/// One publication more.
pub(super) async fn publish_next(store: &dyn Store, fleet: &str) {
    let latest = store.publications(fleet).await.unwrap().latest.map_or(0, |latest| latest.revision);
    let next = Publication { fleet: fleet.to_owned(), ..publication(latest + 1) };
    store.publish(&next, &versions(store).await).await.unwrap();
}

/// How many of those the record counts.
pub(super) async fn steps(store: &dyn Store, of: &str) -> u32 {
    store.record(&name(of)).await.unwrap().map_or(0, |stored| stored.record.state.weight)
}

/// How many of those were written; none of them in part.
pub(super) async fn whole(store: &dyn Store, of: &str) -> u32 {
    let Some(stored) = store.record(&name(of)).await.unwrap() else { return 0 };
    let steps = stored.record.state.weight;
    let lines = store.history(&name(of), None, u32::MAX).await.unwrap();
    assert!(lines.len() >= steps.min(KEPT) as usize, "{of}: {} lines of {steps} steps", lines.len());
    let expected: Vec<(u64, String)> =
        (1..=steps).rev().take(lines.len()).map(|step| (step.into(), format!("step {step}"))).collect();
    let found: Vec<(u64, String)> = lines.into_iter().map(|line| (line.number, line.logged.why)).collect();
    assert_eq!(found, expected, "{of}: history and record differ");
    let kept = steps.saturating_sub(KEPT) + 1..=steps;
    for (step, is_there) in kept.map(|step| (step, true)).chain([(steps + 1, false)]) {
        let release = store.release(&name(of), step.into()).await.unwrap();
        assert_eq!(release.map(|release| release.weight), is_there.then_some(step), "{of}: release {step}");
        let answer = store.answer(&format!("{of} {step}")).await.unwrap();
        assert_eq!(answer.is_some(), is_there, "{of}: answer {step}");
    }
    steps
}
