//! Plugins: what they do when they fail, where they run, and who else runs there.

use super::{Cluster, ROOT_NAMESPACE, Resource, carries, labels, span_of};
use crate::diagnostic::{Code, Diagnostic};
use coalmine_document::{Node, Value};

/// A plugin of Istio.
#[derive(Clone)]
struct Plugin<'s> {
    resource: Resource<'s>,
    /// The path to the module's settings: `spec`, or `spec.wasm`.
    path: Vec<&'static str>,
    settings: &'s Node,
    labels: Vec<(&'s str, &'s str)>,
    has_targets: bool,
}

pub(super) fn check(cluster: &mut Cluster<'_>) {
    let plugins: Vec<Plugin<'_>> =
        cluster.of_kind(&["WasmPlugin", "TrafficExtension"]).into_iter().filter_map(Plugin::of).collect();
    for plugin in plugins.iter().filter(|plugin| plugin.resource.object.is_coalmine()) {
        fails_closed(cluster, plugin);
        side(cluster, plugin);
        sources(cluster, plugin);
        namespace(cluster, plugin);
    }
    for (place, one) in plugins.iter().enumerate() {
        for other in plugins.iter().skip(place + 1).filter(|other| one.meets(other)) {
            together(cluster, one, other);
        }
    }
}

/// What becomes of requests when the module cannot be fetched, or crashes.
fn fails_closed(cluster: &mut Cluster<'_>, plugin: &Plugin<'_>) {
    let strategy = plugin.settings.text_at(&["failStrategy"]);
    let path: Vec<&str> = plugin.path.iter().copied().chain(["failStrategy"]).collect();
    let object = &plugin.resource.object;
    let place = path.join(".");
    let diagnostic = match strategy {
        Some("FAIL_OPEN") => return,
        Some("FAIL_RELOAD") => Diagnostic::warning(
            Code::FailsClosed,
            span_of(object, &path),
            &place,
            "after a crash every request is refused until the filter is loaded again; with FAIL_OPEN they go to stable",
        ),
        Some(_) => Diagnostic::error(
            Code::FailsClosed,
            span_of(object, &path),
            &place,
            "when the module cannot be fetched or crashes, every request is refused; with FAIL_OPEN they go to stable",
        ),
        None => Diagnostic::error(
            Code::FailsClosed,
            span_of(object, &path),
            &place,
            "is missing, and Istio then refuses every request when the module cannot be fetched or crashes: \
             \"failStrategy: FAIL_OPEN\" sends them to stable",
        ),
    };
    cluster.tell(plugin.resource, diagnostic);
}

/// A route is chosen by the caller's proxy: the filter has to run there.
fn side(cluster: &mut Cluster<'_>, plugin: &Plugin<'_>) {
    let modes = plugin.modes();
    let object = &plugin.resource.object;
    let span = span_of(object, &["spec", "match"]);
    let diagnostic = if modes.contains(&"SERVER") && !modes.contains(&"CLIENT") {
        let message = "runs where requests arrive, but routes are chosen where they leave: \"mode: CLIENT\"";
        Diagnostic::error(Code::WrongSide, span, "spec.match", message)
    } else if !plugin.is_gateway() && !modes.contains(&"CLIENT") {
        let message = "is not limited to requests that leave, so the filter runs a second time where they arrive: \
                       \"match: [{mode: CLIENT}]\"";
        Diagnostic::warning(Code::WrongSide, span, "spec.match", message)
    } else {
        return;
    };
    cluster.tell(plugin.resource, diagnostic);
}

/// A caller's sidecar has neither a verified JWT nor a peer nor the user's address.
fn sources(cluster: &mut Cluster<'_>, plugin: &Plugin<'_>) {
    if plugin.is_gateway() || !plugin.modes().contains(&"CLIENT") {
        return;
    }
    let Some(config) = plugin.settings.get("pluginConfig") else { return };
    let rollouts = config.get("rollouts").map_or(&[][..], Node::items);
    let mut found = Vec::new();
    for (rollout, tree) in rollouts.iter().enumerate() {
        for (place, source) in tree.get("identity").map_or(&[][..], Node::items).iter().enumerate() {
            let missing =
                source.entries().iter().find(|entry| ["jwtClaim", "peer", "sourceIp"].contains(&&*entry.key));
            let Some(entry) = missing else { continue };
            let path = format!(
                "{}.pluginConfig.rollouts[{rollout}].identity[{place}].{}",
                plugin.path.join("."),
                entry.key
            );
            let message = "a caller's sidecar does not have this: use it at the gateway, and hand the user on as a \
                           header (outputClaimToHeaders)";
            found.push(Diagnostic::warning(Code::SourceNotThere, entry.span, &path, message));
        }
    }
    found.into_iter().for_each(|diagnostic| cluster.tell(plugin.resource, diagnostic));
}

