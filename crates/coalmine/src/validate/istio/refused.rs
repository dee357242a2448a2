//! VirtualServices that Istio's validation refuses: what a kube-apiserver with its webhook does not take, or a mesh without
//! the webhook leaves out.

use coalmine_document::{Entry, Node, OwnedPath, Span, Value};

use super::{Cluster, Resource};
use crate::diagnostic::{Code, Diagnostic};
use coalmine_control::routes::{Reading, reading};

/// What a route can do with a request, but to leave it to another VirtualService.
const ACTIONS: [&str; 3] = ["route", "redirect", "directResponse"];
/// What only a request that goes on to an application can have.
const ON_THE_WAY: [&str; 2] = ["rewrite", "fault"];

/// What is wrong in one VirtualService.
struct Refusals {
    /// Whether it is for the callers' sidecars, alone or too.
    is_mesh: bool,
    found: Vec<(Span, OwnedPath, String)>,
}

pub(super) fn check(cluster: &mut Cluster<'_>) {
    for service in cluster.of_kind(&["VirtualService"]) {
        let Some(spec) = service.object.spec().filter(|_| is_of_istio(&service)) else { continue };
        let gateways = || spec.get("gateways").map_or(&[][..], Node::items).iter().filter_map(Node::text);
        let is_mesh = gateways().next().is_none() || gateways().any(|gateway| gateway == "mesh");
        let mut refusals = Refusals { is_mesh, found: Vec::new() };
        refusals.spec(spec, &OwnedPath::of(&["spec"]));
        for (span, path, message) in refusals.found {
            let message = format!("Istio refuses this: {message}");
            cluster.tell(service, Diagnostic::error(Code::IstioRefuses, span, &path.to_string(), message));
        }
    }
}

fn is_of_istio(service: &Resource<'_>) -> bool {
    service.object.api_version.starts_with("networking.istio.io/")
}

/// Whether Istio takes two hosts for the same: `*.example` and `shop.example`.
fn clash(one: &str, other: &str) -> bool {
    match (one.strip_prefix('*'), other.strip_prefix('*')) {
        (None, None) => one == other,
        (Some(end), None) => other.ends_with(end),
        (None, Some(end)) => one.ends_with(end),
        (Some(one), Some(other)) => other.ends_with(one) || one.ends_with(other),
    }
}

/// Whether it is a label of the DNS in small letters (RFC 1123).
fn is_label(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A field with something in it: protobuf knows no difference between an empty list and none.
fn given<'n>(node: &'n Node, field: &str) -> Option<&'n Entry> {
    node.entry(field).filter(|entry| match entry.node.value {
        Value::Null => false,
        Value::List(_) => !entry.node.items().is_empty(),
        _ => true,
    })
}

