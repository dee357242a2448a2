//! From Flagger's Canaries.

mod analysis;
mod fields;
mod routes;
mod webhooks;

use coalmine_document::{Node, SourceText};

use super::plan::{Draft, Reading, field};
use super::{Arguments, Imported, objects, shown};
use crate::scan::Object;

const FIRST: &str = "Coalmine judges the canary against stable, not against a fixed bound, and keeps each user on one \
                     version. Flagger has to let go of the workload first: docs/from-flagger.md.";
const GROUP: &str = "flagger.app";
const VERSION: &str = "flagger.app/v1beta1";

pub(super) fn import(source: &mut SourceText, arguments: &Arguments) -> Imported {
    let mut imported = Imported::of_rollouts(FIRST);
    let documents = imported.documents(source);
    let all = objects(&documents);
    let is_of_group = |object: &&Object<'_>| object.group() == GROUP;
    let canaries: Vec<&Object<'_>> =
        all.iter().filter(is_of_group).filter(|object| object.kind == "Canary").collect();
    imported.looked_for =
        format!("no Canary of {GROUP} among its resources of Kubernetes, {} in all", all.len());
    for template in all.iter().filter(is_of_group).filter(|object| object.kind != "Canary") {
        imported.note(match template.kind {
            "MetricTemplate" => format!(
                "{} is not carried over: the operator defines a query that counts bad and all requests by variant.",
                template.title()
            ),
            "AlertProvider" => format!(
                "{} is not carried over: the operator defines a notifier of its name.",
                template.title()
            ),
            _ => format!("{} is left out.", template.title()),
        });
    }
    for canary in canaries {
        read(canary, arguments, &mut imported);
    }
    imported
}

fn read(canary: &Object<'_>, arguments: &Arguments, imported: &mut Imported) {
    let mut reading = Reading::new(imported, canary);
    if canary.api_version != VERSION {
        let span = canary.node.get("apiVersion").map_or(canary.node.span, |node| node.span);
        reading.problem(span, "apiVersion", &format!("must be {VERSION}"));
    }
    let Some(spec) = canary.spec() else {
        reading.problem(canary.node.head(), "", "\"spec\" is missing");
        return;
    };
    reading.walk(spec, "", "", fields::SPEC);
    let (kind, source) = &arguments.identity;
    reading.note(format!(
        "Flagger splits requests at random; here the {kind} {source} names the user (--identity)."
    ));
    let mut draft = Draft { span: canary.name_span(), ..Draft::default() };
    let target = workloads(spec, &mut draft, &mut reading);
    autoscaler(spec, &mut draft, &mut reading);
    draft.matching = routes::matching(spec, target, canary.namespace(), &mut reading);
    if reading.is_true(spec, "suspend", "suspend") {
        reading
            .note("suspend: start is manual, so no release begins by itself; `pause` stops one on its way.");
        draft.is_manual = true;
    }
    match (field(spec, "analysis"), field(spec, "canaryAnalysis")) {
        (Some(analysis), other) => {
            if other.is_some() {
                reading.note("canaryAnalysis: left out, because there is an analysis, which Flagger takes.");
            }
            analysis::read(analysis, "analysis", spec, &mut draft, &mut reading);
        }
        (None, Some(analysis)) => analysis::read(analysis, "canaryAnalysis", spec, &mut draft, &mut reading),
        (None, None) => reading.note(
            "analysis is missing, and Flagger promotes without one; the plan is the usual one, so no analysis is skipped.",
        ),
    }
    let node = draft.node(&arguments.identity, &mut reading);
    reading.finish(node);
}

/// The Service and the Deployments: the canary is the target, and stable is the copy that Flagger made of it. Returns the
/// name of the Service.
fn workloads<'n>(spec: &'n Node, draft: &mut Draft, reading: &mut Reading<'_>) -> Option<&'n str> {
    let kind = reading.text(spec, "targetRef.kind", "targetRef.kind");
    let api = reading.text(spec, "targetRef.apiVersion", "targetRef.apiVersion");
    let Some(name) = reading.text(spec, "targetRef.name", "targetRef.name") else {
        reading.problem(spec.head(), "targetRef.name", "is missing: the Deployment that Flagger watches");
        return None;
    };
    let service = reading.text(spec, "service.name", "service.name").unwrap_or(name);
    let place = |path: &str| field(spec, path).map_or(spec.span, |node| node.span);
    let kind = kind.unwrap_or("Deployment");
    if kind != "Deployment" || api.is_some_and(|api| !api.starts_with("apps/")) {
        reading.note(format!(
            "targetRef: a rollout knows Deployments, and this is a {}; without workloads a person says `start` and \
             `promote`, and replicas are not looked at.",
            shown(kind)
        ));
        return Some(service);
    }
    let text = |text: &str, span| Node { span, ..Node::of_text(text) };
    let span = place("targetRef.name");
    let service_span = field(spec, "service.name").map_or(span, |node| node.span);
    draft.workloads =
        Some([text(service, service_span), text(&format!("{name}-primary"), span), text(name, span)]);
    reading.note(format!(
        "stable is {0}-primary, which Flagger made and which is deleted together with its Canary, unless you delete that \
         with --cascade=orphan; the canary is {0}. promote: copy and scaleDownCanary are what Flagger does.",
        shown(name)
    ));
    Some(service)
}

fn autoscaler(spec: &Node, draft: &mut Draft, reading: &mut Reading<'_>) {
    if field(spec, "autoscalerRef").is_none() {
        return;
    }
    let kind =
        reading.text(spec, "autoscalerRef.kind", "autoscalerRef.kind").unwrap_or("HorizontalPodAutoscaler");
    let name = reading.text(spec, "autoscalerRef.name", "autoscalerRef.name").unwrap_or_default();
    draft.is_autoscaled = true;
    reading.note(format!(
        "autoscalerRef: the {} {} stays yours, and so does the one that Flagger made for the primary. capacity: ready lets \
         any ready replica do, and the autoscaler the rest.",
        shown(kind),
        shown(name)
    ));
}
