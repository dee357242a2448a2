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

pub(crate) use answer::{Answer, Reached};
pub(crate) use classes::{OTHER_PATH, classes};
pub(crate) use condition::{Condition, Subject, Test, Truth};
pub(crate) use domains::{example, overlap};
pub(crate) use envoy::tables as tables_of_envoy;
pub(crate) use filters::{Chain, Switches, chains, removes};
pub(crate) use headers::HeaderChanges;
pub(crate) use istio::table as table_of_istio;
pub(crate) use names::host as whole_host;
pub(crate) use patches::{Patch, patches};
pub(crate) use re2::{Reading, reading};
pub(crate) use request::Request;

/// The routes of one place, for one or more hosts.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) hosts: Vec<VirtualHost>,
    /// Its name, in a configuration of Envoy.
    pub(crate) name: Option<String>,
    /// The filters before it, where the connection manager is around it.
    pub(crate) chain: Option<Chain>,
}

/// The routes for some hosts, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct VirtualHost {
    /// Exact, or with a `*` at one end.
    pub(crate) domains: Vec<String>,
    /// The hosts by which an EnvoyFilter can name it.
    pub(crate) names: Vec<String>,
    pub(crate) routes: Vec<Route>,
    pub(crate) place: Place,
    /// The conditions that every request here meets: the gateways that it can come through.
    pub(crate) gateways: Vec<String>,
}

/// A route: it takes the requests that one of its alternatives holds for.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Its name in a VirtualService or an EnvoyFilter.
    pub(crate) name: Option<String>,
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) action: Action,
    /// The path to it.
    pub(crate) at: OwnedPath,
    /// The part of it that says where it leads.
    pub(crate) place: Place,
    /// What is done to the request on the way: rewrites, and headers that are set. For comparing.
    pub(crate) changes: String,
    /// What is done to the request's headers, after what is done for a destination alone.
    pub(crate) headers: HeaderChanges,
    /// Whether an EnvoyFilter has put it beside those of a VirtualService.
    pub(crate) is_inserted: bool,
    /// What is said of the filters of Envoy, for requests that this route takes first.
    pub(crate) filters: Switches,
}

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub(crate) struct Alternative {
    /// Its name in a VirtualService, which istiod adds to the route's.
    pub(crate) name: Option<String>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) place: Place,
}

/// Where a part of a table is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) path: OwnedPath,
    pub(crate) span: Span,
}

/// What a route does with the requests that it takes.
#[derive(Clone, Debug)]
pub(crate) enum Action {
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
pub(crate) struct Weighted {
    pub(crate) destination: Destination,
    pub(crate) weight: u64,
    /// What is done to the request's headers for this destination alone.
    pub(crate) headers: HeaderChanges,
    pub(crate) place: Place,
}

/// Where requests go: a cluster of Envoy, or a service of Istio and one of its subsets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) subset: Option<String>,
    pub(crate) port: Option<u64>,
}

// === impl Destination ===

impl Destination {
    pub(crate) fn cluster(name: &str) -> Self {
        Self { host: name.to_owned(), subset: None, port: None }
    }

    /// What tells it from its neighbours.
    pub(crate) fn name(&self) -> &str {
        self.subset.as_deref().unwrap_or(&self.host)
    }

    /// Whether its name says that it is this variant: `canary`, `checkout-canary`, `outbound|80|canary|checkout`.
    pub(crate) fn is_named(&self, variant: &str) -> bool {
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
    pub(crate) fn destinations(&self) -> &[Weighted] {
        match &self.action {
            Action::Weighted(all) | Action::ByHeader(_, all) => all,
            Action::ClusterHeader(_) | Action::Reply | Action::Unknown => &[],
        }
    }

    /// Whether this header has a say in what the route takes or where it leads.
    pub(crate) fn reads(&self, header: &str) -> bool {
        self.is_by(header)
            || self.alternatives.iter().any(|alternative| alternative.on(header).next().is_some())
    }

    /// Whether the route is for requests with this header.
    pub(crate) fn asks(&self, header: &str) -> bool {
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
    pub(crate) fn removes(&self, header: &str) -> bool {
        match self.headers.keep(header) {
            Some(keeps) => !keeps,
            None => {
                let mut all = self.in_use().peekable();
                all.peek().is_some() && all.all(|weighted| weighted.headers.keep(header) == Some(false))
            }
        }
    }

    /// The destinations that requests reach: among several, those that have a weight.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Weighted> {
        let all = self.destinations();
        all.iter().filter(|weighted| weighted.weight > 0 || all.len() == 1)
    }
}

// === impl Alternative ===

impl Alternative {
    /// Its conditions on this header.
    pub(crate) fn on<'t>(&'t self, header: &'t str) -> impl Iterator<Item = &'t Condition> {
        let is_on = move |condition: &&Condition| matches!(&condition.subject, Subject::Header(name) if name == header);
        self.conditions.iter().filter(is_on)
    }

    /// Whether it is only for requests that have this header.
    pub(crate) fn asks(&self, header: &str) -> bool {
        self.on(header).any(|condition| condition.holds_for(None) == Truth::No)
    }

    pub(crate) fn holds(&self, request: &Request) -> Truth {
        Truth::all(self.conditions.iter().map(|condition| condition.holds(request)))
    }
}

// === impl VirtualHost ===

impl VirtualHost {
    /// Whether a route looks at this header.
    pub(crate) fn reads(&self, header: &str) -> bool {
        self.routes.iter().any(|route| route.reads(header))
    }
}
