//! All rollouts of a fleet become one policy document: a pure function of the records and of what was published before.
//!
//! A rollout that would break the policy is left out alone, the younger before the older. Where the latest publication
//! has it, it stays there as it was; only its weight may still go down, so that a rollback is always possible.
//! Of rollouts that exclude each other, one that somebody has edited goes before those that stand as they stood: an edit
//! of one team takes nothing from another team.

use std::collections::BTreeMap;

use coalmine_core::policy::{Environment, Rollout, Rule, conflicts};
use coalmine_document::{Node, Value, json};
use coalmine_steer::Form;
use coalmine_steer::plan::GuardSource;

use super::away::{falls, ramped};
use super::claims::Claims;
use super::held::{Held, held};
use super::place::{Before, Candidate, Documents, Place, with};
use super::{Name, Operator};
use crate::publish::{Part, Publication};

/// The most bytes of a policy: while a proxy takes a larger one, its requests wait noticeably.
const MAX_BYTES: usize = 256 * 1024;

/// What stands between two rollouts of a policy.
const SEPARATOR: &str = ", ";

/// How many seconds a revision that a proxy shows may lie in the future and still be believed: ten years.
const FUTURE: u64 = 10 * 365 * 24 * 60 * 60;

/// What comes of it.
#[derive(Clone, Debug, Default)]
pub struct Composed {
    /// The next publication; none where the latest says the same.
    pub publication: Option<Publication>,
    /// The rollouts that are not in it as they should be, each with a sentence that says why.
    pub left_out: BTreeMap<Name, String>,
}

