//! The proxies that are there: Pods with a sidecar, and gateways.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
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
}

/// What is kept of a plugin: the labels of the Pods that it selects; none where it selects in another way.
pub(super) type Reach = Option<BTreeMap<String, String>>;

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
        }
    }
}

/// The labels by which a plugin selects.
pub(super) fn reach(plugin: &DynamicObject) -> Reach {
    let spec = plugin.data.get("spec").unwrap_or(&Value::Null);
    if ["targetRef", "targetRefs"].iter().any(|field| spec.get(field).is_some()) {
        return None;
    }
    let labels = spec.pointer("/selector/matchLabels").and_then(Value::as_object);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(labels.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect())
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
        reached.push((plugin.namespace.as_str(), reach.as_ref()?.as_ref()?));
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
