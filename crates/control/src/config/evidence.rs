//! Where evidence is read.

use std::collections::BTreeMap;
use std::fmt;

use coalmine_document::{Cursor, Fields, Known, Value};

use super::{Surroundings, read_file, read_texts, secret};
use crate::evidence::{ServedBy, Servers, Template};

const EVIDENCE: Known = Known::new(&["proxies", "prometheus", "served", "counters"]);
const PROXIES: Known = Known::new(&["streams"]);
const SERVED: Known = Known::new(&["cluster", "service", "version"]);
const PROMETHEUS: Known =
    Known::new(&["url", "labels", "token", "user", "password", "ca", "certificate", "key"]);

/// The most labels that narrow what is read.
const MAX_LABELS: usize = 16;

/// Where evidence is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Admin interfaces of the proxies, `host:port`.
    Proxies(Vec<String>),
    /// The admin interface of every proxy that follows this server, at the address of its stream and this port.
    Streams(u16),
    /// A Prometheus that scrapes them.
    Prometheus(PrometheusAddress),
}

/// A Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrometheusAddress {
    /// What the paths of its API follow, without a slash at the end.
    pub url: String,
    /// Labels that the series of the fleet's proxies have.
    pub labels: BTreeMap<String, String>,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// Who signs its certificate, in PEM, beside those that the system trusts.
    pub ca: Option<String>,
    /// The server's own certificate and key, in PEM.
    pub identity: Option<Pem>,
}

/// Text in PEM that holds a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(pub String);

/// What shows who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A token.
    Bearer(String),
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

impl Default for Evidence {
    fn default() -> Self {
        Self::Proxies(Vec::new())
    }
}

/// Without the key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem")
    }
}

/// Without the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
        })
    }
}

/// Where evidence is read, and how it is found what the servers of a version answered, where somebody says so; the thresholds
/// of guards are left empty there.
pub(super) fn read(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> (Evidence, Option<ServedBy>) {
    let expected = "where evidence is read, as {proxies: [\"127.0.0.1:9901\"]} or {prometheus: {url: ..}}";
    let fields = cursor.fields_as(&EVIDENCE, expected);
    let (proxies, prometheus) = (fields.get("proxies"), fields.get("prometheus"));
    let evidence = match (proxies, prometheus) {
        (Some(_), Some(prometheus)) => {
            prometheus.conflict("\"proxies\" and \"prometheus\" both say where evidence is read; keep one");
            Evidence::default()
        }
        (Some(proxies), None) => read_proxies(&proxies),
        (None, Some(prometheus)) => Evidence::Prometheus(read_prometheus(&prometheus, surroundings)),
        (None, None) => Evidence::default(),
    };
    let servers = fields.get("served").map(|field| read_served(&field));
    let counts_guards = fields.get("counters").is_some_and(|field| reads_served(&field, servers.is_some()));
    let guards = counts_guards.then(Vec::new);
    (evidence, servers.flatten().map(|servers| ServedBy { servers, guards }))
}

/// Whether guards are counted by what versions served, and not by the filter.
fn reads_served(field: &Cursor<'_, '_>, has_served: bool) -> bool {
    let is_served = field.word(&[("filter", false), ("served", true)]) == Some(true);
    if is_served && !has_served {
        field.problem("needs \"served\" beside it, which says how that is counted");
    }
    is_served
}

fn read_served(field: &Cursor<'_, '_>) -> Option<Servers> {
    let expected = "how requests are counted that a version answered, as {cluster: \"{name}-{variant}\"}";
    let fields = field.fields_as(&SERVED, expected);
    let template = |name: &'static str, usual: &str| match fields.get(name) {
        Some(field) => read_template(&field),
        None => usual.parse().ok(),
    };
    let (service, version) = (fields.get("service"), fields.get("version"));
    match (fields.get("cluster"), service.or(version)) {
        (Some(_), Some(istio)) => {
            istio.conflict("is of Istio's counters and \"cluster\" of Envoy's; keep one of them");
            None
        }
        (Some(cluster), None) => Some(Servers::Cluster(read_template(&cluster)?)),
        (None, Some(_)) => Some(Servers::Istio {
            service: template("service", "{name}")?,
            version: template("version", "{variant}")?,
        }),
        (None, None) => {
            field.problem(
                "says nothing; write {cluster: NAME} for Envoy's clusters, or {version: NAME} for Istio",
            );
            None
        }
    }
}

