//! Listeners of Envoy whose routes are by a header that the filter writes: whether a client can send it.

use coalmine_core::policy::{Rollout, RouteValue};

use super::Valid;
use crate::diagnostic::{Code, Diagnostic};
use crate::scan::{Object, Scan};
use coalmine_control::routes::removes;
use coalmine_document::{Node, OwnedPath};

/// The diagnostics about configurations of Envoy, each with the place of its file among `scans`.
pub(super) fn diagnostics(scans: &[&Scan], policies: &[Valid]) -> Vec<(usize, Diagnostic)> {
    let rollouts = policies.iter().flat_map(|valid| valid.policy.rollouts());
    let name = |rollout: &Rollout| match rollout.route().value() {
        RouteValue::Cluster(_) | RouteValue::Bucket(_) => Some(rollout.route().header().to_owned()),
        RouteValue::Variant => None,
    };
    let headers: Vec<String> = rollouts.filter_map(name).collect();
    // A patch of Istio's is a part of a listener, and another one may be the other part.
    let is_removed =
        |header: &String| scans.iter().flat_map(|scan| &scan.documents).any(|it| removes(it, header));
    let of_patches: Vec<String> = headers.iter().filter(|header| !is_removed(header)).cloned().collect();
    let mut found = Vec::new();
    for (file, scan) in scans.iter().enumerate() {
        let mut here = Vec::new();
        for document in &scan.documents {
            let headers = if Object::of(document).is_some() { &of_patches } else { &headers };
            walk(document, &OwnedPath::default(), headers, &mut here);
        }
        found.extend(here.into_iter().map(|diagnostic| (file, diagnostic)));
    }
    found
}

fn walk(tree: &Node, at: &OwnedPath, headers: &[String], found: &mut Vec<Diagnostic>) {
    for entry in tree.entries() {
        let place = at.field(&entry.key);
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
            found.push(Diagnostic::warning(Code::HeaderRoute, tree.head(), &at.to_string(), message));
        }
    }
}
