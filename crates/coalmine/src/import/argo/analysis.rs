//! AnalysisTemplates: their metrics become guards, and what is called at a step becomes a gate.

use coalmine_document::{Node, Span, quoted};

use super::fields;
use crate::import::plan::{Draft, Reading, Stage, field};
use crate::import::{renamed, shown};
use crate::scan::Object;

const GROUP: &str = super::GROUP;
/// How deep templates may name templates.
const MAX_DEPTH: usize = 8;
/// Queries that count requests by their response, in Istio and in Envoy.
const REQUESTS: [&str; 2] = ["istio_requests_total", "envoy_cluster_upstream_rq"];
const DURATION: &str = "istio_request_duration_milliseconds";

/// The templates in the file.
pub(super) struct Templates<'t> {
    all: Vec<Template<'t>>,
}

struct Template<'t> {
    object: Object<'t>,
    is_used: bool,
}

/// Where an analysis runs.
enum Place<'s> {
    Background,
    Step(&'s mut Stage),
}

// === impl Templates ===

impl<'t> Templates<'t> {
    pub(super) fn of(all: &[Object<'t>]) -> Self {
        let is_template = |object: &&Object<'_>| {
            object.group() == GROUP && matches!(object.kind, "AnalysisTemplate" | "ClusterAnalysisTemplate")
        };
        let all = all.iter().filter(is_template).map(|object| Template { object: *object, is_used: false });
        Self { all: all.collect() }
    }

    /// The templates that no Rollout named.
    pub(super) fn unused(&self) -> Vec<String> {
        self.all.iter().filter(|template| !template.is_used).map(|template| template.object.title()).collect()
    }

    /// The template of this name, in the namespace or in the cluster.
    fn find(&mut self, name: &str, is_of_cluster: bool) -> Option<Object<'t>> {
        let kind = if is_of_cluster { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
        let is_it =
            |template: &&mut Template<'_>| template.object.kind == kind && template.object.name() == name;
        let found = self.all.iter_mut().find(is_it)?;
        found.is_used = true;
        Some(found.object)
    }
}

/// The analysis that runs beside all steps.
pub(super) fn background(
    canary: &Node,
    templates: &mut Templates<'_>,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    let Some(run) = field(canary, "analysis") else { return };
    let mut place = Place::Background;
    read(run, "strategy.canary.analysis", &[], 0, &mut place, templates, draft, reading);
}

/// The analysis that a step is.
pub(super) fn inline(
    run: &Node,
    stage: &mut Stage,
    templates: &mut Templates<'_>,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    reading.note(format!(
        "the analysis at {} % does not end: guards watch at every step, and a step is left when they hold nothing back.",
        stage.weight
    ));
    let mut place = Place::Step(stage);
    read(run, "strategy.canary.steps.analysis", &[], 0, &mut place, templates, draft, reading);
}

#[allow(clippy::too_many_arguments, reason = "a walk with what it may change")]
fn read(
    run: &Node,
    at: &str,
    dry: &[String],
    depth: usize,
    place: &mut Place<'_>,
    templates: &mut Templates<'_>,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    let mut dry = dry.to_vec();
    for item in reading.items(run, "dryRun", &format!("{at}.dryRun")) {
        dry.extend(reading.text(item, "metricName", &format!("{at}.dryRun.metricName")).map(str::to_owned));
    }
    for reference in reading.items(run, "templates", &format!("{at}.templates")) {
        let Some(name) = reading.text(reference, "templateName", &format!("{at}.templates.templateName"))
        else {
            reading.problem(reference.head(), &format!("{at}.templates"), "\"templateName\" is missing");
            continue;
        };
        let is_of_cluster =
            reading.is_true(reference, "clusterScope", &format!("{at}.templates.clusterScope"));
        let Some(template) = templates.find(name, is_of_cluster) else {
            missing(name, place, draft, reading);
            continue;
        };
        let title = format!("{} {}", template.kind, shown(name));
        let Some(spec) = template.spec() else {
            reading.problem(template.node.head(), &title, "\"spec\" is missing");
            continue;
        };
        if depth == MAX_DEPTH {
            reading.problem(reference.head(), &title, "templates name templates too deep");
            continue;
        }
        reading.walk(spec, &format!("{title}: "), "", fields::TEMPLATE);
        read(spec, &title, &dry, depth + 1, place, templates, draft, reading);
        let mut dry = dry.clone();
        for item in spec.get("dryRun").map_or(&[][..], Node::items) {
            dry.extend(item.text_at(&["metricName"]).map(str::to_owned));
        }
        for metric in reading.items(spec, "metrics", &format!("{title}: metrics")) {
            self::metric(metric, &title, &dry, place, draft, reading);
        }
    }
}

