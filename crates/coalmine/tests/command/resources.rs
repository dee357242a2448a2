//! Policies inside the resources that carry them.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};

/// A policy with two problems, indented by this much.
fn policy(indent: usize) -> String {
    let lines = [
        "rollouts:",
        "- name: checkout",
        "  identity: [{header: x-user-id}]",
        "  variants: [{name: canary, weight: 105}]",
        "  slat: x",
    ];
    lines.iter().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
}

const POLICY_JSON: &str = r#"{"rollouts": [{"name": "é", "identity": [{"header": "x"}], "variants": [{"name": "c", "weight": 1}]}]}"#;

#[test]
fn in_a_wasm_plugin() {
    let plugin = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: shop}}\nspec:\n  \
         failStrategy: FAIL_OPEN\n  match: [{{mode: CLIENT}}]\n  url: oci://registry.example/coalmine:1\n  pluginConfig:\n{}",
        policy(4)
    );
    assert_snapshot!(Lab::new().with("plugin.yaml", plugin).run("validate plugin.yaml"));
}

#[test]
fn in_a_traffic_extension_behind_another_document() {
    let plugin = format!(
        "# first\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: checkout}}\n---\napiVersion: extensions.istio.io/v1alpha1\n\
         kind: TrafficExtension\nmetadata: {{name: coalmine, namespace: shop}}\nspec:\n  match: [{{mode: CLIENT}}]\n  wasm:\n    \
         failStrategy: FAIL_OPEN\n    url: oci://registry.example/coalmine:1\n    pluginConfig:\n{}",
        policy(6)
    );
    assert_snapshot!(Lab::new().with("plugin.yaml", plugin).run("validate plugin.yaml"));
}

#[test]
fn in_a_config_map() {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policy}}\ndata:\n  readme: hello\n  policy.yaml: |\n{}",
        policy(4)
    );
    assert_snapshot!(Lab::new().with("map.yaml", map).run("validate map.yaml"));
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: policy}\ndata:\n  policy.yaml: |\n    rollouts: [\n  other: 'a: b: c'\n";
    assert_snapshot!(Lab::new().with("map.yaml", broken).run("validate map.yaml"));
}

#[test]
fn in_a_list_of_resources() {
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [
  {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "p"}},
   "data": {{"policy.json": {}}}}}]}}"#,
        serde_json::to_string(POLICY_JSON).unwrap()
    );
    assert_snapshot!(Lab::new().with("list.json", list).run("validate list.json"));
}

#[test]
fn in_a_discovery_response_of_envoy() {
    let text = std::fs::read_to_string(shipped("envoy/coalmine.yaml")).unwrap();
    let lab = Lab::new().with("coalmine.yaml", text.replace("\"weight\": 5", "\"weight\": 105"));
    let run = lab.run("validate coalmine.yaml");
    assert_eq!(run.code, 1);
    assert!(
        run.stdout.contains("rollouts[0].variants[0].weight: a weight is 0 to 100 percent, not 105"),
        "{run}"
    );
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

#[test]
fn in_a_bootstrap_of_envoy_as_a_struct() {
    let lab = Lab::new().with("bootstrap.yaml", bootstrap(&format!(
        "                  \"@type\": type.googleapis.com/google.protobuf.Struct\n                  value:\n{}",
        policy(20)
    )));
    assert_snapshot!(lab.run("validate bootstrap.yaml"));
}

#[test]
fn in_a_bootstrap_of_envoy_as_a_text() {
    let with = |value: &str| {
        let configuration = format!(
            "                  \"@type\": type.googleapis.com/google.protobuf.StringValue\n                  value: {value}\n"
        );
        Lab::new()
            .with("bootstrap.yaml", bootstrap(&configuration))
            .run("validate bootstrap.yaml")
            .to_string()
    };
    assert_snapshot!(with(&serde_json::to_string(POLICY_JSON).unwrap()));
    assert_snapshot!(with(&format!("'{POLICY_JSON}'")));
    // What Envoy hands on is JSON, whatever is around it.
    assert_snapshot!(with("\"rollouts: []\""));
}

#[test]
fn of_somebody_else() {
    let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: auth}\nspec:\n  url: oci://x/auth:1\n  pluginConfig: {realm: x}\n";
    assert_snapshot!(Lab::new().with("auth.yaml", plugin).run("validate auth.yaml"));
}
