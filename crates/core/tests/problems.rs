//! What a person is told about a bad document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use coalmine_core::document::Node;
use coalmine_core::policy::Policy;

fn problems(document: &str) -> Vec<String> {
    match Policy::from_json(document.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.told().iter().map(ToString::to_string).collect(),
    }
}

/// A policy of one good rollout, with `from` replaced by `to`.
fn rollout_with(from: &str, to: &str) -> String {
    let good = r#"{"version": 1, "revision": 7, "rollouts": [{
        "name": "checkout", "enabled": true, "match": {"hosts": ["checkout"], "paths": [{"prefix": "/api/"}],
        "methods": ["GET"], "headers": [{"name": "x-region", "exact": "eu"}]}, "identity": [{"header": "x-user-id"}],
        "onMissingIdentity": "stable", "salt": "checkout-7", "algorithm": "coalmine-v1",
        "variants": [{"name": "canary", "weight": 5}], "route": {"header": "x-coalmine-variant"}}],
        "observe": {"accessLog": false}}"#;
    assert_eq!(good.matches(from).count(), 1, "{from}");
    good.replace(from, to)
}

#[track_caller]
fn assert_problem(from: &str, to: &str, problem: &str) {
    assert_eq!(problems(&rollout_with(from, to)), [problem]);
}

#[test]
fn the_good_document_has_none() {
    assert_eq!(problems(&rollout_with("checkout-7", "checkout-7")), [""; 0]);
    assert_eq!(problems("{}"), [""; 0]);
}

#[test]
fn the_top() {
    assert_problem(
        r#""version": 1"#,
        r#""version": 2"#,
        "version: 2 is newer than this version of Coalmine reads (1): upgrade the filters first",
    );
    assert_problem(
        r#""version": 1"#,
        r#""version": 0"#,
        "version: must be a whole number from 1 to 9007199254740991, not 0",
    );
    assert_problem(
        ": 7,",
        ": 9007199254740992,",
        "revision: must be a whole number from 1 to 9007199254740991, not 9007199254740992",
    );
    assert_problem(": 7,", ": 1.5,", "revision: must be a whole number from 1 to 9007199254740991, not 1.5");
    assert_problem(
        ": 7,",
        ": \"7\",",
        "revision: must be a number, not the string \"7\": write it without quotes",
    );
    assert_problem("\"revision\"", "\"revison\"", "revison: unknown field; did you mean \"revision\"?");
    assert_problem(
        "\"revision\"",
        "\"colour\"",
        "colour: unknown field; known here: version, revision, rollouts, observe, source, policy",
    );
    assert_problem("\"revision\": 7", "\"version\": 1", "version: is given twice; keep one");
    assert_problem(
        "\"accessLog\": false",
        "\"accessLog\": \"no\"",
        "observe.accessLog: must be true or false, not the string \"no\"",
    );
    assert_eq!(problems("[]"), ["must be a map, not a list"]);
}

#[test]
fn every_number_may_be_a_whole_double() {
    assert_eq!(problems(&rollout_with(": 7,", ": 7.0,")), [""; 0]);
    assert_eq!(problems(&rollout_with(": 7,", ": 7e0,")), [""; 0]);
    assert_eq!(problems(&rollout_with("\"version\": 1", "\"version\": 1.0")), [""; 0]);
}

#[test]
fn a_rollout() {
    assert_problem(
        "\"name\": \"checkout\", ",
        "",
        "rollouts[0]: \"name\" is missing: what metrics and logs call the rollout",
    );
    assert_problem(
        "\"checkout\", \"enabled\"",
        "\"Checkout\", \"enabled\"",
        "rollouts[0].name: \"Checkout\" is no name: 1 to 63 of a-z, 0-9 and -",
    );
    assert_problem(
        "\"checkout\", \"enabled\"",
        "\"none\", \"enabled\"",
        "rollouts[0].name: \"none\" stands for no rollout in the metrics; choose another name",
    );
    assert_problem(
        "\"enabled\": true",
        "\"enabled\": null",
        "rollouts[0].enabled: must be true or false, not null",
    );
    assert_problem(
        "checkout-7",
        "checkout:7",
        "rollouts[0].salt: \"checkout:7\" is no salt: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'",
    );
    assert_problem(
        "coalmine-v1",
        "coalmine-v2",
        "rollouts[0].algorithm: \"coalmine-v2\" is not known; did you mean \"coalmine-v1\"?",
    );
}

#[test]
fn names_are_unique() {
    let two = r#"{"rollouts": [
        {"name": "a", "identity": [{"cookie": "sid"}], "variants": [{"name": "canary", "weight": 1}]},
        {"name": "a", "identity": [{"cookie": "sid"}], "variants": [{"name": "canary", "weight": 1}]}]}"#;
    assert_eq!(problems(two), ["rollouts[1].name: a second rollout \"a\"; names are unique in a policy"]);
    assert_problem(
        r#"{"name": "canary", "weight": 5}"#,
        r#"{"name": "canary", "weight": 5}, {"name": "canary", "weight": 5}"#,
        "rollouts[0].variants[1].name: a second variant \"canary\"; names are unique in a rollout",
    );
}

