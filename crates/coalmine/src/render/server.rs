//! What an Envoy needs to follow a server: its name, and the cluster that the server is.

use std::net::IpAddr;

use clap::Args;
use coalmine_document::write::{quoted, text as plain};

use super::template::Template;
use crate::failure::Failure;

/// The cluster of the server, and its place in the shipped file.
const NAME: &str = "coalmine";
const CLUSTER: &str = "static_resources/clusters/2";
/// The last line of the protocol options in the shipped file.
const KEEPALIVE: &str = "connection_keepalive: {interval: 10s, timeout: 5s}";

/// The server that an Envoy follows.
#[derive(Args)]
pub(super) struct Server {
    /// Follow this server: it hands out the filter and its policy
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host, help_heading = "Server")]
    xds: Option<(String, u16)>,
    /// Who signs the server's certificate, a file in PEM as Envoy finds it; without it there is no TLS
    #[arg(long, value_name = "FILE", requires = "xds", help_heading = "Server")]
    ca: Option<String>,
    /// Envoy's own certificate, a file in PEM as Envoy finds it, for a server with clientCa
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"], help_heading = "Server")]
    certificate: Option<String>,
    /// The key of that, a file in PEM as Envoy finds it
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = "Server")]
    key: Option<String>,
    /// The variable of Envoy's environment with the token, for a server with tokens
    #[arg(long, value_name = "NAME", requires = "xds", value_parser = parse_variable, help_heading = "Server")]
    token_variable: Option<String>,
    /// node.id, which must be another one in every proxy; or give it to Envoy, as --service-node
    #[arg(long, value_name = "ID", requires = "xds", help_heading = "Server")]
    node: Option<String>,
    /// node.cluster, by which the server chooses the fleet
    #[arg(long, value_name = "NAME", requires = "xds", help_heading = "Server")]
    fleet: Option<String>,
}

fn parse_host(text: &str) -> Result<(String, u16), String> {
    const FORM: &str = "a host and a port are expected, as coalmine.example:8470";
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    let port = port.parse().map_err(|_| FORM)?;
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = |host: &str| host.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it));
    match inner {
        Some(inner) if inner.parse::<IpAddr>().is_ok_and(|it| it.is_ipv6()) => Ok((inner.to_owned(), port)),
        None if !host.is_empty() && is_name(host) => Ok((host.to_owned(), port)),
        _ => Err(FORM.to_owned()),
    }
}

fn parse_variable(text: &str) -> Result<String, &'static str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let holds = !text.is_empty() && text.bytes().all(is_word);
    if holds { Ok(text.to_owned()) } else { Err("the name of a variable has letters, digits and _") }
}

// === impl Server ===

impl Server {
    pub(super) fn is_given(&self) -> bool {
        self.xds.is_some()
    }

    /// Writes the name of the proxy.
    pub(super) fn name_node(&self, template: &mut Template) -> Result<(), Failure> {
        for (field, given) in [("id", &self.node), ("cluster", &self.fleet)] {
            if let Some(given) = given {
                template.set(&format!("node/{field}"), plain(given))?;
            }
        }
        Ok(())
    }

    /// The cluster of the server, beside clusters of these names.
    pub(super) fn cluster(&self, template: &Template, names: &[String]) -> Result<Option<String>, Failure> {
        let Some((host, port)) = &self.xds else { return Ok(None) };
        if names.iter().any(|name| name == NAME) {
            return Err(Failure::usage(
                format!("a cluster of the policy is called {NAME}, as that of the server is"),
                "call it something else, by a clusterHeader",
            ));
        }
        let shipped = template.at(CLUSTER)?;
        let blanks = " ".repeat(template.column(shipped.span.start));
        let is_address = host.parse::<IpAddr>().is_ok();
        let mut lines = vec!["connect_timeout: 1s".to_owned()];
        if !is_address {
            // Of a name with addresses of both kinds, one kind may not be served.
            lines.extend(["type: STRICT_DNS".to_owned(), "dns_lookup_family: ALL".to_owned()]);
        }
        if let Some(ca) = &self.ca {
            lines.extend(self.transport(ca, host, is_address));
        }
        let mut protocol = vec![KEEPALIVE.to_owned()];
        if let Some(variable) = &self.token_variable {
            protocol.extend(bearer(variable).map(|line| format!("{blanks}    {line}")));
        }
        let address = if is_address { quoted(host) } else { plain(host) };
        let shipped = template.text(shipped.span);
        let changed = shipped.replace("connect_timeout: 1s", &lines.join(&format!("\n{blanks}")));
        let changed = changed.replace(KEEPALIVE, &protocol.join("\n"));
        let changed = match host == "127.0.0.1" {
            true => changed,
            false => changed.replace("address: 127.0.0.1", &format!("address: {address}")),
        };
        Ok(Some(changed.replace("port_value: 8470", &format!("port_value: {port}"))))
    }

    /// TLS to a server with this name: its certificate has to be that host's.
    fn transport(&self, ca: &str, host: &str, is_address: bool) -> Vec<String> {
        let kind = if is_address { "IP_ADDRESS" } else { "DNS" };
        let host = quoted(host);
        let mut lines = vec![
            "transport_socket:".to_owned(),
            "  name: envoy.transport_sockets.tls".to_owned(),
            "  typed_config:".to_owned(),
            "    \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
                .to_owned(),
        ];
        // An address is no name that a server could be asked for.
        if !is_address {
            lines.push(format!("    sni: {host}"));
        }
        lines.push("    common_tls_context:".to_owned());
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let (certificate, key) = (quoted(certificate), quoted(key));
            lines.push("      tls_certificates:".to_owned());
            lines.push(format!(
                "      - {{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}"
            ));
        }
        lines.push("      validation_context:".to_owned());
        lines.push(format!("        trusted_ca: {{filename: {}}}", quoted(ca)));
        lines.push(format!(
            "        match_typed_subject_alt_names: [{{san_type: {kind}, matcher: {{exact: {host}}}}}]"
        ));
        lines
    }
}

/// Filters that send the token along. `initial_metadata` would take it only as it is written.
fn bearer(variable: &str) -> [String; 11] {
    const TYPE: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters.http";
    [
        "# The token, from Envoy's environment.".to_owned(),
        "http_filters:".to_owned(),
        "- name: coalmine.token".to_owned(),
        "  typed_config:".to_owned(),
        format!("    {TYPE}.header_mutation.v3.HeaderMutation"),
        "    mutations:".to_owned(),
        "      request_mutations:".to_owned(),
        format!(
            "      - append: {{header: {{key: authorization, value: \"Bearer %ENVIRONMENT({variable})%\"}}, append_action: \
             OVERWRITE_IF_EXISTS_OR_ADD}}"
        ),
        "- name: envoy.filters.http.upstream_codec".to_owned(),
        "  typed_config:".to_owned(),
        format!("    {TYPE}.upstream_codec.v3.UpstreamCodec"),
    ]
}
