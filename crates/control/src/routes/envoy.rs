//! Route tables in a configuration of Envoy.

use coalmine_document::{Entry, Node, OwnedPath, Value};

use super::filters::{drawn, switches};
use super::pattern::Pattern;
use super::{
    Action, Alternative, Chain, Condition, Destination, HeaderChanges, Place, Route, Subject, Switches,
    Table, Test, VirtualHost, Weighted,
};

/// What a route can do other than send the request to a cluster.
const REPLIES: [&str; 4] = ["redirect", "direct_response", "non_forwarding_action", "filter_action"];
/// What changes a request on the way, for comparing two routes.
const CHANGES: [&str; 8] = [
    "prefix_rewrite",
    "regex_rewrite",
    "path_rewrite",
    "path_rewrite_policy",
    "host_rewrite_literal",
    "host_rewrite_header",
    "host_rewrite_path_regex",
    "request_headers_to_add",
];

/// A map whose fields have the names of Envoy's YAML or those of its JSON.
#[derive(Clone)]
pub(super) struct Message<'t> {
    node: &'t Node,
    at: OwnedPath,
}

/// What is said around a route, and counts for it too.
#[derive(Default)]
pub(super) struct Around {
    /// What is done to the request's headers.
    headers: HeaderChanges,
    filters: Switches,
}

/// Every route table in this document.
pub fn tables(document: &Node) -> Vec<Table> {
    let mut found = Vec::new();
    walk(&Message { node: document, at: OwnedPath::default() }, None, &mut found);
    found
}

/// Finds the tables in this message, with this chain before them unless there is another one in between.
fn walk(message: &Message<'_>, chain: Option<&Chain>, found: &mut Vec<Table>) {
    if message.get("virtual_hosts").is_some_and(|hosts| !hosts.node.items().is_empty()) {
        found.push(table(message, chain));
        return;
    }
    let own = Chain::of(message);
    for inner in message.inner() {
        walk(&inner, own.as_ref().or(chain), found);
    }
}

fn table(message: &Message<'_>, chain: Option<&Chain>) -> Table {
    let all = Around::default().with(message);
    let host = |host: Message<'_>| {
        let around = all.with(&host);
        let place = host.place("routes");
        let mut routes: Vec<Route> = host.items("routes").iter().map(|item| route(item, &around)).collect();
        if host.node.entries().iter().any(|entry| entry.key == "matcher") {
            routes = vec![unknown(&place, &around)];
        }
        let names = host.get("domains").map_or(&[][..], |domains| domains.node.items());
        let domains = names.iter().filter_map(Node::text).map(str::to_owned).collect();
        VirtualHost { domains, names: Vec::new(), routes, place, gateways: Vec::new() }
    };
    Table {
        hosts: message.items("virtual_hosts").into_iter().map(host).collect(),
        name: message.text("name").map(str::to_owned),
        chain: chain.cloned(),
    }
}

/// Routes that are written in a way that is not read here.
fn unknown(place: &Place, around: &Around) -> Route {
    let condition = Condition::new(Subject::Around("?".to_owned()), Test::Unknown, place.clone());
    Route {
        name: None,
        alternatives: vec![Alternative { name: None, conditions: vec![condition], place: place.clone() }],
        action: Action::Unknown,
        at: place.path.clone(),
        place: place.clone(),
        changes: String::new(),
        headers: HeaderChanges::default(),
        is_inserted: false,
        filters: around.filters.clone(),
    }
}

pub(super) fn route(message: &Message<'_>, around: &Around) -> Route {
    let place = message.place("match");
    let conditions = message.get("match").map(|found| conditions(&found)).unwrap_or_default();
    let Around { headers, filters } = around.with(message);
    let inner = message.get("route");
    let split = inner.as_ref().and_then(|inner| inner.get("weighted_clusters"));
    let clusters = split.map(|split| split.items("clusters")).unwrap_or_default();
    let change = |field: &&str| {
        let own = message.get(field).or_else(|| inner.as_ref()?.get(field));
        own.map(|own| own.node.clone().without_places())
    };
    let changes: Vec<Option<Node>> = CHANGES.iter().map(change).collect();
    Route {
        name: None,
        alternatives: vec![Alternative { name: None, conditions, place: place.clone() }],
        action: action(message, inner.as_ref()),
        at: message.at.clone(),
        place,
        changes: format!("{changes:?}"),
        headers,
        is_inserted: false,
        filters: drawn(&clusters, &filters),
    }
}

