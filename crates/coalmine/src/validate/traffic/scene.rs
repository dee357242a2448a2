//! A rollout before the routes of one host: its requests, and what becomes of them.

use std::collections::BTreeSet;

use coalmine_core::policy::{Rollout, RouteValue};
use coalmine_core::request::StaticRequest;
use coalmine_document::Node;

use super::super::Valid;
use coalmine_control::routes::{
    Alternative, Answer, Condition, Destination, OTHER_PATH, Place, Reached, Request, Route, Subject, Table,
    Test, VirtualHost, classes, overlap,
};

/// So many hosts of a rollout are tried.
const MAX_HOSTS: usize = 3;

/// A rollout and the routes for hosts that it speaks of.
pub(super) struct Scene<'t> {
    pub(super) host: &'t VirtualHost,
    pub(super) rollout: &'t Rollout,
    /// The rollout as it is written.
    pub(super) node: &'t Node,
    /// Its requests, without its header.
    pub(super) requests: Vec<Request>,
    /// What the header says, and of whom: all but its absence.
    pub(super) values: Vec<Value>,
    /// What the routes give to one variant alone.
    owned: Vec<Owned<'t>>,
}

/// A destination, what is done to requests on the way to it, and the variant whose it is.
struct Owned<'t> {
    destination: Destination,
    changes: &'t str,
    variant: String,
}

/// A value of the header.
pub(super) struct Value {
    /// The variant; `None` where the route knows it.
    pub(super) variant: Option<String>,
    pub(super) text: String,
}

/// What becomes of a request.
pub(super) struct Outcome<'t> {
    pub(super) request: &'t Request,
    pub(super) answer: Answer<'t>,
    pub(super) reached: Reached,
}

// === impl Scene ===

impl<'t> Scene<'t> {
    /// `None` where no request to this host is the rollout's.
    pub(super) fn of(
        table: &Table,
        host: &'t VirtualHost,
        valid: &'t Valid,
        rollout: &'t Rollout,
    ) -> Option<Self> {
        let node = valid.embedded.node.get("rollouts")?.items().get(rollout.index())?;
        let more = conditions(node);
        let ours: Vec<&str> =
            valid.policy.rollouts().iter().map(|rollout| rollout.route().header()).collect();
        let gateway = host.gateways.first().map(String::as_str);
        let is_here =
            |name: &String| table.virtual_host(name, gateway).is_some_and(|found| std::ptr::eq(found, host));
        let hosts: BTreeSet<String> = hosts(table, host, node).into_iter().filter(is_here).collect();
        let is_mine = |request: &Request| {
            let plain = StaticRequest::new(request.method(), request.host(), &request.target());
            let plain = request.headers().fold(plain, |plain, (name, value)| plain.with_header(name, value));
            let outcome = valid.policy.decide(&plain, std::time::Duration::ZERO);
            outcome.assignment.rollout.is_some_and(|found| std::ptr::eq(found, rollout))
        };
        let requests: Vec<Request> = hosts
            .iter()
            .take(MAX_HOSTS)
            .flat_map(|name| classes(name, host, &more, &ours))
            .filter(is_mine)
            .collect();
        if requests.is_empty() {
            return None;
        }
        let mut scene = Self { host, rollout, node, requests, values: values(rollout), owned: Vec::new() };
        scene.owned = scene.owned();
        Some(scene)
    }

