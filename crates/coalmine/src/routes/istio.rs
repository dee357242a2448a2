//! A VirtualService as a table: as istiod makes routes of it.

use coalmine_document::{Entry, Node, OwnedPath, Value};

use super::pattern::Pattern;
use super::{
    Action, Alternative, Condition, Destination, Place, Route, Subject, Switches, Table, Test, VirtualHost,
    Weighted,
};

/// The gateway that stands for the callers' sidecars.
const MESH: &str = "mesh";
/// Fields of a match that have no say in which requests it takes.
const WITHOUT_SAY: [&str; 3] = ["name", "ignoreUriCase", "statPrefix"];

/// The routes for HTTP of this `spec`, of a VirtualService in this namespace.
pub(crate) fn table(spec: &Node, namespace: Option<&str>) -> Table {
    let at = OwnedPath::of(&["spec"]);
    let texts = |field: &str| spec.get(field).map_or(&[][..], Node::items).iter().filter_map(Node::text);
    let domains = texts("hosts").flat_map(|host| domains(host, namespace)).collect();
    let mut gateways: Vec<String> = texts("gateways").map(str::to_owned).collect();
    if gateways.is_empty() {
        gateways.push(MESH.to_owned());
    }
    let path = at.field("http");
    let entry = spec.entry("http");
    let items = entry.map_or(&[][..], |entry| entry.node.items());
    let routes = items.iter().enumerate().map(|(index, item)| route(item, &path.item(index))).collect();
    let span = entry.map_or(spec.span, |entry| entry.span);
    let hosts = vec![VirtualHost { domains, routes, place: Place { path, span }, gateways }];
    Table { hosts, name: None, chain: None }
}

/// The names that reach a host: a service of the mesh has short ones too.
fn domains(host: &str, namespace: Option<&str>) -> Vec<String> {
    let parts: Vec<&str> = host.split('.').collect();
    let (service, namespace) = match parts.as_slice() {
        ["*"] => return vec![host.to_owned()],
        [service] => (*service, namespace),
        [service, namespace, "svc", ..] => (*service, Some(*namespace)),
        _ => return vec![host.to_owned()],
    };
    let Some(namespace) = namespace else { return vec![service.to_owned(), format!("{service}.*")] };
    let longer = ["", ".svc", ".svc.cluster.local"].map(|end| format!("{service}.{namespace}{end}"));
    [service.to_owned()].into_iter().chain(longer).collect()
}

fn route(item: &Node, at: &OwnedPath) -> Route {
    let place = |field: &str| place(item, at, field);
    let matches = item.get("match").map_or(&[][..], Node::items);
    let path = at.field("match");
    let mut alternatives: Vec<Alternative> =
        matches.iter().enumerate().map(|(index, item)| alternative(item, &path.item(index))).collect();
    if alternatives.is_empty() {
        alternatives.push(Alternative { conditions: Vec::new(), place: place("route") });
    }
    let changes = ["rewrite", "headers"].map(|field| item.get(field).cloned().map(Node::without_places));
    Route {
        name: item.text_at(&["name"]).map(str::to_owned),
        alternatives,
        action: action(item, at),
        place: place("route"),
        changes: format!("{changes:?}"),
        removed: removed(item),
        filters: Switches::new(),
    }
}

fn action(item: &Node, at: &OwnedPath) -> Action {
    if item.get("redirect").is_some() || item.get("directResponse").is_some() {
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
        .map(|(index, item)| weighted(item, &path.item(index)))
        .collect();
    all.map_or(Action::Unknown, Action::Weighted)
}

fn weighted(item: &Node, at: &OwnedPath) -> Option<Weighted> {
    let destination = item.get("destination")?;
    Some(Weighted {
        destination: Destination {
            host: destination.text_at(&["host"])?.to_owned(),
            subset: destination.text_at(&["subset"]).map(str::to_owned),
            port: destination.descend(&["port", "number"]).and_then(number),
        },
        weight: item.get("weight").and_then(number).unwrap_or_default(),
        removed: removed(item),
        place: place(item, at, "destination"),
    })
}

/// The request headers that are removed here.
fn removed(item: &Node) -> Vec<String> {
    let names = item.descend(&["headers", "request", "remove"]).map_or(&[][..], Node::items);
    names.iter().filter_map(Node::text).map(str::to_ascii_lowercase).collect()
}

fn alternative(item: &Node, at: &OwnedPath) -> Alternative {
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
            "headers" => conditions.extend(each(&entry.node, &place, header_subject)),
            "withoutHeaders" => {
                conditions.extend(each(&entry.node, &place, header_subject).map(|condition| {
                    // A header that is missing has not this value.
                    let missing_is_empty = !matches!(condition.test, Test::Present(_));
                    Condition { is_inverted: true, missing_is_empty, ..condition }
                }))
            }
            "queryParams" => {
                conditions.extend(each(&entry.node, &place, |name| Subject::Query(name.to_owned())));
            }
            "gateways" if has_gateways => {
                let names = entry.node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
                conditions.push(condition(around("gateway"), Test::OneOf(names)));
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
    Alternative { conditions, place: Place { path: at.clone(), span: item.span } }
}

fn header_subject(name: &str) -> Subject {
    Subject::Header(name.to_ascii_lowercase())
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
