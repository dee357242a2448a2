//! `coalmine render envoy`: a bootstrap of Envoy, and the filter's configuration where no server hands it out.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use coalmine_core::policy::{CanaryPlace, Rollout, RouteValue};
use coalmine_document::json::pretty;
use coalmine_document::write::{quoted, text as plain};
use coalmine_document::{Node, Span};

use super::server::Server;
use super::template::Template;
use crate::failure::Failure;
use crate::policy_file::PolicyFile;

const BOOTSTRAP: &str = include_str!("../../../../envoy/bootstrap.yaml");
const COALMINE: &str = include_str!("../../../../envoy/coalmine.yaml");
/// The bootstrap of an Envoy that follows a server.
const FOLLOWING: &str = include_str!("../../../../envoy/fleet/bootstrap.yaml");

/// The clusters of the shipped files.
const SHIPPED_CLUSTERS: [&str; 2] = ["stable", "canary"];

const MANAGER: &str = "static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const LISTENER: &str = "static_resources/listeners/0/address/socket_address";
const ADMIN: &str = "admin/address/socket_address";
const PLUGIN: &str = "resources/0/typed_config/config";
const FILTER: &str = "http_filters/0";

/// What enables a filter of any kind: its own configuration of a route, which is empty. `config` has to be there.
const ENABLED: &str = "{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}";

/// Written behind the name of the filter in its chain: it runs where a virtual host enables it.
const DISABLED: [&str; 5] = [
    "# Only the virtual hosts of the policy enable the filter, below: requests to other hosts do not pay for it.",
    "# Where it does not run, it draws no user, counts nothing, and removes neither a header nor a token that a",
    "# client sends. A route by the header belongs into a virtual host that enables it; `coalmine validate` checks",
    "# that.",
    "disabled: true",
];

const AFTER: &str = "\
Examples:
  coalmine render envoy --out envoy/
  coalmine render envoy policy.yaml --listen 0.0.0.0:8080 --endpoint stable=10.0.0.1:80 --endpoint canary=10.0.0.2:80 --out .
  coalmine render envoy --xds coalmine.example:8470 --ca /etc/coalmine/ca.pem --fleet edge --out .
  envoy --mode validate --config-path ./bootstrap.yaml

Writes DIR/bootstrap.yaml and DIR/coalmine.yaml; with --xds the bootstrap alone, because the server hands out the rest.
Without a policy: the shipped example.
Clusters are called as the variants are, with the rollout's name in front where there are several rollouts; a
clusterHeader names them itself. A bucketHeader gets a route with weights of 0: change them there.
Where every rollout names its hosts, the filter is disabled but for their virtual hosts (see --every-host).";

/// Write a bootstrap for a standalone Envoy, and the filter's configuration
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Envoy {
    /// The policy; the shipped example, unless given
    policy: Option<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Run the filter for every host, also where all rollouts name their hosts
    ///
    /// Otherwise such a filter is disabled for the virtual hosts that you add: their requests hardly cost anything, are
    /// not counted, and keep an override token that a client sends. With this, the filter counts them as noMatch and
    /// removes tokens.
    #[arg(long)]
    every_host: bool,
    /// Where users come in
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where Envoy's admin interface is
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Where a cluster is, as stable=10.0.0.1:80; may come again
    #[arg(long = "endpoint", value_name = "CLUSTER=ADDRESS:PORT", value_parser = parse_endpoint)]
    endpoints: Vec<(String, SocketAddr)>,
    /// The filter, as Envoy finds it
    #[arg(long, value_name = "FILE", conflicts_with = "xds")]
    filter: Option<String>,
    /// The filter's configuration, as Envoy finds it
    #[arg(long, value_name = "FILE", conflicts_with = "xds")]
    config_path: Option<String>,
    #[command(flatten)]
    server: Server,
}

fn parse_endpoint(text: &str) -> Result<(String, SocketAddr), String> {
    let (cluster, address) =
        text.split_once('=').ok_or("a cluster and its address are expected, as stable=10.0.0.1:80")?;
    Ok((cluster.to_owned(), address.parse().map_err(|error| format!("{address:?}: {error}"))?))
}

// === impl Envoy ===

