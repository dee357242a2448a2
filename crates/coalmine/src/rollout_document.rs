//! A rollout as people write it for a server: its name, its workloads, the policy part, and a plan or weights.

use coalmine_core::policy::{Environment, Rollout};
use coalmine_document::{
    Cursor, Entry, Known, Node, OwnedPath, Problem, Reader, Span, TextRule, Value, is_label,
    parts_per_million,
};
use coalmine_steer::Plan;
use coalmine_steer::plan::Setting;

use crate::diagnostic::Diagnostic;

const ROLLOUT: Known = Known::new(&["name", "workloads", "policy", "plan", "weights"]);
const WORKLOADS: Known = Known::new(&["service", "stable", "canary"]);
const WORKLOAD: Known = Known::new(&["deployment"]);
const OBJECT: TextRule =
    TextRule { noun: "name of an object", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };

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

/// A rollout and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedRollout {
    /// The path to it in its document.
    pub(crate) path: OwnedPath,
    pub(crate) node: Node,
    /// The name that the metadata of a custom resource say.
    pub(crate) name: Option<String>,
}

/// A rollout that is right.
#[derive(Debug)]
pub(crate) struct RolloutDocument {
    pub(crate) name: String,
    /// The plan; none where the file owns the weights.
    pub(crate) plan: Option<Plan>,
    /// The weights that the file owns, in parts per million.
    pub(crate) weights: Vec<(String, u32)>,
    pub(crate) has_workloads: bool,
    /// Whether a baseline is compared in stable's place.
    pub(crate) has_baseline: bool,
}

/// Whether this can be meant as a rollout for a server.
pub(crate) fn is_rollout(node: &Node) -> bool {
    node.get("rollouts").is_none()
        && ["policy", "plan", "workloads"].iter().any(|field| node.get(field).is_some())
}

// === impl EmbeddedRollout ===

impl EmbeddedRollout {
    /// The rollout, or everything that is wrong with it, in the places of the file.
    pub(crate) fn rollout(&self) -> Result<RolloutDocument, Vec<Diagnostic>> {
        let reader = Reader::default();
        let rollout = self.read(&reader);
        let (problems, _) = reader.finish();
        if problems.is_empty() {
            return Ok(rollout);
        }
        let mut diagnostics: Vec<Diagnostic> =
            problems.shown().iter().map(|problem| Diagnostic::of_problem(problem, &self.path)).collect();
        let not_shown = problems.count() - problems.shown().len();
        if not_shown > 0 {
            diagnostics.push(Diagnostic::more(not_shown));
        }
        Err(diagnostics)
    }

    /// The bytes of this field of its plan.
    pub(crate) fn span_in_plan(&self, path: &OwnedPath) -> Span {
        OwnedPath::of(&["plan"]).join(path).span_in(&self.node)
    }

    fn read(&self, reader: &Reader) -> RolloutDocument {
        let cursor = reader.cursor(&self.node);
        let fields = cursor.fields_as(&ROLLOUT, "a rollout, with a policy and a plan");
        let name = match &self.name {
            Some(name) => {
                if let Some(field) = fields.get("name") {
                    field.conflict("the name comes from the metadata; leave it out");
                }
                Some(name.as_str())
            }
            None => {
                let why = "[namespace/]name, as shop/checkout";
                fields.required("name", why).and_then(|name| name.string())
            }
        };
        let workloads = fields.get("workloads");
        if let Some(workloads) = &workloads {
            read_workloads(workloads);
        } else if self.name.is_some() {
            let why = "the Service and the Deployments of stable and canary, which Kubernetes needs";
            let _ = fields.required("workloads", why);
        }
        let setting = Setting { workloads: workloads.is_some() };
        let (plan, weights) = (fields.get("plan"), fields.get("weights"));
        if let (Some(_), Some(weights)) = (&plan, &weights) {
            weights.conflict("\"plan\" and \"weights\" both say who moves the weights; keep one");
        }
        if plan.is_none() && weights.is_none() {
            let _ = fields.required("plan", "{} for the usual one; or \"weights\", which the file then owns");
        }
        let policy = fields.required("policy", "whom it concerns, as {match: .., identity: ..}");
        if let Some(policy) = &policy {
            read_policy(policy, name, self.node.entry("name"), reader);
        }
        let listed = self.node.descend(&["policy", "variants"]).map_or(&[][..], Node::items);
        RolloutDocument {
            name: name.unwrap_or_default().to_owned(),
            plan: plan.map(|plan| Plan::read(&plan, setting)),
            weights: weights.map(|weights| read_weights(&weights, listed)).unwrap_or_default(),
            has_workloads: workloads.is_some(),
            has_baseline: listed.iter().any(|variant| variant.text_at(&["name"]) == Some("baseline")),
        }
    }
}

