//! The proxy's configuration: what `envoy/streams` has, and routes for every kind of request.

use coalmine_harness::Bootstrap;
use serde_json::{Value, json};
use std::net::SocketAddr;

use super::HOST;
use super::kinds::{TIMEOUT, TRY_TIMEOUT};

pub(super) const EXAMPLE: &str = "envoy/streams";
const VARIANTS: [&str; 2] = ["canary", "stable"];

/// What the access log tells beside what it tells already. The clock is read right before and behind the filter, on the
/// way in and on the way out: the filter's own readings lie between these.
const LOGGED: &str = "                  kind: '%REQ(X-KIND)%'
                  sort: '%REQ(X-SORT)%'
                  user: '%REQ(X-USER-ID)%'
                  type: '%REQ(CONTENT-TYPE)%'
                  flags: '%RESPONSE_FLAGS%'
                  details: '%RESPONSE_CODE_DETAILS%'
                  header: '%RESP(GRPC-STATUS)%'
                  trailer: '%TRAILER(GRPC-STATUS)%'
                  start: '%START_TIME(%s%6f)%'
                  duration: '%DURATION%'
                  began_before: '%DYNAMIC_METADATA(before:began)%'
                  began_behind: '%DYNAMIC_METADATA(behind:began)%'
                  answered_before: '%DYNAMIC_METADATA(before:answered)%'
                  answered_behind: '%DYNAMIC_METADATA(behind:answered)%'
";

/// A filter that reads the clock, in microseconds.
fn clock(name: &str) -> Value {
    let note = |key: &str| {
        let time = "handle:timestampString(EnvoyTimestampResolution.MICROSECOND)";
        format!("handle:streamInfo():dynamicMetadata():set('{name}', '{key}', {time})")
    };
    let (began, answered) = (note("began"), note("answered"));
    let source = format!(
        "function envoy_on_request(handle) {began} end function envoy_on_response(handle) {answered} end"
    );
    let kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
    json!({"name": name, "typed_config": {"@type": kind, "default_source_code": {"inline_string": source}}})
}

/// Changes the configuration so. Nobody listens at `refused`.
pub(super) fn edit(bootstrap: &mut Bootstrap, refused: SocketAddr) -> anyhow::Result<&mut Bootstrap> {
    for variant in VARIANTS {
        let old = format!("{{cluster: {variant}, timeout: 0s}}");
        bootstrap.replace(&old, &action(variant, json!({"timeout": "0s"})).to_string())?;
        // Of tries: else some are left out.
        let cluster = format!("  - name: {variant}\n");
        let breakers = "    circuit_breakers: {thresholds: [{max_retries: 10000}]}\n";
        bootstrap.replace(&cluster, &format!("{cluster}{breakers}"))?;
    }
    let routes: String = routes().iter().map(|route| format!("              - {route}\n")).collect();
    let upstream = format!("127.0.0.1, port_value: {}", refused.port());
    let clusters = [cluster("nowhere", None), cluster("refused", Some(&upstream))].concat();
    let http10 = format!("{{accept_http_10: true, default_host_for_http_10: {HOST}}}");
    let mut insert =
        |before: &str, text: &str| bootstrap.replace(before, &format!("{text}{before}")).map(|_| ());
    insert("              routes:\n", "              include_request_attempt_count: true\n")?;
    insert("          - name: coalmine\n", &format!("          - {}\n", clock("before")))?;
    insert("          - name: envoy.filters.http.router\n", &format!("          - {}\n", clock("behind")))?;
    insert("          http_filters:\n", &format!("          http_protocol_options: {http10}\n"))?;
    insert("static_resources:\n", "stats_flush_interval: 0.5s\n")?;
    insert("  - name: stable\n", &clusters)?;
    insert("                  code: '%RESPONSE_CODE%'\n", LOGGED)?;
    bootstrap.replace("              routes:\n", &format!("              routes:\n{routes}"))
}

fn cluster(name: &str, upstream: Option<&str>) -> String {
    let endpoint = upstream
        .map(|address| format!("{{endpoint: {{address: {{socket_address: {{address: {address}}}}}}}}}"));
    let endpoint = endpoint.unwrap_or_default();
    format!(
        "  - name: {name}\n    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}\n"
    )
}

/// A route action to this cluster. Every one follows a redirect once.
fn action(cluster: &str, more: Value) -> Value {
    let mut action = json!({"cluster": cluster, "internal_redirect_policy": {"max_internal_redirects": 1}});
    if let (Some(action), Value::Object(more)) = (action.as_object_mut(), more) {
        action.extend(more);
    }
    action
}

fn routes() -> Vec<Value> {
    let seconds = |time: std::time::Duration| format!("{}s", time.as_secs_f64());
    let (timeout, try_timeout) = (seconds(TIMEOUT), seconds(TRY_TIMEOUT));
    let again = json!({
        "timeout": "0s",
        "retry_policy": {
            "retry_on": "5xx,unavailable",
            "num_retries": 2,
            "per_try_timeout": try_timeout,
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        },
    });
    let actions = [
        ("/timeout/", json!({"timeout": timeout})),
        ("/idle/", json!({"timeout": "0s", "idle_timeout": timeout})),
        ("/duration/", json!({"timeout": "0s", "max_stream_duration": {"max_stream_duration": timeout}})),
        ("/again/", again),
    ];
    let canary = json!([{"name": "x-coalmine-variant", "string_match": {"exact": "canary"}}]);
    let mut routes = Vec::new();
    for (prefix, more) in actions {
        routes.push(
            json!({"match": {"prefix": prefix, "headers": canary}, "route": action("canary", more.clone())}),
        );
        routes.push(json!({"match": {"prefix": prefix}, "route": action("stable", more)}));
    }
    for cluster in ["nowhere", "refused"] {
        routes.push(json!({"match": {"path": format!("/{cluster}")}, "route": {"cluster": cluster}}));
    }
    routes.push(json!({"match": {"path": "/direct"}, "direct_response": {"status": 403}}));
    routes
}
