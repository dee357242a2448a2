//! What a fleet is made of, and the shipped files with ports and paths of a run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::envoy::{LOG_LEVEL, Launch};
use crate::{Bootstrap, Version, tools};

/// The file with a proxy's listeners.
pub(super) const LISTENERS: &str = "listeners.yaml";

/// A rollout with a fast plan.
pub const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [5, 25, 50]
  dwell: 2s
  warmUp: 0s
  minRequests: 40
  onInconclusive: promote
";

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub struct FleetParts {
    /// The command.
    pub command: PathBuf,
    /// The Envoy.
    pub envoy: PathBuf,
    /// The filter's module.
    pub module: PathBuf,
    /// Whether the server sends the module along with the policy; otherwise the proxies read it at its path.
    pub is_inline: bool,
    /// How many proxies.
    pub proxies: usize,
    /// How many servers, on one store; each proxy follows any of them.
    pub servers: usize,
    /// Whether each proxy has a loopback address of its own, from which it connects to the servers with nothing in between, and
    /// where its admin interface is, at the same port for all.
    pub has_own_addresses: bool,
    /// Variables of the proxies' environments: the number of the proxy, from 1, the name and the value.
    pub variables: Vec<(usize, String, String)>,
    /// The store of the servers, as their configuration says it: a path, from the folder of the run, or `{env: NAME}`.
    pub store: String,
    /// Where the dice of the application begin.
    pub seed: u64,
}

/// What the configuration of the servers says in the place of the shipped one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The field `evidence`.
    Evidence(String),
    /// The field `evidence`, and lines with other fields behind it.
    EvidenceAnd(String, String),
    /// The field `fleets`, in the place of `xds` and `evidence`.
    Fleets(String),
}

// === impl FleetParts ===

impl FleetParts {
    /// Two proxies, with nothing special about them, and a server whose store lies in the folder of the run.
    pub fn new(command: PathBuf, envoy: PathBuf, module: PathBuf) -> Self {
        Self {
            command,
            envoy,
            module,
            is_inline: true,
            proxies: 2,
            servers: 1,
            has_own_addresses: false,
            variables: Vec::new(),
            store: "coalmine.db".to_owned(),
            seed: 1,
        }
    }

    /// The same of what `make` has built and fetched.
    pub fn built() -> Result<Self> {
        Ok(Self::new(tools::command()?, tools::envoy()?, tools::filter()?))
    }

    pub(super) fn launch(&self, proxy: usize) -> Launch {
        Launch {
            binary: self.envoy.clone(),
            workers: 2,
            log_level: LOG_LEVEL,
            variables: self.variables_of(proxy),
        }
    }

    fn variables_of(&self, proxy: usize) -> Vec<(String, String)> {
        let its = self.variables.iter().filter(|(number, ..)| *number == proxy);
        its.map(|(_, name, value)| (name.clone(), value.clone())).collect()
    }

    /// The shipped configuration of the server, with ports and paths of this run, and ticks of a second. Evidence is read as
    /// `served` says, or from the proxies, whose admin interfaces are `proxies`.
    pub(super) fn config(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        served: Option<&Served>,
        proxies: &[SocketAddr],
    ) -> Result<String> {
        let shipped = tools::root().join("envoy/fleet/server.yaml");
        let mut text = std::fs::read_to_string(&shipped)
            .with_context(|| format!("cannot read {}", shipped.display()))?;
        let from = if self.is_inline { "inline" } else { "module" };
        let xds = format!("xds: {{{from}: {}}}", self.module.display());
        let (xds, evidence) = match served {
            None => {
                let proxies: Vec<String> = proxies.iter().map(|proxy| format!("\"{proxy}\"")).collect();
                (xds, format!("evidence: {{proxies: [{}]}}", proxies.join(", ")))
            }
            Some(Served::Evidence(field)) => (xds, format!("evidence: {field}")),
            Some(Served::EvidenceAnd(field, lines)) => (xds, format!("evidence: {field}\n{lines}")),
            Some(Served::Fleets(field)) => (String::new(), format!("fleets: {field}")),
        };
        let replaced = [
            ("127.0.0.1:8470", listen.to_string()),
            ("127.0.0.1:8471", admin.to_string()),
            ("xds: {inline: target/filter/coalmine.wasm}", xds),
            ("store: coalmine.db", format!("store: {}", self.store)),
            ("evidence: {proxies: [\"127.0.0.1:9901\", \"127.0.0.1:9902\"]}", evidence),
            // What one in ten requests of the application exceeds.
            ("slow: [250ms, 1s]", "slow: [25ms, 250ms, 1s]".to_owned()),
        ];
        for (old, new) in replaced {
            ensure!(text.matches(old).count() == 1, "`{old}` does not occur once in server.yaml");
            text = text.replacen(old, &new, 1);
        }
        Ok(format!("{text}\ntick: 1s\n"))
    }
}