    pub(super) fn header(&self) -> &'t str {
        self.rollout.route().header()
    }

    /// Whether the rollout says which hosts are its own.
    pub(super) fn names_hosts(&self) -> bool {
        self.node.descend(&["match", "hosts"]).is_some()
    }

    /// The hosts that the rollout says are its own, some of them with a `*`.
    pub(super) fn patterns(&self) -> Vec<&'t str> {
        patterns(self.node)
    }

    /// What becomes of every request without the header.
    pub(super) fn without(&self) -> impl Iterator<Item = Outcome<'_>> {
        self.requests.iter().map(|request| Outcome::of(self.host, request, request))
    }

    /// What becomes of this request with the header.
    pub(super) fn with<'a>(&'a self, request: &'a Request, value: &Value) -> Outcome<'a> {
        Outcome::of(self.host, request, &request.with_header(self.header(), &value.text))
    }

    /// Whether an alternative is only for requests that have the header.
    pub(super) fn asks(&self, alternative: &Alternative) -> bool {
        alternative.asks(self.header())
    }

    /// Whether the header has a say when this alternative of this route takes a request.
    pub(super) fn obeys(&self, route: &Route, alternative: usize) -> bool {
        let asks = route.alternatives.get(alternative).is_some_and(|alternative| self.asks(alternative));
        asks || route.reads(self.header()) && !route.alternatives.iter().any(|one| self.asks(one))
    }

    /// Whether the header is why a request ends up where it does: without it, another route or alternative takes it.
    pub(super) fn decides(&self, outcome: &Outcome<'_>) -> bool {
        let Answer::Taken { route, alternative, taken } = outcome.answer else { return false };
        match self.host.answer(outcome.request) {
            Answer::Taken { route: plain, alternative: by, .. } => {
                (route, alternative) != (plain, by) || self.obeys(taken, alternative)
            }
            Answer::NotFound => true,
            Answer::Unknown => false,
        }
    }

    /// The variant but stable whose destination this is by the routes, or by its name.
    pub(super) fn owner(&self, destination: &Destination, route: &Route) -> Option<String> {
        let by_name = || {
            let names = self.rollout.variants().skip(1).map(|(_, name)| name);
            let names = names
                .filter(|name| *self.rollout.route().value() == RouteValue::Variant || *name == "canary");
            names.filter(|name| destination.is_named(name)).map(str::to_owned).next()
        };
        if self.is_stable(destination) {
            return None;
        }
        self.by_routes(destination, route).or_else(by_name)
    }

    /// Whether a name says that this is the version that users had before: not `canary-or-stable`.
    pub(super) fn is_stable(&self, destination: &Destination) -> bool {
        let mut names = self.rollout.variants().skip(1).map(|(_, name)| name);
        ["stable", "primary"].iter().any(|name| destination.is_named(name))
            && !names.any(|name| destination.name().contains(name))
    }

    fn by_routes(&self, destination: &Destination, route: &Route) -> Option<String> {
        if let RouteValue::Cluster(clusters) = self.rollout.route().value() {
            let stable = clusters.first().is_some_and(|stable| **stable == destination.host);
            let index = clusters.iter().position(|cluster| **cluster == destination.host)?;
            let name = self.rollout.variants().nth(index).map(|(_, name)| name.to_owned());
            return name.filter(|_| !stable);
        }
        let is_it = |owned: &&Owned<'_>| owned.destination == *destination && owned.changes == route.changes;
        self.owned.iter().find(is_it).map(|owned| owned.variant.clone())
    }

    fn owned(&self) -> Vec<Owned<'t>> {
        // The fair control may well be the old version itself.
        let has_own = |value: &&Value| value.variant.as_ref().is_some_and(|variant| variant != "baseline");
        let mut found: Vec<Owned<'t>> = Vec::new();
        for value in self.values.iter().filter(has_own) {
            for request in &self.requests {
                let sent = request.with_header(self.header(), &value.text);
                let answer = self.host.answer(&sent);
                let (Answer::Taken { taken, .. }, Reached::One(destination)) =
                    (answer, answer.reached(&sent))
                else {
                    continue;
                };
                let outcome = Outcome { request, answer, reached: Reached::Unknown };
                let is_known =
                    found.iter().any(|it| it.destination == destination && it.changes == taken.changes);
                if !is_known && self.decides(&outcome) {
                    let variant = value.variant.clone().unwrap_or_default();
                    found.push(Owned { destination, changes: &taken.changes, variant });
                }
            }
        }
        found
    }

    /// Whether every answer is known, and some request gets to an application.
    pub(super) fn is_known_to_arrive(&self) -> bool {
        self.without().all(|outcome| outcome.reached != Reached::Unknown)
            && self.without().any(|outcome| matches!(outcome.reached, Reached::One(_) | Reached::Random(_)))
    }

    /// Whether the versions are chosen among by something else than the header.
    pub(super) fn splits(&self) -> bool {
        self.without().any(|outcome| matches!(outcome.reached, Reached::Random(_)))
    }
}

