//! What can be wrong with the resources around a policy, although each of them is right by itself.

mod gateways;
mod plugins;
mod refused;
mod subsets;

use crate::diagnostic::Diagnostic;
use crate::scan::{Object, Scan};
use coalmine_document::{Node, Span};

/// Where Istio takes a resource as meant for every namespace.
const ROOT_NAMESPACE: &str = "istio-system";

/// A resource and the file that it is in.
#[derive(Clone, Copy)]
pub(super) struct Resource<'s> {
    pub(super) file: usize,
    pub(super) object: Object<'s>,
}

/// Everything that was given together.
pub(super) struct Cluster<'s> {
    resources: Vec<Resource<'s>>,
    /// By file.
    diagnostics: Vec<(usize, Diagnostic)>,
}

/// The diagnostics about resources, each with the place of its file among `scans`.
pub(super) fn diagnostics(scans: &[&Scan]) -> Vec<(usize, Diagnostic)> {
    let mut resources = Vec::new();
    for (file, scan) in scans.iter().enumerate() {
        resources.extend(scan.objects().map(|object| Resource { file, object }));
    }
    let mut cluster = Cluster { resources, diagnostics: Vec::new() };
    plugins::check(&mut cluster);
    gateways::check(&mut cluster);
    refused::check(&mut cluster);
    subsets::check(&mut cluster);
    cluster.diagnostics
}

// === impl Cluster ===

impl<'s> Cluster<'s> {
    fn of_kind(&self, kinds: &[&str]) -> Vec<Resource<'s>> {
        self.resources.iter().filter(|resource| kinds.contains(&resource.object.kind)).copied().collect()
    }

    fn tell(&mut self, resource: Resource<'_>, diagnostic: Diagnostic) {
        self.diagnostics.push((resource.file, diagnostic));
    }
}

/// The bytes of a field of a resource: its key; where the field is missing, the key of what should hold it.
fn span_of(object: &Object<'_>, fields: &[&str]) -> Span {
    let mut span = object.node.span;
    let mut node = object.node;
    for field in fields {
        let Some(entry) = node.entry(field) else { break };
        (span, node) = (entry.span, &entry.node);
    }
    span
}

/// A map of labels.
fn labels(tree: Option<&Node>) -> Vec<(&str, &str)> {
    let entries = tree.map_or(&[][..], Node::entries);
    entries.iter().filter_map(|entry| Some((entry.key.as_str(), entry.node.text()?))).collect()
}

/// Whether every label that is asked for is there.
fn carries(given: &[(&str, &str)], asked: &[(&str, &str)]) -> bool {
    asked.iter().all(|label| given.contains(label))
}
