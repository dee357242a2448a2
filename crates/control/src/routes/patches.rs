//! What EnvoyFilters of Istio change in the routes of a VirtualService.

use coalmine_document::{Node, OwnedPath};

use super::envoy::{Around, Message, conditions, route};
use super::istio::MESH;
use super::{
    Action, Alternative, Condition, Destination, HeaderChanges, Route, Subject, Table, Test, Truth,
    VirtualHost,
};

/// A change of routes.
#[derive(Debug)]
pub struct Patch {
    context: Context,
    /// The host of the routes; `None`: all.
    host: Option<String>,
    /// The routes, by the name that istiod gives them; `None`: all.
    route: Option<String>,
    change: Change,
}

/// Where routes are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    Any,
    Gateway,
    SidecarOutbound,
    /// Where no VirtualService has a say.
    Other,
}

#[derive(Debug)]
enum Change {
    /// A part of each route.
    Merge {
        conditions: Vec<Condition>,
        headers: HeaderChanges,
        header_name: Option<String>,
    },
    Remove,
    /// One more route.
    Insert {
        place: Insertion,
        route: Route,
    },
}

/// Where a route is inserted: among all, or next to the route that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Insertion {
    First,
    Before,
    After,
    Last,
}

/// The changes of routes in this `spec`, of an EnvoyFilter.
pub fn patches(spec: &Node) -> Vec<Patch> {
    let spec = Message::new(spec, OwnedPath::of(&["spec"]));
    spec.items("config_patches").iter().filter_map(patch).collect()
}

fn patch(message: &Message<'_>) -> Option<Patch> {
    if message.text("apply_to") != Some("HTTP_ROUTE") {
        return None;
    }
    let (patch, host) = (message.get("patch")?, vhost(message));
    let name = host.as_ref().and_then(|host| host.get("route")?.text("name"));
    let value = patch.get("value");
    let change = match (patch.text("operation")?, &value) {
        ("REMOVE", _) => Change::Remove,
        ("MERGE", Some(value)) => {
            let split = value.get("route").and_then(|route| route.get("weighted_clusters"));
            Change::Merge {
                conditions: value.get("match").map(|found| conditions(&found)).unwrap_or_default(),
                headers: value.header_changes(),
                header_name: split.and_then(|split| split.text("header_name").map(str::to_ascii_lowercase)),
            }
        }
        (operation, Some(value)) => {
            let place = match operation {
                "INSERT_FIRST" => Insertion::First,
                "INSERT_BEFORE" => Insertion::Before,
                "INSERT_AFTER" => Insertion::After,
                "ADD" => Insertion::Last,
                _ => return None,
            };
            let route = route(value, &Around::default());
            let route = Route { name: value.text("name").map(str::to_owned), is_inserted: true, ..route };
            Change::Insert { place, route: with_services(route) }
        }
        _ => return None,
    };
    // `checkout.shop.svc.cluster.local:80`
    let host = host.as_ref().and_then(|host| host.text("name"));
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned());
    Some(Patch { context: context(message), host, route: name.map(str::to_owned), change })
}

fn context(message: &Message<'_>) -> Context {
    let context = message.get("match").and_then(|found| found.text("context"));
    match context {
        None | Some("ANY") => Context::Any,
        Some("GATEWAY") => Context::Gateway,
        Some("SIDECAR_OUTBOUND") => Context::SidecarOutbound,
        Some(_) => Context::Other,
    }
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
    pub fn patched(mut self, patches: &[Patch]) -> Self {
        for host in &mut self.hosts {
            let patches: Vec<&Patch> = patches.iter().filter(|patch| patch.is_for(host)).collect();
            if !patches.is_empty() {
                host.leave_out_those_for_others();
            }
            if patches.iter().any(|patch| patch.route.is_some()) {
                host.routes = host.routes.iter().flat_map(Route::apart).collect();
            }
            if patches.iter().any(|patch| patch.narrows()) {
                leave_out_unreachable(&mut host.routes);
            }
            for patch in &patches {
                patch.change_those_there(&mut host.routes);
            }
            for patch in &patches {
                patch.insert(&mut host.routes);
            }
        }
        self
    }
}

// === impl VirtualHost ===

impl VirtualHost {
    /// Leaves out what istiod does not make here: alternatives for other gateways.
    fn leave_out_those_for_others(&mut self) {
        let Self { routes, gateways, .. } = self;
        let gateway = Subject::Around("gateway".to_owned());
        for route in routes {
            route.alternatives.retain(|alternative| {
                let mut asked =
                    alternative.conditions.iter().filter(|condition| condition.subject == gateway);
                asked.all(|it| gateways.iter().any(|gateway| it.holds_for(Some(gateway)) != Truth::No))
            });
            if gateways.len() == 1 {
                for alternative in &mut route.alternatives {
                    alternative.conditions.retain(|condition| condition.subject != gateway);
                }
            }
        }
    }
}