fn action(message: &Message<'_>, inner: Option<&Message<'_>>) -> Action {
    if REPLIES.iter().any(|field| message.get(field).is_some()) {
        return Action::Reply;
    }
    let Some(inner) = inner else { return Action::Unknown };
    if let Some(cluster) = inner.text("cluster") {
        let (destination, place) = (Destination::cluster(cluster), inner.place("cluster"));
        return Action::Weighted(vec![Weighted {
            destination,
            weight: 1,
            headers: HeaderChanges::default(),
            place,
        }]);
    }
    if let Some(header) = inner.text("cluster_header") {
        return Action::ClusterHeader(header.to_ascii_lowercase());
    }
    let Some(split) = inner.get("weighted_clusters") else { return Action::Unknown };
    let weighted = |item: &Message<'_>| {
        let weight = match item.get("weight").map(|weight| &weight.node.value) {
            None => 1,
            Some(Value::Number(weight)) => *weight as u64,
            Some(_) => return None,
        };
        let destination = Destination::cluster(item.text("name")?);
        Some(Weighted { destination, weight, headers: item.header_changes(), place: item.place("name") })
    };
    let clusters: Option<Vec<Weighted>> = split.items("clusters").iter().map(weighted).collect();
    match (clusters, split.text("header_name")) {
        (None, _) => Action::Unknown,
        (Some(all), Some(header)) => Action::ByHeader(header.to_ascii_lowercase(), all),
        (Some(_), None) if split.get("runtime_key_prefix").is_some() => Action::Unknown,
        (Some(all), None) => Action::Weighted(all),
    }
}

pub(super) fn conditions(message: &Message<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let ignores_case =
        message.get("case_sensitive").is_some_and(|flag| flag.node.value == Value::Bool(false));
    for entry in message.node.entries() {
        let place = Place { path: message.at.field(&entry.key), span: entry.span };
        let path =
            |test: Test| Condition { ignores_case, ..Condition::new(Subject::Path, test, place.clone()) };
        let text = || entry.node.text().map(str::to_owned);
        match &*snake(&entry.key) {
            "prefix" => conditions.push(path(text().map_or(Test::Unknown, Test::Prefix))),
            "path" => conditions.push(path(text().map_or(Test::Unknown, Test::Exact))),
            "path_separated_prefix" => conditions.push(path(text().map_or(Test::Unknown, Test::Segments))),
            "safe_regex" => conditions.push(path(regex(&entry.node))),
            "case_sensitive" => {}
            "headers" => conditions.extend(message.items("headers").iter().map(header)),
            "query_parameters" => {
                conditions.extend(message.items("query_parameters").iter().map(|item| {
                    let name = item.text("name").unwrap_or_default().to_owned();
                    value_condition(item, Subject::Query(name), &["name"])
                }));
            }
            _ => conditions.push(Condition::new(Subject::Around("?".to_owned()), Test::Unknown, place)),
        }
    }
    conditions
}

fn header(item: &Message<'_>) -> Condition {
    let name = item.text("name").unwrap_or_default().to_ascii_lowercase();
    let subject = match &*name {
        ":authority" | "host" => Subject::Host,
        _ => Subject::Header(name.clone()),
    };
    let mut condition =
        value_condition(item, subject, &["name", "invert_match", "treat_missing_header_as_empty"]);
    let is_set = |field: &str| item.get(field).is_some_and(|flag| flag.node.value == Value::Bool(true));
    condition.is_inverted = is_set("invert_match");
    condition.missing_is_empty = is_set("treat_missing_header_as_empty");
    if name == ":path" {
        // With its query, of which nothing is known here.
        condition.test = Test::Unknown;
    }
    condition
}

/// The condition on a value in this message, apart from these fields; without one, that there is a value.
fn value_condition(item: &Message<'_>, subject: Subject, apart: &[&str]) -> Condition {
    let place = item.place("name");
    let place = Place { path: item.at.clone(), ..place };
    let mut condition = Condition::new(subject, Test::Present(true), place);
    let mut given = item.node.entries().iter().filter(|entry| !apart.contains(&&*snake(&entry.key)));
    let Some(entry) = given.next() else { return condition };
    if given.next().is_some() {
        condition.test = Test::Unknown;
        return condition;
    }
    condition.test = match &*snake(&entry.key) {
        "present_match" => match entry.node.value {
            Value::Bool(present) => Test::Present(present),
            _ => Test::Unknown,
        },
        "range_match" => range(&entry.node),
        "string_match" => {
            let is_set = |field| entry.node.get(field).is_some_and(|flag| flag.value == Value::Bool(true));
            condition.ignores_case = is_set("ignore_case") || is_set("ignoreCase");
            string_match(&entry.node)
        }
        key => key.strip_suffix("_match").map_or(Test::Unknown, |kind| text_test(kind, &entry.node)),
    };
    condition
}

