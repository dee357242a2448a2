//! Routes: whether what the filter writes is what they read, and where everybody else goes.

use super::{Cluster, Resource, carries, labels, span_of};
use crate::finding::{Code, Finding};
use crate::text::{Span, Tree};

/// How Coalmine's headers begin when nobody chose another name.
const OURS: &str = "x-coalmine-";

/// A route of a VirtualService.
struct HttpRoute<'s> {
    place: String,
    tree: &'s Tree,
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
    let items = service.object.tree.path(&["spec", "http"]).map_or(&[][..], Tree::items);
    let route = |(index, tree): (usize, &'s Tree)| {
        let matches = tree.get("match").map_or(&[][..], Tree::items).iter();
        let headers = matches
            .flat_map(|item| item.get("headers").map_or(&[][..], Tree::entries))
            .map(|entry| (entry.key.as_str(), entry.tree.text_at(&["exact"]), entry.span.clone()))
            .collect();
        let destination = |item: &'s Tree| {
            let destination = item.get("destination")?;
            Some(Destination {
                host: destination.text_at(&["host"])?,
                subset: destination.text_at(&["subset"]),
            })
        };
        let destinations =
            tree.get("route").map_or(&[][..], Tree::items).iter().filter_map(destination).collect();
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
                    "the policy sets {}; nobody sets {name}, so this route gets nobody",
                    ours.join(", ")
                );
                let place = format!("{}.match", route.place);
                cluster.tell(service, Finding::error(Code::HeaderDiffers, span.clone(), &place, message));
            }
        }
    }
}

/// Whoever has no header is stable: of these there must be a route, and it must not lead to another variant.
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
        let message = "no route without a match: whoever has no header is stable, and would get a 404; add one to stable";
        let span = span_of(&service.object, &["spec", "http"]);
        cluster.tell(service, Finding::error(Code::DefaultNotStable, span, "spec.http", message));
        return;
    };
    let variants = cluster.variants();
    let place = format!("{}.route", default.place);
    let span =
        default.tree.get("route").map_or_else(|| default.tree.span.clone(), |route| route.span.clone());
    let to_variant = default.destinations.iter().find(|destination| {
        destination.subset.is_some_and(|subset| variants.contains(&subset))
            || by_header.iter().any(|route| route.destinations.contains(destination))
    });
    if let Some(destination) = to_variant {
        let to = destination.subset.unwrap_or(destination.host);
        let message = format!(
            "leads to {to}, but whoever has no header is stable: without a filter everybody would get {to}"
        );
        cluster.tell(service, Finding::error(Code::DefaultNotStable, span, &place, message));
    } else if default.destinations.len() > 1 {
        let message = "splits requests at random; whoever has no header is stable: keep one destination";
        cluster.tell(service, Finding::warning(Code::DefaultNotStable, span, &place, message));
    }
}

/// Subsets that no pod belongs to, where the pods are known.
fn subsets(cluster: &mut Cluster<'_>) {
    let workloads = cluster.of_kind(&["Deployment", "StatefulSet", "DaemonSet", "Rollout"]);
    if workloads.is_empty() {
        return;
    }
    for rule in cluster.of_kind(&["DestinationRule"]) {
        let items = rule.object.tree.path(&["spec", "subsets"]).map_or(&[][..], Tree::items);
        for (index, subset) in items.iter().enumerate() {
            let asked = labels(subset.get("labels"));
            let carried = workloads.iter().any(|workload| {
                carries(
                    &labels(workload.object.tree.path(&["spec", "template", "metadata", "labels"])),
                    &asked,
                )
            });
            if !asked.is_empty() && !carried {
                let text: Vec<String> = asked.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                let message = format!(
                    "no Deployment here has pods with {}: the subset is empty, and its users get 503",
                    text.join(", ")
                );
                let span =
                    subset.get("labels").map_or_else(|| subset.span.clone(), |labels| labels.span.clone());
                let place = format!("spec.subsets[{index}].labels");
                cluster.tell(rule, Finding::warning(Code::EmptySubset, span, &place, message));
            }
        }
    }
}
