//! Routes, as Envoy reads them: a request takes the first route whose conditions hold.
//!
//! A VirtualService of Istio and a route table of Envoy become the same [`Table`]. What decides about a request is
//! here; what is wrong with a table is said elsewhere, and nothing is printed. What cannot be decided (an extension, a
//! regular expression of another kind) is [`Truth::Unknown`], and so is every answer that depends on it.
//!
//! | file | what is in it |
//! |---|---|
//! | `condition`, `pattern`, `re2` | a condition on a part of a request, regular expressions, and what RE2 makes of them |
//! | `request`, `classes` | a request, and the requests that the conditions of a table can tell apart |
//! | `names` | names in a resource of Istio, completed |
//! | `headers` | what is done to the headers of a request on its way |
//! | `istio`, `envoy` | a table from a VirtualService, and from a configuration of Envoy |
//! | `patches` | what EnvoyFilters change in a table |
//! | `filters` | which filters of a connection manager of Envoy run for a request |
//! | `answer` | *which route takes this request, and where does it lead?* |

mod answer;
mod classes;
mod condition;
mod domains;
mod envoy;
mod filters;
mod headers;
mod istio;
mod names;
mod patches;
mod pattern;
mod re2;
mod request;

use coalmine_document::{OwnedPath, Span};

pub use answer::{Answer, Reached};
pub use classes::{OTHER_PATH, classes};
pub use condition::{Condition, Subject, Test, Truth};
pub use domains::{example, overlap};
pub use envoy::tables as tables_of_envoy;
pub use filters::{Chain, Switches, chains, removes};
pub use headers::HeaderChanges;
pub use istio::table as table_of_istio;
pub use names::host as whole_host;
pub use patches::{Patch, patches};
pub use re2::{Reading, reading};
pub use request::Request;

/// The routes of one place, for one or more hosts.
#[derive(Debug)]
pub struct Table {
    /// Its virtual hosts.
    pub hosts: Vec<VirtualHost>,
    /// Its name, in a configuration of Envoy.
    pub name: Option<String>,
    /// The filters before it, where the connection manager is around it.
    pub chain: Option<Chain>,
}

/// The routes for some hosts, in the order in which they are tried.
#[derive(Debug)]
pub struct VirtualHost {
    /// Exact, or with a `*` at one end.
    pub domains: Vec<String>,
    /// The hosts by which an EnvoyFilter can name it.
    pub names: Vec<String>,
    /// The routes.
    pub routes: Vec<Route>,
    /// Where they are written.
    pub place: Place,
    /// The conditions that every request here meets: the gateways that it can come through.
    pub gateways: Vec<String>,
}

/// A route: it takes the requests that one of its alternatives holds for.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in a VirtualService or an EnvoyFilter.
    pub name: Option<String>,
    /// What it takes.
    pub alternatives: Vec<Alternative>,
    /// What it does.
    pub action: Action,
    /// The path to it.
    pub at: OwnedPath,
    /// The part of it that says where it leads.
    pub place: Place,
    /// What is done to the request on the way: rewrites, and headers that are set. For comparing.
    pub changes: String,
    /// What is done to the request's headers, after what is done for a destination alone.
    pub headers: HeaderChanges,
    /// Whether an EnvoyFilter has put it beside those of a VirtualService.
    pub is_inserted: bool,
    /// What is said of the filters of Envoy, for requests that this route takes first.
    pub filters: Switches,
}

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// Its name in a VirtualService, which istiod adds to the route's.
    pub name: Option<String>,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// Where it is written.
    pub place: Place,
}

/// Where a part of a table is written.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The path to it.
    pub path: OwnedPath,
    /// Where it stands in the text.
    pub span: Span,
}

/// What a route does with the requests that it takes.
#[derive(Clone, Debug)]
pub enum Action {
    /// To one of these, drawn by weight at random where there are several.
    Weighted(Vec<Weighted>),
    /// To the cluster that this header names.
    ClusterHeader(String),
    /// To one of these, by the number in this header.
    ByHeader(String, Vec<Weighted>),
    /// The proxy answers by itself.
    Reply,
    /// To something that is not known here.
    Unknown,
}

