//! YAML as the cluster reads it: kubectl, Helm and kustomize read version 1.1.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};

/// Names, weights and users that YAML 1.1 takes for something else.
const MISREAD: &str = "\
- name: newui
  identity: [{header: x-user-id}]
  salt: 2026_11
  variants: [{name: on, weight: 010}]
  pins: {on: [no, n]}
";

/// A WasmPlugin with these rollouts.
fn plugin(rollouts: &str) -> String {
    let rollouts = rollouts.replace('\n', "\n    ");
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: shop}}\nspec:\n  \
         url: oci://registry.example/coalmine-filter:0.1.0\n  failStrategy: FAIL_OPEN\n  match: [{{mode: CLIENT}}]\n  \
         pluginConfig:\n    rollouts:\n    {rollouts}"
    )
}

/// A plugin with this field in its rollout.
fn with(field: &str) -> Lab {
    let rollout = format!(
        "- name: r\n  identity: [{{header: x-user-id}}]\n  variants: [{{name: canary, weight: 5}}]\n  {field}\n"
    );
    Lab::new().with("plugin.yaml", plugin(&rollout))
}

#[test]
fn what_kubectl_reads_otherwise_is_wrong_in_a_resource() {
    assert_snapshot!(Lab::new().with("plugin.yaml", plugin(MISREAD)).run("validate plugin.yaml"));
    assert_snapshot!(with("enabled: yes").run("validate plugin.yaml"));
    assert_snapshot!(with("salt: a\n  <<: {salt: b, enabled: true}").run("validate plugin.yaml"));
    // No command works by a policy that the proxies do not have.
    assert_eq!(with("pins: {canary: [no]}").run("explain plugin.yaml --user x").code, 1);
    assert_eq!(with("pins: {canary: [no]}").run("weights plugin.yaml canary=6").code, 1);
    let run = with("pins: {canary: [no]}").run("validate plugin.yaml --format json");
    assert!(run.stdout.contains("\"code\": \"readOtherwise\""), "{run}");
}

#[test]
fn in_quotes_it_means_itself() {
    let quoted = MISREAD
        .replace("2026_11", "\"2026_11\"")
        .replace("name: on", "name: \"on\"")
        .replace("010", "10")
        .replace("{on: [no, n]}", "{'on': [\"no\", !!str n]}");
    let run = Lab::new().with("plugin.yaml", plugin(&quoted)).run("validate plugin.yaml");
    assert_eq!(run.code, 0, "{run}");
    // A time arrives as it is written, and 1:30 is a text to everybody.
    let ramp = "ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}]}\n  pins: {canary: [1:30]}";
    let rollout =
        format!("- name: r\n  identity: [{{header: x}}]\n  variants: [{{name: canary}}]\n  {ramp}\n");
    let run = Lab::new().with("plugin.yaml", plugin(&rollout)).run("validate plugin.yaml");
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn outside_the_policy_and_outside_a_resource_it_is_nobodys_business() {
    let labels = plugin("- name: r\n  identity: [{header: x}]\n  variants: [{name: canary, weight: 5}]\n")
        .replace("namespace: shop", "namespace: shop, labels: {a: yes, on: 010}");
    let run = Lab::new().with("plugin.yaml", labels).run("validate plugin.yaml");
    assert_eq!(run.code, 0, "{run}");
    // Only this command reads a policy by itself, and by YAML 1.2.
    let policy = format!("rollouts:\n{MISREAD}");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: coalmine}}\ndata:\n  policy.yaml: |\n    {}",
        policy.replace('\n', "\n    ")
    );
    for text in [policy, map] {
        let run = Lab::new().with("file.yaml", text).run("validate file.yaml");
        assert!(run.stdout.ends_with("valid; newui: stable 90 %, on 10 %\n"), "{run}");
    }
}

#[test]
fn a_secret_that_is_misread_is_not_told() {
    let secret = "00112233445566770011223344556677";
    let run = with(&format!("algorithm: siphash-2-4\n  key: {secret}")).run("validate plugin.yaml");
    assert!(!run.to_string().contains(secret) && run.code == 1, "{run}");
    assert!(!run.to_string().contains("1122334455"), "{run}");
}

