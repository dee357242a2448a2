//! Random rules: the VirtualService, and the DestinationRules for its Service.

use coalmine_envoy_tests::random::Random;
use serde_json::{Value, json};

use crate::case::{NAMESPACE, Names, OTHER, whole};
use crate::conditions;

/// The header of a response that names the route.
pub(crate) const ROUTE: &str = "x-route";
/// Subsets, and the version of their pods. No DestinationRule has the last one.
const SUBSETS: [(&str, &str); 5] =
    [("stable", "stable"), ("canary", "canary"), ("baseline", "baseline"), ("v2", "canary"), ("gone", "")];

/// A resource of this kind, with the names of the case.
pub(crate) fn resource(names: &Names, api: &str, kind: &str, suffix: &str, spec: Value) -> Value {
    json!({
        "apiVersion": api,
        "kind": kind,
        "metadata": {
            "name": format!("{}{suffix}", names.service),
            "namespace": NAMESPACE,
            "labels": {"coalmine-routes": "case"},
        },
        "spec": spec,
    })
}

/// The Service over all versions.
pub(crate) fn service(names: &Names) -> Value {
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": 9898, "appProtocol": "http"});
    let spec = json!({"selector": {"app": "shop"}, "ports": [port("http", 80), port("http-more", 8080)]});
    resource(names, "v1", "Service", "", spec)
}

/// The version of this subset's pods.
pub(crate) fn version_of(subset: &str) -> Option<&'static str> {
    SUBSETS.iter().find(|(name, _)| *name == subset).map(|(_, version)| *version)
}

/// One DestinationRule or two, or none: the Service's subsets, not always all of them, under one of its names.
pub(crate) fn destination_rules(names: &Names, random: &mut Random) -> Vec<Value> {
    let mut subsets: Vec<Value> = SUBSETS[..4]
        .iter()
        .filter(|_| random.chance(90))
        .map(|(name, version)| json!({"name": name, "labels": {"version": version}}))
        .collect();
    let rule = |suffix: &str, subsets: Vec<Value>, random: &mut Random| {
        let [short, two, three, whole] = names.of_service();
        let host = match random.below(30) {
            0 => two,
            1 => three,
            2..15 => short,
            _ => whole,
        };
        let spec = json!({"host": host, "subsets": subsets});
        resource(names, "networking.istio.io/v1", "DestinationRule", suffix, spec)
    };
    match random.below(30) {
        0 => Vec::new(),
        1..7 => {
            let second = subsets.split_off(subsets.len() / 2);
            vec![rule("", subsets, random), rule("-more", second, random)]
        }
        _ => vec![rule("", subsets, random)],
    }
}

/// The VirtualService.
pub(crate) fn virtual_service(names: &Names, ours: &str, random: &mut Random) -> Value {
    let [short, two, three, whole] = names.of_service();
    let [plain, www, _, test] = names.outside();
    let below = format!("*.{plain}");
    let mut hosts: Vec<String> = match random.below(8) {
        0 => vec![two],
        1 => vec![three, plain],
        2 | 3 => vec![short],
        4 => vec![plain, test],
        _ => vec![whole],
    };
    for more in [if random.chance(50) { www } else { below }, format!("more.{}.test", names.service)] {
        if random.chance(40) {
            hosts.push(more);
        }
    }
    random.shuffle(&mut hosts);
    let count = 1 + random.below(6);
    let mut http: Vec<Value> = (0..count).map(|index| route(names, index, ours, random)).collect();
    if let (Some(last), true) = (http.last_mut(), random.chance(65)) {
        match random.below(4) {
            0 => last["match"] = json!([{"uri": {"prefix": "/"}}]),
            1 => last["match"] = json!([{"uri": {"regex": ".*"}}, {"uri": {"exact": "/a"}}]),
            _ => {
                last.as_object_mut().unwrap().remove("match");
            }
        }
    }
    let mut spec = json!({"hosts": hosts, "http": http});
    match random.below(10) {
        0 => {}
        1 => spec["gateways"] = json!(["mesh"]),
        2 => spec["gateways"] = json!(["shop"]),
        3 | 4 => spec["gateways"] = json!(["shop", "mesh"]),
        _ => spec["gateways"] = json!(["mesh", format!("{NAMESPACE}/shop")]),
    }
    resource(names, "networking.istio.io/v1", "VirtualService", "", spec)
}