fn string_match(node: &Node) -> Test {
    let mut given =
        node.entries().iter().filter(|entry| !["ignore_case", "ignoreCase"].contains(&&*entry.key));
    let (Some(entry), None) = (given.next(), given.next()) else { return Test::Unknown };
    text_test(&snake(&entry.key), &entry.node)
}

/// A test of this kind, as Envoy calls it, with this text.
fn text_test(kind: &str, node: &Node) -> Test {
    let text = |test: fn(String) -> Test| node.text().map_or(Test::Unknown, |text| test(text.to_owned()));
    match kind {
        "exact" => text(Test::Exact),
        "prefix" => text(Test::Prefix),
        "suffix" => text(Test::Suffix),
        "contains" => text(Test::Contains),
        "safe_regex" => regex(node),
        _ => Test::Unknown,
    }
}

fn regex(node: &Node) -> Test {
    node.text_at(&["regex"]).map_or(Test::Unknown, |text| Test::Regex(Pattern::new(text)))
}

fn range(node: &Node) -> Test {
    let bound = |field| match node.get(field).map(|bound| &bound.value) {
        None => Some(0),
        Some(Value::Number(number)) => Some(*number as i64),
        Some(_) => None,
    };
    match (bound("start"), bound("end")) {
        (Some(start), Some(end)) => Test::Range(start, end),
        _ => Test::Unknown,
    }
}

/// A field's name as YAML has it: `weighted_clusters` of `weightedClusters`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

// === impl Around ===

impl Around {
    /// The same with what this message says.
    fn with(&self, message: &Message<'_>) -> Self {
        Self {
            // Envoy begins with the route's, and ends with those of the whole table.
            headers: message.header_changes().then(&self.headers),
            filters: switches(message, &self.filters),
        }
    }
}

// === impl Message ===

impl<'t> Message<'t> {
    pub(super) fn new(node: &'t Node, at: OwnedPath) -> Self {
        Self { node, at }
    }

    pub(super) fn get(&self, field: &str) -> Option<Self> {
        let entry =
            self.node.entries().iter().find(|entry| entry.key == field || snake(&entry.key) == field)?;
        Some(Self { node: &entry.node, at: self.at.field(&entry.key) })
    }

    pub(super) fn node(&self) -> &'t Node {
        self.node
    }

    pub(super) fn entries(&self) -> &'t [Entry] {
        self.node.entries()
    }

    /// The messages right inside this one, under a name or in a list.
    pub(super) fn inner(&self) -> Vec<Self> {
        let entries = self.node.entries().iter();
        let named = entries.map(|entry| Self { node: &entry.node, at: self.at.field(&entry.key) });
        let items = self.node.items().iter().enumerate();
        named.chain(items.map(|(index, node)| Self { node, at: self.at.item(index) })).collect()
    }

    pub(super) fn text(&self, field: &str) -> Option<&'t str> {
        self.get(field)?.node.text()
    }

    pub(super) fn items(&self, field: &str) -> Vec<Self> {
        let Some(list) = self.get(field) else { return Vec::new() };
        let items = list.node.items().iter().enumerate();
        items.map(|(index, node)| Self { node, at: list.at.item(index) }).collect()
    }

    /// What is done to the request's headers here.
    pub(super) fn header_changes(&self) -> HeaderChanges {
        let names = self.get("request_headers_to_remove");
        let names = names.as_ref().map_or(&[][..], |names| names.node.items());
        let added = self.items("request_headers_to_add");
        let added = added.iter().filter_map(|item| item.get("header")?.text("key"));
        HeaderChanges {
            removed: names.iter().filter_map(Node::text).map(str::to_ascii_lowercase).collect(),
            set: added.map(str::to_ascii_lowercase).collect(),
        }
    }

    /// The place of a field; of the message where it has not that field.
    fn place(&self, field: &str) -> Place {
        let entry = self.node.entries().iter().find(|entry| snake(&entry.key) == field);
        match entry {
            Some(entry) => Place { path: self.at.field(&entry.key), span: entry.span },
            None => Place { path: self.at.clone(), span: self.node.head() },
        }
    }
}