fn read_template(cursor: &Cursor<'_, '_>) -> Option<Template> {
    let text = cursor.string()?;
    let template = text.parse().ok();
    if template.is_none() {
        let given = cursor.quote(text);
        cursor
            .problem(format!("{given} is no name; {{namespace}}, {{name}} and {{variant}} may stand in it"));
    }
    template
}

fn read_proxies(proxies: &Cursor<'_, '_>) -> Evidence {
    let expected = "a list of admin interfaces, as [\"127.0.0.1:9901\"], or {streams: 9901} for those of the proxies that \
                    follow this server";
    if matches!(proxies.value(), Value::Map(_)) {
        let fields = proxies.fields_as(&PROXIES, expected);
        let port = fields.required("streams", "the port of the proxies' admin interfaces, as 9901");
        let port = port.and_then(|field| field.integer(1..=u64::from(u16::MAX)));
        return Evidence::Streams(port.and_then(|port| port.try_into().ok()).unwrap_or_default());
    }
    for item in proxies.items_as(expected, "") {
        let text = item.string().unwrap_or_default();
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            let given = item.quote(text);
            item.problem(format!("{given} is no host and port of an admin interface, as 127.0.0.1:9901"));
        }
    }
    // What is no list has been told.
    let is_list = matches!(proxies.value(), Value::List(_));
    Evidence::Proxies(if is_list { read_texts(proxies) } else { Vec::new() })
}

pub(super) fn read_prometheus(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> PrometheusAddress {
    let fields = cursor.fields_as(&PROMETHEUS, "a Prometheus, as {url: http://127.0.0.1:9090}");
    let url =
        fields.required("url", "its address, as http://127.0.0.1:9090").and_then(|field| read_url(&field));
    let file = |name| fields.get(name).and_then(|field| read_file(&field, surroundings));
    let (certificate, key) = (file("certificate"), file("key"));
    if let (Some(given), None) | (None, Some(given)) = (fields.get("certificate"), fields.get("key")) {
        given.problem("\"certificate\" and \"key\" are only of use together");
    }
    PrometheusAddress {
        url: url.unwrap_or_default(),
        labels: fields.get("labels").map(|field| read_labels(&field)).unwrap_or_default(),
        credentials: read_credentials(&fields, surroundings),
        ca: file("ca"),
        identity: certificate.zip(key).map(|(certificate, key)| Pem(format!("{certificate}\n{key}"))),
    }
}

fn read_credentials(fields: &Fields<'_, '_>, surroundings: &Surroundings<'_>) -> Option<Credentials> {
    let hidden =
        |name| fields.get_secret(name).and_then(|field| secret::read_elsewhere(&field, surroundings));
    let (token, password) = (hidden("token"), hidden("password"));
    let user = fields.get("user");
    if let (Some(_), Some(token)) = (&user, fields.get_secret("token")) {
        token.conflict("\"token\" and \"user\" both say who asks; keep one");
    }
    if let (Some(given), None) = (&user, fields.get_secret("password")) {
        given.problem("has no \"password\": {env: NAME} or {file: PATH}");
    }
    if let (None, Some(given)) = (&user, fields.get_secret("password")) {
        given.problem("has no \"user\"");
    }
    let user = user.and_then(|user| user.string().map(str::to_owned));
    token.map(Credentials::Bearer).or_else(|| Some(Credentials::Basic { user: user?, password: password? }))
}

fn read_url(cursor: &Cursor<'_, '_>) -> Option<String> {
    let text = cursor.string()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    // A password in a URL would be shown with it.
    if rest.is_none_or(str::is_empty) || text.contains(['?', '#', '@']) {
        cursor.problem("must be a URL without a password, as http://127.0.0.1:9090; who asks stands in \"token\", or in \"user\" and \"password\"");
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn read_labels(cursor: &Cursor<'_, '_>) -> BTreeMap<String, String> {
    let entries = cursor.entries();
    if entries.len() > MAX_LABELS {
        cursor.too_large(format!("has {} labels, and at most {MAX_LABELS} are allowed", entries.len()));
    }
    let mut labels = BTreeMap::new();
    for field in entries.into_iter().take(MAX_LABELS) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if field.name.is_empty()
            || !field.name.bytes().all(is_word)
            || field.name.starts_with(|c: char| c.is_ascii_digit())
        {
            let name = field.value.quote(field.name);
            field.value.problem(format!("{name} is no name of a label: letters, digits and _"));
        }
        if let Some(value) = field.value.string() {
            labels.insert(field.name.to_owned(), value.to_owned());
        }
    }
    labels
}