/// A destination and its weight.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Where to.
    pub destination: Destination,
    /// Its weight.
    pub weight: u64,
    /// What is done to the request's headers for this destination alone.
    pub headers: HeaderChanges,
    /// Where it is written.
    pub place: Place,
}

/// Where requests go: a cluster of Envoy, or a service of Istio and one of its subsets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// The cluster, or the host of the service.
    pub host: String,
    /// The subset of the service.
    pub subset: Option<String>,
    /// The port of the service.
    pub port: Option<u64>,
}

// === impl Destination ===

impl Destination {
    /// A cluster of Envoy.
    pub fn cluster(name: &str) -> Self {
        Self { host: name.to_owned(), subset: None, port: None }
    }

    /// What tells it from its neighbours.
    pub fn name(&self) -> &str {
        self.subset.as_deref().unwrap_or(&self.host)
    }

    /// Whether its name says that it is this variant: `canary`, `checkout-canary`, `outbound|80|canary|checkout`.
    pub fn is_named(&self, variant: &str) -> bool {
        let name = self.name();
        let service = name.split('.').next().unwrap_or_default();
        name == variant
            || name.split('|').nth(2) == Some(variant)
            || service.strip_suffix(variant).is_some_and(|rest| rest.is_empty() || rest.ends_with(['-', '_']))
    }
}

// === impl Route ===

impl Route {
    /// All destinations, also those of weight 0.
    pub fn destinations(&self) -> &[Weighted] {
        match &self.action {
            Action::Weighted(all) | Action::ByHeader(_, all) => all,
            Action::ClusterHeader(_) | Action::Reply | Action::Unknown => &[],
        }
    }

    /// Whether this header has a say in what the route takes or where it leads.
    pub fn reads(&self, header: &str) -> bool {
        self.is_by(header)
            || self.alternatives.iter().any(|alternative| alternative.on(header).next().is_some())
    }

    /// Whether the route is for requests with this header.
    pub fn asks(&self, header: &str) -> bool {
        self.is_by(header) || self.alternatives.iter().any(|alternative| alternative.asks(header))
    }

    /// Whether this header has a say in where the route leads.
    fn is_by(&self, header: &str) -> bool {
        match &self.action {
            Action::ClusterHeader(name) | Action::ByHeader(name, _) => name == header,
            Action::Weighted(_) | Action::Reply | Action::Unknown => false,
        }
    }

    /// Whether this header is gone before an application sees the request.
    pub fn removes(&self, header: &str) -> bool {
        match self.headers.keep(header) {
            Some(keeps) => !keeps,
            None => {
                let mut all = self.in_use().peekable();
                all.peek().is_some() && all.all(|weighted| weighted.headers.keep(header) == Some(false))
            }
        }
    }

    /// The destinations that requests reach: among several, those that have a weight.
    pub fn in_use(&self) -> impl Iterator<Item = &Weighted> {
        let all = self.destinations();
        all.iter().filter(|weighted| weighted.weight > 0 || all.len() == 1)
    }
}

// === impl Alternative ===

impl Alternative {
    /// Its conditions on this header.
    pub fn on<'t>(&'t self, header: &'t str) -> impl Iterator<Item = &'t Condition> {
        let is_on = move |condition: &&Condition| matches!(&condition.subject, Subject::Header(name) if name == header);
        self.conditions.iter().filter(is_on)
    }

    /// Whether it is only for requests that have this header.
    pub fn asks(&self, header: &str) -> bool {
        self.on(header).any(|condition| condition.holds_for(None) == Truth::No)
    }

    /// Whether all of them hold for a request.
    pub fn holds(&self, request: &Request) -> Truth {
        Truth::all(self.conditions.iter().map(|condition| condition.holds(request)))
    }
}

// === impl VirtualHost ===

impl VirtualHost {
    /// Whether a route looks at this header.
    pub fn reads(&self, header: &str) -> bool {
        self.routes.iter().any(|route| route.reads(header))
    }
}