/// The shipped configuration of a proxy, with ports and paths of this run. Its listeners are in a file of their own. With a
/// port of admin interfaces it has an address of its own.
pub(super) fn bootstrap(
    number: usize,
    place: &Path,
    servers: &[SocketAddr],
    versions: &[Version; 2],
    admins: Option<u16>,
) -> Result<String> {
    let mut bootstrap = Bootstrap::read("envoy/fleet")?;
    let port = |port: u16| format!("port_value: {port}");
    let endpoint = |port: u16| {
        format!(
            "        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
        )
    };
    let endpoints: Vec<String> = servers.iter().map(|server| endpoint(server.port())).collect();
    let [stable, canary] = versions.each_ref().map(|version| port(version.port()));
    let name = proxy_name(number);
    let own = match admins {
        None => Ipv4Addr::LOCALHOST,
        Some(_) => Ipv4Addr::new(127, 0, 0, u8::try_from(number + 1).context("too many proxies")?),
    };
    if admins.is_some() {
        let cluster = "  - name: coalmine\n    connect_timeout: 1s\n";
        let from =
            format!("    upstream_bind_config: {{source_address: {{address: {own}, port_value: 0}}}}\n");
        bootstrap.replace(cluster, &format!("{cluster}{from}"))?;
    }
    bootstrap
        .replace("{id: edge-1, cluster: edge}", &format!("{{id: {name}, cluster: {name}}}"))?
        .replace(
            "address: 127.0.0.1, port_value: 9901",
            &format!("address: {own}, port_value: {}", admins.unwrap_or(0)),
        )?
        .replace("port_value: 10000", "port_value: 0")?
        .replace("port_value: 8081", &stable)?
        .replace("port_value: 8082", &canary)?
        .replace(&endpoint(8470), &endpoints.join("\n"))?
        .replace("path: /dev/stdout", &format!("path: {}", place.join("access.log").display()))?;
    let (head, rest) = bootstrap.text().split_once("  listeners:\n").context("no listeners")?;
    let (listeners, clusters) = rest.split_once("  clusters:\n").context("no clusters")?;
    // The same listeners in a file of their own: they can be changed while the proxy runs.
    let kind = "  - \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n    name: public\n";
    ensure!(listeners.starts_with("  - name: public\n"), "the first listener is not `public`");
    let path = place.join(LISTENERS);
    let text = format!("resources:\n{}", listeners.replacen("  - name: public\n", kind, 1));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let source = format!("{{path: {}, watched_directory: {{path: {}}}}}", path.display(), place.display());
    let discovery = format!("dynamic_resources: {{lds_config: {{path_config_source: {source}}}}}\n\n");
    Ok(format!("{discovery}{head}  clusters:\n{clusters}"))
}

/// The folder of a proxy.
pub(super) fn place(folder: &Path, number: usize) -> PathBuf {
    folder.join(proxy_name(number))
}

/// Name of a proxy, and its `node.cluster`, so that it may be a fleet of its own.
fn proxy_name(number: usize) -> String {
    format!("edge-{number}")
}
