//! What `coalmine validate` knows of routes, held against Envoy: random route tables and policies, and for requests of
//! every variant whether the filter runs, the route that takes them and the destination that they reach.
//!
//! `COALMINE_TABLES` says how many tables, `COALMINE_SEED` which ones.

mod case;

/// The model of the server and the command itself.
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "a room of the server, of which this needs a part"
)]
#[path = "../../../../crates/control/src/routes/mod.rs"]
mod routes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use coalmine_core::Edit;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_document::{Node, json};
use coalmine_envoy_tests::{USER, compile, user};
use coalmine_harness::{Connection, Lab, PolicyFile, Protocol, Server, tools};
use http_body_util::Empty;
use hyper::body::Bytes;
use serde_json::{Value, json};

use case::Case;
use coalmine_envoy_tests::random::Random;
use routes::{Answer, Reached, Request, Table, Truth};

const TABLES: usize = 30;
const SEED: u64 = 20_261_125;
/// How many tables one Envoy has, each with a listener of its own.
const TOGETHER: usize = 50;
/// How many requests of a table are sent, for each of the users.
const REQUESTS: usize = 16;
const EXAMPLE: &str = "envoy/cluster-header";

/// What the model said, and how often Envoy did the same.
#[derive(Debug, Default)]
struct Count {
    requests: usize,
    unknown: usize,
    /// How many the filter did not see.
    off: usize,
    by: BTreeMap<&'static str, usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_of_routes_is_what_envoy_does() {
    let tables: usize = tools::number("COALMINE_TABLES", TABLES).unwrap();
    let seed = tools::number("COALMINE_SEED", SEED).unwrap();
    let mut random = Random::new(seed);
    let cases: Vec<Case> = (0..tables).map(|_| Case::of(&mut random)).collect();
    let mut count = Count::default();
    for cases in cases.chunks(TOGETHER) {
        some(cases, &mut random, &mut count).await;
    }
    println!("seed {seed}: {tables} tables, {count:?}: no difference");
    assert!(count.unknown * 10 <= count.requests, "too much is unknown: {count:?}");
    assert!(count.off * 20 >= count.requests, "the filter runs nearly everywhere: {count:?}");
}

async fn some(cases: &[Case], random: &mut Random, count: &mut Count) {
    let baseline = Server::start("baseline", 0).await.unwrap();
    let port = format!("port_value: {}", baseline.address().port());
    let listeners: String =
        cases.iter().enumerate().map(|(index, case)| format!("  - {}\n", listener(index, case))).collect();
    let lab = Lab::example(EXAMPLE).unwrap();
    let lab = lab.edit(|bootstrap| bootstrap.replace("port_value: 8083", &port)).unwrap();
    let anchor = "  clusters:\n  - name: stable\n";
    let lab = lab.edit(|bootstrap| bootstrap.replace(anchor, &format!("{listeners}{anchor}"))).unwrap();
    let lab = lab.without_access_log().start(&PolicyFile::policy_of(EXAMPLE).unwrap()).await.unwrap();
    let known: Value =
        serde_json::from_str(&lab.envoy().admin("/listeners?format=json").await.unwrap()).unwrap();
    let addresses: BTreeMap<&str, SocketAddr> = known["listener_statuses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|status| {
            let address = &status["local_address"]["socket_address"];
            let ip = address["address"].as_str().unwrap().parse().unwrap();
            let port = address["port_value"].as_u64().unwrap() as u16;
            (status["name"].as_str().unwrap(), SocketAddr::new(ip, port))
        })
        .collect();
    for (index, case) in cases.iter().enumerate() {
        one(case, addresses[format!("t{index}").as_str()], random, count).await;
    }
}

/// A listener with this table behind the filter with this policy.
fn listener(index: usize, case: &Case) -> Value {
    let name = format!("t{index}");
    let (api, filter) = ("type.googleapis.com/envoy.extensions.filters", tools::filter().unwrap());
    let wasm = json!({
        "@type": format!("{api}.http.wasm.v3.Wasm"),
        "config": {
            "name": name,
            "root_id": name,
            "vm_config": {
                "vm_id": "tables",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": filter.display().to_string()}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": case.policy.to_string()},
        },
    });
    let manager = json!({
        "@type": format!("{api}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "route_config": case.table,
        "http_filters": [
            {"name": case::FILTER, "disabled": case.is_disabled, "typed_config": wasm},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": format!("{api}.http.router.v3.Router")},
            },
        ],
    });
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{
            "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
        }],
    })
}

