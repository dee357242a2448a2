//! The proxies that are there: Pods with a sidecar, and gateways. And why Pods are not ready.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::DynamicObject;
use serde_json::Value;

use super::watch::Watched;
use super::workloads::covers;
use crate::cluster::Sidecar;
use crate::publish::istio::Plugin;

/// The container that is Istio's proxy, in a sidecar as in a gateway.
const PROXY: &str = "istio-proxy";

/// What is kept of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    address: String,
    labels: BTreeMap<String, String>,
    has_proxy: bool,
    is_running: bool,
    /// Why it is not ready, as its node says.
    trouble: Option<String>,
}

/// The label by which Istio knows the Pods of a Gateway: those of its gateways and waypoints.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// What is kept of a plugin: the labels of the Pods that it selects, of each of its targets; none where it selects in another way.
pub(super) type Reach = Option<Vec<BTreeMap<String, String>>>;

// === impl Seen ===

impl Seen {
    pub(super) fn of(pod: &Pod) -> Self {
        let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
        let containers = spec.map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
        let is_running = status.and_then(|status| status.phase.as_deref()) == Some("Running");
        Self {
            address: status.and_then(|status| status.pod_ip.clone()).unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            has_proxy: containers.into_iter().flatten().any(|container| container.name == PROXY),
            is_running: is_running && pod.metadata.deletion_timestamp.is_none(),
            trouble: trouble_of(pod).filter(|_| pod.metadata.deletion_timestamp.is_none()),
        }
    }
}

/// Why a Pod is not ready: the first container that cannot run, or a Pod that no node takes. Without counts and times, so that it
/// is the same for as long as the reason is.
fn trouble_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let stuck = containers.filter(|container| !container.ready).find_map(stuck);
    stuck.or_else(|| {
        let conditions = status.conditions.iter().flatten();
        let mut unscheduled = conditions.filter(|it| it.type_ == "PodScheduled" && it.status == "False");
        let unscheduled = unscheduled.next()?;
        Some(format!("no node takes it: {}", unscheduled.message.as_deref().unwrap_or("Unschedulable")))
    })
}

/// Why a container does not run.
fn stuck(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let ended = state.terminated.as_ref();
    let ended_before = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let end = ended.or(ended_before).map(|end| match end.reason.as_deref() {
        Some(reason) if reason != "Error" && reason != "Completed" => reason.to_owned(),
        _ => format!("exit code {}", end.exit_code),
    });
    let name = &container.name;
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
    match (waiting, end) {
        // They begin like this.
        (Some("ContainerCreating" | "PodInitializing") | None, None) => None,
        (Some(reason), None) if reason.contains("Image") => {
            Some(format!("{name}: {reason} of {}", container.image))
        }
        (Some(reason), None) => Some(format!("{name}: {reason}")),
        (Some(reason), Some(end)) => Some(format!("{name}: {reason}, {end}")),
        (None, Some(end)) => Some(format!("{name} ended: {end}")),
    }
}

/// Why Pods with these labels are not ready; none where their nodes do not say so.
pub(super) fn trouble(
    pods: &Watched<Seen>,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let own = pods.of_namespace(namespace).into_iter().filter(|pod| covers(labels, &pod.labels));
    let troubles: BTreeSet<String> = own.filter_map(|pod| pod.trouble.clone()).collect();
    (!troubles.is_empty()).then(|| troubles.into_iter().collect::<Vec<_>>().join("; "))
}

/// The labels by which a plugin selects.
pub(super) fn reach(plugin: &DynamicObject) -> Reach {
    let spec = plugin.data.get("spec").unwrap_or(&Value::Null);
    let several = spec.get("targetRefs").and_then(Value::as_array).into_iter().flatten();
    let mut targets = several.chain(spec.get("targetRef")).peekable();
    if targets.peek().is_some() {
        return targets.map(of_gateway).collect();
    }
    let labels = spec.pointer("/selector/matchLabels").and_then(Value::as_object);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(vec![labels.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()])
}

/// The labels of the Pods of a target, where it is a Gateway. Those of others, as of a Service's waypoint, are not known.
fn of_gateway(target: &Value) -> Option<BTreeMap<String, String>> {
    let is_gateway = target.get("kind")?.as_str()? == "Gateway";
    let name = target.get("name")?.as_str()?.to_owned();
    is_gateway.then(|| BTreeMap::from([(GATEWAY_NAME.to_owned(), name)]))
}