/// A template that is not in the file: its name stands for what it measures.
fn missing(name: &str, place: &mut Place<'_>, draft: &mut Draft, reading: &mut Reading<'_>) {
    let (label, words) = renamed(name, "analysis");
    let what = match place {
        Place::Background => {
            draft.guards.query(name);
            "a guard on the query"
        }
        Place::Step(stage) => {
            stage.ask(&label, reading);
            "the gate"
        }
    };
    reading.note(format!(
        "the AnalysisTemplate {} is not in this file; give it too. Until then it is {what} {words}, which the operator defines.",
        shown(name)
    ));
}

fn metric(
    metric: &Node,
    title: &str,
    dry: &[String],
    place: &mut Place<'_>,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    let Some(name) = reading.text(metric, "name", &format!("{title}: metrics.name")) else {
        return reading.problem(metric.head(), &format!("{title}: metrics"), "\"name\" is missing");
    };
    let about = format!("metric {}", shown(name));
    if dry.iter().any(|pattern| pattern == name || pattern == ".*") {
        return reading.note(format!("{about}: left out; it is dryRun, so its result does not count."));
    }
    let provider = metric.get("provider").and_then(|provider| provider.entries().first());
    let Some(provider) = provider else {
        return reading.problem(metric.head(), &format!("{title}: metrics.provider"), "is missing");
    };
    match (provider.key.as_str(), place) {
        ("kayenta", _) => reading
            .note(format!("{about}: left out; comparing the canary with stable is what every guard does.")),
        ("job" | "web", Place::Step(stage)) => {
            let (gate, words) = renamed(name, "gate");
            stage.ask(&gate, reading);
            reading.note(format!(
                "{about}: it is the gate {words} at {} %, which the operator defines. A gate is asked until it passes, and \
                 never fails a rollout.",
                stage.weight
            ));
        }
        (kind @ ("job" | "web"), Place::Background) => reading.note(format!(
            "{about}: left out; a {kind} that runs all the time is no guard. It can be the gate of a step."
        )),
        ("prometheus", _) => prometheus(name, &about, metric, &provider.node, draft, reading),
        (kind, _) => {
            let (_, words) = renamed(name, "query");
            draft.guards.query(name);
            reading.note(format!(
                "{about}: it is a guard on the query {words}, which the operator defines: bad requests and all, by variant. \
                 What it asks {} is not carried over.",
                quoted(kind)
            ));
        }
    }
}

/// The errors and the latency of Istio and Envoy are guards of their own; any other query is the operator's.
fn prometheus(
    name: &str,
    about: &str,
    metric: &Node,
    provider: &Node,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    let query = field(provider, "query").and_then(Node::text).unwrap_or_default();
    if REQUESTS.iter().any(|counter| query.contains(counter)) && query.contains("response_code") {
        draft.guards.errors();
        return reading.note(format!(
            "{about}: its query is about responses by their code, so it is the guard errors, which compares the canary's \
             errors with stable's."
        ));
    }
    let condition = field(metric, "successCondition");
    let bound = condition.and_then(Node::text).and_then(at_most);
    if let Some(milliseconds) = bound.filter(|_| query.contains(DURATION)) {
        draft.guards.slower(milliseconds, condition.map_or(Span::default(), |node| node.span));
        return reading.note(format!(
            "{about}: its query is about the time of responses, so it is the guard latency: the share of requests slower than \
             {milliseconds}ms, beside stable's. {milliseconds}ms has to be among the operator's thresholds."
        ));
    }
    let (_, words) = renamed(name, "query");
    draft.guards.query(name);
    reading.note(format!(
        "{about}: it is a guard on the query {words}, which the operator defines: bad requests and all, by variant. What its \
         query gives is one number, and is not carried over."
    ));
}

/// The number of a condition that a result is at most, or below, as `result[0] <= 500`.
fn at_most(condition: &str) -> Option<f64> {
    let rest = condition.trim().strip_prefix("result")?.trim_start();
    let rest = rest.strip_prefix("[0]").unwrap_or(rest).trim_start();
    let number = rest.strip_prefix("<=").or_else(|| rest.strip_prefix('<'))?.trim();
    number.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_result_is_at_most() {
        for (condition, bound) in [
            ("result[0] <= 500", Some(500.0)),
            ("result < 0.5", Some(0.5)),
            (" result[0]<=1e3 ", Some(1000.0)),
            ("result[0] >= 0.95", None),
            ("result[0] <= 500 && result[0] > 1", None),
            ("len(result) == 0 || result[0] < 5", None),
            ("result[0] <= inf", None),
            ("", None),
        ] {
            assert_eq!(at_most(condition), bound, "{condition}");
        }
    }
}