/// Composes the policy of a fleet at this time, in seconds since 1970.
pub fn compose(
    fleet: &str,
    candidates: &[Candidate<'_>],
    operator: &Operator,
    before: Before<'_>,
    now: u64,
) -> Composed {
    let mut left_out = BTreeMap::new();
    let good = Documents::of(before.good);
    let mut ordered: Vec<&Candidate<'_>> = candidates.iter().collect();
    ordered.sort_by_key(|candidate| (candidate.created, candidate.name));
    let part = |name: &Name| before.good.and_then(|good| good.parts.get(name));
    let mut places: Vec<Place<'_>> =
        ordered.into_iter().map(|it| Place::of(it, operator, &good, part(it.name))).collect();
    let held = held(&places, &good, before);
    for place in &mut places {
        if let Some(held) = held.get(place.name()) {
            left_out.insert(place.name().clone(), format!("a proxy refused it: {}", held.why));
            // What cannot be read is as it was already.
            if place.candidate.said.is_some() {
                place.fall_back();
            }
        }
    }
    leave_out_claims(&mut places, &mut left_out);
    leave_out_conflicts(&mut places, &mut left_out);
    let highest = highest(before, now);
    let revision = highest.saturating_add(1).max(now);
    let observe = observe(&places, operator);
    leave_out_surplus(&mut places, &observe, revision, &mut left_out);
    // Where the latest says the same, it is only good enough while no proxy shows a higher revision.
    let latest = before.latest;
    let made = publication(fleet, &places, observe, held, operator, latest, (revision, now));
    let publication = match latest {
        Some(latest) if latest.revision == highest && is_same(latest, &made) => None,
        _ => Some(made),
    };
    Composed { publication, left_out }
}

/// Leaves out rollouts whose hosts belong to another namespace. What a rollout has stays its own until a publication is
/// without it, whoever is older; what is free goes to the oldest. One that wants too much stays as it was.
fn leave_out_claims(places: &mut [Place<'_>], left_out: &mut BTreeMap<Name, String>) {
    let mut claims = Claims::default();
    for place in places.iter() {
        if let Some(last) = place.last() {
            claims.keep(place.name(), last);
        }
    }
    for place in places {
        let Some(Err(why)) = place.node.as_ref().map(|node| claims.take(place.name(), node)) else {
            continue;
        };
        left_out.entry(place.name().clone()).or_insert(why);
        place.fall_back();
        if place.node.as_ref().is_some_and(|last| claims.take(place.name(), last).is_err()) {
            place.node = None;
        }
    }
}

/// Leaves out rollouts that are wrong by themselves or together with others, until none is. The last good policy had no
/// conflict, so one that somebody has edited goes first; of several the youngest.
fn leave_out_conflicts(places: &mut [Place<'_>], left_out: &mut BTreeMap<Name, String>) {
    loop {
        let mut rollouts = Vec::new();
        let mut owners = Vec::new();
        let mut found: Vec<(usize, String)> = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let Some(node) = &place.node else { continue };
            match Rollout::from_document(node, Environment::Unread) {
                Ok(rollout) => {
                    rollouts.push(rollout);
                    owners.push(index);
                }
                Err(problems) => found.push((index, problems.to_string())),
            }
        }
        for conflict in conflicts(&rollouts) {
            if conflict.rule == Rule::Reachable {
                continue;
            }
            let named: Vec<usize> =
                conflict.rollouts().filter_map(|place| owners.get(place).copied()).collect();
            let is_edited = |index: &usize| places.get(*index).is_some_and(Place::is_edited);
            // A rule on the sum of all names only the one that is too much.
            let edited = named.iter().copied().find(is_edited);
            let edited = edited.or_else(|| owners.iter().rev().copied().find(is_edited));
            if let Some(index) = edited.or(named.first().copied()) {
                let names: Vec<&str> = named
                    .iter()
                    .filter(|other| **other != index)
                    .filter_map(|other| places.get(*other))
                    .map(|place| place.candidate.name.as_str())
                    .collect();
                let message = match names.is_empty() {
                    true => conflict.message.clone(),
                    false => format!("{} (with {})", conflict.message, names.join(", ")),
                };
                found.push((index, message));
            }
        }
        if found.is_empty() {
            return;
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, why) in found {
            let Some(place) = places.get_mut(index).filter(|_| seen.insert(index)) else { continue };
            left_out.entry(place.name().clone()).or_insert(why);
            place.fall_back();
        }
    }
}

/// Leaves out what does not fit into a policy, the older rollouts first in it. One that is too large takes no room from those
/// that are younger.
fn leave_out_surplus(
    places: &mut [Place<'_>],
    observe: &Node,
    revision: u64,
    left_out: &mut BTreeMap<Name, String>,
) {
    let mut bytes = json::flat(&document(revision, observe.clone(), Vec::new())).len();
    for place in places {
        let Some(node) = &place.node else { continue };
        // No revision that it may have stood since is a longer number than this one, and no time is longer than another.
        let node = falls(place, None, 0).map_or_else(|| node.clone(), |falls| ramped(node.clone(), falls));
        let whole = with(node, "since", Value::Number(revision as f64).into());
        let with_this = bytes + json::flat(&whole).len() + SEPARATOR.len();
        if with_this <= MAX_BYTES {
            bytes = with_this;
        } else {
            let why = format!(
                "the policy of this fleet would have more than {} KiB; spread its rollouts over several fleets",
                MAX_BYTES / 1024
            );
            left_out.insert(place.name().clone(), why);
            place.node = None;
        }
    }
}

/// The highest revision that counts: the latest one, or one that a proxy shows, unless that is nonsense.
fn highest(before: Before<'_>, now: u64) -> u64 {
    let shown = Some(before.shown).filter(|shown| *shown <= now.saturating_add(FUTURE));
    before.latest.map_or(0, |latest| latest.revision).max(shown.unwrap_or_default())
}

fn publication(
    fleet: &str,
    places: &[Place<'_>],
    observe: Node,
    held: BTreeMap<Name, Held>,
    operator: &Operator,
    latest: Option<&Publication>,
    (revision, now): (u64, u64),
) -> Publication {
    let mut parts = BTreeMap::new();
    let mut rollouts = Vec::new();
    for place in places {
        let Some(node) = &place.node else { continue };
        let digest = place.digest();
        let before = latest.and_then(|latest| latest.parts.get(place.name()));
        // Proxies that have fallen back by themselves go up again: that is a change.
        let is_same = |before: &&Part| {
            before.digest == digest && before.falls.is_none_or(|falls| !falls.has_fallen(now))
        };
        let since = before.filter(is_same).map_or(revision, |before| before.since);
        let falls = falls(place, before, now);
        let node = falls.map_or_else(|| node.clone(), |falls| ramped(node.clone(), falls));
        rollouts.push(with(node, "since", Value::Number(since as f64).into()));
        parts.insert(place.name().clone(), Part { form: place.form.clone(), since, digest, falls });
    }
    Publication {
        fleet: fleet.to_owned(),
        revision,
        at: now,
        document: json::flat(&document(revision, observe, rollouts)),
        filter: operator.filters.get(fleet).cloned().unwrap_or_default(),
        parts,
        held,
        refused: None,
    }
}

fn document(revision: u64, observe: Node, rollouts: Vec<Node>) -> Node {
    Node::of_fields([
        ("version", Node::from(Value::Number(1.0))),
        ("revision", Value::Number(revision as f64).into()),
        ("observe", observe),
        ("rollouts", Node::of_items(rollouts)),
    ])
}

/// Whether it would be the same again. That is no better where it was refused, as a filter that does not run.
fn is_same(latest: &Publication, made: &Publication) -> bool {
    latest.filter == made.filter
        && latest.parts == made.parts
        && is_same_but_revision(&latest.document, &made.document)
}

/// Whether both say the same of each rollout, but for what the operator says of all of them.
pub fn is_same_but_operator(one: &Publication, other: &Publication) -> bool {
    let forms = |publication: &Publication| -> Vec<(Name, Form)> {
        let parts = publication.parts.iter();
        parts.map(|(name, part)| (name.clone(), part.form.clone())).collect()
    };
    forms(one) == forms(other) && Documents::of(Some(one)).is_same_but_operator(&Documents::of(Some(other)))
}

/// What is said beside the rollouts may change too: the operator's part.
fn is_same_but_revision(one: &str, other: &str) -> bool {
    let plain =
        |text: &str| json::read(text.as_bytes()).map(|node| with(node, "revision", Value::Null.into())).ok();
    plain(one).zip(plain(other)).is_some_and(|(one, other)| one.is_same(&other))
}

/// What is counted: responses, as soon as one rollout is observed; times by group where a guard asks for them.
fn observe(places: &[Place<'_>], operator: &Operator) -> Node {
    let grouped = |at: u64| {
        places
            .iter()
            .filter_map(|place| place.candidate.said.as_ref()?.spec.plan.as_ref())
            .any(|plan| plan.guards.iter().any(|guard| guard.source == GuardSource::SlowerThan(at)))
    };
    let mut fields = vec![("responses", Node::from(Value::Bool(true)))];
    if operator.access_log {
        fields.insert(0, ("accessLog", Value::Bool(true).into()));
    }
    let slow = operator.slow.iter().map(|at| {
        let mut threshold = vec![("at", Node::of_text(format!("{at}ms")))];
        threshold.extend(grouped(*at).then(|| ("groups", Value::Bool(true).into())));
        Node::of_fields(threshold)
    });
    let slow: Vec<Node> = slow.collect();
    if !slow.is_empty() {
        fields.push(("slow", Node::of_items(slow)));
    }
    Node::of_fields(fields)
}