#[test]
fn a_match() {
    let host = |host: &str, why: &str| {
        assert_problem(
            "\"hosts\": [\"checkout\"]",
            &format!("\"hosts\": [\"{host}\"]"),
            &format!("rollouts[0].match.hosts[0]: \"{host}\" is no host: {why}"),
        );
    };
    host("*", "leave out \"hosts\" to match every host");
    host("Checkout", "write it in lower case; requests are compared in lower case");
    host("checkout:80", "leave out the port; it is taken off the request before the comparison");
    host("checkout.", "leave out the final dot; it is taken off the request before the comparison");
    host("a*b", "1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    host("", "1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    host("a..b", "1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    assert_problem(
        "[\"checkout\"]",
        "[]",
        "rollouts[0].match.hosts: is an empty list; leave it out to match everything",
    );
    assert_problem(
        "[{\"prefix\": \"/api/\"}]",
        "[{}]",
        "rollouts[0].match.paths[0]: needs one condition: exact or prefix",
    );
    assert_problem("\"/api/\"", "\"api/\"", "rollouts[0].match.paths[0].prefix: \"api/\" must begin with /");
    assert_problem(
        "\"/api/\"",
        "\"/api?x\"",
        "rollouts[0].match.paths[0].prefix: \"/api?x\" can never match: a path ends before ? and #",
    );
    assert_problem(
        "[\"GET\"]",
        "[\"get\"]",
        "rollouts[0].match.methods[0]: \"get\" is no method: methods are in upper case, as GET",
    );
    assert_problem(
        ", \"exact\": \"eu\"",
        "",
        "rollouts[0].match.headers[0]: needs one condition: exact, prefix or present",
    );
    assert_problem(
        "\"exact\": \"eu\"",
        "\"prefix\": \"\"",
        "rollouts[0].match.headers[0].prefix: is empty; \"present: true\" matches any value",
    );
    assert_problem(
        "\"x-region\"",
        "\":path\"",
        "rollouts[0].match.headers[0].name: \":path\" is a pseudo-header; name an ordinary header",
    );
}

#[test]
fn an_identity() {
    let why = "say what names the user, as [{header: x-user-id}]";
    assert_problem(
        "\"identity\": [{\"header\": \"x-user-id\"}],",
        "",
        &format!("rollouts[0]: \"identity\" is missing: {why}"),
    );
    assert_problem(
        "[{\"header\": \"x-user-id\"}]",
        "[]",
        &format!("rollouts[0].identity: is an empty list; {why}"),
    );
    assert_problem(
        "{\"header\": \"x-user-id\"}",
        "{}",
        "rollouts[0].identity[0]: needs one source: header, cookie, jwtClaim, queryParameter, peer, sourceIp",
    );
    for name in ["authorization", "Cookie"] {
        let problem = format!(
            "rollouts[0].identity[0].header: \"{}\" is no identity: use a header that names the user, or a cookie",
            name.to_lowercase()
        );
        assert_problem("x-user-id", name, &problem);
    }
    assert_problem(
        "x-user-id",
        "x user",
        "rollouts[0].identity[0].header: \"x user\" is no header name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
    );
}

#[test]
fn variants() {
    let place = "rollouts[0].variants";
    assert_problem(
        "\"weight\": 5",
        "\"weight\": 105",
        &format!("{place}[0].weight: a weight is 0 to 100 percent, not 105"),
    );
    assert_problem(
        "\"weight\": 5",
        "\"weight\": \"5\"",
        &format!("{place}[0].weight: must be a number, not the string \"5\": write it without quotes"),
    );
    assert_problem(
        "\"weight\": 5",
        "\"weight\": 0.00005",
        &format!(
            "{place}[0].weight: 0.00005 is finer than 0.0001 %, the least step of a weight; the nearest weight is 0.0001"
        ),
    );
    assert_problem(
        ", \"weight\": 5",
        "",
        &format!("{place}[0]: \"weight\" is missing: 0 to 100, in percent"),
    );
    assert_problem(
        "\"canary\"",
        "\"stable\"",
        &format!("{place}[0].name: stable is never listed: it takes what the others leave"),
    );
    assert_problem(
        "{\"name\": \"canary\", \"weight\": 5}",
        "{\"name\": \"canary\", \"weight\": 52}, {\"name\": \"blue\", \"weight\": 52}",
        &format!("{place}: weights add up to 104 %, at most 100 % can leave stable"),
    );
    let three = ["a", "b", "c"].map(|name| format!("{{\"name\": \"{name}\", \"weight\": 5}}")).join(", ");
    assert_problem(
        "{\"name\": \"canary\", \"weight\": 5}",
        &three,
        &format!(
            "{place}: 3 variants; weights alone place at most 2 besides stable, more need \"ranges\" (see `coalmine weights`)"
        ),
    );
    assert_problem(
        "[{\"name\": \"canary\", \"weight\": 5}]",
        "[]",
        &format!("{place}: is an empty list; list the canary with its weight; stable takes the rest"),
    );
}

#[test]
fn a_route() {
    let place = "rollouts[0].route.header";
    for name in [
        "host",
        "cookie",
        "authorization",
        "connection",
        "content-type",
        "transfer-encoding",
        "te",
        "upgrade",
        "x-envoy-peer",
        "x-forwarded-for",
        "x-request-id",
    ] {
        assert_problem(
            "x-coalmine-variant",
            name,
            &format!("{place}: \"{name}\" belongs to HTTP or the proxy; use a name of your own"),
        );
    }
    assert_problem(
        "x-coalmine-variant",
        ":path",
        &format!("{place}: \":path\" is a pseudo-header; name an ordinary header"),
    );
    for name in ["x-user-id", "X-Region"] {
        assert_problem(
            "x-coalmine-variant",
            name,
            &format!(
                "{place}: \"{}\" is also an identity or a condition of this policy, but what clients send under it is removed",
                name.to_lowercase()
            ),
        );
    }
}

#[test]
fn a_policy_owns_at_most_four_headers() {
    let rollouts: Vec<String> = (0..6)
        .map(|n| format!(r#"{{"name": "r{n}", "identity": [{{"cookie": "s"}}], "variants": [{{"name": "c", "weight": 1}}],
            "route": {{"header": "x-{}"}}}}"#, n % 5))
        .collect();
    let document = format!("{{\"rollouts\": [{}]}}", rollouts.join(", "));
    assert_eq!(
        problems(&document),
        [
            "rollouts[4].route.header: \"x-4\" would be the header of Coalmine number 5; a policy has at most 4, rollouts may share one"
        ]
    );
}

#[test]
fn what_this_version_does_not_act_on_is_refused_by_name() {
    for field in ["key", "ramp", "override", "response"] {
        assert_problem(
            "\"enabled\": true",
            &format!("\"{field}\": {{}}"),
            &format!("rollouts[0].{field}: \"{field}\" is not yet supported by this version of Coalmine"),
        );
    }
    assert_problem(
        "coalmine-v1",
        "siphash-2-4",
        "rollouts[0].algorithm: \"siphash-2-4\" is not yet supported by this version of Coalmine",
    );
    for field in ["source", "policy"] {
        assert_problem(
            "\"version\": 1",
            &format!("\"{field}\": {{}}"),
            &format!("{field}: \"{field}\" is not yet supported by this version of Coalmine"),
        );
    }
    assert_problem(
        "\"accessLog\"",
        "\"responses\"",
        "observe.responses: \"responses\" is not yet supported by this version of Coalmine",
    );
}

/// One document with every kind of error at once: a person mends it in one go.
#[test]
fn every_problem_is_told_at_once() {
    let document = r#"{"version": 2, "revision": 0, "revison": 1, "source": {}, "version": 1, "observe": {"accessLog": 1},
      "rollouts": [
        {"name": "none", "enabled": "yes", "salt": "a:b", "algorithm": "md5", "onMissingIdentity": "canary", "pins": {},
         "match": {"hosts": ["*", "UP", "a:1", 5], "paths": [{}, {"prefix": "x"}, {"exact": "/a?b"}], "methods": [],
                   "headers": [{"name": ":path", "exact": "x"}, {"exact": "x"}, {"name": "x-a"}, {"name": "x-a", "prefix": ""}]},
         "identity": [{"header": "authorization"}, {"header": ":path"}, {"cookie": "a b"}, {}, {"peer": true}],
         "variants": [{"name": "stable", "weight": 5}, {"name": "B", "weight": 105}, {"name": "c", "weight": 0.00001},
                      {"name": "c", "weight": "5"}, {"weight": 1}, {"name": "d"}],
         "route": {"header": "host"}},
        {"name": "two", "match": {}, "identity": [], "variants": [{"name": "a", "weight": 60}, {"name": "b", "weight": 60}],
         "route": {"header": "x-user"}},
        {"name": "two", "identity": [{"header": "x-user"}], "variants": [], "route": {"clusterHeader": {}}},
        7
      ]}"#;
    let told = problems(document);
    assert_eq!(told.len(), 46, "{}", told.join("\n"));
}

#[test]
fn more_than_a_hundred_are_counted() {
    let document = format!("{{\"rollouts\": [{}]}}", vec!["0"; 130].join(", "));
    let problems = Policy::from_json(document.as_bytes()).unwrap_err();
    assert_eq!((problems.told().len(), problems.count()), (100, 130));
    assert!(problems.to_string().ends_with("and 30 more problems"));
}

#[test]
fn a_long_value_is_cut() {
    let told = problems(&rollout_with("checkout-7", &"x".repeat(500)));
    assert_eq!(
        told[0],
        format!(
            "rollouts[0].salt: \"{}…\" is no salt: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'",
            "x".repeat(64)
        )
    );
}

#[test]
fn marks_are_handed_on() {
    use coalmine_core::document::{Key, Mark, Value};
    let mark = Some(Mark { line: 3, column: 5 });
    let key = Key { name: "version".to_owned(), mark: None };
    let value = Node { value: Value::Bool(true), mark };
    let problems =
        Policy::from_document(&Node { value: Value::Map(vec![(key, value)]), mark: None }).unwrap_err();
    assert_eq!(problems.told()[0].mark, mark);
}
