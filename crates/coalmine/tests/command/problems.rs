//! Every problem that a policy can have, as its author sees it: one snapshot per part of the document.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::harness::Lab;

/// A policy that uses most of what there is.
const GOOD: &str = r#"version: 1
revision: 7
rollouts:
- name: checkout
  enabled: true
  match:
    hosts: [checkout]
    paths: [{prefix: /api/}]
    methods: [GET]
    headers: [{name: x-region, exact: eu}]
  identity:
  - header: x-user-id
  onMissingIdentity: stable
  salt: checkout-7
  algorithm: coalmine-v1
  variants:
  - {name: canary, weight: 5}
  pins: {canary: [alice]}
  route: {header: x-variant}
observe: {accessLog: false}
"#;

/// What the command says about each of these changes to the good policy.
fn told(changes: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (from, to) in changes {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        let run = Lab::new().with("policy.yaml", GOOD.replace(from, to)).run("validate policy.yaml");
        assert_eq!(run.code, 1, "{from} -> {to}\n{run}");
        assert!(run.stderr.is_empty(), "{run}");
        let _ = writeln!(text, "### {} -> {}\n{}", from.trim(), to.trim(), run.stdout);
    }
    text
}

#[test]
fn nothing_is_wrong_with_the_good_one() {
    let run = Lab::new().with("policy.yaml", GOOD).run("validate policy.yaml");
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn the_top() {
    assert_snapshot!(told(&[
        ("version: 1", "version: 2"),
        ("version: 1", "version: one"),
        ("revision: 7", "revision: 0"),
        ("revision: 7", "revision: 1.5"),
        ("revision: 7", "revison: 7"),
        ("observe: {accessLog: false}", "observe: {accessLog: no}"),
        ("observe: {accessLog: false}", "observe: {acessLog: true}"),
        ("observe: {accessLog: false}", "weights: 5"),
    ]));
}

#[test]
fn a_rollout() {
    assert_snapshot!(told(&[
        ("name: checkout", "name: Check Out"),
        ("name: checkout", "name: none"),
        ("name: checkout", "enabld: true"),
        ("enabled: true", "enabled: \"true\""),
        ("onMissingIdentity: stable", "onMissingIdentity: canary"),
        ("onMissingIdentity: stable", "cookie: {name: x}"),
        ("salt: checkout-7", "salt: ''"),
        ("algorithm: coalmine-v1", "algorithm: coalmine-v2"),
        ("algorithm: coalmine-v1", "algorithm: md5"),
        (
            "observe: {accessLog: false}",
            "- {name: checkout, identity: [{peer: true}], variants: [{name: c, weight: 1}]}"
        ),
    ]));
}

#[test]
fn a_match() {
    assert_snapshot!(told(&[
        ("hosts: [checkout]", "hosts: []"),
        ("hosts: [checkout]", "hosts: [\"*\"]"),
        ("hosts: [checkout]", "hosts: [Checkout]"),
        ("hosts: [checkout]", "hosts: [\"checkout:8080\"]"),
        ("hosts: [checkout]", "hosts: [checkout.]"),
        ("hosts: [checkout]", "hosts: [a..b]"),
        ("hosts: [checkout]", "hosts: checkout"),
        ("[{prefix: /api/}]", "[]"),
        ("[{prefix: /api/}]", "[{}]"),
        ("[{prefix: /api/}]", "[{prefix: /a, exact: /a}]"),
        ("[{prefix: /api/}]", "[{prefix: api}]"),
        ("[{prefix: /api/}]", "[{exact: \"/a?b\"}]"),
        ("[{prefix: /api/}]", "[{regex: \"/a.*\"}]"),
        ("methods: [GET]", "methods: [get]"),
        ("[{name: x-region, exact: eu}]", "[{exact: eu}]"),
        ("[{name: x-region, exact: eu}]", "[{name: x-region}]"),
        ("[{name: x-region, exact: eu}]", "[{name: \":path\", exact: eu}]"),
        ("[{name: x-region, exact: eu}]", "[{name: x region, exact: eu}]"),
        ("[{name: x-region, exact: eu}]", "[{name: x-region, prefix: ''}]"),
        ("[{name: x-region, exact: eu}]", "[{name: x-region, present: eu}]"),
    ]));
}

#[test]
fn an_identity() {
    assert_snapshot!(told(&[
        ("\n  - header: x-user-id", " []"),
        ("header: x-user-id", "header: authorization"),
        ("header: x-user-id", "header: \":authority\""),
        ("header: x-user-id", "header: cookie"),
        ("header: x-user-id", "cookie: a b"),
        ("header: x-user-id", "heade: x-user-id"),
        ("- header: x-user-id", "- {}"),
        ("- header: x-user-id", "- {header: x-a, cookie: b}"),
        ("header: x-user-id", "jwtClaim: ''"),
        ("header: x-user-id", "jwtClaim: {path: []}"),
        ("header: x-user-id", "jwtClaim: {payload: p}"),
        ("header: x-user-id", "queryParameter: a=b"),
        ("header: x-user-id", "peer: false"),
        ("header: x-user-id", "sourceIp: 10.0.0.1"),
    ]));
}

#[test]
fn an_issued_cookie() {
    let with = |cookie| format!("onMissingIdentity: issueCookie\n  cookie: {cookie}");
    let cookies = [
        "{name: a b}",
        "{maxAge: 30}",
        "{maxAge: 30 days}",
        "{path: shop}",
        "{domain: Shop.example}",
        "{sameSite: lax}",
        "{sameSite: None, secure: false}",
        "{httpOnly: true}",
    ]
    .map(with);
    let changes: Vec<(&str, &str)> =
        cookies.iter().map(|cookie| ("onMissingIdentity: stable", cookie.as_str())).collect();
    assert_snapshot!(told(&changes));
}

#[test]
fn variants_and_weights() {
    let variants = "variants:\n  - {name: canary, weight: 5}";
    assert_snapshot!(told(&[
        (variants, "variants: []"),
        ("{name: canary, weight: 5}", "{name: stable, weight: 5}"),
        ("{name: canary, weight: 5}", "{name: canary}"),
        ("{name: canary, weight: 5}", "{weight: 5}"),
        ("{name: canary, weight: 5}", "{name: canary, weight: -1}"),
        ("{name: canary, weight: 5}", "{name: canary, weight: 0.00005}"),
        ("{name: canary, weight: 5}", "{name: canary, weight: .nan}"),
        (variants, "variants: [{name: canary, weight: 60}, {name: blue, weight: 44}]"),
        (variants, "variants: [{name: canary, weight: 6}, {name: canary, weight: 4}]"),
        (variants, "variants: [{name: canary, weight: 6}, {name: b, weight: 4}, {name: c, weight: 4}]"),
        (
            "algorithm: coalmine-v1\n  variants:\n  - {name: canary, weight: 5}",
            "algorithm: unleash\n  variants:\n  - {name: canary, weight: 5.5}"
        ),
    ]));
}

#[test]
fn ranges() {
    let with = |ranges| format!("variants: [{{name: canary}}]\n  ranges: {ranges}");
    let ranges = [
        "[]",
        "[[50000, canary]]",
        "[[50000, canary], [40000, stable], [1000000, stable]]",
        "[[50000, blue], [1000000, stable]]",
        "[[50000], [1000000, stable]]",
        "[[0.5, canary], [1000000, stable]]",
        "[[2000000, canary]]",
        "{canary: 50000}",
    ]
    .map(with);
    let mut changes: Vec<(&str, &str)> =
        ranges.iter().map(|ranges| ("variants:\n  - {name: canary, weight: 5}", ranges.as_str())).collect();
    changes.push(("pins: {", "ranges: [[1000000, canary]]\n  pins: {"));
    assert_snapshot!(told(&changes));
}

#[test]
fn pins() {
    assert_snapshot!(told(&[
        ("pins: {canary: [alice]}", "pins: {blue: [alice]}"),
        ("pins: {canary: [alice]}", "pins: {canary: [7]}"),
        ("pins: {canary: [alice]}", "pins: {canary: ['']}"),
        ("pins: {canary: [alice]}", "pins: {canary: alice}"),
        ("pins: {canary: [alice]}", "pins: {canary: [alice], stable: [alice]}"),
        ("pins: {canary: [alice]}", "pins: [alice]"),
    ]));
    let many: Vec<String> = (0..10_002).map(|n| format!("u{n}")).collect();
    let policy = GOOD.replace("[alice]", &format!("[{}]", many.join(",\n    ")));
    assert_snapshot!(Lab::new().with("policy.yaml", policy).run("validate policy.yaml"));
}

#[test]
fn a_route() {
    assert_snapshot!(told(&[
        ("{header: x-variant}", "{}"),
        ("{header: x-variant}", "{header: host}"),
        ("{header: x-variant}", "{header: x-forwarded-for}"),
        ("{header: x-variant}", "{header: \":path\"}"),
        ("{header: x-variant}", "{header: x-user-id}"),
        ("{header: x-variant}", "{headers: x-variant}"),
        ("{header: x-variant}", "{clusterHeader: {name: x-cluster, clusters: {canary: a}}}"),
        (
            "{header: x-variant}",
            "{clusterHeader: {name: x-cluster, clusters: {canary: a, stable: b, blue: c}}}"
        ),
        ("{header: x-variant}", "{clusterHeader: {clusters: {canary: 'a b', stable: b}}}"),
        ("{header: x-variant}", "{bucketHeader: {name: x-bucket, total: 0}}"),
        ("{header: x-variant}", "{header: x-a, bucketHeader: {name: x-bucket, total: 100}}"),
    ]));
    let rollouts: String = (0..5)
        .map(|n| {
            format!("- {{name: r{n}, identity: [{{peer: true}}], variants: [{{name: c, weight: 1}}], route: {{header: x-{n}}}}}\n")
        })
        .collect();
    let policy = format!("rollouts:\n{rollouts}");
    assert_snapshot!(Lab::new().with("policy.yaml", policy).run("validate policy.yaml"));
}

#[test]
fn more_than_a_hundred() {
    let policy = format!("rollouts: [{}]", vec!["0"; 130].join(", "));
    let run = Lab::new().with("policy.yaml", policy).run("validate policy.yaml");
    assert!(run.stdout.contains("and 30 more problems"), "{run}");
}

#[test]
fn a_key() {
    assert_snapshot!(told(&[
        ("algorithm: coalmine-v1", "algorithm: siphash-2-4"),
        ("algorithm: coalmine-v1", "algorithm: siphash-2-4\n  key: 0123"),
        ("algorithm: coalmine-v1", "algorithm: siphash-2-4\n  key: \"xyz\""),
        ("algorithm: coalmine-v1", "algorithm: siphash-2-4\n  key: {env: \"A B\"}"),
        ("algorithm: coalmine-v1", "algorithm: siphash-2-4\n  key: {}"),
        ("algorithm: coalmine-v1", "key: {env: KEY}"),
    ]));
}

#[test]
fn a_ramp() {
    let with = |ramp: &str| format!("variants: [{{name: canary}}]\n  ramp: {ramp}");
    let ramps = [
        "{}",
        "{start: tomorrow, steps: [{at: 0s, weight: 1}]}",
        "{start: 2026-11-21, steps: [{at: 0s, weight: 1}]}",
        "{start: 2026-11-21T09:00:00Z, steps: []}",
        "{start: 2026-11-21T09:00:00Z, steps: [{at: 5m, weight: 1}]}",
        "{start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}, {at: 0s, weight: 2}]}",
        "{start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 5}, {at: 1h, weight: 2}]}",
        "{start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 105}]}",
        "{start: 2026-11-21T09:00:00Z, steps: [{at: 0s}]}",
        "{start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}], hold: true}",
        "{start: 2026-11-21T09:00:00Z, step: [{at: 0s, weight: 1}]}",
    ]
    .map(with);
    let mut changes: Vec<(&str, &str)> =
        ramps.iter().map(|ramp| ("variants:\n  - {name: canary, weight: 5}", ramp.as_str())).collect();
    changes.push(("pins: {", "ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}]}\n  pins: {"));
    assert_snapshot!(told(&changes));
}

#[test]
fn an_override_and_a_response() {
    let with = |field: &str| format!("{field}\n  route: {{header: x-variant}}");
    let fields = [
        "override: {header: x-o}",
        "override: {secret: {env: S}}",
        "override: {header: x-o, secret: short}",
        "override: {header: x-o, secret: []}",
        "override: {header: x-user-id, secret: {env: S}}",
        "override: {header: x-variant, secret: {env: S}}",
        "override: {header: x-o, cokie: o, secret: {env: S}}",
        "response: {}",
        "response: {removeHeaders: []}",
        "response: {removeHeaders: [content-length]}",
    ]
    .map(with);
    let changes: Vec<(&str, &str)> =
        fields.iter().map(|field| ("route: {header: x-variant}", field.as_str())).collect();
    assert_snapshot!(told(&changes));
}
