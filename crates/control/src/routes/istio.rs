//! A VirtualService as a table: as istiod makes routes of it.

use coalmine_document::{Entry, Node, OwnedPath, Value};

use super::names;
use super::pattern::Pattern;
use super::{
    Action, Alternative, Condition, Destination, HeaderChanges, Place, Route, Subject, Switches, Table, Test,
    VirtualHost, Weighted,
};

/// The gateway that stands for the callers' sidecars.
pub(super) const MESH: &str = "mesh";
/// What a name begins with that is a claim of the request's token, not a header.
const CLAIMS: &str = "@request.auth.claims";
/// Fields of a match that have no say in which requests it takes.
const WITHOUT_SAY: [&str; 3] = ["name", "ignoreUriCase", "statPrefix"];

/// The routes for HTTP of this `spec`, of a VirtualService in this namespace: for the callers' sidecars, and for gateways,
/// which know a host by its whole name alone.
pub fn table(spec: &Node, namespace: Option<&str>) -> Table {
    let at = OwnedPath::of(&["spec"]);
    let texts = |field: &str| spec.get(field).map_or(&[][..], Node::items).iter().filter_map(Node::text);
    let hosts: Vec<String> = texts("hosts").map(|host| names::host(host, namespace)).collect();
    let is_mesh = |name: &&str| *name == MESH;
    let gateways: Vec<String> =
        texts("gateways").filter(|name| !is_mesh(name)).map(|name| names::gateway(name, namespace)).collect();
    let path = at.field("http");
    let entry = spec.entry("http");
    let items = entry.map_or(&[][..], |entry| entry.node.items());
    let routes: Vec<Route> =
        items.iter().enumerate().map(|(index, item)| route(item, &path.item(index), namespace)).collect();
    let span = entry.map_or(spec.span, |entry| entry.span);
    let virtual_host = |domains: Vec<String>, names: Vec<String>, gateways: Vec<String>| VirtualHost {
        domains,
        names,
        routes: routes.clone(),
        place: Place { path: path.clone(), span },
        gateways,
    };
    let mut found = Vec::new();
    if gateways.is_empty() || texts("gateways").any(|name| is_mesh(&name)) {
        // A sidecar has a virtual host for each host, and first those that are no Service's.
        let (services, others): (Vec<&String>, Vec<&String>) =
            hosts.iter().partition(|host| host.ends_with(names::DOMAIN));
        for host in others.into_iter().chain(services) {
            let domains = mesh_domains(host, namespace);
            found.push(virtual_host(domains, vec![host.clone()], vec![MESH.to_owned()]));
        }
    }
    if !gateways.is_empty() || found.is_empty() {
        found.push(virtual_host(hosts.clone(), hosts, gateways));
    }
    Table { hosts: found, name: None, chain: None }
}

/// The names by which callers know a host.
fn mesh_domains(host: &str, namespace: Option<&str>) -> Vec<String> {
    if namespace.is_none() && !host.contains('.') && host != "*" {
        return vec![host.to_owned(), format!("{host}.*")];
    }
    names::known_as(host)
}

fn route(item: &Node, at: &OwnedPath, namespace: Option<&str>) -> Route {
    let place = |field: &str| place(item, at, field);
    let matches = item.get("match").map_or(&[][..], Node::items);
    let path = at.field("match");
    let mut alternatives: Vec<Alternative> = matches
        .iter()
        .enumerate()
        .map(|(index, item)| alternative(item, &path.item(index), namespace))
        .collect();
    if alternatives.is_empty() {
        alternatives.push(Alternative { name: None, conditions: Vec::new(), place: place("route") });
    }
    if item.get("delegate").is_some() {
        // Whether it takes a request depends on the conditions of the VirtualService that it leaves this to.
        let unknown = Condition::new(Subject::Around("?".to_owned()), Test::Unknown, place("delegate"));
        for alternative in &mut alternatives {
            alternative.conditions.push(unknown.clone());
        }
    }
    let changes = ["rewrite", "headers"].map(|field| item.get(field).cloned().map(Node::without_places));
    let (mut action, mut headers) = (action(item, at, namespace), header_changes(item));
    if let Action::Weighted(all) = &mut action
        && let [only] = all.as_mut_slice()
    {
        // istiod writes a single destination's into the route.
        headers = headers.and(&std::mem::take(&mut only.headers));
    }
    Route {
        name: item.text_at(&["name"]).map(str::to_owned),
        alternatives,
        action,
        at: at.clone(),
        place: place("route"),
        changes: format!("{changes:?}"),
        headers,
        is_inserted: false,
        filters: Switches::new(),
    }
}

