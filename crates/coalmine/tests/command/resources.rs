//! Policies inside the resources that carry them.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};
use crate::marks::assert_marked;

/// A policy with two problems, indented by this much.
fn policy(indent: usize) -> String {
    let lines = [
        "rollouts:",
        "- name: checkout",
        "  identity: [{header: x-user-id}]",
        "  variants: [{name: canary, weight: «105»}]",
        "  «slat»: x",
    ];
    lines.iter().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
}

/// The problems of [`policy`] in this file are at their marks, and their paths begin with this one.
#[track_caller]
fn assert_policy_at(name: &str, text: &str, path: &str) {
    let paths = ["rollouts[0].variants[0].weight", "rollouts[0].slat"].map(|inner| format!("{path}.{inner}"));
    assert_marked(name, text, &paths.each_ref().map(String::as_str));
}

const POLICY_JSON: &str = r#"{"rollouts": [{"name": «"é"», "identity": [{"header": "x"}], "variants": [{"name": "c", "weight": 1}]}]}"#;

#[test]
fn in_a_wasm_plugin() {
    let plugin = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: shop}}\nspec:\n  \
         failStrategy: FAIL_OPEN\n  match: [{{mode: CLIENT}}]\n  url: oci://registry.example/coalmine:1\n  pluginConfig:\n{}",
        policy(4)
    );
    assert_policy_at("plugin.yaml", &plugin, "spec.pluginConfig");
}

#[test]
fn in_a_traffic_extension_behind_another_document() {
    let plugin = format!(
        "# first\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: checkout}}\n---\napiVersion: extensions.istio.io/v1alpha1\n\
         kind: TrafficExtension\nmetadata: {{name: coalmine, namespace: shop}}\nspec:\n  match: [{{mode: CLIENT}}]\n  wasm:\n    \
         failStrategy: FAIL_OPEN\n    url: oci://registry.example/coalmine:1\n    pluginConfig:\n{}",
        policy(6)
    );
    assert_policy_at("plugin.yaml", &plugin, "spec.wasm.pluginConfig");
}

#[test]
fn in_a_config_map() {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policy}}\ndata:\n  readme: hello\n  policy.yaml: |\n{}",
        policy(4)
    );
    assert_policy_at("map.yaml", &map, "data[\"policy.yaml\"]");
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: policy}\ndata:\n  policy.yaml: |\n    rollouts: [\n  other: 'a: b: c'\n";
    assert_snapshot!(Lab::new().with("map.yaml", broken).run("validate map.yaml"));
}

#[test]
fn in_a_discovery_response_of_envoy() {
    let text = std::fs::read_to_string(shipped("envoy/coalmine.yaml")).unwrap();
    let lab = Lab::new().with("coalmine.yaml", text.replace("\"weight\": 5", "\"weight\": 105"));
    let run = lab.run("validate coalmine.yaml");
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("rollouts[0].variants[0].weight: "), "{run}");
    let lab = Lab::new().with("coalmine.yaml", text);
    assert_eq!(lab.run("validate coalmine.yaml").code, 0);
}

/// A listener of Envoy whose plugin is given this configuration.
fn bootstrap(configuration: &str) -> String {
    format!(
        "static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          http_filters:
          - name: coalmine
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                vm_config: {{code: {{local: {{filename: coalmine_filter.wasm}}}}}}
                configuration:
{configuration}"
    )
}

/// The path of that configuration.
const CONFIGURATION: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.config.configuration.value";

#[test]
fn in_a_bootstrap_of_envoy_as_a_struct() {
    let configuration = format!(
        "                  \"@type\": type.googleapis.com/google.protobuf.Struct\n                  value:\n{}",
        policy(20)
    );
    assert_policy_at("bootstrap.yaml", &bootstrap(&configuration), CONFIGURATION);
}

#[test]
fn in_a_bootstrap_of_envoy_as_a_text() {
    let with = |value: &str| {
        bootstrap(&format!(
            "                  \"@type\": type.googleapis.com/google.protobuf.StringValue\n                  value: {value}\n"
        ))
    };
    let path = format!("{CONFIGURATION}.rollouts[0].name");
    let escaped = POLICY_JSON.replace('"', "\\\"");
    assert_marked("bootstrap.yaml", &with(&format!("\"{escaped}\"")), &[&path]);
    assert_marked("bootstrap.yaml", &with(&format!("'{POLICY_JSON}'")), &[&path]);
    // What Envoy hands on is JSON, whatever is around it.
    assert_snapshot!(
        Lab::new().with("bootstrap.yaml", with("\"rollouts: []\"")).run("validate bootstrap.yaml")
    );
}

#[test]
fn of_another_plugin() {
    let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: auth}\nspec:\n  url: oci://x/auth:1\n  pluginConfig: {realm: x}\n";
    assert_snapshot!(Lab::new().with("auth.yaml", plugin).run("validate auth.yaml"));
}