/// Istio looks for a plugin's workloads in the plugin's own namespace.
fn namespace(cluster: &mut Cluster<'_>, plugin: &Plugin<'_>) {
    let Some(namespace) = plugin.resource.object.namespace().filter(|name| *name != ROOT_NAMESPACE) else {
        return;
    };
    if plugin.labels.is_empty() {
        return;
    }
    let workloads = cluster.of_kind(&["Deployment", "DaemonSet", "StatefulSet"]);
    let selected = workloads.iter().filter(|workload| {
        carries(
            &labels(workload.object.node.descend(&["spec", "template", "metadata", "labels"])),
            &plugin.labels,
        )
    });
    let places: Vec<&str> = selected.filter_map(|workload| workload.object.namespace()).collect();
    if let (Some(elsewhere), false) = (places.first(), places.contains(&namespace)) {
        let message = format!(
            "selects workloads in {namespace}, its own namespace; the one that carries these labels is in {elsewhere}"
        );
        let span = span_of(&plugin.resource.object, &["metadata", "namespace"]);
        cluster.tell(
            plugin.resource,
            Diagnostic::error(Code::WrongNamespace, span, "metadata.namespace", message),
        );
    }
}

/// Two plugins on one workload.
fn together(cluster: &mut Cluster<'_>, one: &Plugin<'_>, other: &Plugin<'_>) {
    let (object, title) = (&other.resource.object, one.resource.object.title());
    let both_coalmine = one.resource.object.is_coalmine() && object.is_coalmine();
    if both_coalmine && one.resource.object.kind != object.kind {
        let message =
            format!("every request would pass two filters: {title} is for the same workloads; keep one kind");
        let span = span_of(object, &["kind"]);
        cluster.tell(other.resource, Diagnostic::error(Code::TwoKinds, span, "kind", message));
        return;
    }
    let any_coalmine = one.resource.object.is_coalmine() || object.is_coalmine();
    if any_coalmine && one.order() == other.order() {
        let message = format!(
            "has the phase and the priority of {title}, so their order is not defined; give one a priority"
        );
        let span = span_of(object, &["spec", "phase"]);
        cluster.tell(other.resource, Diagnostic::warning(Code::SameOrder, span, "spec", message));
    }
}

// === impl Plugin ===

impl<'s> Plugin<'s> {
    fn of(resource: Resource<'s>) -> Option<Self> {
        let (settings, _) = resource.object.plugin()?;
        let path = if resource.object.kind == "WasmPlugin" { vec!["spec"] } else { vec!["spec", "wasm"] };
        let spec = resource.object.spec()?;
        Some(Self {
            resource,
            path,
            settings,
            labels: labels(spec.descend(&["selector", "matchLabels"])),
            has_targets: spec.get("targetRefs").is_some() || spec.get("targetRef").is_some(),
        })
    }

    /// Whether it is for gateways or waypoints, as far as its selector tells.
    fn is_gateway(&self) -> bool {
        let is_gateway = |(key, value): &(&str, &str)| {
            key.starts_with("gateway.") || ["istio", "app"].contains(key) && value.contains("gateway")
        };
        self.has_targets || self.labels.iter().any(is_gateway)
    }

    fn modes(&self) -> Vec<&'s str> {
        let items = self.resource.object.node.descend(&["spec", "match"]).map_or(&[][..], Node::items);
        items
            .iter()
            .flat_map(|item| match item.text_at(&["mode"]) {
                Some("CLIENT_AND_SERVER") => vec!["CLIENT", "SERVER"],
                Some(mode) => vec![mode],
                None => vec![],
            })
            .collect()
    }

    /// Whether the two can be on one workload.
    fn meets(&self, other: &Self) -> bool {
        let (here, there) = (self.resource.object.namespace(), other.resource.object.namespace());
        let same_place = here == there || here == Some(ROOT_NAMESPACE) || there == Some(ROOT_NAMESPACE);
        let same_targets =
            self.has_targets == other.has_targets && (!self.has_targets || self.targets() == other.targets());
        same_place
            && same_targets
            && (carries(&self.labels, &other.labels) || carries(&other.labels, &self.labels))
    }

    fn targets(&self) -> Option<Node> {
        let spec = self.resource.object.spec()?;
        spec.get("targetRefs").or_else(|| spec.get("targetRef")).cloned().map(Node::without_places)
    }

    /// What Istio sorts by.
    fn order(&self) -> (Option<&'s str>, Option<u64>) {
        let spec = self.resource.object.spec();
        let phase = spec.and_then(|spec| spec.text_at(&["phase"]));
        let priority = spec.and_then(|spec| spec.get("priority"));
        let priority = priority.and_then(|priority| match priority.value {
            Value::Number(number) => Some(number.to_bits()),
            _ => None,
        });
        (phase, priority)
    }
}
