use super::*;
use crate::access::{KeySource, May};
use crate::fleets::{FLEET, Fleets};
use crate::kubernetes::ApiAddress;
use crate::notify::Shape;
use crate::rollout::read_text;
use crate::store::Address;
use crate::text_pattern::TextPattern;

mod evidence;

fn read(text: &str) -> Result<Config, Vec<String>> {
    let variable = |name: &str| match name {
        "TOKEN" => Some("0123456789abcdef-operate\n".to_owned()),
        "DATABASE" => Some("postgres://coalmine:geheim@db/coalmine".to_owned()),
        "SHORT" => Some("short".to_owned()),
        _ => None,
    };
    let file = |path: &str| match path {
        "token.txt" => Ok("0123456789abcdef-write\r\n".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let surroundings = Surroundings { variable: &variable, file: &file };
    Config::from_document(&read_text(text).unwrap(), &surroundings)
        .map_err(|problems| problems.shown().iter().map(ToString::to_string).collect())
}

#[test]
fn an_empty_configuration_is_for_a_first_look_on_this_host() {
    let config = read("{}").unwrap();
    assert_eq!((config.listen.to_string().as_str(), config.tick), (LISTEN, 15));
    assert_eq!(config.store, StoreAddress::Sql(Address::File(PathBuf::from("coalmine.db"))));
    assert!(config.tokens.is_empty() && config.listen.ip().is_loopback() && config.admin.ip().is_loopback());
}

#[test]
fn a_dashboard_is_there_unless_it_is_off() {
    let read = |text: &str| read(text).map(|config| config.dashboard);
    assert_eq!(read("{}").unwrap(), Dashboard::On);
    assert_eq!(read("dashboard: {}").unwrap(), Dashboard::On);
    assert_eq!(read("dashboard: {readOnly: true}").unwrap(), Dashboard::ReadOnly);
    assert_eq!(read("dashboard: off").unwrap(), Dashboard::Off);
    for wrong in ["dashboard: false", "dashboard: on", "dashboard: {readonly: true}"] {
        let problems = read(wrong).unwrap_err().join("\n");
        assert!(problems.contains("dashboard"), "{wrong}: {problems}");
    }
}

#[test]
fn everything_can_be_said() {
    let config = read(
        "
listen: 0.0.0.0:443
admin: 127.0.0.1:9000
publicUrl: https://coalmine.example/
store: {env: DATABASE}
tls: {certificate: tls.crt, key: tls.key, clientCa: ca.crt}
tokens:
- {name: pipeline, value: {env: TOKEN}, may: operate, rollouts: [shop/*, bank/payments]}
- {name: admins, value: {file: token.txt}, may: write}
xds: {inline: target/filter/coalmine.wasm, environment: [COALMINE_KEY]}
file: /var/lib/coalmine/policy.json
evidence: {proxies: ['127.0.0.1:9901', 'edge.internal:9901']}
tick: 5s
limits: {body: 524288, connections: 100, requests: 8, time: 5s}
policy:
  route: {header: x-canary}
  override: {header: x-force, secret: {env: COALMINE_FORCE}}
  slow: [250ms, 1s]
  accessLog: true
grants: {shop: ['*.shop.example']}
gates: {smoke: 'http://127.0.0.1:9000/smoke'}
notifiers:
  oncall: {env: TOKEN}
  pipeline: {url: {env: TOKEN}, secret: {env: TOKEN}}
  chat: {url: {env: TOKEN}, shape: slack}
",
    )
    .unwrap();
    assert_eq!(config.public_url.as_deref(), Some("https://coalmine.example"));
    assert!(matches!(config.store, StoreAddress::Sql(Address::Postgres(_))));
    let time = std::time::Duration::from_secs(5);
    assert_eq!(config.limits, Limits { body: 524_288, connections: 100, requests: 8, time });
    assert_eq!(config.operator.slow, [250, 1_000]);
    assert!(config.operator.gates.contains("smoke") && config.operator.notifiers.contains("oncall"));
    let shapes: Vec<_> = config.notifiers.values().map(|it| (it.shape, it.secret.is_some())).collect();
    assert_eq!(shapes, [(Shape::Slack, false), (Shape::Webhook, false), (Shape::Webhook, true)]);
    assert_eq!(config.fleets[FLEET].module, ModuleFile::Here(PathBuf::from("target/filter/coalmine.wasm")));
    let name: crate::access::Pattern = "shop/checkout".parse().unwrap();
    let pipeline = config.tokens.iter().find(|token| token.name() == "pipeline").unwrap();
    assert!(pipeline.is("0123456789abcdef-operate"), "one line break at the end is no part of it");
    assert!(
        pipeline.scope().allows_all(May::Operate, &name) && !pipeline.scope().allows_all(May::Write, &name)
    );
    let shown = format!("{config:?}");
    for secret in ["geheim", "0123456789abcdef-write"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_problem_has_its_place_and_no_secret_is_shown() {
    let problems = read(
        "
listen: localhost
publicUrl: coalmine.example
store: postgres://coalmine:geheim@db/coalmine
tls: {certificate: a.crt}
tokens:
- {name: a, value: geheim-geheim-geheim, may: read}
- {name: b, value: {env: NONE}, may: write}
- {name: c, value: {env: SHORT}, may: rule}
- {name: d, value: {file: none.txt}, may: read, rollouts: ['shop*']}
xds: {module: a, inline: b}
evidence: {proxies: [edge]}
tick: 5m
limits: {body: 1, requests: 0, time: 0s}
policy: {route: {header: 'x y'}, slow: [1s, 250ms]}
gates: {'Smoke Test': x}
notifiers:
  a: {url: x, shape: slak}
  b: {url: x, shape: teams, secret: {env: SHORT}}
  c: {url: x, secret: geheim}
  d: {shape: slack}
colour: red
",
    )
    .unwrap_err();
    let expected = [
        "listen: \"localhost\" is no address and port",
        "publicUrl: \"coalmine.example\" is no URL",
        "store: is a URL, which holds a password",
        "tls: \"key\" is missing",
        "tokens[0].value: is a secret in clear",
        "tokens[1].value.env: the environment has no NONE",
        "tokens[2].may:",
        "tokens[2].value: has fewer than 16 characters",
        "tokens[3].value.file: none.txt cannot be read",
        "tokens[3].rollouts[0]: \"shop*\" is no pattern",
        "xds.inline: \"module\" and \"inline\"",
        "evidence.proxies[0]: \"edge\" is no host and port",
        "tick: must be from 1s to 60s",
        "limits.body: must be a whole number from 262144 to 16777216",
        "limits.requests: must be a whole number from 1",
        "limits.time: must be from 1s to 60s",
        "policy.route.header: ",
        "policy.slow: must ascend",
        "gates[\"Smoke Test\"]: \"Smoke Test\" is no valid name",
        "notifiers.a.shape: ",
        "notifiers.b.secret: is for the shape webhook: Slack and Teams look at no signature",
        "notifiers.c.secret: is a secret in clear; write {env: NAME} or {file: PATH}",
        "notifiers.d: \"url\" is missing",
        "colour: unknown field",
    ];
    for expected in expected {
        assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    assert!(!problems.join("\n").contains("geheim"));
}

#[test]
fn evidence_may_be_read_from_a_prometheus() {
    let config = read(
        "
evidence:
  prometheus:
    url: https://prometheus.example/team/
    labels: {job: envoy}
    user: coalmine
    password: {env: DATABASE}
",
    )
    .unwrap();
    let Evidence::Prometheus(address) = &config.fleets[FLEET].evidence else { panic!("{config:?}") };
    assert_eq!(address.url, "https://prometheus.example/team");
    assert_eq!(address.labels["job"], "envoy");
    assert!(matches!(&address.credentials, Some(Credentials::Basic { user, .. }) if user == "coalmine"));
    assert!(!format!("{config:?}").contains("geheim"));
    let told = |text: &str| read(&format!("evidence: {{prometheus: {text}}}")).unwrap_err().join("\n");
    for (text, expected) in [
        ("{}", "evidence.prometheus: \"url\" is missing"),
        ("{url: 'http://a:geheim@b'}", "evidence.prometheus.url: must be a URL without a password"),
        ("{url: 'prometheus:9090'}", "evidence.prometheus.url: must be a URL"),
        ("{url: 'http://a', token: geheim}", "evidence.prometheus.token: is a secret in clear"),
        ("{url: 'http://a', user: a}", "evidence.prometheus.user: has no \"password\""),
        ("{url: 'http://a', password: {env: DATABASE}}", "evidence.prometheus.password: has no \"user\""),
        (
            "{url: 'http://a', user: a, password: {env: DATABASE}, token: {env: DATABASE}}",
            "evidence.prometheus.token: \"token\" and \"user\"",
        ),
        (
            "{url: 'http://a', certificate: none.pem}",
            "evidence.prometheus.certificate: none.pem cannot be read",
        ),
        (
            "{url: 'http://a', labels: {'a-b': c}}",
            "evidence.prometheus.labels.a-b: \"a-b\" is no name of a label",
        ),
    ] {
        let problems = told(text);
        assert!(problems.contains(expected) && !problems.contains("geheim"), "{expected}\n{problems}");
    }
    let both = read("evidence: {proxies: ['a:1'], prometheus: {url: 'http://a'}}").unwrap_err().join("\n");
    assert!(both.starts_with("evidence.prometheus: \"proxies\" and \"prometheus\" both"), "{both}");
}

#[test]
fn fleets_have_proxies_rollouts_a_module_and_evidence_of_their_own() {
    let config = read(
        "
fleets:
  edge:
    clusters: ['edge-*', gateway]
    rollouts: [shop/*, bank/payments]
    xds: {inline: coalmine.wasm}
    file: edge.json
    evidence: {prometheus: {url: 'http://127.0.0.1:9090', labels: {fleet: edge}}}
  rest:
    rollouts: ['*']
    evidence: {prometheus: {url: 'http://127.0.0.1:9090', labels: {fleet: rest}}}
",
    )
    .unwrap();
    let members = config.fleets.iter().map(|(name, fleet)| (name.clone(), fleet.members.clone()));
    let fleets = Fleets::new(members.collect());
    assert_eq!(fleets.of_rollout(&"shop/checkout".parse().unwrap()), Some("edge"));
    assert_eq!(fleets.of_rollout(&"bank/accounts".parse().unwrap()), Some("rest"));
    assert_eq!((fleets.of_proxy("edge-1", &[]), fleets.of_proxy("rest", &[])), (Some("edge"), Some("rest")));
    assert_eq!(fleets.of_proxy("unknown", &[]), None);
    assert_eq!(config.fleets["edge"].file, Some(PathBuf::from("edge.json")));
    assert!(matches!(config.fleets["edge"].module, ModuleFile::Here(_)));
    assert!(matches!(config.fleets["rest"].module, ModuleFile::OnProxy(_)));
}

#[test]
fn what_would_be_of_two_fleets_is_a_conflict() {
    let problems = read(
        "
xds: {module: a}
fleets:
  edge: {rollouts: [shop/*], file: policy.json, evidence: {proxies: ['a:9901']}}
  other: {clusters: [edge, 'a*b', ''], rollouts: [shop/*, 'shop*'], file: policy.json, evidence: {proxies: ['a:9901']}}
  Wrong: {clusters: [], rollouts: ['*']}
  last: {}
",
    )
    .unwrap_err();
    let expected = [
        "xds: is of one fleet, and there are several",
        "fleets.other.clusters[0]: is of the fleet edge already",
        "fleets.other.clusters[1]: \"a*b\" is no node.cluster",
        "fleets.other.clusters[2]: \"\" is no node.cluster",
        "fleets.other.rollouts[0]: is of the fleet edge already",
        "fleets.other.rollouts[1]: \"shop*\" is no pattern",
        "fleets.other.file: is of the fleet edge already",
        "fleets.other.evidence: reads the proxies of the fleet edge",
        "fleets.Wrong: \"Wrong\" is no valid name",
        "fleets.Wrong.clusters: is an empty list",
        "fleets.last: \"rollouts\" is missing",
    ];
    for expected in expected {
        assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    assert_eq!(read("fleets: {}").unwrap_err(), ["fleets: has 0 fleets, and 1 to 100 are allowed"]);
}

#[test]
fn a_fleet_may_know_its_proxies_by_their_certificates() {
    let tls = "tls: {certificate: a, key: b, clientCa: c}";
    let fleets = "
fleets:
  edge: {spiffe: ['spiffe://cluster.local/ns/edge/*'], rollouts: [shop/*]}
  eu: {spiffe: ['spiffe://cluster.local/ns/edge/*'], clusters: ['eu-*'], rollouts: [bank/*]}
  eu-open: {clusters: ['eu-*'], rollouts: ['*']}
";
    let config = read(&format!("{tls}{fleets}")).unwrap();
    let edge = &config.fleets["edge"].members;
    assert!(edge.clusters.is_empty() && edge.is_proved());
    assert!(!config.fleets["eu-open"].members.is_proved());
    let needs = "needs \"tls\" with \"clientCa\": without it no proxy shows a certificate";
    assert_eq!(
        read(fleets).unwrap_err(),
        [format!("fleets.edge.spiffe: {needs}"), format!("fleets.eu.spiffe: {needs}")]
    );
    let problems = read(&format!(
        "{tls}
fleets:
  edge: {{spiffe: ['spiffe://a/ns/edge*', 'spiffe://a', 'spiffe:///x', 'http://a/b', 'spiffe://a/*/b', ''], rollouts: [shop/*]}}
  one: {{spiffe: ['spiffe://a/one'], rollouts: [one/*]}}
  same: {{spiffe: ['spiffe://a/one'], rollouts: [same/*]}}
  two: {{spiffe: ['spiffe://a/two'], clusters: [a], rollouts: [two/*]}}
  too: {{spiffe: ['spiffe://a/two'], clusters: [a], rollouts: [too/*]}}
  none: {{spiffe: [], rollouts: ['*']}}
"
    ))
    .unwrap_err();
    let expected = [
        "fleets.edge.spiffe[0]: \"spiffe://a/ns/edge*\" is no SPIFFE id",
        "fleets.edge.spiffe[1]: \"spiffe://a\" is no SPIFFE id",
        "fleets.edge.spiffe[2]: \"spiffe:///x\" is no SPIFFE id",
        "fleets.edge.spiffe[3]: \"http://a/b\" is no SPIFFE id",
        "fleets.edge.spiffe[4]: \"spiffe://a/*/b\" is no SPIFFE id",
        "fleets.edge.spiffe[5]: \"\" is no SPIFFE id",
        "fleets.same.spiffe: is of the fleet one already",
        "fleets.too.clusters[0]: is of the fleet two already",
        "fleets.none.spiffe: is an empty list",
    ];
    for expected in expected {
        assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn tokens_of_others_are_taken_by_rules() {
    let config = read(
        "
listen: 0.0.0.0:443
oidc:
- name: github
  issuer: https://issuer.example
  audience: https://coalmine.example
  claims: {sub: 'repo:acme/shop:*', ref: refs/heads/main}
  may: operate
  rollouts: [shop/*]
- name: spire
  issuer: http://127.0.0.1:8080
  audience: coalmine
  keys: https://spire.example/keys
  claims: {sub: '*'}
  may: read
  as: email
- {name: file, issuer: 'https://c.example', audience: a, keys: {file: token.txt}, claims: {sub: a}, may: write}
",
    )
    .unwrap();
    assert!(config.tokens.is_empty() && config.has_tokens());
    let [github, spire, file] = &config.oidc[..] else { panic!("{config:?}") };
    assert_eq!((github.name.as_str(), github.named_by.as_str()), ("github", "sub"));
    assert_eq!(
        (github.issuer.as_str(), github.audience.as_str()),
        ("https://issuer.example", "https://coalmine.example")
    );
    assert_eq!(github.claims["sub"], TextPattern::Begins("repo:acme/shop:".to_owned()));
    assert_eq!(github.claims["ref"], TextPattern::Exact("refs/heads/main".to_owned()));
    assert_eq!(github.keys, KeySource::Discovered);
    assert!(github.scope.allows_all(May::Operate, &"shop/checkout".parse().unwrap()));
    assert_eq!(
        (&spire.keys, spire.named_by.as_str()),
        (&KeySource::Url("https://spire.example/keys".to_owned()), "email")
    );
    assert!(spire.scope.allows_all(May::Read, &"*".parse().unwrap()));
    assert!(matches!(&file.keys, KeySource::File { path, .. } if path == "token.txt"));
    assert!(is_config(&read_text("oidc: []").unwrap()));
}

#[test]
fn every_problem_of_a_rule_has_its_place() {
    let problems = read(
        "
oidc:
- {}
- {name: 'A b', issuer: issuer.example, audience: '', claims: {}, may: rule, as: ''}
- {name: c, issuer: 'http://issuer.example', audience: a, claims: {sub: 'a*b', ref: '', list: [a]}, may: read}
- {name: d, issuer: 'https://a:geheim@issuer.example', audience: [a], claims: [sub], may: read, colour: red}
- {name: e, issuer: 'https://e.example?x', audience: a, keys: 'http://e.example', claims: {sub: a}, may: read}
- {name: f, issuer: 'https://f.example', audience: a, keys: {file: none.txt}, claims: {sub: a}, may: read}
- {name: g, issuer: 'https://g.example', audience: a, keys: {}, claims: {sub: a}, may: read}
- {name: h, issuer: 'https://h.example', audience: a, claims: {sub: a}, may: read}
- {name: h, issuer: 'https://h.example', audience: a, keys: 'https://h.example/keys', claims: {sub: a}, may: read}
",
    )
    .unwrap_err();
    let expected = [
        "oidc[0]: \"name\" is missing",
        "oidc[0]: \"issuer\" is missing",
        "oidc[0]: \"audience\" is missing",
        "oidc[0]: \"claims\" is missing",
        "oidc[0]: \"may\" is missing",
        "oidc[1].name: \"A b\" is not a valid name",
        "oidc[1].issuer: is no URL",
        "oidc[1].audience: is empty",
        "oidc[1].claims: asks for nothing; write {sub: \"*\"}",
        "oidc[1].may:",
        "oidc[1].as: is empty",
        "oidc[2].issuer: must be a URL with https",
        "oidc[2].claims.sub: \"a*b\" is no pattern: it must be the whole text",
        "oidc[2].claims.ref: \"\" is no pattern",
        "oidc[2].claims.list: ",
        "oidc[3].issuer: must be a URL without a user",
        "oidc[3].audience: ",
        "oidc[3].claims: ",
        "oidc[3].colour: unknown field",
        "oidc[4].issuer: must be a URL without a query",
        "oidc[4].keys: must be a URL with https",
        "oidc[5].keys.file: none.txt cannot be read",
        "oidc[6].keys: \"file\" is missing",
        "oidc[8]: another rule is called h too",
        "oidc[8]: another rule has other \"keys\" for the same issuer",
    ];
    for expected in expected {
        assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    assert!(!problems.join("\n").contains("geheim"));
    let one =
        "{name: a, issuer: 'https://a.example', audience: a, keys: {file: x}, claims: {sub: a}, may: read}";
    let document = read_text(&format!("oidc: [{one}]")).unwrap();
    assert_eq!(
        Config::check(&document).map(drop).map_err(|problems| problems.to_string()),
        Ok(()),
        "files are not looked at"
    );
}

#[test]
fn a_cluster_is_named_by_as_little_as_can_be() {
    let kubernetes = |text: &str| read(text).unwrap().kubernetes;
    assert_eq!(kubernetes("{}"), None);
    assert_eq!(kubernetes("kubernetes: {}"), Some(Kubernetes::default()));
    let whole = "kubernetes: {kubeconfig: kube.yaml, namespace: shop, rootNamespace: mesh, tokens: {audience: coalmine}}";
    let tokens = ClusterTokens { audience: Some("coalmine".to_owned()) };
    assert_eq!(
        kubernetes(whole),
        Some(Kubernetes {
            kubeconfig: Some(PathBuf::from("kube.yaml")),
            namespace: Some("shop".to_owned()),
            root_namespace: Some("mesh".to_owned()),
            tokens: Some(tokens),
        })
    );
    assert!(read(whole).unwrap().has_tokens() && !read("kubernetes: {}").unwrap().has_tokens());
    let wrong = read("kubernetes: {namespace: Shop, tokens: {audience: \"\"}}").unwrap_err().join("\n");
    assert!(
        wrong.contains("kubernetes.namespace") && wrong.contains("kubernetes.tokens.audience"),
        "{wrong}"
    );
}

#[test]
fn rollouts_may_be_objects_of_a_cluster() {
    let text = "{store: {kubernetes: {namespace: coalmine, kubeconfig: kube.yaml}}, \
                plugins: [{kind: WasmPlugin, namespace: istio-system, name: coalmine.v1}]}";
    let config = read(text).unwrap();
    let address = ApiAddress { namespace: Some("coalmine".to_owned()), kubeconfig: Some("kube.yaml".into()) };
    assert_eq!(config.store, StoreAddress::Kubernetes(address));
    assert_eq!(config.fleets[FLEET].plugins[0].to_string(), "WasmPlugin istio-system/coalmine.v1");
    assert_eq!(
        read("store: {kubernetes: {}}").unwrap().store,
        StoreAddress::Kubernetes(ApiAddress::default())
    );
}

#[test]
fn what_cannot_be_of_a_cluster_is_told() {
    let plugin = "{kind: TrafficExtension, namespace: a, name: b}";
    for (text, why) in [
        (format!("plugins: [{plugin}]"), "write `kubernetes: {}` as well"),
        (format!("{{store: {{kubernetes: {{}}}}, plugins: [{plugin}, {plugin}]}}"), "is there twice"),
        ("{store: {kubernetes: {}}, plugins: []}".to_owned(), "is an empty list"),
        (
            "{store: {kubernetes: {}}, plugins: [{kind: Plugin, namespace: a, name: b}]}".to_owned(),
            "known here: TrafficExtension, WasmPlugin",
        ),
        ("store: {kubernetes: {}, env: X}".to_owned(), "env"),
        ("store: {kubernetes: {namespace: 'a/b'}}".to_owned(), "namespace"),
        (
            format!(
                "{{store: {{kubernetes: {{}}}}, fleets: {{a: {{rollouts: ['a/*'], plugins: [{plugin}]}}, \
                 b: {{rollouts: ['b/*'], plugins: [{plugin}]}}}}}}"
            ),
            "is of the fleet a already",
        ),
    ] {
        let said = read(&text).unwrap_err().join("\n");
        assert!(said.contains(why), "{text}: {said}");
    }
}
