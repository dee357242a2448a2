//! The questions of a case: requests at the boundaries of its conditions, plain and for every variant, at both doors; and
//! what the command's model says of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coalmine_core::Edit;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_document::{Node, json as reader};
use coalmine_envoy_tests::random::Random;
use coalmine_envoy_tests::{USER, compile, user};
use serde_json::{Value, json};

use crate::case::{Case, HEADERS, NAMESPACE, Names};
use crate::rules::version_of;
use routes::{Answer, Destination, Patch, Reached, Request, Subject, Table};

// The model of the server and the command itself.
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "a room of the server, of which this needs a part"
)]
#[path = "../../../../crates/control/src/routes/mod.rs"]
mod routes;

/// How many requests are made at a door, each for some users and for nobody.
const REQUESTS: usize = 9;
const USERS: usize = 3;
/// The port at which most requests come in.
const PORT: u64 = 80;

/// A place where requests come in.
struct Door {
    name: &'static str,
    /// Its name in the `gateways` of a VirtualService.
    gateway: String,
    labels: &'static [(&'static str, &'static str)],
}

/// What the model needs of a case.
struct Model {
    table: Table,
    policy: Policy,
    /// Names of routes, as istiod puts them together, by the place of the alternative.
    names: BTreeMap<String, String>,
    /// The places of routes of which some requests are answered by a fault that is injected.
    faults: BTreeSet<String>,
}

/// The questions of this case, each with what the model says.
pub(crate) fn questions(case: &Case, random: &mut Random) -> Vec<Value> {
    let model = Model::of(case);
    let users = users(&model.policy, random);
    let doors = [
        Door {
            name: "gateway",
            gateway: format!("{NAMESPACE}/shop"),
            labels: &[("istio", "ingressgateway")],
        },
        Door { name: "sidecar", gateway: "mesh".to_owned(), labels: &[("app", "caller"), ("tier", "front")] },
    ];
    let mut questions = Vec::new();
    for door in &doors {
        for plain in requests(case, &model, door, random) {
            let mut some = users.clone();
            random.shuffle(&mut some);
            for user in [None].into_iter().chain(some.into_iter().take(USERS).map(Some)) {
                let sent = user.iter().fold(plain.clone(), |sent, user| sent.with_header(USER, user));
                questions.push(model.question(door, &sent));
            }
        }
    }
    questions
}

/// Some of the requests to the case's hosts that its conditions can tell apart, each as it arrives at this door.
fn requests(case: &Case, model: &Model, door: &Door, random: &mut Random) -> Vec<Request> {
    let mut all = BTreeSet::new();
    for host in hosts(&case.names) {
        let mut of_host = match model.table.virtual_host(&host, Some(&door.gateway)) {
            Some(found) => routes::classes(&host, found, &[], &HEADERS),
            // These tell little.
            None if random.chance(15) => vec![Request::to(&host)],
            None => continue,
        };
        random.shuffle(&mut of_host);
        of_host.truncate(REQUESTS);
        for request in of_host {
            let request = if random.chance(30) { near(&request, random) } else { request };
            // A Service has a second port; other names have none, and the EnvoyFilters are for the first.
            let is_service = case.names.of_service()[..1].contains(&host) || host == case.names.whole();
            let is_patched = case.of_kind("EnvoyFilter").next().is_some();
            let is_second = door.name == "sidecar" && is_service && !is_patched && random.chance(20);
            all.insert(arriving(&request, door, if is_second { 8080 } else { PORT }));
        }
    }
    let mut all: Vec<Request> = all.into_iter().collect();
    random.shuffle(&mut all);
    all.truncate(REQUESTS);
    all
}

fn hosts(names: &Names) -> Vec<String> {
    let more = [
        format!("more.{}.test", names.service),
        names.outside()[0].to_ascii_uppercase(),
        format!("{}.", names.whole()),
    ];
    names.of_service().into_iter().chain(names.outside()).chain(more).collect()
}

/// The request with what is around it at this door, and on no other.
fn arriving(request: &Request, door: &Door, port: u64) -> Request {
    let around = |name: &str| Subject::Around(name.to_owned());
    let mut request = request
        .with(&around("gateway"), Some(&door.gateway))
        .with(&around("port"), Some(&port.to_string()))
        .with(&around("namespace"), Some(NAMESPACE))
        .with(&Subject::Header(":scheme".to_owned()), Some("http"));
    for label in ["app", "tier", "istio"] {
        let value = door.labels.iter().find(|(name, _)| *name == label).map(|(_, value)| *value);
        request = request.with(&around(&format!("label {label}")), value);
    }
    request
}

/// A request that differs a little.
fn near(request: &Request, random: &mut Random) -> Request {
    let subjects = [
        Subject::Path,
        Subject::Header("x-region".to_owned()),
        Subject::Header("x-number".to_owned()),
        Subject::Query("q".to_owned()),
    ];
    let subject = random.pick(&subjects.each_ref());
    let value = request.get(subject).unwrap_or(if *subject == Subject::Path { "/a" } else { "eu" });
    let changed = match random.below(6) {
        0 => format!("{value}x"),
        1 => format!("{value}/"),
        2 => value[..value.len() - value.len().min(1)].to_owned(),
        3 => value.to_ascii_uppercase(),
        4 => String::new(),
        _ => value.repeat(2),
    };
    let is_path = *subject == Subject::Path;
    // A path begins so, and Envoy joins no two of them.
    if is_path && (!changed.starts_with('/') || changed.contains("//")) {
        return request.clone();
    }
    request.with(subject, Some(&changed))
}

