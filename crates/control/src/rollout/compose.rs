//! All rollouts of a fleet become one policy document: a pure function of the records and of what was published before.
//!
//! A rollout that would break the policy is left out alone, the younger before the older. Where the latest publication
//! has it, it stays there as it was; only its weight may still go down, so that a rollback is always possible.

use std::collections::BTreeMap;

use coalmine_core::policy::{Environment, Rollout, Rule, conflicts};
use coalmine_document::{Entry, Node, Span, Value, json};
use coalmine_steer::Form;
use coalmine_steer::plan::{GuardSource, Mode};

use super::claims::Claims;
use super::held::{Held, held};
use super::policy_part::{kept, weighted};
use super::spec::digest;
use super::{Name, Operator, Spec};
use crate::publish::{Part, Publication};

/// The most bytes of a policy: while a proxy takes a larger one, its requests wait noticeably.
const MAX_BYTES: usize = 256 * 1024;

/// What stands between two rollouts of a policy.
const SEPARATOR: &str = ", ";

/// How many seconds a revision that a proxy shows may lie in the future and still be believed: ten years.
const FUTURE: u64 = 10 * 365 * 24 * 60 * 60;

/// One rollout on its way into a policy.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a Name,
    /// When it was first written: the older one of two stays.
    pub created: u64,
    /// What is written of it.
    pub spec: &'a Spec,
    /// What the policy is to say of it.
    pub form: Form,
}

/// What a fleet had before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before<'a> {
    /// The publication with the highest revision.
    pub latest: Option<&'a Publication>,
    /// The one that no proxy refused with the highest revision. Where it is not the latest, what changed between them is
    /// not sent again.
    pub good: Option<&'a Publication>,
    /// The highest revision that a proxy shows. Where it is of another history, as after a lost store, the next one is made
    /// higher, or that proxy would never follow.
    pub shown: u64,
}

/// What comes of it.
#[derive(Clone, Debug, Default)]
pub struct Composed {
    /// The next publication; none where the latest says the same.
    pub publication: Option<Publication>,
    /// The rollouts that are not in it as they should be, each with a sentence that says why.
    pub left_out: BTreeMap<Name, String>,
}

