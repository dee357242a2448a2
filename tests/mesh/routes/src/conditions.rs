//! Random conditions of a route: an item of `match`.

use coalmine_envoy_tests::random::Random;
use serde_json::{Value, json};

use crate::case::{HEADERS, NAMESPACE, Names};

pub(crate) const PATHS: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/A", "/ab"];
const PATH_PATTERNS: [&str; 12] = [
    "/a/.*",
    "/[a-c]+",
    "/(a|b)/?x?",
    "/.*",
    ".*",
    "/\\w{1,3}",
    "(?i)/A/?",
    "^/a$",
    "/a|/ab",
    "/[[:alpha:]]+",
    "/a\\b.*",
    "/a(?P<rest>/.*)?",
];
/// Such as RE2 reads otherwise than others do.
const ODD_PATTERNS: [&str; 6] = ["/[a-c&&b]+", "/a{,2}", "\\Q/a\\E.*", "/[a-c--b]+", "/a{", "/\\pL+"];
const WORDS: [&str; 4] = ["eu", "us", "EU", "canary"];
const WORD_PATTERNS: [&str; 8] =
    ["[a-z]+", "eu|us", "(?i)eu.*", "^eu", "e.?", "[^a-d]*", "\\D+", "(?:can|)ary|eu$"];
/// What only variants have: those of the header.
const VALUES: [&str; 3] = ["canary", "baseline", "stable"];
const VALUE_PATTERNS: [&str; 5] = ["[0-9]+", "[a-z]+", "c.*", "canary|baseline", "[0-4]?[0-9]"];

/// An item of `match`; `ours` is the header of a rollout.
pub(crate) fn item(names: &Names, ours: &str, random: &mut Random) -> Value {
    let mut item = json!({});
    if random.chance(65) {
        item["uri"] = path(random);
        if random.chance(20) {
            item["ignoreUriCase"] = json!(true);
        }
    }
    if random.chance(15) {
        item["method"] = match random.below(4) {
            0 => json!({"prefix": "P"}),
            1 => json!({"regex": "GET|PUT"}),
            _ => json!({"exact": random.pick(&["GET", "POST"])}),
        };
    }
    if random.chance(8) {
        item["scheme"] = json!({"exact": random.pick(&["http", "https"])});
    }
    if random.chance(12) {
        item["authority"] = authority(names, random);
    }
    let (mut with, mut without) = (json!({}), json!({}));
    if random.chance(60) {
        let header = if random.chance(90) { ours } else { *random.pick(&[&HEADERS[0], &HEADERS[2]]) };
        let condition = value(random);
        (if random.chance(80) { &mut with } else { &mut without })[header] = condition;
    }
    for _ in 0..random.below(3) {
        let (name, condition) = another(names, random);
        (if random.chance(65) { &mut with } else { &mut without })[name] = condition;
    }
    if !with.as_object().unwrap().is_empty() {
        item["headers"] = with;
    }
    if !without.as_object().unwrap().is_empty() {
        item["withoutHeaders"] = without;
    }
    if random.chance(15) {
        item["queryParams"] = json!({"q": word(random, true)});
    }
    around(&mut item, random);
    if random.chance(30) {
        item["name"] = json!(format!("m{}", random.below(9)));
    }
    item
}

/// Conditions on the caller, the port and the gateway.
fn around(item: &mut Value, random: &mut Random) {
    if random.chance(8) {
        item["port"] = json!(random.pick(&[&80, &8080, &9090]));
    }
    if random.chance(12) {
        let gateway = format!("{NAMESPACE}/shop");
        item["gateways"] = match random.below(5) {
            0 => json!(["mesh"]),
            1 => json!(["shop"]),
            2 => json!([gateway]),
            3 => json!(["mesh", "shop"]),
            _ => json!(["elsewhere/shop", "mesh"]),
        };
    }
    if random.chance(10) {
        item["sourceLabels"] = match random.below(4) {
            0 => json!({"app": "caller"}),
            1 => json!({"app": "caller", "tier": "front"}),
            2 => json!({"istio": "ingressgateway"}),
            _ => json!({"app": "nobody"}),
        };
    }
    if random.chance(6) {
        item["sourceNamespace"] = json!(random.pick(&[NAMESPACE, "elsewhere"]));
    }
}

fn path(random: &mut Random) -> Value {
    match random.below(10) {
        0..3 => json!({"exact": random.pick(&PATHS)}),
        3..7 => json!({"prefix": random.pick(&PATHS)}),
        7 => json!({"prefix": ""}),
        _ if random.chance(10) => json!({"regex": random.pick(&ODD_PATTERNS)}),
        _ => json!({"regex": random.pick(&PATH_PATTERNS)}),
    }
}

fn authority(names: &Names, random: &mut Random) -> Value {
    let outside = names.outside();
    match random.below(4) {
        0 => json!({"prefix": names.service}),
        1 => json!({"regex": ".*\\.example"}),
        2 => json!({"exact": names.whole()}),
        _ => json!({"exact": random.pick(&outside.each_ref())}),
    }
}

/// A condition on the header of a rollout.
fn value(random: &mut Random) -> Value {
    match random.below(8) {
        0 => json!({}),
        1 => json!({"prefix": &random.pick(&VALUES)[..1]}),
        2 | 3 => json!({"regex": random.pick(&VALUE_PATTERNS)}),
        _ => json!({"exact": random.pick(&VALUES)}),
    }
}

/// A condition on another header, and its name.
fn another(names: &Names, random: &mut Random) -> (&'static str, Value) {
    if random.chance(1) {
        return ("@request.auth.claims.group", json!({"exact": "staff"}));
    }
    match random.below(30) {
        0..2 => (":authority", authority(names, random)),
        2..4 => ("host", authority(names, random)),
        4 => (":path", json!({"exact": random.pick(&["/a", "/a?q=eu", "/"])})),
        5 | 6 => (":method", json!({"exact": "GET"})),
        7..10 => ("x-number", json!({"regex": "[0-9]+"})),
        10..15 => ("X-Region", word(random, false)),
        _ => ("x-region", word(random, false)),
    }
}

fn word(random: &mut Random, is_parameter: bool) -> Value {
    let word = random.pick(&WORDS);
    match random.below(6) {
        0 if is_parameter => json!({"exact": ""}),
        0 | 1 => json!({}),
        2 => json!({"prefix": &word[..1]}),
        3 => json!({"regex": random.pick(&WORD_PATTERNS)}),
        _ => json!({"exact": word}),
    }
}
