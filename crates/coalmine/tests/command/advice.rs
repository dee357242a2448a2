//! What `coalmine validate` warns about, and what it finds between resources.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};

fn validated(policy: &str) -> String {
    Lab::new().with("policy.yaml", policy).run("validate policy.yaml").to_string()
}

#[test]
fn warnings_about_a_policy() {
    assert_snapshot!(validated(
        "rollouts:
- name: all
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}]
- name: api
  match: {paths: [{prefix: /api/}]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}]
- name: killed
  enabled: false
  match: {hosts: [a]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}]
  pins: {canary: [alice]}
- name: cookie
  match: {hosts: [b]}
  onMissingIdentity: issueCookie
  variants: [{name: canary}]
  pins: {canary: [alice]}
  ramp:
    start: 2020-01-01T09:00:00Z
    allowDown: true
    steps: [{at: 0s, weight: 5}, {at: 1h, weight: 1}]
- name: secret
  match: {hosts: [c]}
  identity: [{header: x-user-id}]
  algorithm: siphash-2-4
  key: \"000102030405060708090a0b0c0d0e0f\"
  variants: [{name: canary, weight: 5}]
  override: {header: x-o, secret: [{env: S}, 0123456789abcdef0123456789abcdef]}
"
    ));
}

/// A browser drops a cookie for a domain that the host is not in.
#[test]
fn a_cookie_for_a_domain_of_others() {
    let run = |hosts: &str, domain: &str| {
        let policy = format!(
            "rollouts:\n- name: r\n{hosts}  onMissingIdentity: issueCookie\n  algorithm: siphash-2-4\n  key: {{env: K}}\n  \
             cookie: {{domain: {domain}}}\n  variants: [{{name: canary, weight: 5}}]\n"
        );
        Lab::new().with("policy.yaml", policy).run("validate policy.yaml --strict")
    };
    let hosts = |hosts: &str| format!("  match: {{hosts: [{hosts}]}}\n");
    for (given, domain) in [
        (hosts("shop.example"), "shop.example"),
        (hosts("shop.example"), ".shop.example"),
        (hosts("eu.shop.example"), "shop.example"),
        (hosts("checkout, eu.shop.example"), "shop.example"),
        (hosts("\"*.shop.example\""), "shop.example"),
        (hosts("\"*.shop.example\""), "eu.shop.example"),
        (hosts("\"*.eu.shop.example\""), "shop.example"),
        (String::new(), "shop.example"),
    ] {
        assert_eq!(run(&given, domain).code, 0, "{given} {domain}\n{}", run(&given, domain));
    }
    for (given, domain) in [
        (hosts("shop.example"), "third.example"),
        (hosts("shop.example"), "eu.shop.example"),
        (hosts("myshop.example"), "shop.example"),
        (hosts("\"*.shop.example\""), "third.example"),
        (hosts("\"*.myshop.example\""), "shop.example"),
        (hosts("checkout, \"[::1]\""), "shop.example"),
    ] {
        let run = run(&given, domain);
        let warning =
            "warning: rollouts[0].cookie.domain: browsers drop the cookie: no host of this rollout lies in";
        assert!(run.code == 1 && run.stdout.contains(warning), "{given} {domain}\n{run}");
    }
}

#[test]
fn warnings_are_problems_with_strict_only() {
    let policy =
        "rollouts:\n- name: r\n  onMissingIdentity: issueCookie\n  variants: [{name: canary, weight: 5}]\n";
    let lab = Lab::new().with("policy.yaml", policy);
    assert_eq!(lab.run("validate policy.yaml").code, 0);
    assert_eq!(lab.run("validate policy.yaml --strict").code, 1);
}

const POLICY: &str = "\n    rollouts:\n    - name: checkout\n      identity: [{jwtClaim: sub}, {header: x-user-id}]\n      variants: [{name: canary, weight: 5}]\n";

fn plugin(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine{metadata}}}\nspec:\n  {spec}\n  pluginConfig:{POLICY}"
    )
}

fn extension(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {{name: coalmine{metadata}}}\nspec:\n  {spec}\n  \
         wasm:\n    failStrategy: FAIL_OPEN\n    pluginConfig: {{}}\n"
    )
}

fn together(documents: &[&str]) -> String {
    validated(&documents.join("---\n"))
}

#[test]
fn a_plugin_that_fails_closed() {
    assert_snapshot!(validated(&plugin("", "match: [{mode: CLIENT}]").replace("{jwtClaim: sub}, ", "")));
    assert_snapshot!(validated(&plugin("", "match: [{mode: CLIENT}]\n  failStrategy: FAIL_CLOSE")));
    assert_snapshot!(validated(&plugin(
        "",
        "targetRefs: [{kind: Gateway, name: waypoint}]\n  failStrategy: FAIL_RELOAD"
    )));
}

#[test]
fn a_plugin_on_the_wrong_side() {
    assert_snapshot!(validated(&plugin("", "match: [{mode: SERVER}]\n  failStrategy: FAIL_OPEN")));
    assert_snapshot!(validated(&plugin("", "failStrategy: FAIL_OPEN")));
}