impl Envoy {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let file = self.policy.as_deref().map(PolicyFile::load).transpose()?;
        let mut files = vec![("bootstrap.yaml", self.bootstrap(file.as_ref())?)];
        if !self.server.is_given() {
            files.push(("coalmine.yaml", self.coalmine(file.as_ref())?));
        }
        std::fs::create_dir_all(&self.out).map_err(|error| Failure::Save(self.out.clone(), error))?;
        for (name, text) in files {
            let path = self.out.join(name);
            super::check_free(&path, self.force)?;
            super::save(&path, &text)?;
        }
        Ok(())
    }

    fn coalmine(&self, file: Option<&PolicyFile>) -> Result<String, Failure> {
        let mut template = Template::new("coalmine.yaml", COALMINE)?;
        if let Some(filter) = &self.filter {
            template.set(&format!("{PLUGIN}/vm_config/code/local/filename"), plain(filter))?;
        }
        if let Some(file) = file {
            let place = format!("{PLUGIN}/configuration/value");
            let column = template.column(template.at(&place)?.span.start);
            let json = pretty(&file.embedded.node, 0).replace('\n', &format!("\n{}", " ".repeat(column)));
            template.set(&place, format!("{json}\n"))?;
        }
        Ok(template.written())
    }

    fn bootstrap(&self, file: Option<&PolicyFile>) -> Result<String, Failure> {
        let shipped = if self.server.is_given() { FOLLOWING } else { BOOTSTRAP };
        let mut template = Template::new("bootstrap.yaml", shipped)?;
        self.server.name_node(&mut template)?;
        for (place, address) in [(LISTENER, self.listen), (ADMIN, self.admin)] {
            if let Some(address) = address {
                template.set(&format!("{place}/address"), ip(address.ip()))?;
                template.set(&format!("{place}/port_value"), address.port().to_string())?;
            }
        }
        if let Some(path) = &self.config_path {
            let place = format!("{MANAGER}/{FILTER}/config_discovery/config_source/path_config_source");
            // Envoy refuses to watch a file without a folder.
            let path = if path.contains('/') { path.clone() } else { format!("./{path}") };
            let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            let folder = if folder.is_empty() { "/" } else { folder };
            template.set(&format!("{place}/path"), plain(&path))?;
            template.set(&format!("{place}/watched_directory/path"), plain(folder))?;
        }
        let Some(file) = file else {
            self.clusters(&mut template, &SHIPPED_CLUSTERS.map(str::to_owned))?;
            return Ok(template.written());
        };
        let plan = Plan::of(file, self.every_host);
        if plan.by_host {
            disable(&mut template)?;
        }
        headers(&mut template, &plan.headers)?;
        hosts(&mut template, file, &plan)?;
        self.clusters(&mut template, &plan.clusters)?;
        Ok(template.written())
    }

    /// A cluster for each name, after the shipped one, and that of the server.
    fn clusters(&self, template: &mut Template, names: &[String]) -> Result<(), Failure> {
        if let Some((unknown, _)) = self.endpoints.iter().find(|(name, _)| !names.contains(name)) {
            return Err(Failure::usage(
                format!("there is no cluster {unknown:?}"),
                format!("there are: {}", names.join(", ")),
            ));
        }
        let shipped = template.at("static_resources/clusters/0")?;
        let text = template.text(shipped.span).to_owned();
        let cluster = |(place, name): (u16, &String)| {
            let given =
                self.endpoints.iter().find(|(cluster, _)| cluster == name).map(|(_, address)| *address);
            let address =
                given.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8081_u16.saturating_add(place))));
            text.replace("stable", &plain(name))
                .replace("address: 127.0.0.1", &format!("address: {}", ip(address.ip())))
                .replace("port_value: 8081", &format!("port_value: {}", address.port()))
        };
        let mut items: Vec<String> = (0_u16..).zip(names).map(cluster).collect();
        items.extend(self.server.cluster(template, names)?);
        template.set_items("static_resources/clusters", &items)
    }
}