async fn one(case: &Case, address: SocketAddr, random: &mut Random, count: &mut Count) {
    let policy = compile(&case.policy.to_string()).unwrap();
    let document = node(&case.table);
    let table = routes::tables_of_envoy(&document).remove(0);
    let manager = node(&json!({"http_filters": [{"name": case::FILTER, "disabled": case.is_disabled}]}));
    let chain = routes::chains(&manager).remove(0);
    let users = users(&policy);
    let mut connection = Connection::open(address, Protocol::Http1).await.unwrap();
    for plain in requests(&table, &policy, random) {
        for user in &users {
            let sent = user.iter().fold(plain.clone(), |sent, user| sent.with_header(USER, user));
            let host = table.virtual_host(sent.host(), None);
            let answer = |request: &Request| host.map_or(Answer::NotFound, |host| host.answer(request));
            count.requests += 1;
            let routed = match chain.runs(&answer(&sent)) {
                Truth::Yes => Some(filtered(&policy, &sent)),
                Truth::No => Some(sent.clone()),
                Truth::Unknown => None,
            };
            let answer = routed.as_ref().map_or(Answer::Unknown, answer);
            let (Some(routed), false) = (routed.as_ref(), matches!(answer, Answer::Unknown)) else {
                count.unknown += 1;
                continue;
            };
            count.off += usize::from(*routed == sent && filtered(&policy, &sent) != sent);
            let reached = answer.reached(routed);
            let real = ask(&mut connection, &sent).await;
            let route = match answer {
                Answer::Taken { taken, .. } => Some(taken.place.path.to_string()),
                _ => None,
            };
            let same_route = real.route.as_deref().map(|route| format!("{route}.match")) == route;
            let (kind, same) = match &reached {
                Reached::One(destination) => ("one", real.body == destination.host),
                Reached::Random(all) => {
                    ("random", all.iter().any(|destination| destination.host == real.body))
                }
                // Envoy's own answer to a cluster that is not named has no header of the route.
                Reached::Nowhere => ("nowhere", real.status == 404 || real.status == 503),
                Reached::Reply if route.is_none() => ("notFound", real.status == 404),
                Reached::Reply => ("reply", real.status == 418),
                Reached::Unknown => ("unknown", true),
            };
            let same_route = same_route || reached == Reached::Nowhere && real.route.is_none();
            assert!(
                same && same_route,
                "{sent} to {} by {user:?}: the model says {reached:?} by {route:?}, Envoy {real:?}\n{}\n{}",
                sent.host(),
                case.policy,
                case.table
            );
            *count.by.entry(kind).or_default() += 1;
        }
    }
}

/// Some of the requests that the conditions of this table and this policy can tell apart.
fn requests(table: &Table, policy: &Policy, random: &mut Random) -> Vec<Request> {
    let ours: Vec<&str> = policy.rollouts().iter().map(|rollout| rollout.route().header()).collect();
    let mut all = Vec::new();
    for host in case::HOSTS {
        match table.virtual_host(host, None) {
            Some(found) => all.extend(routes::classes(host, found, &[], &ours)),
            None => all.push(Request::to(host)),
        }
    }
    random.shuffle(&mut all);
    all.truncate(REQUESTS);
    all
}

/// A user of each variant that somebody gets, and nobody.
fn users(policy: &Policy) -> Vec<Option<String>> {
    let rollout = &policy.rollouts()[0];
    let mut by_variant: BTreeMap<&str, String> = BTreeMap::new();
    for user in (0..500).map(user) {
        let variant = rollout.assign(Some(user.as_bytes()), Duration::ZERO).variant_name();
        by_variant.entry(variant).or_insert(user);
    }
    // Two where the route knows the variant.
    let more = (0..2).map(user).filter(|_| by_variant.len() == 1);
    [None].into_iter().chain(by_variant.values().cloned().chain(more).map(Some)).collect()
}

/// The request as it leaves the filter.
fn filtered(policy: &Policy, sent: &Request) -> Request {
    let plain = StaticRequest::new(sent.method(), sent.host(), &sent.target());
    let plain = sent.headers().fold(plain, |plain, (name, value)| plain.with_header(name, value));
    let outcome = policy.decide(&plain, Duration::ZERO);
    outcome.edits.iter().fold(sent.clone(), |request, edit| match edit {
        Edit::Set(name, value) => request.with_header(name, std::str::from_utf8(value).unwrap()),
        Edit::Remove(name) => request.with(&routes::Subject::Header((*name).to_owned()), None),
    })
}

/// What Envoy did.
#[derive(Debug)]
struct Real {
    status: u16,
    body: String,
    /// The path of the route in the table, where one took the request.
    route: Option<String>,
}

async fn ask(connection: &mut Connection, request: &Request) -> Real {
    let mut sent = hyper::Request::builder().method(request.method()).uri(request.target());
    sent = sent.header("host", request.host());
    for (name, value) in request.headers() {
        sent = sent.header(name, value);
    }
    let answer = connection.send(sent.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    // An upstream server says its name, and which header it was sent.
    let body = String::from_utf8_lossy(&answer.body);
    let body = body.split([',', '\n']).next().unwrap_or_default().to_owned();
    let route = answer.headers.get(case::ROUTE).map(|route| route.to_str().unwrap().to_owned());
    Real { status: answer.status.as_u16(), body, route }
}

fn node(value: &Value) -> Node {
    json::read(value.to_string().as_bytes()).unwrap()
}
