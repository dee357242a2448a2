//! Plugins of other gateways than Istio's.

use super::{Cluster, Resource, span_of};
use crate::diagnostic::{Code, Diagnostic};
use coalmine_document::{Node, OwnedPath, Value};

pub(super) fn check(cluster: &mut Cluster<'_>) {
    for resource in cluster.of_kind(&["EnvoyExtensionPolicy"]) {
        for (plugin, at) in resource.object.gateway_plugins() {
            fails_closed(cluster, resource, plugin, &at);
        }
    }
    for resource in cluster.of_kind(&["WasmPlugin"]) {
        match_rules(cluster, resource);
    }
}

/// Envoy Gateway answers 500 where a filter fails that is not open.
fn fails_closed(cluster: &mut Cluster<'_>, resource: Resource<'_>, plugin: &Node, at: &OwnedPath) {
    let entry = plugin.entry("failOpen");
    if entry.is_some_and(|entry| matches!(entry.node.value, Value::Bool(true))) {
        return;
    }
    let message = "requests are refused when the module cannot be fetched or crashes; \"failOpen: true\" sends them \
                   to stable";
    let span = entry.map_or(plugin.span, |entry| entry.span);
    let place = at.field("failOpen").to_string();
    cluster.tell(resource, Diagnostic::error(Code::FailsClosed, span, &place, message));
}

/// Higress puts the rules of a plugin into its configuration, for filters that are built with its SDK.
fn match_rules(cluster: &mut Cluster<'_>, resource: Resource<'_>) {
    let object = &resource.object;
    let Some(plugin) = object.higress_plugin().filter(|_| object.is_coalmine()) else { return };
    let rules = plugin.get("matchRules").map_or(&[][..], Node::items);
    let is_disabled =
        |rule: &Node| matches!(rule.get("configDisable").map(|off| &off.value), Some(Value::Bool(true)));
    if plugin.get("pluginConfig").is_some() || rules.iter().all(is_disabled) {
        return;
    }
    let message = "Higress hands these to the filter as a field \"_rules_\" of the policy, and the filter refuses it: \
                   give one policy in defaultConfig, and say in its rollouts' match which requests it is for";
    let span = span_of(object, &["spec", "matchRules"]);
    cluster.tell(resource, Diagnostic::error(Code::Policy, span, "spec.matchRules", message));
}
