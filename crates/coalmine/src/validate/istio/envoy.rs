//! Routes of Envoy by a header that the filter writes for stable too: what has to be around them.

use coalmine_core::policy::{Policy, Rollout, RouteValue};

use crate::diagnostic::{Code, Diagnostic};
use coalmine_document::{Node, OwnedPath, Value};

/// The diagnostics about one configuration of Envoy.
pub(super) fn diagnostics(document: &Node, policies: &[Policy]) -> Vec<Diagnostic> {
    let rollouts = policies.iter().flat_map(Policy::rollouts);
    let name = |rollout: &Rollout| match rollout.route().value() {
        RouteValue::Cluster(_) | RouteValue::Bucket(_) => Some(rollout.route().header().to_owned()),
        RouteValue::Variant => None,
    };
    let headers: Vec<String> = rollouts.filter_map(name).collect();
    let mut found = Vec::new();
    if !headers.is_empty() {
        walk(document, &OwnedPath::default(), &headers, &mut found);
    }
    found
}

fn walk(tree: &Node, at: &OwnedPath, headers: &[String], found: &mut Vec<Diagnostic>) {
    for entry in tree.entries() {
        let place = at.field(&entry.key);
        if entry.key == "routes" {
            routes(entry.node.items(), &place, headers, found);
        }
        walk(&entry.node, &place, headers, found);
    }
    for (index, item) in tree.items().iter().enumerate() {
        walk(item, &at.item(index), headers, found);
    }
    if tree.text_at(&["@type"]).is_some_and(|kind| kind.ends_with("HttpConnectionManager")) {
        let early = tree.get("early_header_mutation_extensions");
        for header in headers.iter().filter(|header| !early.is_some_and(|early| removes(early, header))) {
            let message = format!(
                "nothing removes {header} early: where the filter does not run, a client's own {header} chooses the \
                 cluster; use early_header_mutation_extensions, as `coalmine render envoy` does"
            );
            let span = tree.entries().first().map_or_else(|| tree.span, |entry| entry.span);
            found.push(Diagnostic::warning(Code::HeaderRoute, span, &at.to_string(), message));
        }
    }
}

/// Whether this header is removed somewhere in here.
fn removes(tree: &Node, header: &str) -> bool {
    tree.text_at(&["remove"]) == Some(header)
        || tree.items().iter().any(|item| removes(item, header))
        || tree.entries().iter().any(|entry| removes(&entry.node, header))
}

fn routes(items: &[Node], at: &OwnedPath, headers: &[String], found: &mut Vec<Diagnostic>) {
    for (index, item) in items.iter().enumerate() {
        let by_cluster = item.text_at(&["route", "cluster_header"]);
        let by_bucket = item.text_at(&["route", "weighted_clusters", "header_name"]);
        let Some(header) =
            by_cluster.or(by_bucket).filter(|name| headers.iter().any(|header| header == name))
        else {
            continue;
        };
        let place = at.item(index).field("match").to_string();
        let span = item
            .entries()
            .iter()
            .find(|entry| entry.key == "match")
            .map_or_else(|| item.span, |entry| entry.span);
        if !asks_for(item, header) {
            let otherwise = if by_cluster.is_some() { "get a 404 or a 503" } else { "be split at random" };
            let message = format!(
                "without the filter nothing sets {header}, and requests would {otherwise}; add headers: [{{name: {header}, present_match: true}}]"
            );
            found.push(Diagnostic::error(Code::HeaderRoute, span, &place, message));
        }
        let default = items
            .iter()
            .skip(index + 1)
            .any(|later| later.get("route").is_some() && !asks_for(later, header));
        if !default {
            let message = format!("no route behind it for requests without {header}: add one to stable");
            found.push(Diagnostic::error(Code::HeaderRoute, span, &place, message));
        }
    }
}

/// Whether a route is only for requests that have this header.
fn asks_for(route: &Node, header: &str) -> bool {
    let conditions = route.descend(&["match", "headers"]).map_or(&[][..], Node::items);
    conditions.iter().any(|condition| {
        condition.text_at(&["name"]) == Some(header)
            && condition.get("present_match").is_some_and(|present| present.value == Value::Bool(true))
    })
}
