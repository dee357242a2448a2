//! The configuration of the server, read with the place of every problem.
//!
//! | file | what is in it |
//! |---|---|
//! | `fleets` | who is of each fleet, and what its proxies get |
//! | `store` | where everything is kept |
//! | `evidence` | where evidence is read |
//! | `dashboard` | whether there are pages for people |
//! | `kubernetes` | the cluster whose workloads are followed |
//! | `limits` | how much it takes from whoever comes by |
//! | `policy` | what the operator says once for all rollouts |
//! | `hooks` | whom the server asks and tells |
//! | `queries` | what guards may name beside what the filter counts |
//! | `tokens`, `oidc` | who may do what, by tokens of the server's own and by those of others |
//! | `secret` | secrets, from the environment or from files |

mod dashboard;
mod evidence;
mod fleets;
mod hooks;
mod kubernetes;
mod limits;
mod oidc;
mod policy;
mod queries;
mod secret;
mod store;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use coalmine_document::{Cursor, Field, Known, Node, Problems, Reader, TextRule, is_label};

use crate::access::{Rule, Token};
use crate::fleets::Fleets;
use crate::notify::Notifier;
use crate::rollout::Operator;

pub use dashboard::Dashboard;
pub use evidence::{Credentials, Evidence, Pem, PrometheusAddress};
pub use fleets::{Fleet, ModuleFile};
pub use kubernetes::{ClusterTokens, Kubernetes};
pub use limits::Limits;
pub use queries::{Part, Query, QuerySource};
pub use secret::Surroundings;
pub use store::StoreAddress;

const CONFIG: Known = Known::new(&[
    "listen",
    "admin",
    "publicUrl",
    "store",
    "tls",
    "insecure",
    "limits",
    "dashboard",
    "tokens",
    "oidc",
    "kubernetes",
    "fleets",
    "xds",
    "file",
    "plugins",
    "evidence",
    "tick",
    "policy",
    "grants",
    "gates",
    "notifiers",
    "queries",
]);
const TLS: Known = Known::new(&["certificate", "key", "clientCa"]);

/// Where the API and the management server listen unless the configuration says otherwise.
pub const LISTEN: &str = "127.0.0.1:8470";
/// Where health and metrics are unless the configuration says otherwise.
pub const ADMIN: &str = "127.0.0.1:8471";
/// Seconds between two ticks unless the configuration says otherwise.
const TICK: u64 = 15;
/// The most entries of a list.
const MAX_ENTRIES: usize = 1_000;

const NAME: TextRule = TextRule { noun: "name", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };

/// What the server is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the API and the management server listen, on one port.
    pub listen: SocketAddr,
    /// Where health and metrics are.
    pub admin: SocketAddr,
    /// What the server's address begins with for others, without a slash at the end.
    pub public_url: Option<String>,
    /// Where everything is kept.
    pub store: StoreAddress,
    /// The certificate, where there is one.
    pub tls: Option<Tls>,
    /// Whether to listen beyond this host without TLS.
    pub insecure: bool,
    /// How much it takes from whoever comes by.
    pub limits: Limits,
    /// Whether there are pages for people.
    pub dashboard: Dashboard,
    /// Who may do what.
    pub tokens: Vec<Token>,
    /// Whose tokens are taken beside.
    pub oidc: Vec<Rule>,
    /// The cluster whose workloads are followed, where there is one.
    pub kubernetes: Option<Kubernetes>,
    /// The fleets, by name.
    pub fleets: BTreeMap<String, Fleet>,
    /// Seconds between two ticks.
    pub tick: u64,
    /// What the operator says once for all rollouts.
    pub operator: Operator,
    /// Addresses of gates, by name.
    pub gates: BTreeMap<String, String>,
    /// Notifiers, by name.
    pub notifiers: BTreeMap<String, Notifier>,
    /// Queries that guards may name.
    pub queries: BTreeMap<String, Query>,
}

/// Files of a certificate, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those that it is signed by.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates of clients; without it clients have none.
    pub client_ca: Option<PathBuf>,
}

/// Whether this is meant as the configuration of a server.
pub fn is_config(document: &Node) -> bool {
    // "admin" is Envoy's as well.
    const ITS_OWN: [&str; 13] = [
        "listen",
        "store",
        "tokens",
        "oidc",
        "kubernetes",
        "fleets",
        "xds",
        "plugins",
        "evidence",
        "grants",
        "gates",
        "notifiers",
        "queries",
    ];
    document.get("rollouts").is_none() && ITS_OWN.iter().any(|field| document.get(field).is_some())
}

// === impl Config ===

impl Config {
    /// A configuration as far as it can be read without what it refers to: its secrets are none.
    ///
    /// # Errors
    /// Everything that is wrong with its form, each problem with its place.
    pub fn check(document: &Node) -> Result<Self, Problems> {
        let anything = "x".repeat(64);
        let variable = |_: &str| Some(anything.clone());
        let file = |_: &str| Ok(anything.clone());
        Self::from_document(document, &Surroundings { variable: &variable, file: &file })
    }

    /// The configuration of a document; an empty one is a good one for a first look on this host.
    ///
    /// # Errors
    /// Everything that is wrong with it, each problem with its place.
    pub fn from_document(document: &Node, surroundings: &Surroundings<'_>) -> Result<Self, Problems> {
        let reader = Reader::default();
        let config = Self::read(&reader.cursor(document), surroundings, &reader);
        let (problems, _) = reader.finish();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Who is of which fleet.
    pub fn members(&self) -> Fleets {
        let members = |(name, fleet): (&String, &Fleet)| (name.clone(), fleet.members.clone());
        Fleets::new(self.fleets.iter().map(members).collect())
    }

    /// Whether anybody has to show a token.
    pub fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
            || !self.oidc.is_empty()
            || self.kubernetes.as_ref().is_some_and(|kubernetes| kubernetes.tokens.is_some())
    }

