//! Rules that several rollouts break together: which rollouts a problem names, and that a server which compiles
//! rollouts one by one finds the same as the reader of a whole document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use coalmine_core::document::{Code, Node, Problem, json as json_document};
use coalmine_core::policy::{Conflict, Environment, Policy, Rollout, Rule, conflicts};
use serde_json::{Value, json};

/// A rollout with these fields more.
fn rollout(name: &str, fields: Value) -> Value {
    let mut rollout = json!({
        "name": name,
        "identity": [{"cookie": "sid"}],
        "variants": [{"name": "canary", "weight": 1}],
    });
    rollout.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    rollout
}

fn document(rollouts: &[Value]) -> Node {
    json_document::read(json!({"rollouts": rollouts}).to_string().as_bytes()).unwrap()
}

fn policy(rollouts: &[Value]) -> Policy {
    Policy::from_document(&document(rollouts), Environment::Unread)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// The rollouts as a server has them: each from a document of its own.
fn compiled(rollouts: &[Value]) -> Vec<Rollout> {
    let compile = |rollout: &Value| {
        let document = json_document::read(rollout.to_string().as_bytes()).unwrap();
        Rollout::from_document(&document, Environment::Unread).unwrap_or_else(|problems| panic!("{problems}"))
    };
    rollouts.iter().map(compile).collect()
}

/// The conflicts for which a document with these rollouts is refused.
fn refusals(rollouts: &[Value]) -> Vec<Conflict> {
    let all = conflicts(&compiled(rollouts));
    all.into_iter().filter(|conflict| conflict.rule != Rule::Reachable).collect()
}

/// The places that a problem names, the one to change first.
fn places(problem: &Problem) -> Vec<String> {
    let related = problem.related.iter().map(|related| related.path.to_string());
    std::iter::once(problem.path.to_string()).chain(related).collect()
}

/// These rollouts break this rule and no other, at these places; without the first that is named they break none.
#[track_caller]
fn assert_conflict(rollouts: &[Value], rule: Rule, expected: &[&str]) {
    let document = document(rollouts);
    let problems = Policy::from_document(&document, Environment::Unread).unwrap_err();
    assert_eq!(problems.count(), 1, "{problems}");
    let problem = &problems.shown()[0];
    assert_eq!(problem.code, Code::Conflict);
    assert_eq!(places(problem), expected, "{problem}");

    let found = refusals(rollouts);
    assert_eq!(found.iter().map(|conflict| conflict.rule).collect::<Vec<_>>(), [rule]);
    assert_eq!(found[0].to_problem(&document), *problem, "the same words and places, compiled one by one");
    let named = found[0].rollouts().map(|place| format!("rollouts[{place}]"));
    assert!(named.zip(expected).all(|(named, expected)| expected.starts_with(&named)), "{expected:?}");

    let mut others = rollouts.to_vec();
    others.remove(found[0].rollouts().next().unwrap());
    assert_eq!(refusals(&others), []);
    policy(&others);
}

#[test]
fn two_rollouts_of_one_name() {
    let rollouts =
        [rollout("a", json!({})), rollout("b", json!({})), rollout("a", json!({"enabled": false}))];
    assert_conflict(&rollouts, Rule::UniqueNames, &["rollouts[2].name", "rollouts[0].name"]);
}

#[test]
fn five_route_headers() {
    let rollouts: Vec<Value> =
        (0..5).map(|n| rollout(&format!("r{n}"), json!({"route": {"header": format!("x-{n}")}}))).collect();
    let places = [4, 0, 1, 2, 3].map(|place| format!("rollouts[{place}].route.header"));
    assert_conflict(&rollouts, Rule::FewManagedNames, &places.each_ref().map(String::as_str));
}

/// The header of a rollout that names none is at the rollout itself, and an override's header counts too.
#[test]
fn five_headers_of_every_kind() {
    let clusters = json!({"name": "x-cluster", "clusters": {"stable": "s", "canary": "c"}});
    let by_bucket = json!({"name": "bucket", "identity": [{"peer": true}], "route": {"bucketHeader": {"name": "x-bucket", "total": 100}}});
    let rollouts = [
        rollout("default", json!({"override": {"header": "x-over", "secret": {"env": "S"}}})),
        rollout("clusters", json!({"route": {"clusterHeader": clusters}})),
        by_bucket,
        rollout("fifth", json!({"route": {"header": "x-fifth"}})),
    ];
    assert_conflict(
        &rollouts,
        Rule::FewManagedNames,
        &[
            "rollouts[3].route.header",
            "rollouts[0]",
            "rollouts[0].override.header",
            "rollouts[1].route.clusterHeader.name",
            "rollouts[2].route.bucketHeader.name",
        ],
    );
}

#[test]
fn five_override_cookies() {
    let over = |n: u32| json!({"override": {"cookie": format!("c{n}"), "secret": {"env": "S"}}});
    let rollouts: Vec<Value> = (0..5).map(|n| rollout(&format!("r{n}"), over(n))).collect();
    let places = [4, 0, 1, 2, 3].map(|place| format!("rollouts[{place}].override.cookie"));
    assert_conflict(&rollouts, Rule::FewManagedNames, &places.each_ref().map(String::as_str));
}

/// What clients send under a managed name is removed, so nothing can be read from it. The later rollout is the one to
/// change, whether it manages the name or reads it.
#[test]
fn a_name_that_is_managed_and_read() {
    let rule = Rule::ManagedNamesAreNotRead;
    let routes = rollout("routes", json!({"route": {"header": "X-Shared"}}));
    let names = rollout("names", json!({"identity": [{"cookie": "sid"}, {"header": "x-shared"}]}));
    let matches = rollout(
        "matches",
        json!({"match": {"headers": [
        {"name": "x-region", "exact": "eu"}, {"name": "x-SHARED", "present": true}]}}),
    );
    let header = "rollouts[0].route.header";
    assert_conflict(&[routes.clone(), names.clone()], rule, &["rollouts[1].identity[1].header", header]);
    assert_conflict(&[routes.clone(), matches.clone()], rule, &["rollouts[1].match.headers[1].name", header]);
    assert_conflict(
        &[matches, routes],
        rule,
        &["rollouts[1].route.header", "rollouts[0].match.headers[1].name"],
    );

    let over = |fields: Value| rollout("over", json!({"override": fields}));
    let by_header = over(json!({"header": "x-shared", "secret": {"env": "S"}}));
    assert_conflict(
        &[names, by_header],
        rule,
        &["rollouts[1].override.header", "rollouts[0].identity[1].header"],
    );
    let by_cookie = over(json!({"cookie": "shared", "secret": {"env": "S"}}));
    let by_sid = rollout("sid", json!({"identity": [{"cookie": "shared"}]}));
    let cookie = "rollouts[0].override.cookie";
    assert_conflict(&[by_cookie.clone(), by_sid], rule, &["rollouts[1].identity[0].cookie", cookie]);
    let issues = rollout("issues", json!({"onMissingIdentity": "issueCookie", "cookie": {"name": "shared"}}));
    assert_conflict(&[by_cookie, issues], rule, &["rollouts[1].cookie.name", cookie]);
    let by_default = over(json!({"cookie": "coalmine-id", "secret": {"env": "S"}}));
    let issues = rollout("issues", json!({"onMissingIdentity": "issueCookie"}));
    assert_conflict(&[by_default, issues], rule, &["rollouts[1].onMissingIdentity", cookie]);
}

#[test]
fn a_rollout_can_be_in_conflict_with_itself() {
    let itself = rollout("a", json!({"identity": [{"header": "x-a"}], "route": {"header": "x-a"}}));
    let places = ["rollouts[1].route.header", "rollouts[1].identity[0].header"];
    assert_conflict(&[rollout("b", json!({})), itself], Rule::ManagedNamesAreNotRead, &places);
}

#[test]
fn a_header_of_a_route_and_of_an_override() {
    let routes = rollout("routes", json!({"route": {"header": "x-shared"}}));
    let over = rollout("over", json!({"override": {"header": "X-Shared", "secret": {"env": "S"}}}));
    let (header, token) = ("route.header", "override.header");
    for (rollouts, first, second) in [([&routes, &over], token, header), ([&over, &routes], header, token)] {
        let places = [format!("rollouts[1].{first}"), format!("rollouts[0].{second}")];
        let rollouts = rollouts.map(Value::clone);
        assert_conflict(&rollouts, Rule::OneRolePerHeader, &places.each_ref().map(String::as_str));
    }
    // Where no header is named it is the default, which tokens cannot use either.
    let over = rollout(
        "over",
        json!({"route": {"header": "x-own"}, "override": {"header": "x-coalmine-variant", "secret": {"env": "S"}}}),
    );
    let places = ["rollouts[1].override.header", "rollouts[0]"];
    assert_conflict(&[rollout("default", json!({})), over], Rule::OneRolePerHeader, &places);
}

fn pinned(name: &str, pins: usize) -> Value {
    let pins: Vec<String> = (0..pins).map(|number| format!("{name}-{number}")).collect();
    rollout(name, json!({"pins": {"canary": pins}}))
}

#[test]
fn more_pins_than_a_policy_may_have() {
    policy(&[pinned("a", 6_000), pinned("b", 4_000)]);
    let rollouts = [pinned("a", 6_000), rollout("none-pinned", json!({})), pinned("b", 4_001)];
    assert_conflict(&rollouts, Rule::FewPins, &["rollouts[2].pins", "rollouts[0].pins"]);
}

/// The rollout with which the policy has too many is the one to change, whatever comes behind it.
#[test]
fn pins_behind_too_many_pins() {
    let rollouts = [pinned("a", 6_000), pinned("b", 4_001), pinned("c", 1)];
    assert_conflict(&rollouts, Rule::FewPins, &["rollouts[1].pins", "rollouts[0].pins"]);
}

/// Each one too many is a conflict of its own.
#[test]
fn seven_route_headers() {
    let route = |n: u32| rollout(&format!("r{n}"), json!({"route": {"header": format!("x-{n}")}}));
    let rollouts: Vec<Value> = (0..7).map(route).collect();
    let named: Vec<usize> = refusals(&rollouts).iter().filter_map(|found| found.rollouts().next()).collect();
    assert_eq!(named, [4, 5, 6]);
}

/// Every reader of a managed name is a conflict, and a name that many manage is one of them only.
#[test]
fn a_managed_name_with_two_readers() {
    let reads = |name: &str| rollout(name, json!({"identity": [{"header": "x-coalmine-variant"}]}));
    let rollouts = [rollout("a", json!({})), rollout("b", json!({})), reads("c"), reads("d")];
    let found = refusals(&rollouts);
    let named: Vec<Vec<usize>> = found.iter().map(|conflict| conflict.rollouts().collect()).collect();
    assert_eq!(named, [[2, 0], [3, 0]]);
}

#[test]
fn conditions_on_more_headers_than_a_policy_may_read() {
    let reads = |name: &str, from: u32, to: u32| {
        let header = |n: u32| json!({"name": format!("x-{n}"), "present": true});
        rollout(name, json!({"match": {"headers": (from..to).map(header).collect::<Vec<_>>()}}))
    };
    policy(&[reads("a", 0, 64), reads("b", 0, 64)]);
    let rollouts = [reads("a", 0, 32), reads("b", 32, 65)];
    assert_conflict(&rollouts, Rule::FewHeaders, &["rollouts[1].match.headers[32].name"]);
}

/// A rollout that never matches is in force all the same, so it is no problem of the document.
#[test]
fn one_host_and_one_match_twice() {
    let matching = json!({"match": {"hosts": ["shop.example"], "paths": [{"prefix": "/api/"}]}});
    let elsewhere =
        rollout("elsewhere", json!({"match": {"hosts": ["shop.example"], "paths": [{"exact": "/"}]}}));
    let rollouts = [rollout("a", matching.clone()), elsewhere, rollout("b", matching)];
    assert_eq!(refusals(&rollouts), []);
    let unreachable = conflicts(policy(&rollouts).rollouts());
    assert_eq!(unreachable.len(), 1, "{unreachable:?}");
    assert_eq!(unreachable[0].rule, Rule::Reachable);
    assert_eq!(unreachable[0].rollouts().collect::<Vec<_>>(), [2, 0]);
    let problem = unreachable[0].to_problem(&document(&rollouts));
    assert_eq!(
        (problem.code, places(&problem)),
        (Code::Conflict, vec!["rollouts[2]".into(), "rollouts[0]".into()])
    );
    assert_eq!(conflicts(policy(&rollouts[..2]).rollouts()), []);
    assert_eq!(conflicts(policy(&rollouts[1..]).rollouts()), []);
}

/// Every rule that is broken is reported, and what is wrong with one rollout comes before what is wrong with several.
#[test]
fn all_conflicts_come_at_once_behind_the_other_problems() {
    let over = json!({"header": "x-a", "cookie": "sid", "secret": {"env": "S"}});
    let rollouts = [
        rollout("a", json!({"route": {"header": "x-a"}})),
        rollout("a", json!({"override": over, "enabled": 1})),
    ];
    let problems = Policy::from_document(&document(&rollouts), Environment::Unread).unwrap_err();
    let all: Vec<Vec<String>> = problems.shown().iter().map(places).collect();
    assert_eq!(
        all,
        [
            vec!["rollouts[1].enabled"],
            vec!["rollouts[1].name", "rollouts[0].name"],
            vec!["rollouts[1].override.header", "rollouts[0].route.header"],
            vec!["rollouts[1].override.cookie", "rollouts[0].identity[0].cookie"],
        ]
    );
}
