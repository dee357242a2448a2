//! `coalmine render`.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};

fn file(lab: &Lab, name: &str) -> String {
    std::fs::read_to_string(lab.path().join(name)).unwrap()
}

#[test]
fn what_is_shipped_for_envoy_is_what_is_rendered() {
    let lab = Lab::new();
    let run = lab.run("render envoy --out .");
    assert_eq!(run.code, 0, "{run}");
    for name in ["bootstrap.yaml", "coalmine.yaml"] {
        assert_eq!(file(&lab, name), std::fs::read_to_string(shipped("envoy").join(name)).unwrap(), "{name}");
    }
}

#[test]
fn what_is_shipped_for_a_fleet_is_what_is_rendered() {
    let lab = Lab::new();
    let run = lab.run("render envoy --xds 127.0.0.1:8470 --out .");
    assert_eq!(run.code, 0, "{run}");
    let shipped = std::fs::read_to_string(shipped("envoy/fleet/bootstrap.yaml")).unwrap();
    assert_eq!(file(&lab, "bootstrap.yaml"), shipped);
    assert!(!lab.path().join("coalmine.yaml").exists(), "the server hands it out");
}

#[test]
fn a_server_has_a_name_a_certificate_and_a_fleet() {
    let lab = Lab::new().with("policy.yaml", POLICY);
    let tls = "--ca /etc/coalmine/ca.pem --certificate /etc/coalmine/tls.crt --key /etc/coalmine/tls.key";
    let node = "--token-variable PROXY_TOKEN --node edge-eu-1 --fleet edge-eu";
    let run = lab.run(&format!("render envoy policy.yaml --xds coalmine.example:443 {tls} {node} --out ."));
    assert_eq!(run.code, 0, "{run}");
    let bootstrap = file(&lab, "bootstrap.yaml");
    let (_, cluster) = bootstrap.split_once("  - name: coalmine\n    connect_timeout").unwrap();
    assert_snapshot!(cluster);
    for line in
        ["node: {id: edge-eu-1, cluster: edge-eu}", "- remove: x-coalmine-bucket", "name: checkout-stable"]
    {
        assert!(bootstrap.contains(line), "{line}");
    }
    let run = lab.run("render envoy --xds [::1]:8470 --ca ca.pem --out . --force");
    assert_eq!(run.code, 0, "{run}");
    let bootstrap = file(&lab, "bootstrap.yaml");
    for line in
        ["{address: \"::1\", port_value: 8470}", "[{san_type: IP_ADDRESS, matcher: {exact: \"::1\"}}]"]
    {
        assert!(bootstrap.contains(line), "{line}");
    }
    assert!(!bootstrap.contains("sni") && !bootstrap.contains("STRICT_DNS"), "an address is no name");
}

#[test]
fn a_server_that_makes_no_sense_is_refused() {
    let clash = "rollouts:\n- name: r\n  identity: [{header: x}]\n  variants: [{name: canary, weight: 5}]\n  \
                 route: {clusterHeader: {name: x-c, clusters: {stable: coalmine, canary: b}}}\n";
    let lab = Lab::new().with("clash.yaml", clash);
    for (words, why) in [
        ("--xds coalmine.example", "a host and a port are expected, as coalmine.example:8470"),
        ("--xds a:b:1", "a host and a port are expected"),
        ("--xds http://a:1", "a host and a port are expected"),
        ("--xds a:1 --filter x.wasm", "cannot be used with"),
        ("--ca ca.pem", "--xds"),
        ("--xds a:1 --token-variable a)b", "the name of a variable has letters, digits and _"),
        ("--xds a:1 --certificate c.pem", "--ca"),
        ("clash.yaml --xds a:1", "a cluster of the policy is called coalmine, as that of the server is"),
    ] {
        let run = lab.run(&format!("render envoy {words} --out ."));
        assert!(run.code == 2 && run.stderr.contains(why), "{words}: {run}");
    }
}

/// The shipped policy, given as any other one: the proxy around it is the shipped one again.
#[test]
fn the_shipped_policy_gives_the_shipped_bootstrap() {
    let policy = shipped("envoy/coalmine.yaml").display().to_string();
    let lab = Lab::new();
    let run = lab.run_with(&["render", "envoy", &policy, "--out", "."], b"");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(
        file(&lab, "bootstrap.yaml"),
        std::fs::read_to_string(shipped("envoy/bootstrap.yaml")).unwrap()
    );
    assert_eq!(file(&lab, "coalmine.yaml"), std::fs::read_to_string(shipped("envoy/coalmine.yaml")).unwrap());
}

