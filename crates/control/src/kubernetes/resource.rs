//! A rollout as an object of a cluster: the spec is intent, as people or Git write it; the status is what the server made of it.

use coalmine_document::{Node, json, write};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, ValidationRule,
};
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What keeps a deleted object until no user is on its canary.
pub const FINALIZER: &str = "coalmine.dev/users";

/// What a rollout is to be: a policy, and a plan or weights.
// Each field is a value of any form, so that one object that a later or an earlier release wrote never hides the others.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "coalmine.dev",
    version = "v1alpha1",
    kind = "CanaryRollout",
    namespaced,
    status = "CanaryRolloutStatus",
    shortname = "cr",
    derive = "PartialEq",
    doc = "One service's change from stable to canary, and how far it is.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Weight","type":"number","jsonPath":".status.weight"}"#,
    printcolumn = r#"{"name":"Verdict","type":"string","jsonPath":".status.verdict"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend(
    "required" = ["policy", "workloads"],
    "x-kubernetes-validations" = [{
        "rule": "has(self.plan) != has(self.weights)",
        "message": "either \"plan\" or \"weights\" says who moves the weights; keep one"
    }]
))]
pub struct CanaryRolloutSpec {
    /// The Service that both versions stand behind, and the Deployments of stable and canary, all of this namespace.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(with = "Workloads")]
    pub workloads: Value,
    /// Whom it concerns, how users are told apart, and the variants: a rollout of a policy document, without what stands elsewhere.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "any_object")]
    pub policy: Value,
    /// How the weights go up; {} is a good plan. The current weights are in the status.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "any_object")]
    pub plan: Value,
    /// The weights in percent, by variant, where this file owns them.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "percentages")]
    pub weights: Value,
}

/// The workloads of a rollout.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "for its schema")]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.stable) && has(self.canary) || has(self.heldBy) && has(self.heldBy.rollout)",
    "message": "both \"stable\" and \"canary\" name a Deployment, unless \"heldBy\" names a Rollout of Argo"
}]))]
struct Workloads {
    /// The Service that both versions stand behind.
    #[schemars(length(min = 1, max = 63))]
    service: String,
    /// The old version.
    #[schemars(with = "Workload")]
    #[serde(default)]
    stable: Option<Workload>,
    /// The new version.
    #[schemars(with = "Workload")]
    #[serde(default)]
    canary: Option<Workload>,
    /// The object of another controller that holds the weights, with `mode: judge`.
    #[schemars(with = "HeldBy")]
    #[serde(default)]
    held_by: Option<HeldBy>,
}

/// One of them.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "for its schema")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
struct HeldBy {
    /// A Canary of Flagger.
    #[schemars(with = "String", length(min = 1, max = 63))]
    #[serde(default)]
    flagger: Option<String>,
    /// A Rollout of Argo Rollouts.
    #[schemars(with = "String", length(min = 1, max = 63))]
    #[serde(default)]
    rollout: Option<String>,
}

/// One workload.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "for its schema")]
struct Workload {
    /// The name of the Deployment.
    #[schemars(length(min = 1, max = 63))]
    deployment: String,
}

/// How far it is. The server writes this, and nobody else.
// Until the server has looked at an object, its generation is another one than this: tools wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("default" = { "observedGeneration": -1 }))]
pub struct CanaryRolloutStatus {
    /// The generation of the spec that was looked at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Idle, Progressing, Paused, WaitingForApproval, Promoting, RollingBack or RolledBack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The canary's share of users, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// advance, hold, rollback or promote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// A sentence about where it is and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The number of the latest release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<i64>,
    /// Accepted, Published, Ready, Reconciling, Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The latest lines of history, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryLine>,
    /// The latest releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_objects")]
    pub releases: Vec<Value>,
    /// The record of the server. Its form is the server's own business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Answers to requests that may be repeated. Their form is the server's own business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// The position of the last line of history that is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<i64>,
}

/// One aspect of how it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Accepted, Published, Ready, Reconciling or Stalled.
    pub r#type: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Since when, in RFC 3339.
    pub last_transition_time: String,
    /// The generation of the spec that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// One line of history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryLine {
    /// Its number in its rollout, from 1.
    pub number: i64,
    /// Its position among all lines, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// When, in RFC 3339.
    pub at: String,
    /// What happened.
    pub what: String,
    /// The canary's share of users then, in percent.
    pub weight: f64,
    /// Who; none where the server acted by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, as a sentence.
    pub why: String,
    /// How it was decided. Its form is the server's own business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

/// The definition of [`CanaryRollout`].
pub fn definition() -> CustomResourceDefinition {
    let mut definition = CanaryRollout::crd();
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            schema.x_kubernetes_validations = Some(vec![name_rule()]);
        }
    }
    definition
}

/// The API takes longer names for objects, and dots in them. A rollout of such a name would stand there without any effect.
fn name_rule() -> ValidationRule {
    ValidationRule {
        rule: "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')".to_owned(),
        message: Some("the name of a rollout has at most 63 characters, and no dot".to_owned()),
        ..ValidationRule::default()
    }
}

/// The definition of [`CanaryRollout`] in YAML, as it is applied to a cluster.
pub fn definition_text() -> String {
    // A definition of our own is always JSON, and JSON is always a document.
    let text = serde_json::to_string(&definition()).unwrap_or_default();
    let node = json::read(text.as_bytes()).unwrap_or_else(|_| Node::of_fields([]));
    format!("# What `coalmine crd` prints.\n{}\n", write::block(&node, 0))
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

fn any_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } })
}

fn percentages(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "number", "minimum": 0.0, "maximum": 100.0 },
        "maxProperties": 16
    })
}

// === impl CanaryRolloutSpec ===

impl CanaryRolloutSpec {
    /// The spec of a document; what no spec has, as the name, is left out.
    pub(crate) fn of(document: Value) -> Option<Self> {
        let Value::Object(mut fields) = document else { return None };
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        Some(Self {
            workloads: take("workloads"),
            policy: take("policy"),
            plan: take("plan"),
            weights: take("weights"),
        })
    }

    /// The document of the spec.
    pub(crate) fn document(&self) -> Value {
        let fields = [
            ("workloads", &self.workloads),
            ("policy", &self.policy),
            ("plan", &self.plan),
            ("weights", &self.weights),
        ];
        let is_there = fields.into_iter().filter(|(_, value)| !value.is_null());
        Value::Object(is_there.map(|(name, value)| (name.to_owned(), value.clone())).collect::<Map<_, _>>())
    }

    /// Whether both say the same; 5 and 5.0 are one number.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        is_same(&self.document(), &other.document())
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|its| is_same(value, its)))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../istio/controller/crd.yaml");
        let printed = definition_text();
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            printed,
            "run: coalmine crd > istio/controller/crd.yaml"
        );
    }

    #[test]
    fn one_number_has_many_forms() {
        let of = |text: &str| CanaryRolloutSpec::of(serde_json::from_str(text).unwrap()).unwrap();
        let whole = of(r#"{"policy": {"a": [1, {"b": 5}]}, "weights": {"canary": 5}}"#);
        assert!(
            whole.is_same(&of(
                r#"{"policy": {"a": [1.0, {"b": 5}]}, "weights": {"canary": 5.0}, "plan": null}"#
            ))
        );
        assert!(!whole.is_same(&of(r#"{"policy": {"a": [1, {"b": 5}]}, "weights": {"canary": 6}}"#)));
        assert!(!whole.is_same(&of(r#"{"policy": {"a": [1, {"b": 5}]}, "plan": {}}"#)));
    }
}
