//! From the Rollouts of Argo Rollouts.

mod analysis;
mod fields;
mod steps;

use coalmine_document::{Node, SourceText};

use super::plan::{Draft, Reading, add_hosts, field, of_service};
use super::{Arguments, Imported, objects, renamed, shown};
use crate::scan::Object;
use analysis::Templates;

const FIRST: &str = "Coalmine judges the canary against stable, not against a fixed bound, and keeps each user on one \
                     version. A Rollout becomes two Deployments, which you write: docs/from-argo.md.";
const GROUP: &str = "argoproj.io";
const VERSION: &str = "argoproj.io/v1alpha1";
/// What subscribes to notifications: behind it stand a trigger and a service.
const SUBSCRIBE: &str = "notifications.argoproj.io/subscribe.";

pub(super) fn import(source: &mut SourceText, arguments: &Arguments) -> Imported {
    let mut imported = Imported::of_rollouts(FIRST);
    let documents = imported.documents(source);
    let all = objects(&documents);
    imported.looked_for =
        format!("no Rollout of {GROUP} among its resources of Kubernetes, {} in all", all.len());
    let mut templates = Templates::of(&all);
    for object in all.iter().filter(|object| object.group() == GROUP) {
        match object.kind {
            "Rollout" => read(object, &all, &mut templates, arguments, &mut imported),
            "AnalysisTemplate" | "ClusterAnalysisTemplate" => {}
            _ => imported.note(format!("{} is left out.", object.title())),
        }
    }
    for title in templates.unused() {
        imported.note(format!("{title} is left out: no Rollout here names it."));
    }
    imported
}

