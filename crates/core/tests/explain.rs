//! Explain observes decide: for random policies and requests it comes to the same outcome, and what it records is how
//! that outcome came about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/summary.rs"]
mod summary;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coalmine_core::document::json as json_document;
use coalmine_core::policy::{CandidateAnswer, Environment, Explained, Policy, Refusal};
use coalmine_core::request::StaticRequest;
use coalmine_core::token::Secret;
use coalmine_core::{OverrideResult, Reason};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Map, Value, json};
use summary::summary;

const NOW: Duration = Duration::from_secs(1_795_251_600);
const START: &str = "2026-11-21T09:00:00Z";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const ISSUED: &str = "07070707070707070707070707070707";
const HOSTS: [&str; 4] = ["shop.example", "a.shop.example", "*.shop.example", "*.example"];

/// Nothing, more often than not; otherwise one of these.
fn maybe(values: Vec<Value>) -> impl Strategy<Value = Option<Value>> {
    proptest::option::weighted(0.3, select(values))
}

fn any_match() -> impl Strategy<Value = Value> {
    let hosts = proptest::option::weighted(0.5, subsequence(HOSTS.to_vec(), 1..=4).prop_shuffle());
    let paths = maybe(vec![json!([{"prefix": "/api/"}]), json!([{"exact": "/cart"}, {"prefix": "/a"}])]);
    let methods = maybe(vec![json!(["GET"]), json!(["POST", "PUT"])]);
    let headers = maybe(vec![
        json!([{"name": "x-user-id", "present": true}]),
        json!([{"name": "x-user-id", "present": false}]),
        json!([{"name": "x-region", "exact": "eu"}, {"name": "x-user-id", "prefix": "a"}]),
    ]);
    (hosts, paths, methods, headers).prop_map(|(hosts, paths, methods, headers)| {
        let given =
            [("hosts", hosts.map(Value::from)), ("paths", paths), ("methods", methods), ("headers", headers)];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
    })
}

fn any_sources() -> impl Strategy<Value = Vec<Value>> {
    let all = vec![
        json!({"header": "x-user-id"}),
        json!({"header": "x-session"}),
        json!({"cookie": "sid"}),
        json!({"queryParameter": "user"}),
        json!({"jwtClaim": "sub"}),
        json!({"peer": true}),
        json!({"sourceIp": true}),
    ];
    subsequence(all, 1..=4).prop_shuffle()
}

/// What says which variant a bucket gets.
fn any_shares() -> impl Strategy<Value = Value> {
    let weights = |canary: u32, baseline: u32| json!({"variants": [{"name": "canary", "weight": canary}, {"name": "baseline", "weight": baseline}]});
    let ramp = json!({"start": START, "steps": [{"at": "0s", "weight": 10}, {"at": "30m", "weight": 90}]});
    let names = json!([{"name": "canary"}, {"name": "baseline"}]);
    let clusters = json!({"name": "x-cluster", "clusters": {"stable": "s", "canary": "c", "baseline": "b"}});
    let mut with_clusters = weights(50, 10);
    with_clusters["route"] = json!({"clusterHeader": clusters});
    select(vec![
        weights(0, 0),
        weights(50, 50),
        weights(100, 0),
        with_clusters,
        json!({"variants": names, "ranges": [[300_000, "baseline"], [600_000, "stable"], [1_000_000, "canary"]]}),
        json!({"variants": names, "ramp": ramp}),
        json!({"route": {"bucketHeader": {"name": "x-bucket", "total": 100}}}),
    ])
}

