//! A filter that Envoy runs for some hosts only: the policy and the routes have to agree with that.

use std::path::PathBuf;

use insta::assert_snapshot;

use crate::harness::{Lab, Run};
use crate::routes::found;

const POLICY: &str = "\
rollouts:
- name: checkout
  match: {hosts: [shop.example, \"*.eu.example\"]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}]
";

/// Both keys are written where a case puts them; without them, the filter runs.
const ON: &str = "typed_per_filter_config: {coalmine: {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}}";
const OFF: &str = "typed_per_filter_config: {coalmine: {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}";

/// A default for which the filter runs for half of the requests, drawn anew for each of them.
const OFF_FOR_HALF: &str = "route: {weighted_clusters: {clusters: [{name: stable, typed_per_filter_config: {coalmine: \
     {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}}, {name: stable}]}}";

/// A listener before two virtual hosts, one with the routes of the rollout. `{..}` stand for what a case says of the
/// filter there.
const LISTENER: &str = "\
static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          {early}: []
          http_filters:
          - name: coalmine
            {filter}
            config_discovery: {type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]}
          - name: envoy.filters.http.router
          route_config:
            request_headers_to_remove: [x-coalmine-variant]
            {table}
            virtual_hosts:
            - name: shop
              domains: [shop.example, \"*.eu.example\"]
              {shop}
              routes:
              - match: {prefix: /health}
                {health}
                route: {cluster: stable}
              - match: {prefix: /, headers: [{name: x-coalmine-variant, string_match: {exact: canary}}]}
                {canary}
                route: {cluster: canary}
              - match: {prefix: /}
                {stable}
                route: {cluster: stable} # the default
            - name: other
              domains: [other.example]
              {other}
              routes:
              - match: {prefix: /}
                route: {cluster: other}
";

const EARLY: &str =
    "early_header_mutation_extensions: [{typed_config: {mutations: [{remove: x-coalmine-variant}]}}]";
/// A second route by the header, on the other virtual host.
const COPIED: (&str, &str) = (
    "                route: {cluster: other}\n",
    "                route: {cluster: other}
              - match: {path: /x, headers: [{name: x-coalmine-variant, present_match: true}]}
                route: {cluster: canary}\n",
);

/// The listener with these texts at these places.
fn listener(texts: &[(&str, &str)]) -> String {
    let mut text = LISTENER.replace("{early}: []", "{early}");
    for (place, given) in texts {
        text = text.replace(&format!("{{{place}}}"), given);
    }
    for place in ["early", "filter", "table", "shop", "health", "canary", "stable", "other"] {
        text = text.replace(&format!("{{{place}}}"), "");
    }
    text
}

/// What is found, without what all places begin with.
fn places(listener: &str) -> Vec<String> {
    let lab = Lab::new().with("policy.yaml", POLICY).with("bootstrap.yaml", listener);
    let files = ["policy.yaml", "bootstrap.yaml"].map(|name| lab.path().join(name));
    found(&files).into_iter().map(|found| found.replace(TABLE, "")).collect()
}

fn validate(listener: &str) -> Run {
    let lab = Lab::new().with("policy.yaml", POLICY).with("bootstrap.yaml", listener);
    lab.run("validate policy.yaml bootstrap.yaml")
}

const TABLE: &str =
    "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts";
const DISABLED: (&str, &str) = ("filter", "disabled: true");
/// Users of the rollout's hosts are not drawn.
const SHOP: &str = "error filterDisabled [0].routes";

/// Texts at places, and what is to be found then.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

fn check(cases: &[Case]) {
    for (texts, expected) in cases {
        assert_eq!(places(&listener(texts)), *expected, "{texts:?}");
    }
}

#[test]
fn the_most_specific_word_decides() {
    check(&[
        (&[], &[]),
        (&[DISABLED], &[SHOP]),
        (&[DISABLED, ("shop", ON)], &[]),
        (&[DISABLED, ("table", ON)], &[]),
        (&[DISABLED, ("table", ON), ("shop", OFF)], &[SHOP]),
        (&[("shop", OFF)], &[SHOP]),
        (&[("table", OFF)], &[SHOP]),
        (&[("table", OFF), ("shop", ON)], &[]),
        (&[("other", OFF)], &[]),
        (&[DISABLED, ("other", ON)], &[SHOP]),
    ]);
}

/// A host that lies below one of the policy's, and is taken out of it.
#[test]
fn a_host_without_a_canary_does_without_the_filter() {
    let lies_below =
        |texts: &[(&str, &str)]| places(&listener(texts).replace("[other.example]", "[static.eu.example]"));
    assert_eq!(lies_below(&[]), ["error notObeyed [1].routes"]);
    assert_eq!(lies_below(&[("other", OFF)]), [] as [&str; 0]);
    assert_eq!(lies_below(&[DISABLED, ("shop", ON)]), [] as [&str; 0]);
}

/// Envoy decides by the route that takes the request first, which is the one without the header.
#[test]
fn the_route_that_takes_a_request_first_decides() {
    check(&[
        (&[DISABLED, ("canary", ON)], &[SHOP]),
        (&[DISABLED, ("stable", ON), ("early", EARLY)], &[]),
        // A client's own header leads to a route where nothing removes it.
        (&[DISABLED, ("stable", ON)], &["error filterDisabled [0].routes[1].match"]),
        (&[("canary", OFF)], &["error filterDisabled [0].routes[1].match"]),
        (&[("canary", OFF), ("early", EARLY)], &[]),
        (&[("stable", OFF)], &["error filterDisabled [0].routes[2].match"]),
        // Probes do without the filter.
        (&[("health", OFF)], &[]),
    ]);
    let half = listener(&[]).replace("route: {cluster: stable} # the default", OFF_FOR_HALF);
    assert_eq!(places(&half), [] as [&str; 0]);
}

#[test]
fn a_route_by_the_header_needs_the_filter() {
    let copied = |texts: &[(&str, &str)]| places(&listener(texts).replace(COPIED.0, COPIED.1));
    let other = "error filterDisabled [1].routes[1].match";
    // A route by the header behind one that takes everything: as long as it is there, the rest of its mistakes count.
    assert_eq!(copied(&[DISABLED, ("shop", ON)]), [other]);
    assert_eq!(copied(&[DISABLED, ("shop", ON), ("early", EARLY)]), [other]);
    assert_eq!(copied(&[("other", OFF)]), [other]);
    assert_eq!(copied(&[DISABLED]), [SHOP, other]);
    let by_cluster = COPIED.1.replace("cluster: canary", "cluster_header: x-coalmine-variant");
    let by_cluster = listener(&[("other", OFF)]).replace(COPIED.0, &by_cluster);
    assert_eq!(places(&by_cluster), [other]);
    // One that asks for requests without the header is stable's.
    let absent = COPIED.1.replace("present_match: true", "present_match: false");
    assert_eq!(places(&listener(&[("other", OFF)]).replace(COPIED.0, &absent)), [] as [&str; 0]);
}

/// A rollout for every host is meant for those that have the filter, as long as there are any.
#[test]
fn a_rollout_for_every_host() {
    let all = POLICY.replace("  match: {hosts: [shop.example, \"*.eu.example\"]}\n", "");
    let found = |texts: &[(&str, &str)]| {
        let lab = Lab::new().with("policy.yaml", &all).with("bootstrap.yaml", listener(texts));
        let files = ["policy.yaml", "bootstrap.yaml"].map(|name| lab.path().join(name));
        found(&files).into_iter().map(|found| found.replace(TABLE, "")).collect::<Vec<_>>()
    };
    assert_eq!(found(&[DISABLED, ("shop", ON)]), [] as [&str; 0]);
    assert_eq!(found(&[DISABLED]), [SHOP, "error filterDisabled [1].routes"]);
}

/// A rollout that is switched off draws nobody anyway; a route by its header is as open as ever.
#[test]
fn a_rollout_that_is_switched_off() {
    let off = POLICY.replace("- name: checkout\n", "- name: checkout\n  enabled: false\n");
    let lab = Lab::new().with("policy.yaml", off).with("bootstrap.yaml", listener(&[DISABLED]));
    let run = lab.run("validate policy.yaml bootstrap.yaml");
    assert!(run.stdout.contains("routes[1].match: the filter is disabled"), "{run}");
    assert!(run.stdout.contains("bootstrap.yaml: 1 problem\n"), "{run}");
}

/// The filter is found by its policy, by the name under which discovery brings it, or by its own.
#[test]
fn the_filter_may_have_any_name() {
    let named = |text: &str| text.replace("coalmine: {", "split: {").replace("name: coalmine", "name: split");
    let resource = "\
resources:
- \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: split
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      configuration:
        \"@type\": type.googleapis.com/google.protobuf.StringValue
        value: |
";
    let policy = "{\"rollouts\": [{\"name\": \"checkout\", \"match\": {\"hosts\": [\"shop.example\"]},\n\
                  \"identity\": [{\"header\": \"x\"}], \"variants\": [{\"name\": \"canary\", \"weight\": 5}]}]}";
    let discovered = format!("{resource}          {}\n", policy.replace('\n', "\n          "));
    let inline = format!(
        "typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, config: \
         {{configuration: {{\"@type\": type.googleapis.com/google.protobuf.StringValue, value: '{}'}}}}}}",
        policy.replace('\n', " ")
    );
    for (texts, expected) in [(vec![DISABLED], vec![SHOP]), (vec![DISABLED, ("shop", ON)], vec![])] {
        let bootstrap = named(&listener(&texts));
        let lab = Lab::new().with("coalmine.yaml", &discovered).with("bootstrap.yaml", &bootstrap);
        let files = ["coalmine.yaml", "bootstrap.yaml"].map(|name| lab.path().join(name));
        let places = |files: &[PathBuf]| -> Vec<String> {
            found(files).into_iter().map(|found| found.replace(TABLE, "")).collect()
        };
        assert_eq!(places(&files), expected);
        let at =
            "config_discovery: {type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]}";
        let lab = Lab::new().with("bootstrap.yaml", bootstrap.replace(at, &inline));
        assert_eq!(places(&[lab.path().join("bootstrap.yaml")]), expected, "{inline}");
    }
}

/// The listener and its routes in two files, as discovery has them.
#[test]
fn routes_by_discovery_belong_to_the_listener_that_names_them() {
    let whole = listener(&[DISABLED]);
    let (before, table) = whole.split_once("          route_config:\n").unwrap();
    let rds = |name: &str| format!("{before}          rds: {{route_config_name: {name}}}\n");
    let routes = |name: &str| {
        let lines = table.lines().map(|line| line.strip_prefix("          ").unwrap_or(line));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        format!(
            "resources:\n- \"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n  name: {name}\n{lines}"
        )
    };
    let found = |listener: &str, routes: &str| {
        let lab = Lab::new().with("policy.yaml", POLICY).with("lds.yaml", listener).with("rds.yaml", routes);
        found(&["policy.yaml", "lds.yaml", "rds.yaml"].map(|name| lab.path().join(name)))
    };
    let shop = "error filterDisabled resources[0].virtual_hosts[0].routes";
    assert_eq!(found(&rds("public"), &routes("public")), [shop]);
    // Of another listener nothing is known, so the filter may run before these routes.
    assert_eq!(found(&rds("internal"), &routes("public")), [] as [&str; 0]);
    // But what they say themselves is.
    let off =
        routes("public").replace("domains: [shop.example", &format!("{OFF}\n    domains: [shop.example"));
    assert_eq!(found(&rds("internal"), &off), [shop]);
}

#[test]
fn every_message_says_what_would_be_right() {
    assert_snapshot!(validate(&listener(&[DISABLED, ("shop", &ON.replace("coalmine:", "colamine:"))])));
    assert_snapshot!(validate(&listener(&[DISABLED, ("canary", ON)])));
    assert_snapshot!(validate(&listener(&[("stable", OFF)])));
    assert_snapshot!(validate(&listener(&[("canary", OFF)])));
    assert_snapshot!(validate(&listener(&[("other", OFF)]).replace(COPIED.0, COPIED.1)));
    assert_snapshot!(validate(&listener(&[("other", OFF), ("early", EARLY)]).replace(COPIED.0, COPIED.1)));
}