    fn read(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>, reader: &Reader) -> Self {
        let fields = cursor.fields_as(&CONFIG, "the configuration of a server, as {listen: .., tokens: ..}");
        let address = |name, otherwise: &str| {
            let given = fields.get(name).and_then(|field| read_address(&field));
            given.or_else(|| otherwise.parse().ok()).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
        };
        let gates = fields.get("gates").map(|it| hooks::read_gates(&it, surroundings)).unwrap_or_default();
        let notifiers =
            fields.get("notifiers").map(|it| hooks::read_notifiers(&it, surroundings)).unwrap_or_default();
        let mut operator = fields.get("policy").map(|field| policy::read(&field, reader)).unwrap_or_default();
        let queries = fields.get("queries").map(|field| queries::read(&field, surroundings));
        let queries = queries.unwrap_or_default();
        operator.gates = gates.keys().cloned().collect();
        operator.queries = queries.keys().cloned().collect();
        operator.notifiers = notifiers.keys().cloned().collect();
        operator.grants = fields.get("grants").map(|field| policy::read_grants(&field)).unwrap_or_default();
        let store = fields.get("store").map(|field| store::read(&field, surroundings)).unwrap_or_default();
        operator.has_services = matches!(store, StoreAddress::Kubernetes(_));
        let mut fleets = fleets::read(&fields, surroundings);
        for guards in fleets.values_mut().filter_map(|fleet| fleet.served.as_mut()?.guards.as_mut()) {
            guards.clone_from(&operator.slow);
        }
        let is_served = |fleet: &Fleet| fleet.served.as_ref().is_some_and(|served| served.guards.is_some());
        let served = fleets.iter().filter(|(_, fleet)| is_served(fleet));
        operator.served = served.map(|(name, _)| name.clone()).collect();
        let has_cluster = matches!(store, StoreAddress::Kubernetes(_)) || fields.get("kubernetes").is_some();
        fleets::check_plugins(&fields, &fleets, has_cluster);
        Self {
            listen: address("listen", LISTEN),
            admin: address("admin", ADMIN),
            public_url: fields.get("publicUrl").and_then(|field| read_public_url(&field)),
            store,
            tls: fields.get("tls").map(|field| read_tls(&field)),
            insecure: fields.get("insecure").is_some_and(|field| field.boolean()),
            limits: fields.get("limits").map(|field| limits::read(&field)).unwrap_or_default(),
            dashboard: fields.get("dashboard").map(|field| dashboard::read(&field)).unwrap_or_default(),
            tokens: fields.get("tokens").map(|field| tokens::read(&field, surroundings)).unwrap_or_default(),
            oidc: fields.get("oidc").map(|field| oidc::read(&field, surroundings)).unwrap_or_default(),
            kubernetes: fields.get("kubernetes").map(|field| kubernetes::read(&field)),
            fleets,
            tick: fields.get("tick").and_then(|field| read_seconds(&field)).unwrap_or(TICK),
            operator,
            gates,
            notifiers,
            queries,
        }
    }
}

fn read_address(cursor: &Cursor<'_, '_>) -> Option<SocketAddr> {
    let text = cursor.string()?;
    let address = text.parse().ok();
    if address.is_none() {
        let given = cursor.quote(text);
        cursor.problem(format!("{given} is no address and port, as 127.0.0.1:8470 or [::]:8470"));
    }
    address
}

fn read_public_url(cursor: &Cursor<'_, '_>) -> Option<String> {
    let text = cursor.string()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || text.contains(['?', '#']) {
        let given = cursor.quote(text);
        cursor.problem(format!("{given} is no URL that paths can follow, as https://coalmine.example"));
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn read_tls(cursor: &Cursor<'_, '_>) -> Tls {
    let fields = cursor.fields_as(&TLS, "files in PEM, as {certificate: tls.crt, key: tls.key}");
    let path = |name: &'static str| {
        let text = fields.required(name, "a file in PEM").and_then(|field| field.string());
        PathBuf::from(text.unwrap_or_default())
    };
    let client_ca = fields.get("clientCa").and_then(|field| field.string()).map(PathBuf::from);
    Tls { certificate: path("certificate"), key: path("key"), client_ca }
}

/// A duration of up to a minute.
fn read_seconds(cursor: &Cursor<'_, '_>) -> Option<u64> {
    let seconds = cursor.duration()?;
    if !(1..=60).contains(&seconds) {
        cursor.problem("must be from 1s to 60s");
    }
    Some(seconds)
}

/// What an entry is called has the form of a name.
fn check_name(field: &Field<'_, '_>) {
    if !is_label(field.name) {
        let name = field.value.quote(field.name);
        field.value.problem(format!("{name} is no valid name: {}", NAME.form));
    }
}

fn read_texts(cursor: &Cursor<'_, '_>) -> Vec<String> {
    let items = cursor.items();
    if items.len() > MAX_ENTRIES {
        cursor.too_large(format!("has {} entries, and at most {MAX_ENTRIES} are allowed", items.len()));
    }
    items.take(MAX_ENTRIES).filter_map(|item| item.string().map(str::to_owned)).collect()
}

/// A text that is not empty.
fn read_filled(cursor: &Cursor<'_, '_>) -> Option<String> {
    let text = cursor.string()?;
    if text.is_empty() {
        cursor.problem("is empty");
    }
    Some(text.to_owned())
}

/// The text of a file that a field names.
fn read_file(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Option<String> {
    let path = cursor.string()?;
    match (surroundings.file)(path) {
        Ok(text) => Some(text),
        Err(error) => {
            cursor.problem(format!("{path} cannot be read: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