/// What follows from a policy for the proxy around it.
struct Plan {
    /// The headers that only Coalmine sets, and those that tokens come in.
    headers: Vec<String>,
    clusters: Vec<String>,
    several: bool,
    /// Whether the virtual hosts enable the filter, and other hosts do without it.
    by_host: bool,
}

// === impl Plan ===

impl Plan {
    fn of(file: &PolicyFile, every_host: bool) -> Self {
        let rollouts = file.policy.rollouts();
        let several = rollouts.len() > 1;
        let by_host =
            !every_host && !rollouts.is_empty() && written(file).iter().all(|it| !hosts_of(it).is_empty());
        let mut plan = Self { headers: Vec::new(), clusters: Vec::new(), several, by_host };
        for rollout in rollouts {
            push(&mut plan.headers, rollout.route().header());
            for cluster in plan.clusters_of(rollout) {
                push(&mut plan.clusters, &cluster);
            }
        }
        plan
    }

    /// The clusters of a rollout's variants, stable first.
    fn clusters_of(&self, rollout: &Rollout) -> Vec<String> {
        if let RouteValue::Cluster(clusters) = rollout.route().value() {
            return clusters.iter().map(|cluster| cluster.to_string()).collect();
        }
        let prefix = if self.several { format!("{}-", rollout.name()) } else { String::new() };
        let by_route = matches!(rollout.route().value(), RouteValue::Bucket(_));
        let variants = rollout.variants().filter(|(variant, _)| !by_route || variant.index() < 2);
        variants.map(|(_, variant)| format!("{prefix}{variant}")).collect()
    }
}

fn push(list: &mut Vec<String>, name: &str) {
    if !list.iter().any(|known| known == name) {
        list.push(name.to_owned());
    }
}

/// An address in YAML: one of IPv4 means itself to every reader.
fn ip(address: IpAddr) -> String {
    if address.is_ipv4() { address.to_string() } else { quoted(&address.to_string()) }
}

/// What clients send under these names is removed, whatever else happens.
fn headers(template: &mut Template, names: &[String]) -> Result<(), Failure> {
    let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let removed: Vec<String> = names.iter().map(|name| format!("remove: {name}")).collect();
    let early = format!("{MANAGER}/early_header_mutation_extensions/0/typed_config/mutations");
    template.set_items(&early, &removed)?;
    let default = format!("{MANAGER}/{FILTER}/config_discovery/default_config/mutations/request_mutations");
    let mutations: Vec<String> = removed.iter().map(|removal| format!("{{{removal}}}")).collect();
    template.set(&default, format!("[{}]", mutations.join(", ")))?;
    template
        .set(&format!("{MANAGER}/route_config/request_headers_to_remove"), format!("[{}]", names.join(", ")))
}

/// The rollouts as they are written.
fn written(file: &PolicyFile) -> &[Node] {
    file.embedded.node.get("rollouts").map_or(&[], Node::items)
}

/// The hosts that a rollout names; empty where it is for all.
fn hosts_of(rollout: &Node) -> Vec<&str> {
    let hosts = rollout.descend(&["match", "hosts"]).map_or(&[][..], Node::items);
    hosts.iter().filter_map(Node::text).collect()
}

/// The filter does not run unless a virtual host enables it.
fn disable(template: &mut Template) -> Result<(), Failure> {
    let place = format!("{MANAGER}/{FILTER}/name");
    let name = template.at(&place)?.span;
    let joint =
        format!("\n{}", " ".repeat(template.column(template.at(&format!("{MANAGER}/{FILTER}"))?.span.start)));
    let lines = [template.text(name)].into_iter().chain(DISABLED);
    let text = lines.collect::<Vec<_>>().join(&joint);
    template.set(&place, text)
}

/// A virtual host for each rollout, after the shipped one.
fn hosts(template: &mut Template, file: &PolicyFile, plan: &Plan) -> Result<(), Failure> {
    let place = format!("{MANAGER}/route_config/virtual_hosts");
    let mut items = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for (rollout, tree) in file.policy.rollouts().iter().zip(written(file)) {
        let mut domains: Vec<String> = hosts_of(tree).into_iter().map(quoted).collect();
        if domains.is_empty() {
            domains.push(quoted("*"));
        }
        if let Some(domain) = domains.iter().find(|domain| taken.contains(domain)) {
            return Err(Failure::usage(
                format!("two rollouts are for the host {domain}, which in Envoy has one list of routes"),
                "render each of them alone, and merge the routes by hand",
            ));
        }
        taken.extend(domains.iter().cloned());
        items.push(host(template, rollout, plan, &domains)?);
    }
    template.set_items(&place, &items)
}

