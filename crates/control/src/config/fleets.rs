//! Fleets: who is of each, and what its proxies get.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coalmine_document::{Cursor, Fields, Known, TextRule, Value, is_label};

use super::evidence::Evidence;
use super::{Surroundings, check_name, evidence, read_texts, tokens};
use crate::access::Pattern;
use crate::evidence::ServedBy;
use crate::fleets::{FLEET, Members};
use crate::publish::istio::{Plugin, PluginKind};
use crate::text_pattern::TextPattern;

const FLEET_FIELDS: Known =
    Known::new(&["clusters", "spiffe", "rollouts", "xds", "file", "plugins", "evidence"]);
const PLUGIN: Known = Known::new(&["kind", "namespace", "name"]);
const XDS: Known = Known::new(&["module", "inline", "environment"]);

/// The fields of a fleet that stand beside the others where the configuration names no fleets.
const ONE_FLEET: [&str; 4] = ["xds", "file", "plugins", "evidence"];

/// Where proxies have the filter unless the configuration says otherwise.
const MODULE: &str = "/etc/coalmine/coalmine.wasm";
/// The most plugins of a fleet.
const MAX_PLUGINS: usize = 100;
const OBJECT: TextRule =
    TextRule { noun: "name of an object", form: "1 to 253 of a-z, 0-9, - and .", holds: is_object };
/// The most fleets.
const MAX_FLEETS: usize = 100;

/// A fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Who is of it.
    pub members: Members,
    /// Where its proxies have the filter's module from.
    pub module: ModuleFile,
    /// Variables of the proxies' environment that the filter gets beside those that the policy names.
    pub environment: Vec<String>,
    /// A file that its policy document is written to as well.
    pub file: Option<PathBuf>,
    /// Plugins of Istio that its policy is written into as well.
    pub plugins: Vec<Plugin>,
    /// Where evidence of it is read.
    pub evidence: Evidence,
    /// How it is found what the servers of a version answered, where somebody says so.
    pub served: Option<ServedBy>,
}

/// Where proxies have the filter's module from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleFile {
    /// A file on the proxy's host.
    OnProxy(String),
    /// A file here, which is sent along.
    Here(PathBuf),
}

/// What no two fleets may share, each with the name of the fleet that has it.
#[derive(Default)]
struct Taken {
    /// The patterns of `node.cluster`; with that of a SPIFFE id, where one is needed too.
    clusters: BTreeMap<(Option<TextPattern>, TextPattern), String>,
    /// The patterns of SPIFFE ids that alone decide.
    spiffe: BTreeMap<TextPattern, String>,
    rollouts: BTreeMap<Pattern, String>,
    files: BTreeMap<PathBuf, String>,
    plugins: BTreeMap<Plugin, String>,
    evidence: Vec<(Evidence, String)>,
}