fn action(item: &Node, at: &OwnedPath, namespace: Option<&str>) -> Action {
    if item.get("redirect").is_some() || item.get("directResponse").is_some() || aborts_all(item) {
        return Action::Reply;
    }
    let Some(destinations) = item.get("route").filter(|_| item.get("delegate").is_none()) else {
        return Action::Unknown;
    };
    let path = at.field("route");
    let all: Option<Vec<Weighted>> = destinations
        .items()
        .iter()
        .enumerate()
        .map(|(index, item)| weighted(item, &path.item(index), namespace))
        .collect();
    all.map_or(Action::Unknown, Action::Weighted)
}

/// Whether a fault that is injected lets the proxy answer every request by itself.
fn aborts_all(item: &Node) -> bool {
    let percentage = item.descend(&["fault", "abort", "percentage", "value"]).map(|node| &node.value);
    matches!(percentage, Some(Value::Number(percent)) if *percent >= 100.0)
}

fn weighted(item: &Node, at: &OwnedPath, namespace: Option<&str>) -> Option<Weighted> {
    let destination = item.get("destination")?;
    Some(Weighted {
        destination: Destination {
            host: names::host(destination.text_at(&["host"])?, namespace),
            subset: destination.text_at(&["subset"]).map(str::to_owned),
            port: destination.descend(&["port", "number"]).and_then(number),
        },
        weight: item.get("weight").and_then(number).unwrap_or_default(),
        headers: header_changes(item),
        place: place(item, at, "destination"),
    })
}

/// What is done to the request's headers here.
fn header_changes(item: &Node) -> HeaderChanges {
    let names =
        |fields: &[&str]| item.descend(&["headers", "request"]).and_then(|request| request.descend(fields));
    let lower = |name: &str| name.to_ascii_lowercase();
    let removed = names(&["remove"]).map_or(&[][..], Node::items).iter().filter_map(Node::text).map(lower);
    let set = ["set", "add"].iter().flat_map(|field| names(&[field]).map_or(&[][..], Node::entries));
    HeaderChanges { removed: removed.collect(), set: set.map(|entry| lower(&entry.key)).collect() }
}