/// The proxies that are there, and which of them these plugins select; none where that is not known. A plugin in the root
/// namespace selects in all of them.
pub(super) fn sidecars(
    pods: &Watched<Seen>,
    plugins: &[(&Plugin, Option<Reach>)],
    root: &str,
) -> Option<Vec<Sidecar>> {
    if pods.trouble().is_some() || plugins.is_empty() {
        return None;
    }
    let mut reached = Vec::new();
    for (plugin, reach) in plugins {
        let targets = reach.as_ref()?.as_ref()?;
        reached.extend(targets.iter().map(|labels| (plugin.namespace.as_str(), labels)));
    }
    let is_selected = |namespace: &str, pod: &Seen| {
        let selects = |(of, labels): &(&str, &BTreeMap<_, _>)| {
            (*of == namespace || *of == root) && covers(labels, &pod.labels)
        };
        pod.is_running && pod.has_proxy && reached.iter().any(selects)
    };
    let sidecar = |(namespace, name, pod): (String, String, std::sync::Arc<Seen>)| Sidecar {
        pod: format!("{name}.{namespace}"),
        address: pod.address.clone(),
        is_expected: is_selected(&namespace, &pod),
    };
    Some(pods.all().into_iter().map(sidecar).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(version: &str, status: Value) -> Seen {
        let labels = json!({"app": "checkout", "version": version});
        Seen::of(&serde_json::from_value(json!({"metadata": {"labels": labels}, "status": status})).unwrap())
    }

    fn container(state: Value, last: Value) -> Value {
        let status = json!({
            "name": "checkout", "image": "shop:2", "imageID": "", "ready": false, "restartCount": 3, "state": state,
            "lastState": last,
        });
        json!({"containerStatuses": [status]})
    }

    fn waiting(reason: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": "back-off 40s"}})
    }

    fn ended(reason: &str) -> Value {
        json!({"terminated": {"reason": reason, "exitCode": 1}})
    }

    #[test]
    fn why_a_pod_is_not_ready_is_what_its_node_says() {
        let unscheduled = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available",
        }]});
        for (status, said) in [
            (
                container(waiting("CrashLoopBackOff"), ended("Error")),
                "checkout: CrashLoopBackOff, exit code 1",
            ),
            (
                container(waiting("CrashLoopBackOff"), ended("OOMKilled")),
                "checkout: CrashLoopBackOff, OOMKilled",
            ),
            (container(waiting("ImagePullBackOff"), json!({})), "checkout: ImagePullBackOff of shop:2"),
            (
                container(waiting("CreateContainerConfigError"), json!({})),
                "checkout: CreateContainerConfigError",
            ),
            (container(json!({"running": {}}), ended("Error")), "checkout ended: exit code 1"),
            (unscheduled, "no node takes it: 0/3 nodes are available"),
        ] {
            assert_eq!(pod("canary", status).trouble.as_deref(), Some(said));
        }
        for status in [
            json!({}),
            container(waiting("ContainerCreating"), json!({})),
            container(json!({"running": {}}), json!({})),
        ] {
            assert_eq!(pod("canary", status).trouble, None);
        }
    }

    #[test]
    fn a_plugin_selects_by_labels_or_by_gateways() {
        let of = |spec: Value| {
            let plugin = json!({"metadata": {"name": "coalmine"}, "spec": spec});
            reach(&serde_json::from_value(plugin).unwrap())
        };
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let gateway =
            |name: &str| json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name});
        assert_eq!(of(json!({})), Some(vec![BTreeMap::new()]), "all of the namespace");
        assert_eq!(of(json!({"selector": {"matchLabels": {"a": "b"}}})), Some(vec![labels("a", "b")]));
        assert_eq!(
            of(json!({"targetRef": gateway("waypoint")})),
            Some(vec![labels(GATEWAY_NAME, "waypoint")])
        );
        let both = json!({"targetRefs": [gateway("waypoint"), gateway("edge")]});
        assert_eq!(of(both), Some(vec![labels(GATEWAY_NAME, "waypoint"), labels(GATEWAY_NAME, "edge")]));
        let service = json!({"targetRefs": [gateway("edge"), {"kind": "Service", "name": "checkout"}]});
        assert_eq!(of(service), None, "its waypoint is not known here");
    }

    #[test]
    fn the_same_trouble_of_several_pods_is_said_once_and_that_of_others_is_not() {
        let crashes = || container(waiting("CrashLoopBackOff"), ended("Error"));
        let pods = Watched::of([
            ("shop", "canary-1", pod("canary", crashes())),
            ("shop", "canary-2", pod("canary", crashes())),
            ("shop", "canary-3", pod("canary", container(waiting("ErrImagePull"), json!({})))),
            ("shop", "stable-1", pod("stable", container(waiting("Other"), json!({})))),
            ("bank", "canary-1", pod("canary", container(waiting("Other"), json!({})))),
        ]);
        let labels = BTreeMap::from([("version".to_owned(), "canary".to_owned())]);
        assert_eq!(
            trouble(&pods, "shop", &labels).as_deref(),
            Some("checkout: CrashLoopBackOff, exit code 1; checkout: ErrImagePull of shop:2")
        );
        assert_eq!(trouble(&pods, "nowhere", &labels), None);
    }
}