fn is_object(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The fleets of a configuration, by name: those under `fleets`, or one that everything is of.
pub(super) fn read(fields: &Fields<'_, '_>, surroundings: &Surroundings<'_>) -> BTreeMap<String, Fleet> {
    let Some(named) = fields.get("fleets") else {
        return BTreeMap::from([(FLEET.to_owned(), read_served(fields, Members::all(), surroundings))]);
    };
    for field in ONE_FLEET.into_iter().filter_map(|name| fields.get(name)) {
        field.conflict("is of one fleet, and there are several; write it in each of \"fleets\"");
    }
    let entries = named.entries();
    if entries.is_empty() || entries.len() > MAX_FLEETS {
        named.problem(format!("has {} fleets, and 1 to {MAX_FLEETS} are allowed", entries.len()));
    }
    let has_client_ca =
        |tls: &Value| matches!(tls, Value::Map(all) if all.iter().any(|it| it.key == "clientCa"));
    let shows_certificates = fields.get("tls").is_some_and(|tls| has_client_ca(tls.value()));
    let mut taken = Taken::default();
    let mut fleets = BTreeMap::new();
    for field in entries.into_iter().take(MAX_FLEETS) {
        check_name(&field);
        let expected = "a fleet, as {clusters: [\"edge-*\"], rollouts: [\"shop/*\"]}";
        let fields = field.value.fields_as(&FLEET_FIELDS, expected);
        let spiffe = read_spiffe(&fields);
        if let Some(field) = fields.get("spiffe").filter(|_| !shows_certificates) {
            field.conflict("needs \"tls\" with \"clientCa\": without it no proxy shows a certificate");
        }
        let members = Members {
            clusters: read_clusters(&fields, field.name, &spiffe, &mut taken),
            spiffe,
            rollouts: read_rollouts(&fields, field.name, &mut taken),
        };
        let fleet = read_served(&fields, members, surroundings);
        taken.refuse_shared(&fields, field.name, &fleet);
        fleets.insert(field.name.to_owned(), fleet);
    }
    fleets
}

/// How a SPIFFE id begins.
const SPIFFE: &str = "spiffe://";

fn read_spiffe(fields: &Fields<'_, '_>) -> Vec<TextPattern> {
    let Some(field) = fields.get("spiffe") else { return Vec::new() };
    let mut ids = Vec::new();
    for item in field.filled_items("leave it out where the fleet's proxies need no certificate") {
        let Some(text) = item.string() else { continue };
        // A * that follows no slash would also mean what somebody else calls alike.
        let rest = text.strip_prefix(SPIFFE).filter(|rest| !rest.starts_with('/') && rest.contains('/'));
        let is_whole = rest.is_some_and(|rest| !rest.ends_with('*') || rest.ends_with("/*"));
        match text.parse().ok().filter(|_| is_whole) {
            Some(pattern) => ids.push(pattern),
            None => {
                let given = item.quote(text);
                item.problem(format!(
                    "{given} is no SPIFFE id, as spiffe://cluster.local/ns/edge/sa/gateway, and no beginning of one with /* at its end"
                ));
            }
        }
    }
    ids
}

fn read_clusters(
    fields: &Fields<'_, '_>,
    fleet: &str,
    spiffe: &[TextPattern],
    taken: &mut Taken,
) -> Vec<TextPattern> {
    let needed = || spiffe.iter().cloned().map(Some).chain(spiffe.is_empty().then_some(None));
    let Some(field) = fields.get("clusters") else {
        if let Some(field) = fields.get("spiffe") {
            // What they prove says which they are.
            spiffe.iter().for_each(|id| take(&mut taken.spiffe, id.clone(), fleet, &field));
            return Vec::new();
        }
        let own = TextPattern::Exact(fleet.to_owned());
        take(&mut taken.clusters, (None, own.clone()), fleet, fields.whole());
        return vec![own];
    };
    let mut clusters = Vec::new();
    for item in field.filled_items("leave it out for proxies whose node.cluster is the fleet's name") {
        let Some(text) = item.string() else { continue };
        let Ok(pattern) = text.parse::<TextPattern>() else {
            let given = item.quote(text);
            item.problem(format!("{given} is no node.cluster, and no beginning of one with a * at its end"));
            continue;
        };
        needed().for_each(|id| take(&mut taken.clusters, (id, pattern.clone()), fleet, &item));
        clusters.push(pattern);
    }
    clusters
}

fn read_rollouts(fields: &Fields<'_, '_>, fleet: &str, taken: &mut Taken) -> Vec<Pattern> {
    let why = "those that its policy has, as [\"shop/*\"], or [\"*\"] for all others";
    let mut rollouts = Vec::new();
    let Some(field) = fields.required("rollouts", why) else { return rollouts };
    for item in field.filled_items(why) {
        let Some(pattern) = tokens::pattern(&item) else { continue };
        take(&mut taken.rollouts, pattern.clone(), fleet, &item);
        rollouts.push(pattern);
    }
    rollouts
}

/// Notes that a fleet has this; a problem where another one has it already.
fn take<K: Ord>(taken: &mut BTreeMap<K, String>, key: K, fleet: &str, place: &Cursor<'_, '_>) {
    match taken.get(&key) {
        Some(other) if other == fleet => place.conflict("is there twice"),
        Some(other) => place.conflict(format!("is of the fleet {other} already")),
        None => drop(taken.insert(key, fleet.to_owned())),
    }
}

/// What the proxies of a fleet get, and where it is read what they count.
fn read_served(fields: &Fields<'_, '_>, members: Members, surroundings: &Surroundings<'_>) -> Fleet {
    let xds = fields.get("xds").map(|xds| read_xds(&xds));
    let (module, environment) = xds.unwrap_or_else(|| (ModuleFile::OnProxy(MODULE.to_owned()), Vec::new()));
    let file = fields.get("file").and_then(|field| field.string()).map(PathBuf::from);
    let plugins = fields.get("plugins").map(|field| read_plugins(&field)).unwrap_or_default();
    let evidence = fields.get("evidence").map(|field| evidence::read(&field, surroundings));
    let (evidence, served) = evidence.unwrap_or_default();
    Fleet { members, module, environment, file, plugins, evidence, served }
}

fn read_plugins(cursor: &Cursor<'_, '_>) -> Vec<Plugin> {
    let mut plugins = Vec::new();
    let why = "plugins of Istio, as [{kind: TrafficExtension, namespace: istio-system, name: coalmine}]";
    for item in cursor.filled_items(why).take(MAX_PLUGINS) {
        let fields =
            item.fields_as(&PLUGIN, "{kind: TrafficExtension, namespace: istio-system, name: coalmine}");
        let kind = fields.required("kind", "TrafficExtension, or WasmPlugin before Istio 1.30");
        let kind = kind.and_then(|field| field.word(&PluginKind::WORDS));
        let name =
            |name, why| fields.required(name, why).and_then(|field| field.text(&OBJECT).map(str::to_owned));
        let (namespace, name) = (name("namespace", "its namespace"), name("name", "its name"));
        let (Some(kind), Some(namespace), Some(name)) = (kind, namespace, name) else { continue };
        let plugin = Plugin { kind, namespace, name };
        if plugins.contains(&plugin) {
            item.conflict("is there twice");
        }
        plugins.push(plugin);
    }
    plugins
}

/// Plugins are written through the API of a cluster, which somebody has to name.
pub(super) fn check_plugins(fields: &Fields<'_, '_>, fleets: &BTreeMap<String, Fleet>, has_cluster: bool) {
    if has_cluster || fleets.values().all(|fleet| fleet.plugins.is_empty()) {
        return;
    }
    if let Some(field) = fields.get("plugins").or_else(|| fields.get("fleets")) {
        field
            .conflict("\"plugins\" are written through the API of a cluster; write `kubernetes: {}` as well");
    }
}

fn read_xds(cursor: &Cursor<'_, '_>) -> (ModuleFile, Vec<String>) {
    let fields = cursor.fields_as(&XDS, "what proxies get, as {module: /etc/coalmine/coalmine.wasm}");
    let module = fields.get("module");
    let inline = fields.get("inline");
    if let (Some(_), Some(inline)) = (&module, &inline) {
        inline.conflict("\"module\" and \"inline\" both say where the filter is; keep one");
    }
    let text = |field: &Cursor<'_, '_>| field.string().unwrap_or_default().to_owned();
    let file = match (&module, &inline) {
        (_, Some(inline)) => ModuleFile::Here(PathBuf::from(text(inline))),
        (Some(module), None) => ModuleFile::OnProxy(text(module)),
        (None, None) => ModuleFile::OnProxy(MODULE.to_owned()),
    };
    (file, fields.get("environment").map(|field| read_texts(&field)).unwrap_or_default())
}

// === impl Taken ===

impl Taken {
    /// Two fleets that read the same proxies would each take the other's for late ones; one file holds one policy.
    fn refuse_shared(&mut self, fields: &Fields<'_, '_>, name: &str, fleet: &Fleet) {
        if let (Some(file), Some(field)) = (&fleet.file, fields.get("file")) {
            take(&mut self.files, file.clone(), name, &field);
        }
        if let Some(field) = fields.get("plugins") {
            for plugin in &fleet.plugins {
                match self.plugins.get(plugin).filter(|other| *other != name) {
                    Some(other) => field.conflict(format!("{plugin} is of the fleet {other} already")),
                    None => drop(self.plugins.insert(plugin.clone(), name.to_owned())),
                }
            }
        }
        // The streams of a fleet are of no other one.
        let is_own = matches!(fleet.evidence, Evidence::Streams(_)) || fleet.evidence == Evidence::default();
        let Some(field) = fields.get("evidence").filter(|_| !is_own) else { return };
        match self.evidence.iter().find(|(evidence, _)| *evidence == fleet.evidence) {
            Some((_, other)) => field.conflict(format!(
                "reads the proxies of the fleet {other}; name others, or with a Prometheus other \"labels\""
            )),
            None => self.evidence.push((fleet.evidence.clone(), name.to_owned())),
        }
    }
}