#[test]
fn two_plugins_on_one_workload() {
    let open = "match: [{mode: CLIENT}]\n  failStrategy: FAIL_OPEN";
    let spec = "match: [{mode: CLIENT}]";
    assert_snapshot!(together(&[&plugin(", namespace: shop", open), &extension(", namespace: shop", spec)]));
    let auth = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: auth, namespace: shop}\nspec: {url: oci://x/auth}\n";
    assert_snapshot!(together(&[&plugin(", namespace: shop", open), auth]));
    assert_snapshot!(together(&[&plugin(", namespace: a", open), &extension(", namespace: b", spec)]));
}

#[test]
fn a_gateway_in_another_namespace() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: gw, namespace: istio-ingress}\nspec:\n  template:\n    metadata:\n      labels: {istio: ingressgateway}\n";
    let gateway = plugin(
        ", namespace: shop",
        "selector: {matchLabels: {istio: ingressgateway}}\n  failStrategy: FAIL_OPEN",
    );
    assert_snapshot!(together(&[&gateway, deployment]));
}

fn service(routes: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: checkout, namespace: shop}}\nspec:\n  hosts: [checkout]\n  http:\n{routes}"
    )
}

#[test]
fn routes_that_do_not_do_what_the_policy_says() {
    let open =
        plugin("", "match: [{mode: CLIENT}]\n  failStrategy: FAIL_OPEN").replace("{jwtClaim: sub}, ", "");
    let canary = "  - match: [{headers: {x-coalmine-variant: {exact: canary}}}]\n    headers: {request: {remove: [x-coalmine-variant]}}\n    route: [{destination: {host: checkout, subset: canary}}]\n";
    let to = |subset: &str| {
        format!(
            "  - route: [{{destination: {{host: checkout, subset: {subset}}}}}]\n    headers: {{request: {{remove: [x-coalmine-variant]}}}}\n"
        )
    };
    let good = service(&format!("{canary}{}", to("stable")));
    assert_snapshot!(together(&[&open, &good]));
    assert_snapshot!(together(&[&open, &service(canary)]));
    assert_snapshot!(together(&[&open, &service(&format!("{canary}{}", to("canary")))]));
    assert_snapshot!(together(&[&open, &good.replace("x-coalmine-variant", "x-variant")]));
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: checkout}\nspec:\n  host: checkout\n  subsets:\n  - {name: stable, labels: {version: stable}}\n  - {name: canary, labels: {version: v2}}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {metadata: {labels: {app: checkout, version: stable}}}}\n";
    assert_snapshot!(together(&[&open, &good, rule, deployment]));
}

/// What the repository ships has nothing against it, each kind of plugin for itself.
#[test]
fn what_is_shipped() {
    let lab = Lab::new();
    for folder in ["istio/plugin/wasmplugin", "istio/plugin/trafficextension"] {
        let mut arguments = vec!["validate".to_owned(), "--strict".to_owned()];
        let routes = [
            "istio/routes/virtualservice.yaml",
            "istio/routes/destinationrule.yaml",
            "istio/demo/policy.yaml",
        ];
        arguments.extend(routes.map(|file| shipped(file).display().to_string()));
        // The one for the whole mesh takes the place of the others.
        let places = std::fs::read_dir(shipped(folder)).unwrap().map(|place| place.unwrap().path());
        for place in places.filter(|place| !place.ends_with("mesh")) {
            for file in std::fs::read_dir(place).unwrap() {
                arguments.push(file.unwrap().path().display().to_string());
            }
        }
        let run = lab.run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"");
        assert_eq!(run.code, 0, "{run}");
    }
}

#[test]
fn a_route_of_envoy_by_a_header() {
    let lab = Lab::new();
    for kind in ["cluster-header", "bucket-header"] {
        let read = |name: &str| std::fs::read_to_string(shipped(&format!("envoy/{kind}/{name}"))).unwrap();
        let routes = if kind == "bucket-header" { "routes.yaml" } else { "bootstrap.yaml" };
        let lab = Lab::new().with("coalmine.yaml", read("coalmine.yaml")).with("routes.yaml", read(routes));
        let run = lab.run("validate --strict coalmine.yaml routes.yaml");
        assert_eq!(run.code, 0, "{run}");
        let header = format!("x-coalmine-{}", kind.trim_end_matches("-header"));
        let without =
            read(routes).replace(&format!("{{name: {header}, present_match: true}}"), "{name: x-other}");
        let run = lab.with("routes.yaml", without).run("validate coalmine.yaml routes.yaml");
        assert!(run.code == 1 && run.stdout.contains("present_match: true}]"), "{run}");
    }
    let read =
        |name: &str| std::fs::read_to_string(shipped(&format!("envoy/cluster-header/{name}"))).unwrap();
    let alone = read("bootstrap.yaml")
        .replace("              - match: {prefix: /}\n                route: {cluster: stable}\n", "");
    let alone = alone.replace("- remove: x-coalmine-cluster", "- remove: x-other");
    let lab = lab.with("coalmine.yaml", read("coalmine.yaml")).with("bootstrap.yaml", alone);
    assert_snapshot!(lab.run("validate coalmine.yaml bootstrap.yaml"));
}