/// A rollout's place in the policy that is being made.
pub(super) struct Place<'a> {
    candidate: &'a Candidate<'a>,
    /// As it should be, or as it was; none where neither can be.
    pub(super) node: Option<Node>,
    /// As it was in the last good publication, at no higher weight than now.
    fallback: Option<Node>,
    pub(super) form: Form,
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
    let mut places: Vec<Place<'_>> = ordered.into_iter().map(|it| Place::of(it, operator, &good)).collect();
    let held = held(&places, &good, before);
    for place in &mut places {
        if let Some(held) = held.get(place.name()) {
            left_out.insert(place.name().clone(), format!("a proxy refused it: {}", held.why));
            place.fall_back();
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

/// Leaves out rollouts whose hosts belong to another namespace. Not even their last form stays: it was not theirs.
fn leave_out_claims(places: &mut [Place<'_>], left_out: &mut BTreeMap<Name, String>) {
    let mut claims = Claims::default();
    for place in places {
        if let Err(why) = claims.take(place.candidate.name, place.candidate.spec) {
            left_out.insert(place.name().clone(), why);
            place.node = None;
        }
    }
}

/// Leaves out rollouts that are wrong by themselves or together with older ones, until none is.
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
            let first = conflict.rollouts().next().and_then(|place| owners.get(place).copied());
            if let Some(index) = first.filter(|_| conflict.rule != Rule::Reachable) {
                let names: Vec<&str> = conflict
                    .rollouts()
                    .skip(1)
                    .filter_map(|place| places.get(*owners.get(place)?))
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
        // No revision that it may have stood since is a longer number than this one.
        let whole = with(node.clone(), "since", Value::Number(revision as f64).into());
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
        let since = before.filter(|before| before.digest == digest).map_or(revision, |before| before.since);
        rollouts.push(with(node.clone(), "since", Value::Number(since as f64).into()));
        parts.insert(place.name().clone(), Part { form: place.form.clone(), since, digest });
    }
    Publication {
        fleet: fleet.to_owned(),
        revision,
        at: now,
        document: json::flat(&document(revision, observe, rollouts)),
        filter: operator.filter.clone(),
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
            .filter_map(|place| place.candidate.spec.plan.as_ref())
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

/// The node with this field at its end, in the place of one of that name.
fn with(mut node: Node, name: &str, value: Node) -> Node {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != name);
        entries.push(Entry::new(name.to_owned(), Span::default(), value));
    }
    node
}

/// The rollouts of a published document, by name.
pub(super) struct Documents {
    nodes: BTreeMap<String, Node>,
}

// === impl Documents ===

impl Documents {
    pub(super) fn of(publication: Option<&Publication>) -> Self {
        let document = publication.and_then(|it| json::read(it.document.as_bytes()).ok());
        let rollouts = document.as_ref().and_then(|document| document.get("rollouts"));
        let named = |node: &Node| {
            let mut node = node.clone();
            if let Value::Map(entries) = &mut node.value {
                entries.retain(|entry| entry.key != "since");
            }
            Some((node.text_at(&["name"])?.to_owned(), node))
        };
        Self { nodes: rollouts.map_or(&[][..], Node::items).iter().filter_map(named).collect() }
    }

    pub(super) fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.get(name.as_str())
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    fn of(candidate: &'a Candidate<'a>, operator: &Operator, good: &Documents) -> Self {
        let fallback = good.node(candidate.name).map(|node| lowered(node, &candidate.form));
        Self { candidate, node: Some(candidate.node(operator)), fallback, form: candidate.form.clone() }
    }

    pub(super) fn name(&self) -> &'a Name {
        self.candidate.name
    }

    /// Digest of its text in the document; that of nothing where it has none.
    pub(super) fn digest(&self) -> String {
        digest(&self.node.as_ref().map(json::flat).unwrap_or_default())
    }

    /// As it was, where it was; the next time as nothing.
    fn fall_back(&mut self) {
        self.node = self.fallback.take();
        // At 0 % nobody can tell one policy part from another.
        if let Some(node) = self.node.as_ref().filter(|_| self.form.weight != Some(0)) {
            self.form.policy = "as it was".to_owned();
            self.form.weight = canary_weight(node);
        }
    }
}

/// A rollout as it was, at the weight that is wanted now where that is lower.
fn lowered(node: &Node, form: &Form) -> Node {
    let (Some(wanted), Some(variants)) = (form.weight, node.get("variants")) else { return node.clone() };
    if canary_weight(node).is_none_or(|weight| weight <= wanted) {
        return node.clone();
    }
    let share = |name: &str| if name == "canary" { wanted } else { wanted.min(1_000_000 - wanted) };
    let mut lowered = node.clone();
    let variants = weighted(variants, share);
    if let Value::Map(entries) = &mut lowered.value
        && let Some(entry) = entries.iter_mut().find(|entry| entry.key == "variants")
    {
        entry.node = variants;
    }
    lowered
}

fn canary_weight(node: &Node) -> Option<u32> {
    let canary = node.get("variants")?.items().iter().find(|it| it.text_at(&["name"]) == Some("canary"))?;
    match canary.get("weight")?.value {
        Value::Number(percent) => coalmine_document::parts_per_million(percent).ok(),
        _ => None,
    }
}

// === impl Candidate ===

impl Candidate<'_> {
    /// The rollout as a policy has it.
    fn node(&self, operator: &Operator) -> Node {
        let mut fields = vec![("name", Node::of_text(self.name.as_str()))];
        fields.extend(kept(&self.spec.policy));
        if let Some(salt) = &self.form.salt
            && self.spec.policy.get("salt").is_none()
        {
            fields.push(("salt", Node::of_text(salt.as_str())));
        }
        let is_elsewhere = self.spec.plan.as_ref().is_some_and(|plan| plan.mode == Mode::Judge);
        if is_elsewhere {
            fields.extend(operator.bucket_route.clone().map(|route| ("route", route)));
        } else {
            fields.extend(operator.route.clone().map(|route| ("route", route)));
            let variants = self.spec.policy.get("variants");
            fields.extend(variants.map(|variants| ("variants", weighted(variants, |name| self.share(name)))));
            if self.form.observe {
                fields.push(("observe", Value::Bool(true).into()));
            }
        }
        fields.extend(operator.override_.clone().map(|tokens| ("override", tokens)));
        Node::of_fields(fields)
    }

    /// The share of a variant in parts per million.
    fn share(&self, variant: &str) -> u32 {
        if self.spec.plan.is_none() {
            let given = self.spec.weights.iter().find(|(name, _)| name == variant);
            return given.map_or(0, |(_, weight)| *weight);
        }
        let canary = self.form.weight.unwrap_or_default();
        match variant {
            "canary" => canary,
            // A baseline is as large as the canary, as long as there is room for both.
            "baseline" => canary.min(1_000_000 - canary),
            _ => 0,
        }
    }
}
