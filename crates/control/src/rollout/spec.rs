//! A rollout as people write it: its name, its workloads, the policy part, and a plan or weights.

use coalmine_document::{
    Code, Cursor, Entry, Known, Node, Notation, OwnedPath, Problem, Problems, Reader, Span, TextRule, Value,
    is_label, json, parts_per_million, too_large,
};
use coalmine_steer::Plan;
use coalmine_steer::plan::{Mode, Setting};
use sha2::{Digest, Sha256};

use super::{Name, policy_part};

const ROLLOUT: Known = Known::new(&["name", "workloads", "policy", "plan", "weights"]);
const WORKLOADS: Known = Known::new(&["service", "stable", "canary", "heldBy"]);
const HOLDER: Known = Known::new(&["flagger", "rollout"]);
const WORKLOAD: Known = Known::new(&["deployment"]);
const OBJECT: TextRule =
    TextRule { noun: "name of an object", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };

/// What a rollout is to be: intent, not state.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name as it is written, or as the metadata of a custom resource say.
    pub name: String,
    /// The policy part: a rollout of a policy document without what stands elsewhere.
    pub policy: Node,
    /// The plan; none where the file owns the weights.
    pub plan: Option<Plan>,
    /// The weights that the file owns, in parts per million, by variant.
    pub weights: Vec<(String, u32)>,
    /// The workloads of both versions, where they are named.
    pub workloads: Option<WorkloadNames>,
    /// Whether a baseline is compared in stable's place.
    pub has_baseline: bool,
}

/// The workloads of a rollout on Kubernetes, each in the rollout's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadNames {
    /// The Service that both versions stand behind.
    pub service: String,
    /// The Deployment of stable; empty where Argo Rollouts has the pods of both in one object.
    pub stable: String,
    /// The Deployment of the canary; empty as well then.
    pub canary: String,
    /// The object of the controller that holds the weights, with `mode: judge`.
    pub held_by: Option<Holder>,
}

/// An object of another controller, in the rollout's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A `Canary` of Flagger.
    Flagger(String),
    /// A `Rollout` of Argo Rollouts.
    Argo(String),
}

