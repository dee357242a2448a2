//! What goes into a composition: the rollouts, what was published before, and each rollout's place in the new policy.

use std::collections::BTreeMap;

use coalmine_document::{Entry, Node, Span, Value, json};
use coalmine_steer::Form;
use coalmine_steer::plan::Mode;

use super::away::unramped;
use super::hosts::with_all_names;
use super::policy_part::{kept, weighted};
use super::spec::digest;
use super::{Name, Operator, Spec};
use crate::publish::{Part, Publication};

/// Fields of a rollout in a policy that change while nobody edits it: the operator's, and those that steering moves.
const MOVING: [&str; 4] = ["salt", "route", "override", "observe"];

/// Those of them that are the operator's.
const OPERATORS: [&str; 2] = ["route", "override"];

/// One rollout on its way into a policy.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a Name,
    /// When it was first written: the older one of two stays.
    pub created: u64,
    /// What the policy is to say of it; none where its document cannot be read any more, and it stays as it was.
    pub said: Option<Said<'a>>,
}

/// What the policy is to say of a rollout.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    /// What is written of it.
    pub spec: &'a Spec,
    /// In the words of steering.
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

/// A rollout's place in the policy that is being made.
pub(super) struct Place<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    /// As it should be, or as it was; none where neither can be.
    pub(super) node: Option<Node>,
    /// As it was in the last good publication, at no higher weight than now.
    fallback: Option<Node>,
    pub(super) form: Form,
    /// Whether it is as it was already, so that nothing is left to fall back to.
    is_last: bool,
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
            let mut node = unramped(node.clone());
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

    /// Whether both have the same rollouts, but for the operator's fields.
    pub(super) fn is_same_but_operator(&self, other: &Self) -> bool {
        let plain = |node: &Node| {
            let mut node = node.clone();
            if let Value::Map(entries) = &mut node.value {
                entries.retain(|entry| !OPERATORS.contains(&entry.key.as_str()));
            }
            node
        };
        self.nodes.len() == other.nodes.len()
            && self
                .nodes
                .iter()
                .zip(&other.nodes)
                .all(|((name, node), (its_name, its))| name == its_name && plain(node).is_same(&plain(its)))
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    pub(super) fn of(
        candidate: &'a Candidate<'a>,
        operator: &Operator,
        good: &Documents,
        good_part: Option<&Part>,
    ) -> Self {
        let before = good.node(candidate.name);
        match &candidate.said {
            Some(said) => Self {
                candidate,
                node: Some(said.node(candidate.name, operator)),
                fallback: before.map(|node| lowered(node, &said.form)),
                form: said.form.clone(),
                is_last: false,
            },
            None => Self {
                candidate,
                node: before.cloned(),
                fallback: None,
                form: good_part.map_or_else(unknown, |part| part.form.clone()),
                is_last: true,
            },
        }
    }

    pub(super) fn name(&self) -> &'a Name {
        self.candidate.name
    }

    /// Digest of its text in the document; that of nothing where it has none.
    pub(super) fn digest(&self) -> String {
        digest(&self.node.as_ref().map(json::flat).unwrap_or_default())
    }

    /// Whether somebody has written another rollout than the one in the last good publication. Weights are no edit.
    pub(super) fn is_edited(&self) -> bool {
        let Some(node) = self.node.as_ref().filter(|_| !self.is_last) else { return false };
        let is_other = |last: &Node| !without_moving(node).is_same(&without_moving(last));
        self.fallback.as_ref().is_none_or(is_other)
    }

    /// As it was in the last good publication, where it was.
    pub(super) fn last(&self) -> Option<&Node> {
        if self.is_last { self.node.as_ref() } else { self.fallback.as_ref() }
    }

    /// As it was, where it was; the next time as nothing.
    pub(super) fn fall_back(&mut self) {
        self.node = self.fallback.take();
        self.is_last = true;
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
    with_variants(node.clone(), weighted(variants, |name| of_canary(name, wanted)))
}

/// The rollout with these variants where its own stand: in another order it would be another text.
pub(super) fn with_variants(mut node: Node, variants: Node) -> Node {
    if let Value::Map(entries) = &mut node.value
        && let Some(entry) = entries.iter_mut().find(|entry| entry.key == "variants")
    {
        entry.node = variants;
    }
    node
}

/// The share of a variant where the canary has this weight: a baseline is as large, as long as there is room for both.
pub(super) fn of_canary(variant: &str, canary: u32) -> u32 {
    match variant {
        "canary" => canary,
        "baseline" => canary.min(1_000_000 - canary),
        _ => 0,
    }
}

pub(super) fn canary_weight(node: &Node) -> Option<u32> {
    let canary = node.get("variants")?.items().iter().find(|it| it.text_at(&["name"]) == Some("canary"))?;
    match canary.get("weight")?.value {
        Value::Number(percent) => coalmine_document::parts_per_million(percent).ok(),
        _ => None,
    }
}

/// The form of a rollout that cannot be read and never was in a policy.
fn unknown() -> Form {
    Form { weight: None, salt: None, policy: String::new(), observe: false }
}

/// What people write of a rollout, without what moves by itself.
fn without_moving(node: &Node) -> Node {
    let mut still = node.clone();
    if let Value::Map(entries) = &mut still.value {
        entries.retain(|entry| !MOVING.contains(&entry.key.as_str()));
        for entry in entries.iter_mut().filter(|entry| entry.key == "variants") {
            entry.node = weighted(&entry.node, |_| 0);
        }
    }
    still
}

// === impl Said ===

impl Said<'_> {
    /// The rollout as a policy has it.
    fn node(&self, name: &Name, operator: &Operator) -> Node {
        let mut fields = vec![("name", Node::of_text(name.as_str()))];
        let written = self.spec.policy.clone();
        let policy = if operator.has_services { with_all_names(written, name.namespace()) } else { written };
        fields.extend(kept(&policy));
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
        of_canary(variant, self.form.weight.unwrap_or_default())
    }
}

/// The node with this field at its end, in the place of one of that name.
pub(super) fn with(mut node: Node, name: &str, value: Node) -> Node {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != name);
        entries.push(Entry::new(name.to_owned(), Span::default(), value));
    }
    node
}