/// Leaves out what istiod leaves out: the routes behind the first that takes every request. Where that depends on the
/// proxy, it is unknown what becomes of those behind it.
fn leave_out_unreachable(routes: &mut Vec<Route>) {
    let mut is_certain = true;
    for index in 0..routes.len() {
        let Some(route) = routes.get_mut(index) else { return };
        if !is_certain {
            route.alternatives.iter_mut().for_each(Alternative::doubt);
            continue;
        }
        let Some(at) = route.alternatives.iter().position(Alternative::is_catch_all) else { continue };
        is_certain = !route.alternatives.get(at).is_some_and(Alternative::depends_on_proxy);
        if is_certain {
            route.alternatives.truncate(at + 1);
            routes.truncate(index + 1);
        }
    }
}

// === impl Route ===

impl Route {
    /// A route for each of its alternatives, as istiod makes them.
    fn apart(&self) -> Vec<Self> {
        let one = |alternative: &Alternative| Self {
            name: match (&self.name, &alternative.name) {
                (name, Some(more)) => Some(format!("{}.{more}", name.as_deref().unwrap_or_default())),
                (name, None) => name.clone(),
            },
            alternatives: vec![alternative.clone()],
            ..self.clone()
        };
        self.alternatives.iter().map(one).collect()
    }
}

// === impl Alternative ===

impl Alternative {
    /// Whether istiod makes it for some proxies alone.
    fn depends_on_proxy(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition.subject, Subject::Around(_)))
    }

    /// Lets it be unknown whether it takes a request.
    fn doubt(&mut self) {
        let subject = Subject::Around("?".to_owned());
        self.conditions.push(Condition::new(subject, Test::Unknown, self.place.clone()));
    }

    /// Whether it asks for nothing but a path that is every path, and for what is around the request.
    fn is_catch_all(&self) -> bool {
        self.conditions.iter().all(|condition| match (&condition.subject, &condition.test) {
            (Subject::Around(_), _) => true,
            (Subject::Path, Test::Prefix(prefix)) => prefix == "/",
            (Subject::Path, Test::Regex(pattern)) => pattern.text() == ".*",
            _ => false,
        })
    }
}

// === impl Patch ===

impl Patch {
    /// The route that it adds.
    pub fn inserted(self) -> Option<Route> {
        match self.change {
            Change::Insert { route, .. } => Some(route),
            Change::Merge { .. } | Change::Remove => None,
        }
    }

    /// Whether it is for the routes of this host.
    fn is_for(&self, host: &VirtualHost) -> bool {
        let is_mesh = host.gateways.iter().any(|gateway| gateway == MESH);
        let is_there = match self.context {
            Context::Any => true,
            Context::Gateway => !is_mesh,
            Context::SidecarOutbound => is_mesh,
            Context::Other => false,
        };
        is_there && self.host.as_ref().is_none_or(|name| host.names.contains(name))
    }

    /// Whether a route takes less afterwards.
    fn narrows(&self) -> bool {
        match &self.change {
            Change::Merge { conditions, .. } => !conditions.is_empty(),
            Change::Remove => true,
            Change::Insert { .. } => false,
        }
    }

    fn is_meant(&self, route: &Route) -> bool {
        self.route.is_none() || self.route == route.name
    }

    fn change_those_there(&self, routes: &mut Vec<Route>) {
        match &self.change {
            Change::Merge { conditions, headers, header_name } => {
                for route in routes.iter_mut().filter(|route| self.is_meant(route)) {
                    merge(route, conditions, headers, header_name.as_deref());
                }
            }
            Change::Remove => routes.retain(|route| !self.is_meant(route)),
            Change::Insert { .. } => {}
        }
    }

    fn insert(&self, routes: &mut Vec<Route>) {
        let Change::Insert { place, route } = &self.change else { return };
        let found = routes.iter().position(|route| self.route.is_some() && self.is_meant(route));
        let at = match (place, found) {
            (Insertion::Last, _) => routes.len(),
            (_, None) if self.route.is_some() => return,
            (Insertion::First, _) | (Insertion::Before, None) => 0,
            (Insertion::After, None) => routes.len(),
            (Insertion::Before, Some(found)) => found,
            (Insertion::After, Some(found)) => found + 1,
        };
        let mut route = route.clone();
        let neighbour = found.and_then(|found| routes.get(found));
        if neighbour.is_some_and(|it| it.alternatives.iter().any(Alternative::depends_on_proxy)) {
            route.alternatives.iter_mut().for_each(Alternative::doubt);
        }
        routes.insert(at, route);
    }
}

fn merge(route: &mut Route, conditions: &[Condition], headers: &HeaderChanges, header_name: Option<&str>) {
    let has_path = conditions.iter().any(|condition| condition.subject == Subject::Path);
    for alternative in &mut route.alternatives {
        // A match has one path.
        alternative.conditions.retain(|condition| !has_path || condition.subject != Subject::Path);
        alternative.conditions.extend(conditions.iter().cloned());
    }
    route.headers = route.headers.and(headers);
    if let (Some(header), Action::Weighted(all)) = (header_name, &route.action)
        && all.len() > 1
    {
        route.action = Action::ByHeader(header.to_owned(), all.clone());
    }
}
