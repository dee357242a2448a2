//! The policy part of a rollout: a rollout of a policy document without what stands elsewhere.

use coalmine_core::policy::{Environment, Rollout};
use coalmine_document::{Cursor, Entry, Known, Node, OwnedPath, Problem, Reader, Span, Value};

/// No field: what is no map at all is told with words.
const NOTHING: Known = Known::new(&[]);

/// Fields of a policy's rollout that stand elsewhere here, and where.
const ELSEWHERE: [(&str, &str); 7] = [
    ("name", "the name stands beside the policy; leave it out"),
    ("ranges", "the plan or the weights say who gets what; leave it out"),
    ("ramp", "the plan moves the weights; leave it out"),
    ("since", "the server writes it; leave it out"),
    ("route", "the operator names the route header once, in the server's configuration; leave it out"),
    ("override", "the operator names headers and secrets once, in the server's configuration; leave it out"),
    ("observe", "the server observes a rollout while it is in progress; leave it out"),
];

/// Checks the policy part as the rollout of a policy that it becomes: the core has the rules. `written` is where the name
/// stands, which is checked with it.
pub(super) fn check(cursor: &Cursor<'_, '_>, name: Option<&str>, written: Option<&Entry>, reader: &Reader) {
    if !matches!(cursor.value(), Value::Map(_)) {
        let _ = cursor.fields_as(&NOTHING, "the policy part of a rollout, as {match: .., identity: ..}");
        return;
    }
    for field in cursor.entries() {
        if let Some((_, why)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == field.name) {
            field.value.conflict(format!("does not belong here: {why}"));
        }
        if field.name == "key" {
            let key = field.value.secret();
            if key.value().text().is_some() {
                key.problem("is a secret in clear; the server reads secrets from its environment only, as {env: NAME}");
            }
        }
        if field.name == "variants" {
            check_variants(&field.value);
        }
    }
    // A name that is missing is told already.
    let mut named = Node::of_text(name.unwrap_or("unnamed"));
    named.span = written.map_or(Span::default(), |entry| entry.node.span);
    let policy = Node::from(cursor.value().clone());
    let mut composed = kept(&policy);
    composed.push(("name", named));
    match policy.get("variants") {
        Some(variants) => composed.push(("variants", weighted(variants, |_| 0))),
        None => {
            cursor
                .problem("\"variants\" is missing: [{name: canary}], and {name: baseline} if one is wanted");
            let canary = [("name", Node::of_text("canary")), ("weight", Value::Number(0.0).into())];
            composed.push(("variants", Node::of_items([Node::of_fields(canary)])));
        }
    }
    let Err(problems) = Rollout::from_document(&Node::of_fields(composed), Environment::Unread) else {
        return;
    };
    for problem in problems.shown() {
        let is_name = problem.path.begins_with(&OwnedPath::of(&["name"]));
        let path =
            if is_name { problem.path.clone() } else { OwnedPath::of(&["policy"]).join(&problem.path) };
        // What is about the policy as a whole has no bytes of its own.
        let span = if problem.span.is_empty() { policy_span(cursor) } else { problem.span };
        reader.push(Problem { path, span, ..problem.clone() });
    }
}

/// The fields of a policy part that go into a composed rollout as they are: each once, and none that is made there.
pub(super) fn kept(policy: &Node) -> Vec<(&str, Node)> {
    let mut kept: Vec<(&str, Node)> = Vec::new();
    for entry in policy.entries() {
        let is_made = entry.key == "variants" || ELSEWHERE.iter().any(|(name, _)| *name == entry.key);
        if !is_made && !kept.iter().any(|(name, _)| *name == entry.key) {
            kept.push((&entry.key, entry.node.clone()));
        }
    }
    kept
}

/// The variants as a policy has them, each with its weight in parts per million.
pub(super) fn weighted(variants: &Node, weight: impl Fn(&str) -> u32) -> Node {
    let mut variants = unweighted(variants);
    if let Value::List(items) = &mut variants.value {
        for item in items {
            let name = item.text_at(&["name"]).unwrap_or_default();
            let percent = f64::from(weight(name)) / 10_000.0;
            if let Value::Map(fields) = &mut item.value {
                fields.push(Entry::new("weight".to_owned(), Span::default(), Value::Number(percent).into()));
            }
        }
    }
    variants
}

/// The variants without their weights.
pub(super) fn unweighted(variants: &Node) -> Node {
    let mut variants = variants.clone();
    if let Value::List(items) = &mut variants.value {
        for item in items {
            if let Value::Map(fields) = &mut item.value {
                fields.retain(|field| field.key != "weight");
            }
        }
    }
    variants
}

/// The first key of the policy, which stands for it.
fn policy_span(cursor: &Cursor<'_, '_>) -> Span {
    match cursor.value() {
        Value::Map(entries) => entries.first().map_or(Span::default(), |first| first.span),
        _ => Span::default(),
    }
}

fn check_variants(cursor: &Cursor<'_, '_>) {
    let items = match cursor.value() {
        Value::List(items) => items.as_slice(),
        _ => return,
    };
    for (item, node) in cursor.items().zip(items) {
        if node.get("weight").is_some() {
            item.conflict("has a weight, which the plan or \"weights\" beside the policy says; leave it out");
        }
    }
    let has = |name: &str| items.iter().any(|item| item.text_at(&["name"]) == Some(name));
    if !items.is_empty() && !has("canary") {
        cursor.problem("has no \"canary\"; a plan moves the weight of the variant with this name");
    }
}
