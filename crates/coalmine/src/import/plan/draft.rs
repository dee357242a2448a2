//! The rollout that is made.

use coalmine_document::{Node, Span, Value};

use super::{Reading, USUAL_STEPS, written};
use crate::import::{identity, label};

/// Seconds on a step of a plan that does not say them.
const USUAL_DWELL: u64 = 600;
/// Seconds of the deadline of a plan that has none, and the most that one may have.
const USUAL_DEADLINE: u64 = 24 * 3600;
const MAX_DEADLINE: u64 = 90 * 24 * 3600;

/// A step of a plan to be.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import) struct Stage {
    /// Percent of users.
    pub(in crate::import) weight: f64,
    /// Where the weight comes from.
    pub(in crate::import) span: Span,
    /// Seconds; `None` for what the plan says for all steps.
    pub(in crate::import) dwell: Option<u64>,
    pub(in crate::import) approval: bool,
    pub(in crate::import) gate: Option<String>,
}

/// The guards of a plan to be.
#[derive(Debug, Default)]
pub(in crate::import) struct Guards(Vec<(String, Node)>);

/// A rollout to be.
#[derive(Debug, Default)]
pub(in crate::import) struct Draft {
    /// Where its name comes from.
    pub(in crate::import) span: Span,
    /// The Service and the Deployments of stable and canary, where there are any.
    pub(in crate::import) workloads: Option<[Node; 3]>,
    pub(in crate::import) matching: Vec<(&'static str, Node)>,
    /// The cookie that is issued to users without identity.
    pub(in crate::import) cookie: Option<Node>,
    pub(in crate::import) is_manual: bool,
    /// The steps; none for the usual ones.
    pub(in crate::import) stages: Vec<Stage>,
    /// Seconds on each step.
    pub(in crate::import) dwell: Option<u64>,
    pub(in crate::import) guards: Guards,
    /// Whether an autoscaler gives the canary its replicas.
    pub(in crate::import) is_autoscaled: bool,
    pub(in crate::import) notify: Vec<String>,
}

// === impl Stage ===

impl Stage {
    pub(in crate::import) fn of(weight: f64, span: Span) -> Self {
        Self { weight, span, dwell: None, approval: false, gate: None }
    }

    /// The usual steps.
    pub(in crate::import) fn usual() -> Vec<Self> {
        USUAL_STEPS.iter().map(|weight| Self::of(*weight, Span::default())).collect()
    }

    /// Gives the step a gate. A step has one: another one is noted.
    pub(in crate::import) fn ask(&mut self, gate: &str, reading: &mut Reading<'_>) {
        match &self.gate {
            Some(other) if other != gate => reading.note(format!(
                "the step of {} % has the gate {other} already, and a step has one; ask {gate} behind that gate too.",
                self.weight
            )),
            _ => self.gate = Some(gate.to_owned()),
        }
    }

    fn node(&self, all: Option<u64>) -> Node {
        let weight = Node { span: self.span, ..Value::Number(self.weight).into() };
        let mut fields = vec![("weight", weight.clone())];
        if let Some(dwell) = self.dwell.filter(|dwell| Some(*dwell) != all) {
            fields.push(("dwell", Node { span: self.span, ..Node::of_text(written(dwell)) }));
        }
        if self.approval {
            fields.push(("approval", Value::Bool(true).into()));
        }
        if let Some(gate) = &self.gate {
            fields.push(("gate", Node::of_text(gate)));
        }
        let node = if fields.len() == 1 { weight } else { Node::of_fields(fields) };
        Node { span: self.span, ..node }
    }
}

// === impl Guards ===

impl Guards {
    /// The guard on errors; false where it is there already.
    pub(in crate::import) fn errors(&mut self) -> bool {
        let is_new = !self.0.iter().any(|(name, _)| name == "errors");
        if is_new {
            self.0.insert(0, ("errors".to_owned(), Node::of_fields([])));
        }
        is_new
    }

    /// A guard on requests slower than so many milliseconds.
    pub(in crate::import) fn slower(&mut self, milliseconds: f64, span: Span) {
        let text = Node { span, ..Node::of_text(format!("{milliseconds}ms")) };
        let guard = Node::of_fields([("slowerThan", text)]);
        if !self.0.iter().any(|(_, other)| other.is_same(&guard)) {
            let name = self.free("latency");
            self.0.push((name, guard));
        }
    }

