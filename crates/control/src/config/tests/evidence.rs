//! What is counted beside the filter's counters: what versions served, and queries.

use super::*;
use crate::evidence::{ServedBy, Servers};

#[test]
fn what_versions_served_is_counted_by_envoy_or_by_istio() {
    let served = |text: &str| {
        let slow = "policy: {slow: [250ms, 1s]}";
        let config = read(&format!("evidence: {{proxies: ['a:9901'], served: {text}}}\n{slow}"))?;
        Ok::<_, Vec<String>>(config.fleets[FLEET].served.clone().unwrap())
    };
    let template = |text: &str| text.parse().unwrap();
    let by = |servers, guards| Ok(ServedBy { servers, guards });
    let cluster = || Servers::Cluster(template("{name}-{variant}"));
    assert_eq!(served("{cluster: '{name}-{variant}'}"), by(cluster(), None));
    let istio = Servers::Istio { service: template("{name}"), version: template("{variant}-v") };
    assert_eq!(served("{version: '{variant}-v'}"), by(istio, None));
    assert_eq!(served("{cluster: '{name}-{variant}'}, counters: filter"), by(cluster(), None));
    assert_eq!(
        served("{cluster: '{name}-{variant}'}, counters: served"),
        by(cluster(), Some(vec![250, 1_000]))
    );
    for (text, expected) in [
        ("{}", "evidence.served: says nothing; write {cluster: NAME}"),
        ("{cluster: a, version: b}", "evidence.served.version: is of Istio's counters"),
        ("{cluster: '{rollout}'}", "evidence.served.cluster: \"{rollout}\" is no name; {namespace}, {name}"),
        ("{clusters: a}", "evidence.served.clusters: unknown field"),
        (
            "{cluster: a}, counters: istio",
            "evidence.counters: \"istio\" is not known; known here: filter, served",
        ),
    ] {
        let problems = served(text).unwrap_err();
        assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
    }
    let alone = read("evidence: {proxies: ['a:9901'], counters: served}").unwrap_err();
    assert!(alone[0].starts_with("evidence.counters: needs \"served\""), "{alone:?}");
}

#[test]
fn proxies_are_listed_or_found_by_their_streams() {
    let evidence = |text: &str| {
        let config = read(&format!("evidence: {{proxies: {text}}}"))?;
        Ok::<_, Vec<String>>(config.fleets[FLEET].evidence.clone())
    };
    assert_eq!(evidence("['a:9901']"), Ok(Evidence::Proxies(vec!["a:9901".to_owned()])));
    assert_eq!(evidence("{streams: 9901}"), Ok(Evidence::Streams(9901)));
    for (text, expected) in [
        ("{streams: 0}", "evidence.proxies.streams: must be a whole number from 1 to 65535, not 0"),
        ("{streams: 65536}", "evidence.proxies.streams: must be a whole number from 1 to 65535"),
        (
            "{streams: '9901'}",
            "evidence.proxies.streams: must be a number, not the string \"9901\": write it",
        ),
        ("{}", "evidence.proxies: \"streams\" is missing: the port"),
        ("{stream: 9901}", "evidence.proxies.stream: unknown field"),
        (
            "9901",
            "evidence.proxies: must be a list of admin interfaces, as [\"127.0.0.1:9901\"], or {streams: 9901}",
        ),
        ("[{streams: 9901}]", "evidence.proxies[0]: must be a string"),
    ] {
        let problems = evidence(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{text}: {problems:?}");
    }
    // Each fleet has streams of its own, at the same port or at another one.
    let two = "
fleets:
  edge: {rollouts: [shop/*], evidence: {proxies: {streams: 9901}}}
  rest: {rollouts: ['*'], evidence: {proxies: {streams: 9901}}}
";
    assert!(read(two).unwrap().fleets.values().all(|fleet| fleet.evidence == Evidence::Streams(9901)));
    let listed = read(&two.replace("{streams: 9901}", "['a:9901']")).unwrap_err();
    assert!(listed[0].contains("reads the proxies of the fleet edge"), "{listed:?}");
}

#[test]
fn a_query_has_selectors_or_a_service() {
    let config = read(
        "
queries:
  payments:
    prometheus: {url: 'http://p:9090', token: {env: TOKEN}}
    all: 'a_total{v=\"$variant\"}'
    good: 'b_total{v=\"$variant\"}'
  orders: {url: {env: TOKEN}, token: {env: TOKEN}}
",
    )
    .unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
    assert_eq!(config.operator.queries, ["orders", "payments"].map(str::to_owned).into());
    let QuerySource::Prometheus { address, part, .. } = &config.queries["payments"].source else { panic!() };
    assert_eq!(
        (address.url.as_str(), part),
        ("http://p:9090", &Part::Good("b_total{v='$variant'}".replace('\'', "\"").parse().unwrap()))
    );
    let problems = read(
        "
queries:
  One: {url: a, bad: 'x{v=\"$variant\"}'}
  two: {prometheus: {url: 'http://p', labels: {a: b}}, all: 'rate(x[5m])', token: {env: TOKEN}}
  three: {prometheus: {url: 'http://p'}, url: b}
  four: {prometheus: {url: 'http://p'}, all: 'x{v=\"$variant\"}', bad: 'x', good: 'y'}
  five: {}
  six: {prometheus: {url: 'http://p'}, all: 'x{v=\"$variant\"}', bad: 'y{v=\"$variant\"}', names: {old: a, canary: B}}
",
    )
    .unwrap_err();
    let expected = [
        "queries.One: \"One\" is no valid name",
        "queries.One.bad: is of a Prometheus; a service",
        "queries.two.token: is of a service with a \"url\"",
        "queries.two.prometheus: has labels; write them into the selectors",
        "queries.two.all: is more than a selector of counters",
        "queries.two: does not say what is bad",
        "queries.three.url: \"prometheus\" and \"url\" both say",
        "queries.four.good: \"bad\" and \"good\" both say",
        "queries.five: does not say who answers",
        "queries.six.names.old: unknown field",
        "queries.six.names.canary: \"B\" is not a valid name",
    ];
    for expected in expected {
        assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}