/// A virtual host: the shipped one with other names.
fn host(template: &Template, rollout: &Rollout, plan: &Plan, domains: &[String]) -> Result<String, Failure> {
    let place = format!("{MANAGER}/route_config/virtual_hosts/0");
    let shipped = template.at(&place)?;
    let (name, listed) = (template.at(&format!("{place}/name"))?, template.at(&format!("{place}/domains"))?);
    let (variant, stable) =
        (template.at(&format!("{place}/routes/0"))?, template.at(&format!("{place}/routes/1"))?);
    let joint = format!("\n{}- ", " ".repeat(template.column(variant.span.start).saturating_sub(2)));
    let blanks = " ".repeat(template.column(variant.span.start));
    let clusters = plan.clusters_of(rollout);
    let stable_cluster = clusters.first().map_or("stable", String::as_str);
    let to_stable =
        template.text(stable.span).replace("cluster: stable", &format!("cluster: {}", plain(stable_cluster)));
    let before_stable = template.text(Span::new(variant.span.end, stable.span.start)).to_owned();
    let header = &plain(rollout.route().header());
    let routes = match rollout.route().value() {
        RouteValue::Variant => {
            let shipped = template.text(variant.span);
            let names = rollout.variants().skip(1).map(|(_, name)| name);
            let routes: Vec<String> = names
                .zip(clusters.iter().skip(1))
                .map(|(name, cluster)| {
                    shipped
                        .replace("x-coalmine-variant", header)
                        .replace("exact: canary", &format!("exact: {}", plain(name)))
                        .replace("cluster: canary", &format!("cluster: {}", plain(cluster)))
                })
                .collect();
            format!("{}{before_stable}{to_stable}", routes.join(&joint))
        }
        RouteValue::Cluster(_) => format!(
            "match:\n{blanks}  prefix: /\n{blanks}  headers:\n{blanks}  - {{name: {header}, present_match: true}}\n\
             {blanks}route: {{cluster_header: {header}}}{joint}{to_stable}"
        ),
        RouteValue::Bucket(scale) => {
            let total = scale.total();
            let canary =
                format!("{{name: {}, weight: 0}}", plain(clusters.get(1).map_or("canary", String::as_str)));
            let stable = format!("{{name: {}, weight: {total}}}", plain(stable_cluster));
            let (place, first, last) = match scale.canary() {
                CanaryPlace::First => ("first", canary, stable),
                CanaryPlace::Last => ("last", stable, canary),
            };
            let lines = [
                "# Only where the filter has set the header: a request without it is stable, by the route below.",
                "match:",
                "  prefix: /",
                "  headers:",
                &format!("  - {{name: {header}, present_match: true}}"),
                "route:",
                "  weighted_clusters:",
                &format!("    header_name: {header}"),
                &format!(
                    "    # The canary is the {place}, and the weights add up to {total}, the policy's total, always."
                ),
                "    clusters:",
                &format!("    - {first}"),
                &format!("    - {last}"),
            ];
            format!("{}{joint}{to_stable}", lines.join(&format!("\n{blanks}")))
        }
    };
    let mut enabled = String::new();
    if plan.by_host {
        let name = template.text(template.at(&format!("{MANAGER}/{FILTER}/name"))?.span);
        let blanks = " ".repeat(template.column(shipped.span.start));
        enabled = format!("\n{blanks}typed_per_filter_config:\n{blanks}  {name}: {ENABLED}");
    }
    let parts = [
        template.text(Span::new(shipped.span.start, name.span.start)),
        &plain(rollout.name()),
        template.text(Span::new(name.span.end, listed.span.start)),
        &format!("[{}]", domains.join(", ")),
        &enabled,
        template.text(Span::new(listed.span.end, variant.span.start)),
        &routes,
    ];
    Ok(parts.concat())
}