/// Everything else that a rollout may have. A key that the environment lacks is unread.
fn any_fields() -> impl Strategy<Value = Value> {
    let enabled = maybe(vec![json!(true), json!(true), json!(false)]);
    let keyed = maybe(vec![json!(KEY), json!({"env": "UNREAD"})]);
    let issues = maybe(vec![json!("issueCookie")]);
    let pins =
        maybe(vec![json!({"canary": ["alice", ISSUED]}), json!({"stable": ["alice"], "canary": ["bob"]})]);
    let over = maybe(vec![
        json!({"header": "x-over", "secret": SECRET}),
        json!({"header": "x-over", "cookie": "over", "secret": SECRET}),
        json!({"cookie": "over", "secret": {"env": "UNREAD"}}),
    ]);
    (enabled, keyed, issues, pins, over).prop_map(|(enabled, keyed, issues, pins, over)| {
        let algorithm = keyed.as_ref().map(|_| json!("siphash-2-4"));
        let given = [
            ("enabled", enabled),
            ("algorithm", algorithm),
            ("key", keyed),
            ("onMissingIdentity", issues),
            ("pins", pins),
            ("override", over),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
    })
}

fn any_policy() -> impl Strategy<Value = Value> {
    let rollout = (any_match(), any_sources(), any_shares(), any_fields()).prop_map(
        |(matching, sources, shares, fields)| {
            let mut rollout = Map::from_iter([("identity".to_owned(), Value::from(sources))]);
            if matching.as_object().is_some_and(|matching| !matching.is_empty()) {
                rollout.insert("match".to_owned(), matching);
            }
            for part in [shares, fields] {
                rollout.extend(part.as_object().unwrap().clone());
            }
            Value::from(rollout)
        },
    );
    proptest::collection::vec(rollout, 0..6).prop_map(|mut rollouts| {
        for (place, rollout) in rollouts.iter_mut().enumerate() {
            rollout["name"] = json!(format!("r{place}"));
        }
        json!({"rollouts": rollouts})
    })
}

/// The values of a header or a cookie: none, one, an empty one, or two.
fn any_values() -> impl Strategy<Value = Vec<&'static str>> {
    select(vec![vec![], vec!["alice"], vec!["bob"], vec![""], vec!["alice", "bob"], vec!["", "alice"]])
}

/// A token for one of the rollouts, or what is none.
fn any_token() -> impl Strategy<Value = Option<String>> {
    let token = (0..3_u32, select(vec!["canary", "stable", "blue"]), select(vec![60, 7_200, 90_000_u64]))
        .prop_map(|(rollout, variant, lifetime)| {
            let secret = Secret::new(SECRET.as_bytes()).unwrap();
            secret.mint(&format!("r{rollout}"), variant, NOW + Duration::from_secs(lifetime))
        });
    proptest::option::weighted(0.5, prop_oneof![6 => token, 1 => Just("canary".to_owned())])
}

fn any_request() -> impl Strategy<Value = StaticRequest> {
    let target = (
        select(vec!["GET", "POST"]),
        select(vec!["shop.example:443", "A.shop.example", "b.a.shop.example", "elsewhere.test", ""]),
        select(vec!["/api/x", "/cart?user=carol", "/cart?user=", "/other"]),
    );
    let cookies = select(vec![
        "",
        "a=0",
        "sid=alice",
        "a=0; sid=; coalmine-id=x",
        "coalmine-id=0123456789abcdef0123456789abcdef",
    ]);
    let properties = proptest::option::weighted(0.3, any::<Index>());
    (
        target,
        any_values(),
        any_values(),
        cookies,
        any_token(),
        any_token(),
        properties,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                (method, host, path),
                users,
                sessions,
                cookies,
                in_header,
                in_cookie,
                property,
                random,
                forged,
            )| {
                let mut request = StaticRequest::new(method, host, path).with_header("x-region", "eu");
                for (name, values) in [("x-user-id", users), ("x-session", sessions)] {
                    request = values.iter().fold(request, |request, value| request.with_header(name, value));
                }
                let pair = in_cookie.map(|token| format!("over={token}"));
                let cookies: Vec<&str> = [cookies, pair.as_deref().unwrap_or_default()]
                    .into_iter()
                    .filter(|it| !it.is_empty())
                    .collect();
                if !cookies.is_empty() {
                    request = request.with_header("cookie", cookies.join("; "));
                }
                if let Some(token) = in_header {
                    request = request.with_header("x-over", token);
                }
                let known: [(&[&str], &str); 3] = [
                    (
                        &["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload", "sub"],
                        "dora",
                    ),
                    (&["connection", "uri_san_peer_certificate"], "spiffe://cluster.local/ns/a/sa/b"),
                    (&["source", "address"], "10.0.0.1:443"),
                ];
                if let Some(property) = property {
                    let (path, value) = known[property.index(known.len())];
                    request = request.with_property(path, value);
                }
                let request = if random { request.with_random([7; 16]) } else { request };
                if forged { request.with_header("x-coalmine-variant", "canary") } else { request }
            },
        )
}

