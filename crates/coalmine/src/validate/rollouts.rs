//! Rollouts for a server: what is right about them in one line, what their plans may not do, and what a server that is given
//! along refuses.

use std::fmt;

use coalmine_control::config::Config;
use coalmine_control::rollout::{Name, Spec, counted_by_the_filter};
use coalmine_document::SourceText;
use coalmine_steer::plan::{Mode, advice};
use coalmine_steer::text::{duration, percent};
use serde::Serialize;

use crate::diagnostic::{Code, Diagnostic};
use crate::scan::{EmbeddedRollout, Scan};

/// What a valid rollout says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedSummary {
    file: String,
    line: usize,
    name: String,
    /// The steps of its plan in percent; none where the file owns the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<f64>>,
    /// The least time from the start to the promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    dwell_seconds: Option<u64>,
    #[serde(skip)]
    says: String,
}

// === impl PlannedSummary ===

impl PlannedSummary {
    pub(super) fn of(source: &SourceText, embedded: &EmbeddedRollout, rollout: &Spec) -> Self {
        let plan = rollout.plan.as_ref();
        let steps =
            plan.map(|plan| plan.steps.iter().map(|step| f64::from(step.weight) / 10_000.0).collect());
        let dwell = plan.map(|plan| plan.steps.iter().map(|step| step.dwell).sum());
        Self {
            file: source.name().to_owned(),
            line: source.line_of(embedded.node.span.start) + 1,
            name: rollout.name.clone(),
            steps,
            dwell_seconds: dwell,
            says: says(rollout),
        }
    }
}

fn says(rollout: &Spec) -> String {
    let Some(plan) = &rollout.plan else {
        let weights: Vec<String> =
            rollout.weights.iter().map(|(name, weight)| format!("{name} {} %", percent(*weight))).collect();
        return format!("the file owns the weights: {}", weights.join(", "));
    };
    if plan.mode == Mode::Judge {
        let blind = counted_by_the_filter(plan);
        let needs = match blind.is_empty() {
            true => String::new(),
            false => format!("; {} by a server with `counters: served`", blind.join(", ")),
        };
        return format!("another controller moves the weights, Coalmine judges{needs}");
    }
    let steps: Vec<String> = plan.steps.iter().map(|step| percent(step.weight)).collect();
    let dwells = plan.steps.iter().map(|step| step.dwell).sum();
    format!("{} %, then all users, after {} at least", steps.join(", "), duration(dwells))
}

/// `rollout.yaml: valid; shop/checkout: 1, 5, 25, 50 %, then all users, after 40m at least`
impl fmt::Display for PlannedSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: valid; {}: {}", self.file, self.name, self.says)
    }
}

/// Remarks about the plan of a rollout that is right.
pub(super) fn remarks(embedded: &EmbeddedRollout, rollout: &Spec, traffic: Option<f64>) -> Vec<Diagnostic> {
    let Some(plan) = &rollout.plan else { return Vec::new() };
    let at = embedded.path.field("plan");
    advice(plan, traffic)
        .into_iter()
        .map(|advice| {
            let place = at.join(&advice.path).to_string();
            Diagnostic::warning(Code::PlanAdvice, embedded.span_in_plan(&advice.path), &place, advice.message)
        })
        .collect()
}

/// What the server whose configuration is among the files does not take of the rollouts in them, each with the place of its
/// file. Of several servers nobody knows which one a rollout is for.
pub(super) fn diagnostics(scans: &[&Scan]) -> Vec<(usize, Diagnostic)> {
    let mut servers = scans.iter().flat_map(|scan| &scan.servers).map(Config::check);
    let (Some(Ok(server)), None) = (servers.next(), servers.next()) else { return Vec::new() };
    let mut found = Vec::new();
    for (file, scan) in scans.iter().enumerate() {
        for embedded in &scan.rollouts {
            let Ok(rollout) = embedded.spec() else { continue };
            let Ok(name) = rollout.name.parse::<Name>() else { continue };
            let refused = server.operator.refuses(&server.members(), &name, &rollout, &embedded.node);
            found.extend(Diagnostic::of_problems(&refused, &embedded.path).into_iter().map(|it| (file, it)));
        }
    }
    found
}
