//! Routes against policies: which request of which variant reaches which destination, and what is wrong with that.

mod bucket;
mod filter;
mod headers;
#[cfg(test)]
mod properties;
mod scene;
mod stable;
mod variants;

use std::collections::BTreeSet;

use coalmine_core::policy::{Policy, Rollout, RouteValue};

use super::Valid;
use crate::diagnostic::{Code, Diagnostic};
use crate::scan::{Object, Scan};
use coalmine_control::routes::{Chain, Patch, Place, Table, patches, table_of_istio, tables_of_envoy};
use filter::Ours;
use scene::Scene;

/// A table and the file that it is in.
struct FileTable {
    file: usize,
    table: Table,
    /// The chains before it with Coalmine's filters, and no others in them; empty where they are not known.
    chains: Vec<Chain>,
}

/// What is found about the routes of one host, each thing once.
#[derive(Default)]
struct Findings {
    found: Vec<Diagnostic>,
    told: BTreeSet<(String, String)>,
}

/// The diagnostics about routes, each with the place of its file among `scans`.
pub(super) fn diagnostics(scans: &[&Scan], policies: &[Valid]) -> Vec<(usize, Diagnostic)> {
    let tables = tables(scans, policies);
    let policies = distinct(policies);
    let mut diagnostics = Vec::new();
    for table in &tables {
        let mut findings = Findings::default();
        for host in &table.table.hosts {
            headers::check(host, &policies, &mut findings);
            for valid in &policies {
                for rollout in valid.policy.rollouts() {
                    if let Some(scene) = Scene::of(&table.table, host, valid, rollout) {
                        one(&scene, table, &tables, &mut findings);
                    }
                }
            }
            filter::variant_routes(host, table, &policies, &mut findings);
        }
        diagnostics.extend(findings.found.into_iter().map(|diagnostic| (table.file, diagnostic)));
    }
    diagnostics
}

fn one(scene: &Scene<'_>, table: &FileTable, tables: &[FileTable], findings: &mut Findings) {
    if filter::check(scene, table, tables, findings) {
        return;
    }
    let is_enabled = scene.rollout.is_enabled();
    if !scene.host.reads(scene.header()) {
        if is_enabled {
            not_obeyed(scene, tables, findings);
        }
        return;
    }
    stable::check(scene, findings);
    // While it is switched off, no request has the header.
    if is_enabled {
        variants::check(scene, findings);
    }
    bucket::check(scene, findings);
    headers::kept(scene, findings);
}

/// A policy without any effect on these routes.
fn not_obeyed(scene: &Scene<'_>, tables: &[FileTable], findings: &mut Findings) {
    let header = scene.header();
    let elsewhere = || tables.iter().flat_map(|table| &table.table.hosts).any(|host| host.reads(header));
    let is_uncertain = !scene.names_hosts();
    if findings.has(Code::HeaderDiffers) || is_uncertain && elsewhere() || !scene.is_known_to_arrive() {
        return;
    }
    let (rollout, splits) = (scene.rollout.name(), scene.splits());
    let instead = if splits { "every request is drawn at random" } else { "all users get the same" };
    let message = format!(
        "no route looks at {header}, which the rollout {rollout:?} sets: {instead}; add a route by {header}"
    );
    if is_uncertain && !splits {
        findings.warning(Code::NotObeyed, &scene.host.place, message);
    } else {
        findings.error(Code::NotObeyed, &scene.host.place, message);
    }
}

/// The policies that say different things.
fn distinct(policies: &[Valid]) -> Vec<&Valid> {
    let mut distinct: Vec<&Valid> = Vec::new();
    for valid in policies {
        if !distinct.iter().any(|other| other.embedded.node.is_same(&valid.embedded.node)) {
            distinct.push(valid);
        }
    }
    distinct
}

fn tables(scans: &[&Scan], policies: &[Valid]) -> Vec<FileTable> {
    let objects: Vec<(usize, Object<'_>)> = scans
        .iter()
        .enumerate()
        .flat_map(|(file, scan)| scan.objects().map(move |object| (file, object)))
        .collect();
    let specs = |kind: &'static str| {
        let of_kind = objects.iter().filter(move |(_, object)| object.kind == kind);
        of_kind.filter_map(|(file, object)| Some((*file, object, object.spec()?)))
    };
    let patches: Vec<Patch> = specs("EnvoyFilter").flat_map(|(_, _, spec)| patches(spec)).collect();
    let of_istio = specs("VirtualService").map(|(file, object, spec)| FileTable {
        file,
        table: table_of_istio(spec, object.namespace()).patched(&patches),
        chains: Vec::new(),
    });
    let ours = Ours::of(scans, policies);
    let elsewhere = ours.chains(scans);
    let (ours, elsewhere) = (&ours, &elsewhere);
    let of_envoy = scans.iter().enumerate().flat_map(|(file, scan)| {
        let documents = scan.documents.iter().filter(|document| Object::of(document).is_none());
        let tables = documents.flat_map(tables_of_envoy);
        tables.map(move |table| FileTable::of_envoy(file, table, elsewhere, ours))
    });
    of_envoy.chain(of_istio).collect()
}

/// The rollouts of all policies that answer in this header.
fn rollouts_of<'p>(policies: &[&'p Valid], header: &str) -> impl Iterator<Item = &'p Rollout> {
    let rollouts = policies.iter().flat_map(|valid| valid.policy.rollouts());
    rollouts.filter(move |rollout| rollout.route().header() == header)
}

/// The variants but stable of a rollout whose route is by their names.
fn named(rollout: &Rollout) -> impl Iterator<Item = &str> {
    let is_by_name = *rollout.route().value() == RouteValue::Variant;
    rollout.variants().skip(1).map(|(_, name)| name).filter(move |_| is_by_name)
}

/// The headers in which these policies answer.
fn headers_of(policies: &[&Valid]) -> Vec<String> {
    let rollouts = policies.iter().map(|valid| &valid.policy).flat_map(Policy::rollouts);
    let headers: BTreeSet<&str> = rollouts.map(|rollout| rollout.route().header()).collect();
    headers.into_iter().map(str::to_owned).collect()
}

// === impl Findings ===

impl Findings {
    fn error(&mut self, code: Code, place: &Place, message: String) {
        let path = place.path.to_string();
        self.add(Diagnostic::error(code, place.span, &path, message));
    }

    fn warning(&mut self, code: Code, place: &Place, message: String) {
        let path = place.path.to_string();
        self.add(Diagnostic::warning(code, place.span, &path, message));
    }

    /// One thing of a kind at a place: the first request that shows it is example enough.
    fn add(&mut self, diagnostic: Diagnostic) {
        if self.told.insert((format!("{:?}", diagnostic.code), diagnostic.place.clone())) {
            self.found.push(diagnostic);
        }
    }

    fn has_at(&self, code: Code, place: &Place) -> bool {
        self.told.contains(&(format!("{code:?}"), place.path.to_string()))
    }

    fn has(&self, code: Code) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.code == code)
    }
}
