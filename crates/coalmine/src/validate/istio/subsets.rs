//! Subsets: whether a DestinationRule has them, and pods belong to them.

use super::{Cluster, carries, labels};
use crate::diagnostic::{Code, Diagnostic};
use crate::routes::table_of_istio;
use coalmine_document::Node;

pub(super) fn check(cluster: &mut Cluster<'_>) {
    missing(cluster);
    empty(cluster);
}

/// Subsets that a route leads to, and that no DestinationRule for its host has, where there is one among the files.
fn missing(cluster: &mut Cluster<'_>) {
    let rules = cluster.of_kind(&["DestinationRule"]);
    let mut found = Vec::new();
    for service in cluster.of_kind(&["VirtualService"]) {
        let Some(spec) = service.object.spec() else { continue };
        let table = table_of_istio(spec, service.object.namespace());
        let routes = table.hosts.iter().flat_map(|host| &host.routes);
        for weighted in routes.flat_map(|route| route.destinations()) {
            let Some(subset) = &weighted.destination.subset else { continue };
            let host = &weighted.destination.host;
            let mut of_host = rules.iter().filter(|rule| {
                let ruled = rule.object.node.text_at(&["spec", "host"]).unwrap_or_default();
                is_same(host, service.object.namespace(), ruled, rule.object.namespace())
            });
            let subsets = |rule: &super::Resource<'_>| {
                let items = rule.object.node.descend(&["spec", "subsets"]).map_or(&[][..], Node::items);
                items.iter().any(|item| item.text_at(&["name"]) == Some(subset))
            };
            let Some(first) = of_host.next() else { continue };
            if !subsets(first) && !of_host.any(subsets) {
                let message = format!(
                    "{} has no subset {subset:?}: every request to it gets a 503",
                    first.object.title()
                );
                let place = weighted.place.path.to_string();
                found.push((
                    service,
                    Diagnostic::error(Code::MissingSubset, weighted.place.span, &place, message),
                ));
            }
        }
    }
    found.into_iter().for_each(|(service, diagnostic)| cluster.tell(service, diagnostic));
}

/// Whether two names of a host, each in a resource of its namespace, can be one.
fn is_same(one: &str, in_one: Option<&str>, other: &str, in_other: Option<&str>) -> bool {
    let parts = |host: &str, namespace: Option<&str>| -> (String, Option<String>) {
        let mut parts = host.split('.');
        let service = parts.next().unwrap_or_default().to_owned();
        match (parts.next(), parts.next()) {
            (None, _) => (service, namespace.map(str::to_owned)),
            (Some(namespace), None | Some("svc")) => (service, Some(namespace.to_owned())),
            (Some(_), Some(_)) => (host.to_owned(), None),
        }
    };
    let ((one, in_one), (other, in_other)) = (parts(one, in_one), parts(other, in_other));
    one == other && (in_one.is_none() || in_other.is_none() || in_one == in_other)
}

/// Subsets that no pod belongs to, where the pods are known.
fn empty(cluster: &mut Cluster<'_>) {
    let workloads = cluster.of_kind(&["Deployment", "StatefulSet", "DaemonSet", "Rollout"]);
    if workloads.is_empty() {
        return;
    }
    for rule in cluster.of_kind(&["DestinationRule"]) {
        let items = rule.object.node.descend(&["spec", "subsets"]).map_or(&[][..], Node::items);
        for (index, subset) in items.iter().enumerate() {
            let asked = labels(subset.get("labels"));
            let carried = workloads.iter().any(|workload| {
                carries(
                    &labels(workload.object.node.descend(&["spec", "template", "metadata", "labels"])),
                    &asked,
                )
            });
            if !asked.is_empty() && !carried {
                let text: Vec<String> = asked.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                let message = format!(
                    "no Deployment here has pods with {}: the subset is empty, and its users get 503",
                    text.join(", ")
                );
                let span = subset.get("labels").map_or_else(|| subset.span, |labels| labels.span);
                let place = format!("spec.subsets[{index}].labels");
                cluster.tell(rule, Diagnostic::warning(Code::EmptySubset, span, &place, message));
            }
        }
    }
}
