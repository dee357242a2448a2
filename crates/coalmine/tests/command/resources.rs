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
    let text = bootstrap(&configuration).replace(" configuration:", " «configuration»:");
    let at = CONFIGURATION.trim_end_matches(".value");
    let [weight, salt] = ["rollouts[0].variants[0].weight", "rollouts[0].slat"]
        .map(|inner| format!("{CONFIGURATION}.{inner}"));
    assert_marked("bootstrap.yaml", &text, &[at, &weight, &salt]);
}

/// Envoy hands these to the filter as protobuf: a policy in one is refused, right as it may be.
#[test]
fn in_a_message_of_envoy_that_is_no_text() {
    let rollouts = "rollouts: [{name: a, identity: [{peer: true}], variants: [{name: canary, weight: 5}]}]";
    let filled =
        |configuration: &str| Lab::new().with("b.yaml", bootstrap(configuration)).run("validate b.yaml");
    for configuration in [
        format!(
            "                  \"@type\": type.googleapis.com/google.protobuf.Struct\n                  value: {{{rollouts}}}\n"
        ),
        format!(
            "                  \"@type\": type.googleapis.com/google.protobuf.Struct\n                  {rollouts}\n"
        ),
        format!("                  {rollouts}\n"),
        format!(
            "                  \"@type\": type.googleapis.com/google.protobuf.StringValue\n                  value: {{{rollouts}}}\n"
        ),
        "                  \"@type\": type.googleapis.com/google.protobuf.Empty\n".to_owned(),
    ] {
        let run = filled(&configuration);
        assert_eq!(run.code, 1, "{run}");
        let place = CONFIGURATION.trim_end_matches(".value");
        let error = format!(
            "error: {place}: reaches the filter as protobuf, not as JSON: write a google.protobuf.StringValue"
        );
        assert!(run.stdout.contains(&error), "{run}");
    }
    // Its text is in base64.
    let bytes = filled(
        "                  \"@type\": type.googleapis.com/google.protobuf.BytesValue\n                  value: e30=\n",
    );
    assert!(!bytes.stdout.contains("protobuf"), "{bytes}");
}

#[test]
fn in_a_policy_of_envoy_gateway() {
    let policy = |name: &str, plugins: &str| {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: backend}}]\n  wasm:\n{plugins}"
        )
    };
    let plugin = |name: &str, open: &str| {
        format!(
            "  - name: {name}\n    rootID: r\n{open}    code: {{type: Image, image: {{url: registry.example/filter:1}}}}\n    config:\n"
        )
    };
    let open = "    failOpen: true\n";
    let rollouts = self::policy(6);
    let text =
        policy("x", &format!("{}      realm: x\n{}{rollouts}", plugin("auth", ""), plugin("coalmine", open)));
    assert_policy_at("policy.yaml", &text, "spec.wasm[1].config");
    let good = rollouts.replace("«105»", "5").replace("«slat»", "salt");
    for (name, plugin) in [("x", plugin("x", open)), ("coalmine", plugin("x", open))] {
        let run = Lab::new()
            .with("p.yaml", policy(name, &format!("{plugin}{good}")))
            .run("validate p.yaml --strict");
        assert!(run.code == 0 && run.stdout.contains("canary 5 %"), "{run}");
    }
    for closed in ["", "    failOpen: false\n"] {
        let text = policy("coalmine", &format!("{}{good}", plugin("x", closed)));
        let run = Lab::new().with("p.yaml", text).run("validate p.yaml");
        assert!(run.stdout.contains("error: spec.wasm[0].failOpen: requests are refused"), "{run}");
        assert_eq!(run.stdout.matches("error").count(), 1, "no advice of Istio's: {run}");
    }
    let other = policy("auth", &format!("{}      realm: x\n", plugin("auth", "")));
    let run = Lab::new().with("p.yaml", other).run("validate p.yaml");
    assert!(run.stdout.contains("no policy found"), "{run}");
}

#[test]
fn in_a_plugin_of_higress() {
    let plugin = |spec: &str| {
        format!(
            "apiVersion: extensions.higress.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: higress-system}}\nspec:\n  \
             url: oci://registry.example/coalmine:1\n{spec}"
        )
    };
    assert_policy_at("p.yaml", &plugin(&format!("  defaultConfig:\n{}", policy(4))), "spec.defaultConfig");
    assert_policy_at("p.yaml", &plugin(&format!("  pluginConfig:\n{}", policy(4))), "spec.pluginConfig");
    let good = |indent| policy(indent).replace("«105»", "5").replace("«slat»", "salt");
    let run = |spec: &str| Lab::new().with("p.yaml", plugin(spec)).run("validate p.yaml --strict");
    let default = run(&format!("  defaultConfig:\n{}", good(4)));
    assert!(default.code == 0 && default.stdout.contains("canary 5 %"), "no advice of Istio's: {default}");
    let rule = |indent| format!("  matchRules:\n  - ingress: [shop/shop]\n    config:\n{}", good(indent));
    let ruled = run(&rule(6));
    assert!(ruled.stdout.contains("error: spec.matchRules: Higress hands these to the filter"), "{ruled}");
    assert_eq!(ruled.stdout.matches("error").count(), 1, "{ruled}");
    let off = run(&rule(6).replace("    config:", "    configDisable: true\n    config:"));
    assert_eq!(off.code, 0, "{off}");
    let wrong = run(&rule(6).replace("weight", "wieght"));
    assert!(wrong.stdout.contains("spec.matchRules[0].config.rollouts[0].variants[0].wieght"), "{wrong}");
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
