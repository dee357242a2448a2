//! What EnvoyFilters of Istio change in the routes of a VirtualService.

use coalmine_document::{Node, OwnedPath};

use super::envoy::{Around, Message, conditions, route};
use super::{Action, Condition, Destination, Route, Table};

/// A change of routes.
#[derive(Debug)]
pub(crate) struct Patch {
    /// The host of the routes; `None`: all.
    host: Option<String>,
    /// The name of the route; `None`: all.
    route: Option<String>,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// A part of each route.
    Merge { conditions: Vec<Condition>, removed: Vec<String>, header_name: Option<String> },
    /// One more route, before or behind the others.
    Insert { is_first: bool, route: Route },
}

/// The changes of routes in this `spec`, of an EnvoyFilter.
pub(crate) fn patches(spec: &Node) -> Vec<Patch> {
    let spec = Message::new(spec, OwnedPath::of(&["spec"]));
    spec.items("config_patches").iter().filter_map(patch).collect()
}

fn patch(message: &Message<'_>) -> Option<Patch> {
    if message.text("apply_to") != Some("HTTP_ROUTE") {
        return None;
    }
    let (patch, host) = (message.get("patch")?, vhost(message));
    let value = patch.get("value")?;
    let name = host.as_ref().and_then(|host| host.get("route")?.text("name"));
    let change = match patch.text("operation")? {
        "MERGE" => {
            let split = value.get("route").and_then(|route| route.get("weighted_clusters"));
            Change::Merge {
                conditions: value.get("match").map(|found| conditions(&found)).unwrap_or_default(),
                removed: value.removed(),
                header_name: split.and_then(|split| split.text("header_name").map(str::to_ascii_lowercase)),
            }
        }
        operation @ ("INSERT_FIRST" | "INSERT_BEFORE" | "INSERT_AFTER" | "ADD") => {
            let is_first = matches!(operation, "INSERT_FIRST" | "INSERT_BEFORE");
            Change::Insert { is_first, route: with_services(route(&value, &Around::default())) }
        }
        _ => return None,
    };
    // `checkout.shop.svc.cluster.local:80`
    let host = host.as_ref().and_then(|host| host.text("name"));
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned());
    Some(Patch { host, route: name.map(str::to_owned), change })
}

fn vhost<'t>(message: &Message<'t>) -> Option<Message<'t>> {
    message.get("match")?.get("route_configuration")?.get("vhost")
}

/// The route with services and subsets in the place of the clusters that istiod makes of them.
fn with_services(mut route: Route) -> Route {
    if let Action::Weighted(all) | Action::ByHeader(_, all) = &mut route.action {
        for weighted in all {
            let parts: Vec<&str> = weighted.destination.host.split('|').collect();
            let ["outbound", _port, subset, host] = parts.as_slice() else { continue };
            let subset = Some((*subset).to_owned()).filter(|subset| !subset.is_empty());
            weighted.destination = Destination { host: (*host).to_owned(), subset, port: None };
        }
    }
    route
}

// === impl Table ===

impl Table {
    /// The table as these changes leave it.
    pub(crate) fn patched(mut self, patches: &[Patch]) -> Self {
        for host in &mut self.hosts {
            let domains = &host.domains;
            let meant = |patch: &&Patch| patch.host.as_ref().is_none_or(|name| domains.contains(name));
            let patches: Vec<&Patch> = patches.iter().filter(meant).collect();
            for patch in &patches {
                patch.merge(&mut host.routes);
            }
            for patch in &patches {
                patch.insert(&mut host.routes);
            }
        }
        self
    }
}

// === impl Patch ===

impl Patch {
    fn merge(&self, routes: &mut [Route]) {
        let Change::Merge { conditions, removed, header_name } = &self.change else { return };
        let is_meant = |route: &&mut Route| self.route.is_none() || self.route == route.name;
        for route in routes.iter_mut().filter(is_meant) {
            for alternative in &mut route.alternatives {
                alternative.conditions.extend(conditions.iter().cloned());
            }
            route.removed.extend(removed.iter().cloned());
            if let (Some(header), Action::Weighted(all)) = (header_name, &route.action)
                && all.len() > 1
            {
                route.action = Action::ByHeader(header.clone(), all.clone());
            }
        }
    }

    fn insert(&self, routes: &mut Vec<Route>) {
        let Change::Insert { is_first, route } = &self.change else { return };
        let place = if *is_first { 0 } else { routes.len() };
        routes.insert(place, route.clone());
    }
}