fn number(node: Option<&Node>) -> Option<f64> {
    match node?.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

// === impl Refusals ===

impl Refusals {
    fn add(&mut self, span: Span, path: OwnedPath, message: impl Into<String>) {
        self.found.push((span, path, message.into()));
    }

    fn spec(&mut self, spec: &Node, at: &OwnedPath) {
        self.hosts(spec, at);
        if !["http", "tcp", "tls"].iter().any(|field| given(spec, field).is_some()) {
            self.add(spec.head(), at.clone(), "it has no routes: neither http nor tcp nor tls");
        }
        let path = at.field("http");
        for (index, route) in spec.get("http").map_or(&[][..], Node::items).iter().enumerate() {
            self.route(route, &path.item(index));
        }
    }

    fn hosts(&mut self, spec: &Node, at: &OwnedPath) {
        let hosts = spec.get("hosts").map_or(&[][..], Node::items);
        for (index, node) in hosts.iter().enumerate() {
            let Some(host) = node.text() else { continue };
            let path = at.field("hosts").item(index);
            if host == "*" && self.is_mesh {
                let message = "\"*\" is for gateways alone, and this is for the callers' sidecars too (gateway \"mesh\")";
                self.add(node.span, path, message);
                continue;
            }
            let mut earlier = hosts.iter().take(index).filter_map(Node::text);
            if let Some(other) = earlier.find(|other| clash(other, host)) {
                self.add(node.span, path, format!("{host:?} and {other:?} have hosts in common"));
            }
        }
    }

    fn route(&mut self, route: &Node, at: &OwnedPath) {
        let actions: Vec<&Entry> = ACTIONS.iter().filter_map(|field| given(route, field)).collect();
        if route.get("delegate").is_some() {
            for entry in actions.iter().filter(|entry| entry.key != "directResponse") {
                let message = format!("a route with a delegate has no {}", entry.key);
                self.add(entry.span, at.field(&entry.key), message);
            }
        } else if let [first, more @ ..] = actions.as_slice() {
            let excluded = ON_THE_WAY.iter().filter_map(|field| given(route, field));
            let excluded = excluded.filter(|_| more.is_empty() && first.key != "route");
            for entry in more.iter().copied().chain(excluded) {
                let message = format!("a route has either {} or {}", first.key, entry.key);
                self.add(entry.span, at.field(&entry.key), message);
            }
        } else {
            self.add(route.head(), at.clone(), "a route needs route, redirect, directResponse or delegate");
        }
        let path = at.field("match");
        for (index, item) in route.get("match").map_or(&[][..], Node::items).iter().enumerate() {
            self.item(item, &path.item(index));
        }
        self.destinations(route, &at.field("route"));
        let status = route.descend(&["directResponse", "status"]);
        if let (Some(node), Some(number)) = (status, number(status))
            && !(200.0..=600.0).contains(&number)
        {
            let path = at.field("directResponse").field("status");
            self.add(node.span, path, format!("{number} is no status: 200 to 599"));
        }
    }

    fn item(&mut self, item: &Node, at: &OwnedPath) {
        for entry in item.entries() {
            let path = at.field(&entry.key);
            match entry.key.as_str() {
                // An empty prefix is every path.
                "uri" => self.pattern(&entry.node, &path),
                "scheme" | "method" | "authority" => self.text(&entry.node, &path),
                "headers" | "queryParams" | "withoutHeaders" => {
                    for inner in entry.node.entries() {
                        let is_claim =
                            entry.key != "queryParams" && inner.key.starts_with("@request.auth.claims");
                        if is_claim && self.is_mesh {
                            let message = "a claim of a token is known at gateways alone, and this is for the callers' sidecars too";
                            self.add(inner.span, path.field(&inner.key), message);
                        }
                        // `*` is no expression there: it stands for any value.
                        let is_any = inner.node.text_at(&["regex"]) == Some("*");
                        if !(entry.key == "withoutHeaders" && is_any) {
                            self.text(&inner.node, &path.field(&inner.key));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// A StringMatch.
    fn text(&mut self, node: &Node, at: &OwnedPath) {
        if let Some(entry) = node.entry("prefix")
            && entry.node.text() == Some("")
        {
            self.add(entry.span, at.field("prefix"), "the prefix is empty; {} is for any value");
        }
        self.pattern(node, at);
    }

    fn pattern(&mut self, node: &Node, at: &OwnedPath) {
        let Some((entry, text)) = node.entry("regex").and_then(|entry| Some((entry, entry.node.text()?)))
        else {
            return;
        };
        if let Reading::Refused(why) = reading(text) {
            self.add(
                entry.span,
                at.field("regex"),
                format!("{text:?} is no regular expression of RE2: {why}"),
            );
        }
    }

    fn destinations(&mut self, route: &Node, at: &OwnedPath) {
        let Some(entry) = given(route, "route") else { return };
        let all = entry.node.items();
        let weight = |item: &Node| number(item.get("weight")).unwrap_or_default();
        if all.len() > 1 && all.iter().all(|item| weight(item) == 0.0) {
            self.add(entry.span, at.clone(), "of several destinations, one needs a weight above 0");
        }
        for (index, item) in all.iter().enumerate() {
            let path = at.item(index);
            if item.get("destination").is_none() {
                self.add(item.head(), path, "the destination is missing");
                continue;
            }
            let subset = item.descend(&["destination", "subset"]);
            if let Some((node, name)) = subset.and_then(|node| Some((node, node.text()?)))
                && !name.is_empty()
                && !is_label(name)
            {
                let message = format!("{name:?} is no name of a subset: 1 to 63 of a-z, 0-9, -");
                self.add(node.span, path.field("destination").field("subset"), message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_clash() {
        for (one, other) in [("a.b", "a.b"), ("*.b", "a.b"), ("a.b", "*.b"), ("*.b", "*.a.b"), ("*", "a.b")] {
            assert!(clash(one, other), "{one} {other}");
        }
        for (one, other) in [("a.b", "a.c"), ("*.b", "b"), ("*.b", "a.c"), ("*.a.b", "*.c.b")] {
            assert!(!clash(one, other), "{one} {other}");
        }
    }
}