/// The hosts of a rollout; without any, it is for all.
fn patterns(rollout: &Node) -> Vec<&str> {
    let hosts = rollout.descend(&["match", "hosts"]).map(|hosts| hosts.items().iter().filter_map(Node::text));
    hosts.map_or_else(|| vec!["*"], Iterator::collect)
}

/// Hosts that both the routes and the rollout speak of.
fn hosts(table: &Table, host: &VirtualHost, rollout: &Node) -> Vec<String> {
    let patterns = patterns(rollout);
    let alternatives = host.routes.iter().flat_map(|route| &route.alternatives);
    let named = alternatives.flat_map(|alternative| &alternative.conditions);
    let named = named.filter(|condition| condition.subject == Subject::Host);
    let named: Vec<String> = named.flat_map(|condition| condition.test.values()).collect();
    let domains = host.domains.iter().filter(|domain| host.is_at_home(domain, table));
    let domains = domains.flat_map(|domain| patterns.iter().filter_map(|it| overlap(domain, it)));
    // Several names of one host are one case.
    let mut hosts: Vec<String> = domains.collect();
    hosts.truncate(1);
    hosts.extend(named);
    hosts
}

/// The conditions of a rollout, one set for each of its paths and methods.
fn conditions(rollout: &Node) -> Vec<Vec<Condition>> {
    let items = |field: &str| rollout.descend(&["match", field]).map_or(&[][..], Node::items);
    let condition = |subject: Subject, node: &Node| {
        let text = |field: &str| node.text_at(&[field]).map(str::to_owned);
        let exact = text("exact").map(Test::Exact);
        let test = exact.or_else(|| text("prefix").map(Test::Prefix)).unwrap_or(Test::Present(true));
        Condition::new(subject, test, Place::default())
    };
    let method = |node: &Node| {
        let test = Test::Exact(node.text().unwrap_or_default().to_owned());
        Condition::new(Subject::Header(":method".to_owned()), test, Place::default())
    };
    let header = |node: &Node| {
        let name = node.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
        condition(Subject::Header(name), node)
    };
    let headers: Vec<Condition> = items("headers").iter().map(header).collect();
    let optional = |conditions: Vec<Condition>| -> Vec<Option<Condition>> {
        if conditions.is_empty() { vec![None] } else { conditions.into_iter().map(Some).collect() }
    };
    let methods = optional(items("methods").iter().map(method).collect());
    let paths = optional(items("paths").iter().map(|node| condition(Subject::Path, node)).collect());
    let mut sets = Vec::new();
    for path in &paths {
        for method in &methods {
            sets.push(headers.iter().cloned().chain(path.clone()).chain(method.clone()).collect());
        }
    }
    sets
}

/// What the filter writes into the header.
fn values(rollout: &Rollout) -> Vec<Value> {
    let value =
        |variant: &str, text: &str| Value { variant: Some(variant.to_owned()), text: text.to_owned() };
    let names = || rollout.variants().map(|(_, name)| name);
    match rollout.route().value() {
        RouteValue::Variant => names().skip(1).map(|name| value(name, name)).collect(),
        RouteValue::Cluster(clusters) => {
            names().zip(clusters).map(|(name, cluster)| value(name, cluster)).collect()
        }
        RouteValue::Bucket(scale) => {
            [0, scale.total() - 1].map(|bucket| Value { variant: None, text: bucket.to_string() }).into()
        }
    }
}

// === impl Outcome ===

impl<'t> Outcome<'t> {
    fn of(host: &'t VirtualHost, request: &'t Request, sent: &Request) -> Self {
        let answer = host.answer(sent);
        Self { request, answer, reached: answer.reached(sent) }
    }

    /// The request as an example, where it is not a request like any other.
    pub(super) fn example(&self) -> String {
        let is_plain = [OTHER_PATH, "/"].map(Some).contains(&self.request.get(&Subject::Path))
            && self.request.method() == "GET"
            && self.request.headers().next().is_none();
        if is_plain { String::new() } else { format!(" (for example {})", self.request) }
    }
}
