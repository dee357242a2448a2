//! What can be wrong with the resources around a policy, although each of them is right by itself.

mod envoy;
mod plugins;
mod routes;

use coalmine_core::policy::{Policy, Rollout, Route};

use crate::finding::Finding;
use crate::found::{Object, Place, Scan};
use crate::text::{Span, Tree};

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
    policies: &'s [Policy],
    /// By file.
    findings: Vec<(usize, Finding)>,
}

/// The findings about resources, each with the place of its file among `scans`.
pub(super) fn findings(scans: &[&Scan], policies: &[Policy]) -> Vec<(usize, Finding)> {
    let mut resources = Vec::new();
    for (file, scan) in scans.iter().enumerate() {
        for object in scan.documents.iter().filter_map(Object::of) {
            let items = object.items(&Place::default()).into_iter().map(|(item, _)| item);
            resources.extend(items.chain([object]).map(|object| Resource { file, object }));
        }
    }
    let mut cluster = Cluster { resources, policies, findings: Vec::new() };
    plugins::check(&mut cluster);
    routes::check(&mut cluster);
    for (file, scan) in scans.iter().enumerate() {
        for document in &scan.documents {
            let found = envoy::findings(document, policies);
            cluster.findings.extend(found.into_iter().map(|finding| (file, finding)));
        }
    }
    cluster.findings
}

// === impl Cluster ===

impl<'s> Cluster<'s> {
    fn of_kind(&self, kinds: &[&str]) -> Vec<Resource<'s>> {
        self.resources.iter().filter(|resource| kinds.contains(&resource.object.kind)).copied().collect()
    }

    fn tell(&mut self, resource: Resource<'_>, finding: Finding) {
        self.findings.push((resource.file, finding));
    }

    /// The names of the headers that the policies set for a route.
    fn route_headers(&self) -> Vec<&'s str> {
        let name = |rollout: &'s Rollout| match rollout.route() {
            Route::Header(name) | Route::ClusterHeader { name, .. } | Route::BucketHeader { name, .. } => {
                &**name
            }
        };
        self.policies.iter().flat_map(Policy::rollouts).map(name).collect()
    }

    /// The names of the variants but stable.
    fn variants(&self) -> Vec<&'s str> {
        let rollouts = self.policies.iter().flat_map(Policy::rollouts);
        rollouts.flat_map(|rollout| rollout.variants().skip(1).map(|(_, name)| name)).collect()
    }
}

/// The bytes of a field of a resource: its key; of the resource's kind where the field is missing.
fn span_of(object: &Object<'_>, way: &[&str]) -> Span {
    for length in (1..=way.len()).rev() {
        let Some((last, before)) = way.get(..length).and_then(<[&str]>::split_last) else { continue };
        let parent = object.tree.path(before);
        if let Some(entry) =
            parent.and_then(|parent| parent.entries().iter().find(|entry| entry.key == *last))
        {
            return entry.span.clone();
        }
    }
    object.tree.span.clone()
}

/// A map of labels.
fn labels(tree: Option<&Tree>) -> Vec<(&str, &str)> {
    let entries = tree.map_or(&[][..], Tree::entries);
    entries.iter().filter_map(|entry| Some((entry.key.as_str(), entry.tree.text()?))).collect()
}

/// Whether every label that is asked for is there.
fn carries(given: &[(&str, &str)], asked: &[(&str, &str)]) -> bool {
    asked.iter().all(|label| given.contains(label))
}