/// The document of a text, JSON or YAML.
///
/// # Errors
/// It is neither, too large, or more than one document.
pub fn read_text(text: &str) -> Result<Node, Problems> {
    if let Some(why) = too_large(text.len()) {
        return Err(Problem::of_document(Code::TooLarge, why).into());
    }
    let documents = Notation::of("", text).read(text).map_err(|unreadable| Problem {
        span: unreadable.span,
        ..Problem::of_document(Code::Syntax, unreadable.message)
    })?;
    match <[Node; 1]>::try_from(documents) {
        Ok([document]) => Ok(document),
        Err(documents) => {
            let message = format!("one rollout was expected, not {} documents", documents.len());
            Err(Problem::of_document(Code::WrongKind, message).into())
        }
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether this can be meant as a rollout for a server.
pub fn is_rollout(node: &Node) -> bool {
    node.get("rollouts").is_none()
        && ["policy", "plan", "workloads"].iter().any(|field| node.get(field).is_some())
}

// === impl WorkloadNames ===

impl WorkloadNames {
    /// Whether stable and canary are Deployments of their own.
    pub fn has_deployments(&self) -> bool {
        !self.stable.is_empty() && !self.canary.is_empty()
    }
}

// === impl Spec ===

impl Spec {
    /// The rollout of a document. `named` is the name that the metadata of a custom resource say; without it the document
    /// names the rollout itself.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each problem with its place.
    pub fn from_document(document: &Node, named: Option<&str>) -> Result<Self, Problems> {
        let reader = Reader::default();
        let spec = Self::read(document, named, &reader);
        let (problems, _) = reader.finish();
        if problems.is_empty() { Ok(spec) } else { Err(problems) }
    }

    /// The rollout of a document that is kept under this name: the document says the same, or nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each problem with its place.
    pub fn of_name(name: &Name, document: &Node) -> Result<Self, Problems> {
        let Some(written) = document.entry("name") else {
            let mut named = document.clone();
            if let Value::Map(entries) = &mut named.value {
                entries.push(Entry::new("name".to_owned(), Span::default(), Node::of_text(name.as_str())));
            }
            return Self::from_document(&named, None);
        };
        let spec = Self::from_document(document, None)?;
        if spec.name.parse().as_ref() == Ok(name) {
            return Ok(spec);
        }
        let message =
            format!("is not the name that the address says, {name}; write that one, or leave it out");
        Err(Problem {
            path: OwnedPath::of(&["name"]),
            span: written.node.span,
            ..Problem::of_document(Code::Conflict, message)
        }
        .into())
    }

    /// The variant that the canary is compared with.
    pub fn compared(&self) -> &'static str {
        if self.has_baseline { "baseline" } else { "stable" }
    }

    /// What steering knows of the policy part.
    pub fn policy_inputs(&self) -> coalmine_steer::inputs::Policy {
        let drawing = ["identity", "algorithm", "key", "salt"];
        let drawn = drawing.map(|field| self.policy.get(field).map(json::flat).unwrap_or_default());
        coalmine_steer::inputs::Policy {
            digest: digest(&json::flat(&self.policy)),
            draw: digest(&drawn.join("\n")),
            salt: self.policy.text_at(&["salt"]).map(str::to_owned),
            baseline: self.has_baseline,
        }
    }

    fn read(document: &Node, named: Option<&str>, reader: &Reader) -> Self {
        let cursor = reader.cursor(document);
        let fields = cursor.fields_as(&ROLLOUT, "a rollout, with a policy and a plan");
        let name = match named {
            Some(name) => {
                if let Some(field) = fields.get("name") {
                    field.conflict("the name comes from the metadata; leave it out");
                }
                Some(name)
            }
            None => {
                let why = "[namespace/]name, as shop/checkout";
                fields.required("name", why).and_then(|name| name.string())
            }
        };
        let workloads = fields.get("workloads");
        if workloads.is_none() && named.is_some() {
            let why = "the Service and the Deployments of stable and canary, which Kubernetes needs";
            let _ = fields.required("workloads", why);
        }
        let workloads = workloads.map(|workloads| read_workloads(&workloads));
        let setting = Setting { workloads: workloads.is_some() };
        let (plan, weights) = (fields.get("plan"), fields.get("weights"));
        if let (Some(_), Some(weights)) = (&plan, &weights) {
            weights.conflict("\"plan\" and \"weights\" both say who moves the weights; keep one");
        }
        if plan.is_none() && weights.is_none() {
            let _ = fields.required("plan", "{} for the usual one; or \"weights\", which the file then owns");
        }
        let plan = plan.map(|plan| Plan::read(&plan, setting));
        if let Some(workloads) =
            fields.get("workloads").filter(|_| workloads.as_ref().is_some_and(|it| it.held_by.is_some()))
            && plan.as_ref().is_none_or(|plan| plan.mode != Mode::Judge)
        {
            workloads.conflict(
                "\"heldBy\" is for a plan with mode: judge, where another controller moves the weights",
            );
        }
        let policy = fields.required("policy", "whom it concerns, as {match: .., identity: ..}");
        if let Some(policy) = &policy {
            policy_part::check(policy, name, document.entry("name"), reader);
        }
        let listed = document.descend(&["policy", "variants"]).map_or(&[][..], Node::items);
        Self {
            name: name.unwrap_or_default().to_owned(),
            policy: document.get("policy").cloned().unwrap_or_else(|| Node::of_fields([])),
            plan,
            weights: weights.map(|weights| read_weights(&weights, listed)).unwrap_or_default(),
            workloads,
            has_baseline: listed.iter().any(|variant| variant.text_at(&["name"]) == Some("baseline")),
        }
    }
}

fn read_workloads(cursor: &Cursor<'_, '_>) -> WorkloadNames {
    let fields = cursor.fields(&WORKLOADS);
    let service = fields
        .required("service", "the Service that both versions stand behind")
        .and_then(|service| service.text(&OBJECT))
        .unwrap_or_default();
    let held_by = fields.get("heldBy").and_then(|holder| read_holder(&holder));
    let deployment = |name: &'static str| {
        let workload = match &held_by {
            Some(Holder::Argo(_)) => fields.get(name),
            _ => fields.required(name, "its Deployment, as {deployment: checkout}"),
        };
        let Some(workload) = workload else { return String::new() };
        let fields = workload.fields_as(&WORKLOAD, "a workload, as {deployment: checkout}");
        let deployment = fields.required("deployment", "its name");
        deployment.and_then(|name| name.text(&OBJECT)).unwrap_or_default().to_owned()
    };
    let (stable, canary) = (deployment("stable"), deployment("canary"));
    WorkloadNames { service: service.to_owned(), stable, canary, held_by }
}

fn read_holder(cursor: &Cursor<'_, '_>) -> Option<Holder> {
    let fields = cursor.fields_as(&HOLDER, "an object of another controller, as {flagger: checkout}");
    let name = |field: &'static str| fields.get(field).and_then(|name| name.text(&OBJECT).map(str::to_owned));
    match (name("flagger"), name("rollout")) {
        (Some(name), None) => Some(Holder::Flagger(name)),
        (None, Some(name)) => Some(Holder::Argo(name)),
        (Some(_), Some(_)) => {
            cursor.conflict("one controller holds the weights; keep \"flagger\" or \"rollout\"");
            None
        }
        (None, None) => {
            cursor.problem("names no object; write {flagger: NAME} or {rollout: NAME}");
            None
        }
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