    /// A guard on a query of the operator, and the name of both.
    pub(in crate::import) fn query(&mut self, name: &str) -> String {
        let query = label(name, "query");
        let guard = Node::of_fields([("query", Node::of_text(&query))]);
        if !self.0.iter().any(|(_, other)| other.is_same(&guard)) {
            let name = self.free(&query);
            self.0.push((name, guard));
        }
        query
    }

    fn free(&self, name: &str) -> String {
        let is_taken = |name: &str| name == "errors" || self.0.iter().any(|(other, _)| other == name);
        let start: String = name.chars().take(58).collect();
        let numbered = (2..).map(|number| format!("{start}-{number}"));
        std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
    }

    fn node(mut self, reading: &mut Reading<'_>) -> Option<Node> {
        if self.0.is_empty() {
            return None;
        }
        if self.errors() {
            reading.note("errors are watched too; take the guard errors out where that is not meant.");
        }
        Some(Node::of_fields(self.0.iter().map(|(name, guard)| (name.as_str(), guard.clone()))))
    }
}

// === impl Draft ===

impl Draft {
    /// The rollout.
    pub(in crate::import) fn node(
        mut self,
        source: &(&'static str, String),
        reading: &mut Reading<'_>,
    ) -> Node {
        let name = Node { span: self.span, ..Node::of_text(reading.name()) };
        let mut policy = Vec::new();
        if !self.matching.is_empty() {
            policy.push(("match", Node::of_fields(std::mem::take(&mut self.matching))));
        }
        policy.push(("identity", identity(source.0, &source.1)));
        if let Some(cookie) = self.cookie.take() {
            policy.push(("onMissingIdentity", Node::of_text("issueCookie")));
            policy.push(("cookie", cookie));
        }
        policy.push(("variants", Node::of_items([Node::of_fields([("name", Node::of_text("canary"))])])));
        let mut fields = vec![("name", name)];
        if let Some([service, stable, canary]) = self.workloads.clone() {
            let deployment = |name: Node| Node::of_fields([("deployment", name)]);
            let workloads =
                [("service", service), ("stable", deployment(stable)), ("canary", deployment(canary))];
            fields.push(("workloads", Node::of_fields(workloads)));
        }
        fields.push(("policy", Node::of_fields(policy)));
        fields.push(("plan", self.plan(reading)));
        Node::of_fields(fields)
    }

    fn plan(self, reading: &mut Reading<'_>) -> Node {
        let mut plan = Vec::new();
        if self.is_manual {
            plan.push(("start", Node::of_text("manual")));
        }
        let deadline = self.deadline();
        let dwell = self.dwell.or_else(|| self.common_dwell());
        if !self.stages.is_empty() {
            plan.push(("steps", Node::of_items(self.stages.iter().map(|stage| stage.node(dwell)))));
        }
        if let Some(dwell) = dwell {
            plan.push(("dwell", Node::of_text(written(dwell))));
        }
        if let Some(guards) = self.guards.node(reading) {
            plan.push(("guards", guards));
        }
        if let Some(deadline) = deadline {
            let time = written(deadline);
            reading.note(format!(
                "deadline {time}: its steps take more than half of the usual deadline of 24h."
            ));
            plan.push(("deadline", Node::of_text(time)));
        }
        if self.workloads.is_some() {
            plan.push(("promote", Node::of_text("copy")));
            if self.is_autoscaled {
                plan.push(("capacity", Node::of_text("ready")));
            }
            plan.push(("scaleDownCanary", Value::Bool(true).into()));
        }
        if !self.notify.is_empty() {
            plan.push(("notify", Node::of_items(self.notify.iter().map(Node::of_text))));
        }
        Node::of_fields(plan)
    }

    /// What every step says.
    fn common_dwell(&self) -> Option<u64> {
        let first = self.stages.first()?.dwell?;
        self.stages.iter().all(|stage| stage.dwell == Some(first)).then_some(first)
    }

    /// The deadline, where the steps take long: twice their time, in whole hours.
    fn deadline(&self) -> Option<u64> {
        let usual = self.dwell.unwrap_or(USUAL_DWELL);
        let total: u64 = match self.stages.len() {
            0 => usual * USUAL_STEPS.len() as u64,
            _ => self.stages.iter().map(|stage| stage.dwell.unwrap_or(usual)).sum(),
        };
        let hours = (total * 2).div_ceil(3600);
        (total * 2 > USUAL_DEADLINE).then(|| (hours * 3600).min(MAX_DEADLINE))
    }
}
