//! Routes: whether they read what the filter writes, and where requests without a header go.

use super::{Cluster, Resource, carries, labels, span_of};
use crate::diagnostic::{Code, Diagnostic};
use coalmine_document::{Node, Span};

/// The beginning of Coalmine's default headers.
const OURS: &str = "x-coalmine-";

/// A route of a VirtualService.
struct HttpRoute<'s> {
    place: String,
    tree: &'s Node,
    /// The headers that it looks at, with the texts that they must be.
    headers: Vec<(&'s str, Option<&'s str>, Span)>,
    destinations: Vec<Destination<'s>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Destination<'s> {
    host: &'s str,
    subset: Option<&'s str>,
}

pub(super) fn check(cluster: &mut Cluster<'_>) {
    for service in cluster.of_kind(&["VirtualService"]) {
        let routes = http_routes(service);
        header_names(cluster, service, &routes);
        default_route(cluster, service, &routes);
    }
    subsets(cluster);
}

fn http_routes<'s>(service: Resource<'s>) -> Vec<HttpRoute<'s>> {
    let items = service.object.node.descend(&["spec", "http"]).map_or(&[][..], Node::items);
    let route = |(index, tree): (usize, &'s Node)| {
        let matches = tree.get("match").map_or(&[][..], Node::items).iter();
        let headers = matches
            .flat_map(|item| item.get("headers").map_or(&[][..], Node::entries))
            .map(|entry| (entry.key.as_str(), entry.node.text_at(&["exact"]), entry.span))
            .collect();
        let destination = |item: &'s Node| {
            let destination = item.get("destination")?;
            Some(Destination {
                host: destination.text_at(&["host"])?,
                subset: destination.text_at(&["subset"]),
            })
        };
        let destinations =
            tree.get("route").map_or(&[][..], Node::items).iter().filter_map(destination).collect();
        HttpRoute { place: format!("spec.http[{index}]"), tree, headers, destinations }
    };
    items.iter().enumerate().map(route).collect()
}

/// A route that looks at a header that no policy writes.
fn header_names(cluster: &mut Cluster<'_>, service: Resource<'_>, routes: &[HttpRoute<'_>]) {
    let (ours, variants) = (cluster.route_headers(), cluster.variants());
    if ours.is_empty() {
        return;
    }
    for route in routes {
        for (name, exact, span) in &route.headers {
            let is_meant = name.starts_with(OURS) || exact.is_some_and(|exact| variants.contains(&exact));
            if is_meant && !ours.contains(name) {
                let message = format!(
                    "the policy sets {}; nothing sets {name}, so no request takes this route",
                    ours.join(", ")
                );
                let place = format!("{}.match", route.place);
                cluster.tell(service, Diagnostic::error(Code::HeaderDiffers, *span, &place, message));
            }
        }
    }
}

/// A request without the header is stable: there must be a route for it, and it must not lead to another variant.
fn default_route(cluster: &mut Cluster<'_>, service: Resource<'_>, routes: &[HttpRoute<'_>]) {
    let ours = cluster.route_headers();
    let is_ours = |route: &&HttpRoute<'_>| {
        route.headers.iter().any(|(name, ..)| ours.contains(name) || name.starts_with(OURS))
    };
    let by_header: Vec<&HttpRoute<'_>> = routes.iter().filter(is_ours).collect();
    if by_header.is_empty() {
        return;
    }
    let Some(default) = routes.iter().find(|route| route.tree.get("match").is_none()) else {
        let message = "no route without a match: a request without the header is stable, and would get a 404; add a route to stable";
        let span = span_of(&service.object, &["spec", "http"]);
        cluster.tell(service, Diagnostic::error(Code::DefaultNotStable, span, "spec.http", message));
        return;
    };
    let variants = cluster.variants();
    let place = format!("{}.route", default.place);
    let span = default.tree.get("route").map_or_else(|| default.tree.span, |route| route.span);
    let to_variant = default.destinations.iter().find(|destination| {
        destination.subset.is_some_and(|subset| variants.contains(&subset))
            || by_header.iter().any(|route| route.destinations.contains(destination))
    });
    if let Some(destination) = to_variant {
        let to = destination.subset.unwrap_or(destination.host);
        let message = format!(
            "leads to {to}, but a request without the header is stable: without a filter all users would get {to}"
        );
        cluster.tell(service, Diagnostic::error(Code::DefaultNotStable, span, &place, message));
    } else if default.destinations.len() > 1 {
        let message =
            "splits requests at random; a request without the header is stable: keep one destination";
        cluster.tell(service, Diagnostic::warning(Code::DefaultNotStable, span, &place, message));
    }
}

/// Subsets that no pod belongs to, where the pods are known.
fn subsets(cluster: &mut Cluster<'_>) {
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
