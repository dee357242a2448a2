//! Subsets: whether a DestinationRule has them, and pods belong to them.

use super::{Cluster, Resource, carries, labels};
use crate::diagnostic::{Code, Diagnostic};
use coalmine_control::routes::{Patch, Route, Weighted, patches, table_of_istio, whole_host};
use coalmine_document::Node;

pub(super) fn check(cluster: &mut Cluster<'_>) {
    missing(cluster);
    empty(cluster);
}

/// Subsets that a route leads to, and that no DestinationRule for its host has, where there is one among the files.
fn missing(cluster: &mut Cluster<'_>) {
    let rules = cluster.of_kind(&["DestinationRule"]);
    let mut found = Vec::new();
    for resource in cluster.of_kind(&["VirtualService", "EnvoyFilter"]) {
        let Some(spec) = resource.object.spec() else { continue };
        let routes: Vec<Route> = match resource.object.kind {
            "EnvoyFilter" => patches(spec).into_iter().filter_map(Patch::inserted).collect(),
            // Those at gateways are the same as those in sidecars.
            _ => {
                let mut hosts = table_of_istio(spec, resource.object.namespace()).hosts.into_iter();
                hosts.next().map(|host| host.routes).unwrap_or_default()
            }
        };
        let without = routes.iter().flat_map(Route::destinations);
        let without = without.filter_map(|weighted| Some((weighted, without_subset(weighted, &rules)?)));
        found.extend(without.map(|(weighted, message)| {
            let place = weighted.place.path.to_string();
            (resource, Diagnostic::error(Code::MissingSubset, weighted.place.span, &place, message))
        }));
    }
    found.into_iter().for_each(|(resource, diagnostic)| cluster.tell(resource, diagnostic));
}

/// What is wrong with this destination, where none of the rules that are best for its host has its subset.
fn without_subset(weighted: &Weighted, rules: &[Resource<'_>]) -> Option<String> {
    let subset = weighted.destination.subset.as_deref()?;
    let fits: Vec<(usize, &Resource<'_>)> = rules
        .iter()
        .filter_map(|rule| {
            let ruled = rule.object.node.text_at(&["spec", "host"]).unwrap_or_default();
            let ruled = whole_host(ruled, rule.object.namespace());
            Some((fit(&weighted.destination.host, &ruled)?, rule))
        })
        .collect();
    let best = fits.iter().map(|(fit, _)| *fit).max()?;
    let mut best = fits.iter().filter(|(fit, _)| *fit == best).map(|(_, rule)| *rule);
    let has_it = |rule: &Resource<'_>| {
        let items = rule.object.node.descend(&["spec", "subsets"]).map_or(&[][..], Node::items);
        items.iter().any(|item| item.text_at(&["name"]) == Some(subset))
    };
    let first = best.next()?;
    let is_missing = !has_it(first) && !best.any(has_it);
    is_missing
        .then(|| format!("{} has no subset {subset:?}: every request to it gets a 503", first.object.title()))
}

/// How well the host of a DestinationRule fits one of a route; `None`: not at all. Istio takes the best, and of those that
/// are alike the subsets of all.
fn fit(host: &str, ruled: &str) -> Option<usize> {
    if host == ruled {
        return Some(usize::MAX);
    }
    if let Some(end) = ruled.strip_prefix('*') {
        return (host.len() > end.len() && host.ends_with(end)).then_some(end.len());
    }
    // A name without a dot is of a Service whose namespace is not known.
    let is_short = |one: &str, other: &str| !one.contains('.') && other.split('.').next() == Some(one);
    (is_short(host, ruled) || is_short(ruled, host)).then_some(usize::MAX)
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