fn read_workloads(cursor: &Cursor<'_, '_>) {
    let fields = cursor.fields(&WORKLOADS);
    let _ =
        fields.required("service", "the Service that both versions stand behind").map(|it| it.text(&OBJECT));
    for name in ["stable", "canary"] {
        let Some(workload) = fields.required(name, "its Deployment, as {deployment: checkout}") else {
            continue;
        };
        let fields = workload.fields_as(&WORKLOAD, "a workload, as {deployment: checkout}");
        let _ = fields.required("deployment", "its name").map(|it| it.text(&OBJECT));
    }
}

fn read_weights(cursor: &Cursor<'_, '_>, listed: &[Node]) -> Vec<(String, u32)> {
    let mut weights = Vec::new();
    for field in cursor.entries() {
        if !listed.iter().any(|variant| variant.text_at(&["name"]) == Some(field.name)) {
            field.value.problem(format!(
                "is the weight of {}, which is no variant of the policy",
                field.value.quote(field.name)
            ));
        }
        let Some(percent) = field.value.number() else { continue };
        match parts_per_million(percent) {
            Ok(weight) => weights.push((field.name.to_owned(), weight)),
            Err(message) => field.value.problem(message),
        }
    }
    let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if sum > 1_000_000 {
        let percent = coalmine_document::number(sum as f64 / 10_000.0);
        cursor.problem(format!("weights add up to {percent} %, at most 100 % can leave stable"));
    }
    weights
}

/// Checks the policy part as the rollout of a policy that it becomes: the core has the rules.
fn read_policy(cursor: &Cursor<'_, '_>, name: Option<&str>, written: Option<&Entry>, reader: &Reader) {
    let Value::Map(entries) = cursor.value() else {
        let _ = cursor.fields(&ROLLOUT);
        return;
    };
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
    let mut composed: Vec<Entry> = Vec::new();
    for entry in entries {
        let is_elsewhere = ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == entry.key);
        if is_elsewhere || composed.iter().any(|before| before.key == entry.key) {
            continue;
        }
        let mut entry = entry.clone();
        if entry.key == "variants" {
            entry.node = weighted(entry.node);
        }
        composed.push(entry);
    }
    let add = |composed: &mut Vec<Entry>, key: &str, node: Node| {
        composed.push(Entry::new(key.to_owned(), Span::default(), node));
    };
    // A name that is missing is told already.
    let mut named = Node::of_text(name.unwrap_or("unnamed"));
    named.span = written.map_or(Span::default(), |entry| entry.node.span);
    add(&mut composed, "name", named);
    if !composed.iter().any(|entry| entry.key == "variants") {
        cursor.problem("\"variants\" is missing: [{name: canary}], and {name: baseline} if one is wanted");
        let canary = [("name", Node::of_text("canary")), ("weight", Value::Number(0.0).into())];
        add(&mut composed, "variants", Node::of_items([Node::of_fields(canary)]));
    }
    let composed = Node::from(Value::Map(composed));
    let Err(problems) = Rollout::from_document(&composed, Environment::Unread) else { return };
    for problem in problems.shown() {
        let is_name = problem.path.begins_with(&OwnedPath::of(&["name"]));
        let path =
            if is_name { problem.path.clone() } else { OwnedPath::of(&["policy"]).join(&problem.path) };
        // What is about the policy as a whole has no bytes of its own.
        let span = if problem.span.is_empty() { policy_span(cursor) } else { problem.span };
        reader.push(Problem { path, span, ..problem.clone() });
    }
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

/// The variants as a policy has them: each with a weight.
fn weighted(mut variants: Node) -> Node {
    if let Value::List(items) = &mut variants.value {
        for item in items {
            if let Value::Map(fields) = &mut item.value {
                fields.retain(|field| field.key != "weight");
                fields.push(Entry::new("weight".to_owned(), Span::default(), Value::Number(0.0).into()));
            }
        }
    }
    variants
}