fn alternative(item: &Node, at: &OwnedPath, namespace: Option<&str>) -> Alternative {
    let ignores_case = item.get("ignoreUriCase").is_some_and(|flag| flag.value == Value::Bool(true));
    let has_gateways = item.get("gateways").is_some_and(|gateways| !gateways.items().is_empty());
    let mut conditions = Vec::new();
    for entry in item.entries() {
        let place = Place { path: at.field(&entry.key), span: entry.span };
        let condition = |subject: Subject, test: Test| Condition::new(subject, test, place.clone());
        let header = |name: &str| Subject::Header(name.to_owned());
        let around = |name: &str| Subject::Around(name.to_owned());
        match entry.key.as_str() {
            "uri" => {
                let condition = condition(Subject::Path, text_test(&entry.node));
                conditions.push(Condition { ignores_case, ..condition });
            }
            "method" => conditions.push(condition(header(":method"), text_test(&entry.node))),
            "scheme" => conditions.push(condition(header(":scheme"), text_test(&entry.node))),
            "authority" => conditions.push(condition(Subject::Host, text_test(&entry.node))),
            "headers" => conditions.extend(each(&entry.node, &place, header_subject).map(decidable)),
            "withoutHeaders" => {
                let each = each(&entry.node, &place, header_subject).map(decidable);
                conditions.extend(each.map(|condition| {
                    // A header that is missing has not this value.
                    let missing_is_empty = !matches!(condition.test, Test::Present(_));
                    Condition { is_inverted: true, missing_is_empty, ..condition }
                }))
            }
            "queryParams" => {
                conditions.extend(each(&entry.node, &place, |name| Subject::Query(name.to_owned())));
            }
            "gateways" if has_gateways => {
                let names = entry.node.items().iter().filter_map(Node::text);
                let names = names.map(|name| match name {
                    MESH => name.to_owned(),
                    name => names::gateway(name, namespace),
                });
                conditions.push(condition(around("gateway"), Test::OneOf(names.collect())));
            }
            "port" => {
                let port = number(&entry.node).map_or(Test::Unknown, |port| Test::Exact(port.to_string()));
                conditions.push(condition(around("port"), port));
            }
            // istiod looks at the caller only where no gateways are named.
            "sourceLabels" if !has_gateways => {
                for label in entry.node.entries() {
                    let value = label.node.text().unwrap_or_default().to_owned();
                    conditions.push(condition(around(&format!("label {}", label.key)), Test::Exact(value)));
                }
            }
            "sourceNamespace" if !has_gateways => {
                let value = entry.node.text().unwrap_or_default().to_owned();
                conditions.push(condition(around("namespace"), Test::Exact(value)));
            }
            "gateways" | "sourceLabels" | "sourceNamespace" => {}
            field if WITHOUT_SAY.contains(&field) => {}
            _ => conditions.push(condition(around("?"), Test::Unknown)),
        }
    }
    let name = item.text_at(&["name"]).map(str::to_owned);
    Alternative { name, conditions, place: Place { path: at.clone(), span: item.span } }
}

/// A header is not always one: the host may be meant by two names.
fn header_subject(name: &str) -> Subject {
    match name.to_ascii_lowercase() {
        name if [":authority", "host"].contains(&&*name) => Subject::Host,
        name => Subject::Header(name),
    }
}

/// The condition, or what stands for one that cannot be decided here: on the path with its query, or on a claim.
fn decidable(mut condition: Condition) -> Condition {
    if let Subject::Header(name) = &condition.subject
        && (name == ":path" || name.starts_with(CLAIMS))
    {
        condition.test = Test::Unknown;
    }
    condition
}

/// A condition for each of these names.
fn each<'n>(
    names: &'n Node,
    at: &'n Place,
    subject: impl Fn(&str) -> Subject + 'n,
) -> impl Iterator<Item = Condition> + 'n {
    names.entries().iter().map(move |entry| {
        let place = Place { path: at.path.field(&entry.key), span: entry.span };
        Condition::new(subject(&entry.key), text_test(&entry.node), place)
    })
}

/// What a StringMatch asks; an empty one and the expression `*`, that there is a value.
fn text_test(node: &Node) -> Test {
    let [entry] = node.entries() else {
        return if node.entries().is_empty() && node.text().is_none() {
            Test::Present(true)
        } else {
            Test::Unknown
        };
    };
    let Entry { key, node, .. } = entry;
    let Some(text) = node.text() else { return Test::Unknown };
    match (key.as_str(), text) {
        ("exact", text) => Test::Exact(text.to_owned()),
        ("prefix", text) => Test::Prefix(text.to_owned()),
        ("regex", "*") => Test::Present(true),
        ("regex", text) => Test::Regex(Pattern::new(text)),
        _ => Test::Unknown,
    }
}

fn number(node: &Node) -> Option<u64> {
    match node.value {
        Value::Number(number) if number >= 0.0 && number.fract() == 0.0 => Some(number as u64),
        _ => None,
    }
}

/// A field of a route; the route itself where it has not that field.
fn place(item: &Node, at: &OwnedPath, field: &str) -> Place {
    match item.entry(field) {
        Some(entry) => Place { path: at.field(field), span: entry.span },
        None => Place { path: at.clone(), span: item.head() },
    }
}