fn route(names: &Names, index: usize, ours: &str, random: &mut Random) -> Value {
    let count = 1 + usize::from(random.chance(30));
    let items: Vec<Value> = (0..count).map(|_| conditions::item(names, ours, random)).collect();
    let mut route = json!({
        "name": format!("r{index}"),
        "match": items,
        // The route's name, as istiod puts it together.
        "headers": {"response": {"set": {ROUTE: "%ROUTE_NAME%"}}},
    });
    if random.chance(50) {
        route["headers"]["request"]["remove"] = json!([ours]);
    }
    if random.chance(10) {
        route["headers"]["request"]["set"] = json!({ours: "set"});
    }
    match random.below(36) {
        0 => route["redirect"] = json!({"uri": "/elsewhere", "redirectCode": 302}),
        1 => route["directResponse"] = json!({"status": 418}),
        2 => route["delegate"] = json!({"name": format!("{}-none", names.service), "namespace": NAMESPACE}),
        3..12 => route["route"] = several(names, ours, random),
        _ => {
            let mut one = destination(names, random);
            if random.chance(10) {
                one["weight"] = json!(random.pick(&[&0, &100]));
            }
            if random.chance(15) {
                one["headers"] = of_destination(ours, random);
            }
            route["route"] = json!([one]);
        }
    }
    if route.get("route").is_some() {
        match random.below(20) {
            0 => route["rewrite"] = json!({"uri": "/rewritten"}),
            1 => route["rewrite"] = json!({"authority": "rewritten.example"}),
            2 => route["fault"] = json!({"abort": {"percentage": {"value": 100}, "httpStatus": 555}}),
            3 => route["fault"] = json!({"abort": {"percentage": {"value": 50}, "httpStatus": 555}}),
            4 => route["fault"] = json!({"delay": {"percentage": {"value": 100}, "fixedDelay": "0.001s"}}),
            5 => route["mirror"] = json!({"host": names.whole()}),
            6 => route["timeout"] = json!("5s"),
            _ => {}
        }
    }
    route
}

/// Two destinations or three, and their weights.
fn several(names: &Names, ours: &str, random: &mut Random) -> Value {
    let count = 2 + random.below(2);
    let mut all: Vec<Value> = (0..count).map(|_| destination(names, random)).collect();
    for one in &mut all {
        one["weight"] = json!(random.below(4) * 10);
        if random.chance(20) {
            one["headers"] = of_destination(ours, random);
        }
    }
    if all.iter().all(|one| one["weight"] == 0) {
        all[0]["weight"] = json!(10);
    }
    json!(all)
}

/// What is done to the headers for one destination alone.
fn of_destination(ours: &str, random: &mut Random) -> Value {
    match random.below(3) {
        0 => json!({"request": {"set": {ours: "of-destination"}}}),
        1 => json!({"request": {"add": {"x-of-destination": "1"}}}),
        _ => json!({"request": {"remove": [ours]}}),
    }
}

fn destination(names: &Names, random: &mut Random) -> Value {
    let [short, two, _, whole_name] = names.of_service();
    let mut destination = match random.below(30) {
        0 => json!({"host": two}),
        1 => return json!({"destination": {"host": OTHER}}),
        2 => return json!({"destination": {"host": whole(OTHER), "port": {"number": 80}}}),
        3..13 => json!({"host": short}),
        _ => json!({"host": whole_name}),
    };
    let subset = random.below(14).min(SUBSETS.len() * 2 + 2);
    match subset {
        0..10 => destination["subset"] = json!(SUBSETS[subset.min(7) / 2].0),
        10 => destination["subset"] = json!("gone"),
        _ => {}
    }
    if random.chance(15) {
        destination["port"] = json!({"number": random.pick(&[&80, &8080])});
    }
    json!({"destination": destination})
}

/// Puts something into a VirtualService for which Istio's validation refuses it.
pub(crate) fn spoil(names: &Names, service: &mut Value, random: &mut Random) {
    let spec = &mut service["spec"];
    let [plain, www, ..] = names.outside();
    let route = &mut spec["http"][0];
    let pattern = random.pick(&["(?!x)y", "[a", "/a**", "(", "*a", "(?<=a)b", "a\\", ")", "a{3,1}", "*"]);
    match random.below(14) {
        0 | 1 => route["match"] = json!([{"uri": {"regex": pattern}}]),
        2 => route["match"] = json!([{"headers": {"x-region": {"regex": pattern}}}]),
        3 => route["match"] = json!([{"withoutHeaders": {"x-region": {"regex": pattern}}}]),
        4 => route["match"] = json!([{"queryParams": {"q": {"regex": pattern}}}]),
        5 => route["match"] = json!([{"headers": {"x-region": {"prefix": ""}}}]),
        6 => route["match"] = json!([{"method": {"regex": ""}}]),
        7 => {
            let [one, other] = ["stable", "canary"]
                .map(|subset| json!({"destination": {"host": names.service, "subset": subset}}));
            *route = json!({"route": [one, other]});
        }
        8 => {
            let destination = json!({"destination": {"host": names.service}});
            *route = json!({"redirect": {"uri": "/elsewhere"}, "route": [destination]});
        }
        9 => *route = json!({"match": [{"uri": {"prefix": "/"}}]}),
        10 => {
            spec["hosts"] = json!(["*"]);
            spec["gateways"] = json!(["mesh", format!("{NAMESPACE}/shop")]);
        }
        11 => spec["hosts"] = json!([format!("*.{plain}"), www]),
        12 => *route = json!({"route": [{"destination": {"host": names.service, "subset": "Not_A_Name"}}]}),
        _ => *route = json!({"directResponse": {"status": 99}}),
    }
}