/// A rollout that has the fields of another one.
const MERGED: &str = "\
version: 1
rollouts:
- &base
  name: web
  match: {hosts: [web.shop.example]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}]
- <<: *base
  name: api
  match: {hosts: [api.shop.example]}
";

#[test]
fn a_merge_key_is_followed() {
    let run = Lab::new().with("policy.yaml", MERGED).run("validate policy.yaml");
    assert_eq!(
        run.stdout, "policy.yaml: valid; web: stable 95 %, canary 5 %; api: stable 95 %, canary 5 %\n",
        "{run}"
    );
    assert_snapshot!(
        Lab::new()
            .with("policy.yaml", MERGED.replace("weight: 5", "weight: 500"))
            .run("validate policy.yaml")
    );
    let ingress = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: merged
  annotations:
    <<: {nginx.ingress.kubernetes.io/canary: \"true\", nginx.ingress.kubernetes.io/canary-weight: \"15\"}
spec:
  rules:
  - host: shop.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: c, port: {number: 80}}}}]}
";
    let run = Lab::new().with("ingress.yaml", ingress).run("import ingress-nginx ingress.yaml");
    assert!(run.stdout.contains("{name: canary, weight: 15}"), "{run}");
}

#[test]
fn weights_change_one_rollout_or_nothing() {
    let lab = Lab::new().with("policy.yaml", MERGED);
    assert_snapshot!(lab.run("weights policy.yaml canary=10 --rollout web"));
    assert_snapshot!(lab.run("weights policy.yaml canary=10 --rollout api"));
    let alias = MERGED
        .replace("- <<: *base\n", "- identity: [{header: x}]\n  variants: *v\n")
        .replace("- &base\n ", "-");
    let alias = alias.replace("variants: [", "variants: &v [");
    assert_snapshot!(
        Lab::new().with("policy.yaml", &alias).run("weights policy.yaml canary=10 --rollout web")
    );
    assert_eq!(std::fs::read_to_string(lab.path().join("policy.yaml")).unwrap(), MERGED);
    // Beside a policy, too.
    let rollout = "- name: r\n  identity: [{header: x}]\n  variants: &v [{name: canary, weight: 5}]";
    let labelled = plugin(rollout) + "\nother: *v\n";
    assert_snapshot!(Lab::new().with("plugin.yaml", labelled).run("weights plugin.yaml canary=10"));
    // A rollout that shares only what does not change is changed.
    let own = format!("{MERGED}  variants: [{{name: canary, weight: 7}}]\n");
    let lab = Lab::new().with("policy.yaml", &own);
    assert_eq!(lab.run("weights policy.yaml canary=10 --rollout api").code, 0);
    let changed = std::fs::read_to_string(lab.path().join("policy.yaml")).unwrap();
    assert_eq!(changed, own.replace("weight: 7", "weight: 10"));
}

/// What a proxy has mounted: a configuration of Envoy, with the policy as JSON in it.
#[test]
fn a_configuration_of_envoy_in_a_config_map_is_found_and_changed() {
    let text = std::fs::read_to_string(shipped("envoy/coalmine.yaml")).unwrap();
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: coalmine}}\ndata:\n  coalmine.yaml: |\n{indented}"
    );
    let lab = Lab::new().with("map.yaml", &map);
    let run = lab.run("validate map.yaml");
    assert!(
        run.stdout.starts_with("map.yaml: ConfigMap coalmine: valid, revision 1; checkout: stable 95 %"),
        "{run}"
    );
    let run = lab.run("weights map.yaml canary=10");
    assert_eq!(run.code, 0, "{run}");
    let changed = std::fs::read_to_string(lab.path().join("map.yaml")).unwrap();
    let expected =
        map.replace("\"weight\": 5", "\"weight\": 10").replace("\"revision\": 1", "\"revision\": 2");
    assert_eq!(changed, expected);
}