/// The candidates that are recorded are how the rollout was found.
fn check_candidates(explained: &Explained<'_>) -> Vec<&'static str> {
    let candidates = &explained.candidates;
    let places: BTreeSet<usize> = candidates.iter().map(|candidate| candidate.rollout.index()).collect();
    assert_eq!(places.len(), candidates.len(), "a rollout is a candidate once");
    let is_matched = |answer: CandidateAnswer<'_>| answer == CandidateAnswer::Matched;
    let at = candidates.iter().position(|candidate| is_matched(candidate.answer));
    let rollout = explained.outcome.assignment.rollout.map(|rollout| rollout.index());
    assert_eq!(at.map(|at| candidates[at].rollout.index()), rollout, "the one that matched is the outcome's");
    let asked = at.unwrap_or(candidates.len());
    let mut kinds = Vec::new();
    for (place, candidate) in candidates.iter().enumerate() {
        match candidate.answer {
            CandidateAnswer::Matched => assert_eq!(Some(place), at, "one matches"),
            CandidateAnswer::NotAsked => assert!(place > asked, "behind the one that matched"),
            CandidateAnswer::Refused(refusal) => {
                assert!(place < asked, "before the one that matched");
                kinds.push(match refusal {
                    Refusal::Path => "refused: path",
                    Refusal::Method => "refused: method",
                    Refusal::Header(_) => "refused: header",
                });
            }
        }
    }
    kinds.extend((asked + 1 < candidates.len()).then_some("not asked"));
    kinds
}

/// The lookups that are recorded are how the identity was found, and the identity is what the assignment is by.
fn check_lookups(explained: &Explained<'_>, request: &StaticRequest, now: Duration) -> Vec<&'static str> {
    let Explained { lookups, issued, ambiguous, outcome, .. } = explained;
    let assignment = &outcome.assignment;
    let Some(rollout) = assignment.rollout else {
        assert!(lookups.is_empty() && issued.is_none() && !ambiguous);
        return Vec::new();
    };
    let forced = outcome.override_result == Some(OverrideResult::Accepted);
    assert_eq!(assignment.reason == Reason::Override, forced);
    if !rollout.is_enabled() || forced && !rollout.issues_cookie() {
        assert!(lookups.is_empty() && issued.is_none() && !ambiguous, "nobody's identity matters");
        return Vec::new();
    }
    // In the order of the sources, and the last one that is asked is the first one with a value.
    assert!(lookups.iter().map(|lookup| lookup.source).eq(rollout.sources().iter().take(lookups.len())));
    let (last, before) = lookups.split_last().expect("a rollout has a source");
    assert!(before.iter().all(|lookup| lookup.value.is_none()));
    assert!(last.value.as_ref().is_none_or(|value| !value.is_empty()));
    assert!(
        last.value.is_some() || lookups.len() == rollout.sources().len(),
        "all are asked before there is none"
    );
    let issues = last.value.is_none() && rollout.issues_cookie();
    let has_random = coalmine_core::Request::random(request).is_some();
    assert_eq!(issued.as_deref(), (issues && has_random && !ambiguous).then_some(ISSUED));
    let cookie = outcome.set_cookies.last();
    assert_eq!(cookie.is_some(), issued.is_some() && !ambiguous, "an identity that counts is kept");
    assert!(cookie.is_none_or(|cookie| cookie.starts_with(&format!("coalmine-id={ISSUED};"))));
    // The identity that is recorded, or none where it does not count, comes to the same assignment by itself.
    let identity =
        last.value.as_deref().or(issued.as_ref().map(|text| text.as_bytes())).filter(|_| !ambiguous);
    if !forced {
        let expected = rollout.assign(identity, now);
        assert_eq!(
            (assignment.variant, assignment.reason, assignment.bucketed),
            (expected.variant, expected.reason, expected.bucketed)
        );
    }
    let kinds =
        [(*ambiguous, "ambiguous"), (issued.is_some(), "issued"), (!before.is_empty(), "passed over")];
    kinds.into_iter().filter(|(is_so, _)| *is_so).map(|(_, kind)| kind).collect()
}

/// The same cases in every run, and every kind of outcome is among them.
#[test]
fn explain_observes_decide() {
    let config =
        Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::with_cases(1_024) };
    let seen: RefCell<BTreeMap<String, usize>> = RefCell::default();
    let requests = proptest::collection::vec((any_request(), select(vec![0, 1_800, 3_600_u64])), 8);
    TestRunner::new(config)
        .run(&(any_policy(), requests), |(document, requests)| {
            let tree = json_document::read(document.to_string().as_bytes()).unwrap();
            let policy = Policy::from_document(&tree, Environment::Unread);
            let policy = policy.unwrap_or_else(|problems| panic!("{problems}\n{document}"));
            for (request, later) in requests {
                let now = NOW + Duration::from_secs(later) - Duration::from_secs(1_800);
                let explained = policy.explain(&request, now);
                prop_assert_eq!(summary(&explained.outcome), summary(&policy.decide(&request, now)));
                let mut kinds = check_candidates(&explained);
                kinds.extend(check_lookups(&explained, &request, now));
                kinds.push(explained.outcome.assignment.reason.as_str());
                for kind in kinds {
                    *seen.borrow_mut().entry(kind.to_owned()).or_default() += 1;
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    println!("{seen:?}");
    let others = [
        "refused: path",
        "refused: method",
        "refused: header",
        "not asked",
        "ambiguous",
        "issued",
        "passed over",
    ];
    for kind in Reason::ALL.map(Reason::as_str).iter().chain(&others) {
        assert!(seen.get(*kind).is_some_and(|&count| count >= 30), "too few of {kind}: {seen:?}");
    }
}

/// A rollout that names a host and two names above it is a candidate once, at the place of the most specific.
#[test]
fn a_rollout_with_several_matching_hosts_is_a_candidate_once() {
    let rollout = |name: &str, hosts: Value| {
        json!({"name": name, "identity": [{"cookie": "sid"}], "match": {"hosts": hosts, "methods": ["PUT"]},
            "variants": [{"name": "canary", "weight": 1}]})
    };
    let document = json!({"rollouts": [
        rollout("above", json!(["*.example"])),
        rollout("all", json!(["*.example", "*.shop.example", "a.shop.example"])),
        rollout("below", json!(["*.shop.example", "*.example"])),
    ]});
    let policy = Policy::from_json(document.to_string().as_bytes()).unwrap();
    let explained = policy.explain(&StaticRequest::new("GET", "a.shop.example", "/"), NOW);
    let names: Vec<&str> = explained.candidates.iter().map(|candidate| candidate.rollout.name()).collect();
    assert_eq!(names, ["all", "below", "above"]);
    let refused = CandidateAnswer::Refused(Refusal::Method);
    assert!(explained.candidates.iter().all(|candidate| candidate.answer == refused));
}