/// A user of every variant of every rollout.
fn users(policy: &Policy, random: &mut Random) -> Vec<String> {
    let mut found: BTreeMap<(usize, &str), String> = BTreeMap::new();
    let from = random.below(100);
    for (place, rollout) in policy.rollouts().iter().enumerate() {
        for user in (from..from + 60).map(user) {
            let variant = rollout.assign(Some(user.as_bytes()), Duration::ZERO).variant_name();
            found.entry((place, variant)).or_insert(user);
        }
    }
    let more = (from..from + 2).map(user);
    let all: BTreeSet<String> = found.into_values().chain(more).collect();
    all.into_iter().collect()
}

/// The request as it leaves the filter.
fn filtered(policy: &Policy, sent: &Request) -> Request {
    let plain = StaticRequest::new(sent.method(), sent.host(), &sent.target());
    let plain = sent.headers().fold(plain, |plain, (name, value)| plain.with_header(name, value));
    let outcome = policy.decide(&plain, Duration::ZERO);
    outcome.edits.iter().fold(sent.clone(), |request, edit| match edit {
        Edit::Set(name, value) => request.with_header(name, std::str::from_utf8(value).unwrap()),
        Edit::Remove(name) => request.with(&Subject::Header((*name).to_owned()), None),
    })
}

fn node(value: &Value) -> Node {
    reader::read(value.to_string().as_bytes()).unwrap()
}

// === impl Model ===

impl Model {
    fn of(case: &Case) -> Self {
        let service = case.of_kind("VirtualService").next().unwrap();
        let filters: Vec<Node> = case.of_kind("EnvoyFilter").map(|filter| node(&filter["spec"])).collect();
        let patches: Vec<Patch> = filters.iter().flat_map(routes::patches).collect();
        let table = routes::table_of_istio(&node(&service["spec"]), Some(NAMESPACE)).patched(&patches);
        let policy = compile(&json!({"rollouts": case.rollouts}).to_string()).unwrap();
        let routes = service["spec"]["http"].as_array().unwrap();
        let is_faulty = |route: &Value| route["fault"]["abort"]["percentage"]["value"].as_f64().is_some();
        let faults = routes.iter().enumerate().filter(|(_, route)| is_faulty(route));
        let faults = faults.map(|(index, _)| format!("spec.http[{index}]")).collect();
        Self { table, policy, names: names(&service["spec"]), faults }
    }

    fn question(&self, door: &Door, sent: &Request) -> Value {
        let request = filtered(&self.policy, sent);
        let headers: Vec<[&str; 2]> = sent.headers().map(|(name, value)| [name, value]).collect();
        json!({
            "door": door.name,
            "port": sent.get(&Subject::Around("port".to_owned())).unwrap().parse::<u64>().unwrap(),
            "method": sent.method(),
            "host": sent.host(),
            "target": sent.target(),
            "headers": headers,
            "expected": self.expected(door, &request),
        })
    }

    /// What the model says of a request that has left the filter.
    fn expected(&self, door: &Door, request: &Request) -> Value {
        let Some(host) = self.table.virtual_host(request.host(), Some(&door.gateway)) else {
            return json!({"kind": "elsewhere"});
        };
        let answer = host.answer(request);
        let Answer::Taken { taken, alternative, .. } = answer else {
            return json!({"kind": if matches!(answer, Answer::NotFound) { "notFound" } else { "unknown" }});
        };
        let place = taken.alternatives[alternative].place.path.to_string();
        let place_of = |destination: &Destination| {
            let all = taken.destinations().iter();
            let of = all.filter(|weighted| weighted.destination == *destination);
            of.map(|weighted| weighted.place.path.to_string()).collect::<Vec<String>>()
        };
        let to = |destination: &Destination| {
            json!({
                "host": destination.host,
                "subset": destination.subset,
                "version": destination.subset.as_deref().and_then(version_of),
                "places": place_of(destination),
            })
        };
        let (kind, to) = match answer.reached(request) {
            Reached::One(destination) => ("one", vec![to(&destination)]),
            Reached::Random(all) => ("random", all.iter().map(to).collect()),
            Reached::Nowhere => ("nowhere", Vec::new()),
            Reached::Reply => ("reply", Vec::new()),
            Reached::Unknown => ("unknown", Vec::new()),
        };
        // What the application gets of the headers of the rollouts.
        let ours =
            HEADERS.iter().filter_map(|name| Some((*name, request.headers().find(|it| it.0 == *name)?.1)));
        // Where destinations differ, it is not asked.
        let differs = |name: &str| {
            taken.headers.keep(name).is_none()
                && !taken.removes(name)
                && taken.in_use().any(|weighted| weighted.headers.keep(name) == Some(false))
        };
        let kept: BTreeMap<&str, bool> =
            ours.filter(|(name, _)| !differs(name)).map(|(name, _)| (name, !taken.removes(name))).collect();
        json!({
            "kind": kind,
            "route": self.names.get(&place).unwrap_or_else(|| panic!("no name for the route at {place}")),
            "to": to,
            "mayFail": self.faults.contains(&taken.at.to_string()),
            "kept": kept,
        })
    }
}

/// The names of routes, by the place of their alternatives.
fn names(spec: &Value) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let empty = Vec::new();
    for (index, route) in spec["http"].as_array().unwrap_or(&empty).iter().enumerate() {
        let name = route["name"].as_str().unwrap_or_default();
        let place = format!("spec.http[{index}]");
        for at in ["", ".route"] {
            names.insert(format!("{place}{at}"), name.to_owned());
        }
        for (at, item) in route["match"].as_array().unwrap_or(&empty).iter().enumerate() {
            let name = item["name"].as_str().map_or_else(|| name.to_owned(), |more| format!("{name}.{more}"));
            names.insert(format!("{place}.match[{at}]"), name);
        }
    }
    for index in 0..2 {
        names.insert(format!("spec.configPatches[{index}].patch.value.match"), format!("p{index}"));
    }
    names
}
