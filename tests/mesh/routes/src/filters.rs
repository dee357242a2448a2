//! Random EnvoyFilters over the routes of a VirtualService.

use coalmine_envoy_tests::random::Random;
use serde_json::{Value, json};

use crate::case::Names;
use crate::rules::{ROUTE, resource};

/// An EnvoyFilter for the routes of this VirtualService, for some cases.
pub(crate) fn envoy_filter(names: &Names, ours: &str, service: &Value, random: &mut Random) -> Option<Value> {
    if !random.chance(25) {
        return None;
    }
    let count = 1 + random.below(2);
    let patches: Vec<Value> =
        (0..count).map(|index| patch(names, ours, index, &service["spec"], random)).collect();
    let spec = json!({"configPatches": patches});
    Some(resource(names, "networking.istio.io/v1alpha3", "EnvoyFilter", "", spec))
}

fn patch(names: &Names, ours: &str, index: usize, spec: &Value, random: &mut Random) -> Value {
    let routes = spec["http"].as_array().unwrap();
    let is_split = |route: &&Value| route["route"].as_array().is_some_and(|all| all.len() > 1);
    let split: Vec<&Value> = routes.iter().filter(is_split).collect();
    let mut found = json!({});
    let value = match (split.first(), random.below(3)) {
        // Weighted clusters alone may get the name of a header: merged into another route, Envoy would refuse it.
        (Some(route), 0 | 1) => {
            found["route"] = json!({"name": name_of(route)});
            let mut value = json!({
                "match": {"headers": [{"name": ours, "present_match": true}]},
                "route": {"weighted_clusters": {"header_name": ours}},
            });
            if random.chance(50) {
                value["request_headers_to_remove"] = json!([ours]);
            }
            json!({"operation": "MERGE", "value": value})
        }
        _ => {
            if random.chance(40) {
                found["route"] =
                    json!({"name": name_of(routes[random.below(routes.len())..].first().unwrap())});
            }
            other(names, ours, index, found.get("route").is_some(), random)
        }
    };
    let hosts = spec["hosts"].as_array().unwrap().iter().filter_map(Value::as_str);
    // istiod knows a service by its whole name.
    let mut hosts: Vec<String> =
        hosts.map(|host| if host.contains('.') { host.to_owned() } else { names.whole() }).collect();
    hosts.sort_by_key(|host| (host.starts_with('*'), std::cmp::Reverse(host.len()), host.clone()));
    let context = *random.pick(&[&"ANY", &"GATEWAY", &"SIDECAR_OUTBOUND"]);
    // A gateway has one virtual host for all hosts, and calls it by the most specific of them.
    let host = if context == "SIDECAR_OUTBOUND" { random.below(hosts.len()) } else { 0 };
    found["name"] = json!(format!("{}:80", hosts[host]));
    json!({
        "applyTo": "HTTP_ROUTE",
        "match": {
            "context": context,
            "routeConfiguration": {"vhost": found},
        },
        "patch": value,
    })
}

/// A patch that adds a route, changes the conditions of one, or removes it.
fn other(names: &Names, ours: &str, index: usize, is_named: bool, random: &mut Random) -> Value {
    let cluster = format!("outbound|80|{}|{}", random.pick(&["stable", "canary", ""]), names.whole());
    let inserted = json!({
        "name": format!("p{index}"),
        "match": if random.chance(50) {
            json!({"prefix": "/"})
        } else {
            json!({"prefix": "/a", "headers": [{"name": ours, "present_match": true}]})
        },
        "request_headers_to_remove": [ours],
        "response_headers_to_add": [{"header": {"key": ROUTE, "value": "%ROUTE_NAME%"}}],
        "route": {"cluster": cluster},
    });
    match random.below(8) {
        0 => json!({"operation": "INSERT_FIRST", "value": inserted}),
        1 => json!({"operation": "INSERT_BEFORE", "value": inserted}),
        2 | 3 => json!({"operation": "INSERT_AFTER", "value": inserted}),
        4 => json!({"operation": "ADD", "value": inserted}),
        5 if is_named => json!({"operation": "REMOVE"}),
        6 => {
            let value = json!({"match": {"headers": [{"name": ours, "string_match": {"exact": "canary"}}]}});
            json!({"operation": "MERGE", "value": value})
        }
        _ => json!({"operation": "MERGE", "value": {"request_headers_to_remove": [ours]}}),
    }
}

/// The name that istiod gives to the first route that it makes of this item.
fn name_of(route: &Value) -> String {
    let name = route["name"].as_str().unwrap_or_default();
    match route["match"][0]["name"].as_str() {
        Some(more) => format!("{name}.{more}"),
        None => name.to_owned(),
    }
}
