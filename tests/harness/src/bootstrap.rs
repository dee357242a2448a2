//! A configuration in `envoy/`, with the few places replaced that a test must choose for itself.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The text of an Envoy configuration that is being adapted. An edit that finds nothing to replace is an error: the
/// file has changed, and the test would silently run something else.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    text: String,
    /// Its folder, from the root of the repository.
    folder: String,
    /// Whether the filter's configuration comes from a server rather than from a file.
    is_subscribed: bool,
}

// === impl Bootstrap ===

impl Bootstrap {
    /// Reads the `bootstrap.yaml` of a folder: `envoy`, or an example below it.
    pub fn read(folder: &str) -> Result<Self> {
        let path = crate::tools::root().join(folder).join("bootstrap.yaml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { text, folder: folder.to_owned(), is_subscribed: false })
    }

    /// Its folder, from the root of the repository.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The text as it is now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Replaces `old`, which must occur exactly once.
    pub fn replace(&mut self, old: &str, new: &str) -> Result<&mut Self> {
        let hits = self.text.matches(old).count();
        ensure!(hits == 1, "`{old}` occurs {hits} times in the bootstrap, not once");
        self.text = self.text.replacen(old, new, 1);
        Ok(self)
    }

    /// Lets Envoy take free ports, and tells it where the upstream servers are and which files are its own.
    pub fn place(&mut self, place: &Place<'_>) -> Result<&mut Self> {
        if !self.is_subscribed {
            let (path, watched) =
                (place.policy.display(), place.policy.parent().unwrap_or(place.policy).display());
            let old = self.source();
            self.replace(&old, &format!("path: {path}, watched_directory: {{path: {watched}}}"))?;
        }
        self.replace("port_value: 9901", "port_value: 0")?
            .replace("port_value: 10000", "port_value: 0")?
            .replace("port_value: 8081", &format!("port_value: {}", place.stable))?
            .replace("port_value: 8082", &format!("port_value: {}", place.canary))?
            .replace("path: /dev/stdout", &format!("path: {}", place.access_log.display()))
    }

    /// The filter's configuration comes from this server by gRPC, in this dialect (`DELTA_GRPC` or `GRPC`), rather than
    /// from a file: as `envoy/fleet` has it. To the server the proxy has this `node.id`.
    pub fn subscribe(&mut self, server: SocketAddr, dialect: &str, node: &str) -> Result<&mut Self> {
        let mut fleet = Self::read("envoy/fleet")?;
        fleet
            .replace("api_type: DELTA_GRPC", &format!("api_type: {dialect}"))?
            .replace("port_value: 8470", &format!("port_value: {}", server.port()))?;
        let between = |from: &str, to: &str| {
            let (_, rest) = fleet.text.split_once(from)?;
            Some(format!("{from}{}", rest.split_once(to)?.0))
        };
        let source = between("initial_fetch_timeout:", "              type_urls:\n");
        let source = source.context("envoy/fleet has no config_discovery from a server")?;
        let (_, cluster) =
            fleet.text.split_once("  - name: coalmine\n    connect_timeout:").context("no cluster")?;
        let cluster = format!("  clusters:\n  - name: coalmine\n    connect_timeout:{cluster}");
        let file = format!("path_config_source: {{{}}}\n", self.source());
        self.is_subscribed = true;
        self.replace("id: coalmine-example", &format!("id: {node}"))?
            .replace(&file, &source)?
            .replace("  clusters:\n", &cluster)
    }

    /// Where the file is that the configuration names.
    fn source(&self) -> String {
        format!("path: {0}/coalmine.yaml, watched_directory: {{path: {0}}}", self.folder)
    }

    /// Takes away what removes a forged route header before any filter: then the filter itself must.
    pub fn without_early_removal(&mut self) -> Result<&mut Self> {
        let block = self
            .text
            .split_once("          early_header_mutation_extensions:\n")
            .and_then(|(_, rest)| rest.split_once("          http_filters:\n"))
            .map(|(block, _)| block.to_owned())
            .context("the bootstrap has no early_header_mutation_extensions before its http_filters")?;
        self.replace(&format!("          early_header_mutation_extensions:\n{block}"), "")
    }

    /// Has the proxy itself answer with the name of the variant: no upstream server costs time.
    pub fn answer_directly(&mut self) -> Result<&mut Self> {
        let answer = |variant: &str| {
            format!("direct_response: {{status: 200, body: {{inline_string: \"{variant}\\n\"}}}}")
        };
        self.replace("route: {cluster: canary}", &answer("canary"))?
            .replace("route: {cluster: stable}", &answer("stable"))
    }

    /// Lets requests have this much of headers, in KiB, instead of Envoy's 60.
    pub fn max_request_headers_kb(&mut self, limit: u32) -> Result<&mut Self> {
        let anchor = "          http_filters:\n";
        self.replace(anchor, &format!("          max_request_headers_kb: {limit}\n{anchor}"))
    }
}

/// What is different in every run.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The port of the stable upstream server.
    pub stable: u16,
    /// The port of the canary upstream server.
    pub canary: u16,
    /// The file with the filter and its policy.
    pub policy: &'a Path,
    /// Where requests are logged.
    pub access_log: &'a Path,
}