fn read(
    rollout: &Object<'_>,
    all: &[Object<'_>],
    templates: &mut Templates<'_>,
    arguments: &Arguments,
    imported: &mut Imported,
) {
    let mut reading = Reading::new(imported, rollout);
    if rollout.api_version != VERSION {
        let span = rollout.node.get("apiVersion").map_or(rollout.node.span, |node| node.span);
        reading.problem(span, "apiVersion", &format!("must be {VERSION}"));
    }
    let Some(spec) = rollout.spec() else {
        reading.problem(rollout.node.head(), "", "\"spec\" is missing");
        return;
    };
    reading.walk(spec, "", "", fields::SPEC);
    if let Some(entry) = spec.get("strategy").and_then(|strategy| strategy.entry("blueGreen")) {
        let why = "moves all users at once, which is no plan; write strategy.canary with steps. A first step of setWeight: 0 \
                   and pause: {} is for testers, as the preview was";
        reading.problem(entry.span, "strategy.blueGreen", why);
        return;
    }
    let Some(canary) = field(spec, "strategy.canary") else {
        let span = spec.entry("strategy").map_or_else(|| spec.head(), |entry| entry.span);
        reading.problem(span, "strategy.canary", "is missing: the steps of the rollout");
        return;
    };
    let (kind, source) = &arguments.identity;
    reading.note(format!(
        "Argo Rollouts splits requests at random; here the {kind} {source} names the user (--identity)."
    ));
    let mut draft = Draft { span: rollout.name_span(), ..Draft::default() };
    let service = workloads(rollout, spec, canary, &mut draft, &mut reading);
    hosts(rollout, &service, canary, all, &mut draft, &mut reading);
    if reading.is_true(spec, "paused", "paused") {
        reading
            .note("paused: start is manual, so no release begins by itself; `pause` stops one on its way.");
        draft.is_manual = true;
    }
    steps::read(canary, templates, &mut draft, &mut reading);
    analysis::background(canary, templates, &mut draft, &mut reading);
    notifications(rollout, &mut draft, &mut reading);
    let node = draft.node(&arguments.identity, &mut reading);
    reading.finish(node);
}

/// The Service and the Deployments. A Rollout has two ReplicaSets where Coalmine has two Deployments. Returns the name of
/// the Service.
fn workloads(
    rollout: &Object<'_>,
    spec: &Node,
    canary: &Node,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) -> Node {
    let service = reading.text(canary, "stableService", "strategy.canary.stableService");
    let service = match service.and(field(canary, "stableService")) {
        Some(node) => node.clone(),
        None => Node { span: rollout.name_span(), ..Node::of_text(rollout.name()) },
    };
    let kind = reading.text(spec, "workloadRef.kind", "workloadRef.kind").unwrap_or("Deployment");
    let _ = reading.text(spec, "workloadRef.apiVersion", "workloadRef.apiVersion");
    let of_ref = reading.text(spec, "workloadRef.name", "workloadRef.name");
    if kind != "Deployment" {
        reading.note(format!(
            "workloadRef: a rollout knows Deployments, and this is a {}; write its pod template into two of them.",
            shown(kind)
        ));
    }
    let name = of_ref.unwrap_or_else(|| rollout.name());
    let span = match of_ref.and(field(spec, "workloadRef.name")) {
        Some(node) => node.span,
        None => rollout.name_span(),
    };
    let deployment = |name: String| Node { span, ..Node::of_text(name) };
    reading.note(format!(
        "the Rollout becomes two Deployments, {0} for stable and {0}-canary for the canary, behind the Service {1}; the \
         names are a proposal. A release is a new image in {0}-canary. promote: copy puts it into {0}, and scaleDownCanary \
         gives the canary's pods back.",
        shown(name),
        shown(service.text().unwrap_or_default())
    ));
    draft.workloads =
        Some([service.clone(), deployment(name.to_owned()), deployment(format!("{name}-canary"))]);
    service
}

/// The hosts: those of the VirtualServices that the Rollout names, where they are in the file, or the names of its Service.
fn hosts(
    rollout: &Object<'_>,
    service: &Node,
    canary: &Node,
    all: &[Object<'_>],
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    let routing = "trafficRouting.istio";
    let place = format!("strategy.canary.{routing}");
    let mut names = Vec::new();
    let one = format!("{routing}.virtualService.name");
    names.extend(reading.text(canary, &one, &format!("{place}.virtualService.name")));
    for item in
        reading.items(canary, &format!("{routing}.virtualServices"), &format!("{place}.virtualServices"))
    {
        names.extend(reading.text(item, "name", &format!("{place}.virtualServices.name")));
    }
    if field(canary, "trafficRouting").is_none() {
        reading.note(
            "strategy.canary.trafficRouting is missing: Argo Rollouts splits by replicas alone. Here routes obey a header, so \
             you need Istio or Envoy.",
        );
    }
    let mut hosts = Vec::new();
    for name in &names {
        let found = all.iter().find(|object| is_virtual_service(object, name, rollout.namespace()));
        let Some(virtual_service) = found else {
            reading.note(format!(
                "the VirtualService {} is not in this file, and it knows the hosts; give it too, or write its hosts.",
                shown(name)
            ));
            continue;
        };
        let written = virtual_service.spec().and_then(|spec| spec.get("hosts")).map_or(&[][..], Node::items);
        let written = written.iter().filter_map(|host| Some((host.text()?, host.span)));
        if !add_hosts(reading, &mut hosts, written) {
            return;
        }
        reading.note(format!(
            "its hosts are those of the VirtualService {}, whose weights stay at 100 for stable: it needs a route for the \
             header x-coalmine-variant instead.",
            shown(name)
        ));
    }
    if hosts.is_empty() {
        let text = service.text().unwrap_or_default();
        let names = of_service(text, rollout.namespace());
        let _ = add_hosts(reading, &mut hosts, names.iter().map(|name| (name.as_str(), service.span)));
        reading.note(format!(
            "a Rollout has no hosts; those of the Service {0} are a guess. The host {0} alone means it only to callers in its \
             namespace.",
            shown(text)
        ));
    }
    draft.matching.push(("hosts", Node::of_items(hosts)));
}

/// Whether this is the VirtualService that a Rollout in this namespace names: by its name alone, or with its namespace
/// behind a dot. The namespaces count only where both are written, because `kubectl apply` adds those that are not.
fn is_virtual_service(object: &Object<'_>, name: &str, namespace: Option<&str>) -> bool {
    let wanted = match name.strip_prefix(object.name()) {
        Some("") => namespace,
        Some(rest) => match rest.strip_prefix('.') {
            Some(written) => Some(written),
            None => return false,
        },
        None => return false,
    };
    let is_same = wanted.zip(object.namespace()).is_none_or(|(wanted, own)| wanted == own);
    object.kind == "VirtualService" && is_same
}

/// Annotations that subscribe to notifications.
fn notifications(rollout: &Object<'_>, draft: &mut Draft, reading: &mut Reading<'_>) {
    let annotations = rollout.node.descend(&["metadata", "annotations"]).map_or(&[][..], Node::entries);
    let subscriptions = annotations.iter().filter_map(|entry| entry.key.strip_prefix(SUBSCRIBE));
    for subscription in subscriptions {
        let service = subscription.split_once('.').map_or(subscription, |(_, service)| service);
        let (name, words) = renamed(service, "notifier");
        reading.note(format!(
            "annotation subscribe.{}: it is the notifier {words}, which the operator defines; the trigger and the recipients \
             are not carried over.",
            shown(subscription)
        ));
        if !draft.notify.contains(&name) {
            draft.notify.push(name);
        }
    }
}
