//! One Envoy's configuration: a listener for each contender, all with the same two clusters behind them.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::contender::{Contender, FILTER, Filter, POLICY_HOST, Routes, WEIGHT};

/// The path that Envoy answers by itself, without an upstream server.
pub(crate) const DIRECT: &str = "/direct";
/// The path that is proxied.
pub(crate) const PROXIED: &str = "/proxied";

const HEADER: &str = "x-coalmine-variant";
const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const FILTER_CONFIG: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
const EARLY: &str =
    "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";

/// The bootstrap, as JSON, which is YAML.
pub(crate) fn bootstrap(
    contenders: &[Contender],
    upstreams: [SocketAddr; 2],
    coalmine: &Path,
    modules: &Path,
) -> Value {
    let listeners: Vec<Value> = contenders.iter().map(|one| listener(one, coalmine, modules)).collect();
    let clusters: Vec<Value> = ["stable", "canary"]
        .into_iter()
        .zip(upstreams)
        .map(|(name, address)| {
            json!({
                "name": name,
                "type": "STATIC",
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": socket(address.port())}}
                ]}]},
            })
        })
        .collect();
    json!({
        "admin": {"address": socket(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

fn socket(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn listener(contender: &Contender, coalmine: &Path, modules: &Path) -> Value {
    let mut filters: Vec<Value> = contender.http_filter(coalmine, modules).into_iter().collect();
    filters.push(json!({"name": "router", "typed_config": {"@type": ROUTER}}));
    let mut hosts = vec![json!({"name": "all", "domains": ["*"], "routes": routes(contender.routes)})];
    if matches!(contender.filter, Filter::Elsewhere(_)) {
        hosts.push(json!({
            "name": "policy",
            "domains": [POLICY_HOST],
            "typed_per_filter_config": {FILTER: {"@type": FILTER_CONFIG, "config": {}}},
            "routes": routes(Routes::Header),
        }));
    }
    let mut manager = json!({
        "@type": CONNECTION_MANAGER,
        "stat_prefix": "bench",
        "http_filters": filters,
        "route_config": {"virtual_hosts": hosts},
    });
    // As it is shipped: a forged header goes before any filter.
    if let (Filter::Coalmine(_) | Filter::Elsewhere(_), Some(manager)) =
        (&contender.filter, manager.as_object_mut())
    {
        let mutation = json!({"@type": EARLY, "mutations": [{"remove": HEADER}]});
        let extension = json!([{"name": "coalmine.remove_forged", "typed_config": mutation}]);
        manager.insert("early_header_mutation_extensions".to_owned(), extension);
    }
    json!({
        "name": contender.name,
        "address": socket(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    })
}

fn routes(routes: Routes) -> Vec<Value> {
    let by_header = json!([{"name": HEADER, "string_match": {"exact": "canary"}}]);
    let answer = |variant: &str| json!({"status": 200, "body": {"inline_string": format!("{variant}\n")}});
    let direct_stable = json!({"match": {"prefix": DIRECT}, "direct_response": answer("stable")});
    let stable = json!({"match": {"prefix": "/"}, "route": {"cluster": "stable"}});
    let clusters = json!([
        {"name": "stable", "weight": 100 - WEIGHT, "request_headers_to_remove": [HEADER]},
        {"name": "canary", "weight": WEIGHT, "request_headers_to_remove": [HEADER]},
    ]);
    match routes {
        Routes::One => vec![direct_stable, stable],
        Routes::Header => vec![
            json!({"match": {"prefix": DIRECT, "headers": by_header}, "direct_response": answer("canary")}),
            direct_stable,
            json!({
                "match": {"prefix": "/", "headers": by_header},
                "route": {"cluster": "canary"},
                "request_headers_to_remove": [HEADER],
            }),
            stable,
        ],
        Routes::Weighted => {
            vec![json!({"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}})]
        }
        Routes::Hashed => vec![json!({"match": {"prefix": "/"}, "route": {
            "hash_policy": [{"header": {"header_name": "x-user-id"}}],
            "weighted_clusters": {"clusters": clusters, "use_hash_policy": true},
        }})],
    }
}