const POLICY: &str = "\
revision: 3
rollouts:
- name: checkout
  match: {hosts: [checkout.example, \"*.shop.example\"]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}, {name: baseline, weight: 5}]
- name: search
  match: {hosts: [search.example]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 5}]
  route: {clusterHeader: {name: x-coalmine-cluster, clusters: {stable: search-old, canary: search-new}}}
- name: cart
  identity: [{header: x-user-id}]
  route: {bucketHeader: {name: x-coalmine-bucket, total: 100}}
";

const OPTIONS: &str = "render envoy policy.yaml --out . --listen 0.0.0.0:8080 --admin [::1]:9000 --filter /etc/envoy/coalmine.wasm \
                       --config-path /etc/envoy/coalmine.yaml --endpoint checkout-stable=10.0.0.1:80 --endpoint search-new=[fd00::1]:80";

#[test]
fn a_bootstrap_for_a_policy_of_every_kind() {
    let lab = Lab::new().with("policy.yaml", POLICY);
    let run = lab.run(OPTIONS);
    assert_eq!(run.code, 0, "{run}");
    let bootstrap = file(&lab, "bootstrap.yaml");
    let part = |from: &str, to: &str| bootstrap.split(from).nth(1).unwrap().split(to).next().unwrap();
    assert_snapshot!(part("route_config:", "access_log:"));
    assert_snapshot!(part("\n  clusters:\n", "\0"));
    for line in [
        "port_value: 8080",
        "address: 0.0.0.0",
        "address: \"::1\"",
        "path: /etc/envoy/coalmine.yaml",
        "- remove: x-coalmine-bucket",
    ] {
        assert!(bootstrap.contains(line), "{line}");
    }
    assert_snapshot!(file(&lab, "coalmine.yaml").split("value: |").nth(1).unwrap());
    let run = lab.run("validate coalmine.yaml bootstrap.yaml --strict");
    assert_eq!(run.code, 0, "{run}");
    assert_snapshot!(lab.run(OPTIONS));
    assert_snapshot!(lab.run("render envoy policy.yaml --out . --force --endpoint nowhere=10.0.0.1:80"));
}

/// The filter runs for the hosts of the policy, where every rollout names some.
#[test]
fn hosts_without_a_rollout_do_without_the_filter() {
    let policy = POLICY.split("- name: cart").next().unwrap();
    let lab =
        Lab::new().with("policy.yaml", policy).with("cart.yaml", POLICY).with("none.yaml", "rollouts: []");
    assert_eq!(lab.run("render envoy policy.yaml --out .").code, 0);
    let bootstrap = file(&lab, "bootstrap.yaml");
    let part = |from: &str, to: &str| bootstrap.split(from).nth(1).unwrap().split(to).next().unwrap();
    assert_snapshot!(part("http_filters:", "config_discovery:"));
    assert_snapshot!(part("virtual_hosts:", "access_log:"));
    let run = lab.run("validate coalmine.yaml bootstrap.yaml --strict");
    assert_eq!(run.code, 0, "{run}");
    // A policy that grows in its own file, and no virtual host with it.
    let grown =
        file(&lab, "coalmine.yaml").replace("\"search.example\"", "\"search.example\", \"find.example\"");
    let host = "            virtual_hosts:\n            - {name: find, domains: [find.example], routes: [{match: {prefix: /}, route: {cluster: search-old}}]}\n";
    let copied = bootstrap.replace("            virtual_hosts:\n", host);
    let lab = lab.with("coalmine.yaml", grown).with("bootstrap.yaml", copied);
    let run = lab.run("validate coalmine.yaml bootstrap.yaml");
    assert!(run.stdout.contains("virtual_hosts[0].routes: the filter is disabled here"), "{run}");
    for options in ["policy.yaml --every-host", "cart.yaml", "cart.yaml --every-host", "none.yaml"] {
        let run = lab.run(&format!("render envoy {options} --out . --force"));
        assert_eq!(run.code, 0, "{run}");
        let bootstrap = file(&lab, "bootstrap.yaml");
        assert!(
            !bootstrap.contains("disabled") && !bootstrap.contains("typed_per_filter_config"),
            "{options}"
        );
    }
}

/// Words and numbers of YAML as names.
const NAMES: &str = "\
rollouts:
- name: \"no/1\"
  match: {hosts: [\"on\", \"*.shop.example\"]}
  identity: [{header: x-user-id}]
  variants: [{name: \"on\", weight: 5}, {name: \"010\", weight: 5}]
  route: {header: \"n\"}
- name: \"1e3\"
  match: {hosts: [\"1.2\"]}
  identity: [{header: x-user-id}]
  variants: [{name: \"y\", weight: 5}]
  route: {clusterHeader: {name: \"off\", clusters: {stable: \"null\", \"y\": \"0x1F\"}}}
";

#[test]
fn names_that_yaml_takes_for_something_else_are_in_quotes() {
    let lab = Lab::new().with("names.yaml", NAMES);
    let run = lab.run("render envoy names.yaml --out made/here --config-path coalmine.yaml");
    assert_eq!(run.code, 0, "{run}");
    let bootstrap = file(&lab, "made/here/bootstrap.yaml");
    for line in [
        "- name: no/1\n",
        "name: \"1e3\"",
        "domains: [\"on\", \"*.shop.example\"]",
        "{name: \"n\", string_match: {exact: \"on\"}}",
        "exact: \"010\"",
        "cluster: no/1-on",
        "route: {cluster_header: \"off\"}",
        "request_headers_to_remove: [\"n\", \"off\"]",
        "- remove: \"off\"",
        "cluster_name: \"null\"",
        "- name: \"0x1F\"",
        "path_config_source: {path: \"./coalmine.yaml\", watched_directory: {path: \".\"}}",
    ] {
        assert!(bootstrap.contains(line), "{line} in\n{bootstrap}");
    }
    let run = lab.run("validate made/here/coalmine.yaml made/here/bootstrap.yaml");
    assert_eq!(run.code, 0, "{run}");
}

/// The same for Istio.
#[test]
fn options_that_yaml_takes_for_something_else_are_in_quotes() {
    let lab = Lab::new();
    let run = lab.run("render istio --out . --namespace 010 --gateway-namespace on --service no --host 1e3");
    assert_eq!(run.code, 0, "{run}");
    let plugin = file(&lab, "plugin/trafficextension/sidecar/trafficextension.yaml");
    assert!(plugin.contains("namespace: \"010\""), "{plugin}");
    let routes = file(&lab, "routes/virtualservice.yaml");
    assert!(routes.contains("\"1e3\"") && routes.contains("\"no\""), "{routes}");
}

/// The host of a browser has a port here, and the filter takes it off.
#[test]
fn the_routes_take_a_host_as_the_filter_does() {
    let policy = "rollouts: [{name: shop, match: {hosts: [shop.example]}, identity: [{header: x}], variants: [{name: canary, weight: 5}]}]";
    let lab = Lab::new().with("policy.yaml", policy);
    assert_eq!(lab.run("render envoy policy.yaml --out .").code, 0);
    let bootstrap = file(&lab, "bootstrap.yaml");
    for line in
        ["ignore_port_in_host_matching: true", "strip_trailing_host_dot: true", "domains: [\"shop.example\"]"]
    {
        assert!(bootstrap.contains(line), "{line}");
    }
}

/// `COALMINE_ENVOY=.. cargo test -p coalmine --test command -- --ignored`
#[test]
#[ignore = "needs COALMINE_ENVOY, the path of an Envoy"]
fn envoy_takes_what_is_rendered() {
    let envoy = std::env::var("COALMINE_ENVOY").unwrap();
    let here = "--config-path coalmine.yaml";
    let server = "--xds localhost:8470 --token-variable T --node edge-1 --fleet edge";
    for (what, options) in [
        ("", here),
        ("policy.yaml", OPTIONS),
        ("names.yaml", here),
        ("", "--xds [::1]:8470"),
        ("policy.yaml", server),
    ] {
        let lab = Lab::new().with("policy.yaml", POLICY).with("names.yaml", NAMES);
        let options = options
            .replace("/etc/envoy/coalmine.yaml", "coalmine.yaml")
            .replace("render envoy policy.yaml --out .", "");
        let run = lab.run(&format!("render envoy {what} --out . {options}"));
        assert_eq!(run.code, 0, "{run}");
        let output = std::process::Command::new(&envoy)
            .args(["--mode", "validate", "--config-path", "bootstrap.yaml"])
            .current_dir(lab.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The files below a folder, by their names from there.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => found.extend(files(&path).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_shipped_for_istio_is_what_is_rendered() {
    for (kind, other) in [("traffic-extension", "wasmplugin"), ("wasm-plugin", "trafficextension")] {
        let lab = Lab::new();
        let run = lab.run(&format!("render istio --out . --kind {kind}"));
        assert_eq!(run.code, 0, "{run}");
        let files = files(lab.path());
        assert_eq!(files.len(), 7);
        for name in files {
            assert!(!name.contains(other));
            assert_eq!(
                file(&lab, &name),
                std::fs::read_to_string(shipped("istio").join(&name)).unwrap(),
                "{name}"
            );
        }
    }
}

#[test]
fn manifests_for_a_policy() {
    let policy = POLICY.split("- name: cart").next().unwrap();
    let lab = Lab::new().with("policy.yaml", policy);
    let options = "--rollout checkout --kind wasm-plugin --namespace web --gateway-namespace edge --service pay \
                   --host checkout.example --url oci://r.example/f:2 --sha256 00ff";
    let run = lab.run(&format!("render istio policy.yaml --out out {options}"));
    assert_eq!(run.code, 0, "{run}");
    let out = lab.path().join("out");
    let names: Vec<String> = files(&out).into_iter().map(|name| format!("out/{name}")).collect();
    for name in [
        "plugin/wasmplugin/gateway/wasmplugin.yaml",
        "routes/virtualservice.yaml",
        "routes/destinationrule.yaml",
    ] {
        assert_snapshot!(std::fs::read_to_string(out.join(name)).unwrap());
    }
    let mut arguments = vec!["validate", "--strict", "policy.yaml"];
    arguments.extend(names.iter().map(String::as_str));
    let run = lab.run_with(&arguments, b"");
    assert_eq!(run.code, 0, "{run}");
    let first = std::fs::read_to_string(out.join("plugin/wasmplugin/sidecar/first-start.yaml")).unwrap();
    assert!(first.contains("/web.coalmine") && !first.contains("shop"), "{first}");
    assert_snapshot!(lab.run("render istio policy.yaml --out . --rollout search"));
}
