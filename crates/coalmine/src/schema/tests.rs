//! The schema against the parser, both ways.

use std::collections::BTreeSet;

use coalmine_core::policy::{Environment, Policy};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::SCHEMA;

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

/// What the parser says about this document.
fn problems(document: &Value) -> Vec<String> {
    let node = coalmine_document::json::read(document.to_string().as_bytes()).unwrap();
    match Policy::from_document(&node, Environment::Unread) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.shown().iter().map(ToString::to_string).collect(),
    }
}

/// A rollout that is right, with these fields set.
fn policy(fields: Value) -> Value {
    let mut rollout = json!({
        "name": "r", "identity": [{"header": "x-user-id"}], "variants": [{"name": "canary", "weight": 5}]
    });
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(rollout.as_object_mut().unwrap().remove(name)),
            value => rollout[name] = value.clone(),
        }
    }
    json!({"rollouts": [rollout]})
}

/// Documents that between them use every field.
fn good() -> Vec<Value> {
    let secret = "0123456789abcdef0123456789abcdef";
    vec![
        json!({}),
        json!({"version": 1, "revision": 42, "rollouts": [], "observe": {"accessLog": true}}),
        json!({"observe": {"responses": true, "slow": ["250ms", {"at": "1s", "groups": true}, "2m"], "histogram": true}}),
        policy(json!({
            "enabled": false, "onMissingIdentity": "issueCookie", "salt": "s", "algorithm": "siphash-2-4", "key": secret,
            "match": {"hosts": ["*.a"], "paths": [{"prefix": "/"}, {"exact": "/x"}], "methods": ["GET"],
                      "headers": [{"name": "x-a", "exact": ""}, {"name": "x-b", "prefix": "p"}, {"name": "x-c", "present": true}]},
            "identity": [{"header": "x-user-id"}, {"cookie": "sid"}, {"jwtClaim": "sub"},
                         {"jwtClaim": {"path": ["a", "b"], "payload": "p"}}, {"queryParameter": "u"}, {"peer": true}, {"sourceIp": true}],
            "cookie": {"name": "c", "maxAge": "30d", "path": "/", "domain": "a.example", "sameSite": "Lax", "secure": true},
            "pins": {"canary": ["a"], "stable": ["b"]},
            "override": {"header": "x-override", "cookie": "o", "secret": secret},
            "route": {"header": "x-v"}, "since": 41, "observe": true, "response": {"removeHeaders": ["server"]},
        })),
        policy(json!({"variants": [{"name": "canary"}], "ranges": [[50000, "canary"], [1000000, "stable"]]})),
        policy(
            json!({"variants": [{"name": "canary"}], "ramp": {"start": "2026-11-21T09:00:00Z", "hold": true, "holdWeight": 5,
            "allowDown": true, "steps": [{"at": "0s", "weight": 1}]}}),
        ),
        policy(
            json!({"key": {"env": "K"}, "algorithm": "siphash-2-4", "override": {"header": "x-o", "secret": [{"env": "S"}, secret]}}),
        ),
        policy(
            json!({"route": {"clusterHeader": {"name": "x-c", "clusters": {"stable": "a", "canary": "b"}}}}),
        ),
        policy(json!({"variants": null, "route": {"bucketHeader": {"name": "x-b", "total": 100}}})),
        policy(
            json!({"variants": null, "route": {"bucketHeader": {"name": "x-b", "total": 100, "canary": "last"}}}),
        ),
        policy(json!({"variants": [{"name": "a", "weight": 0.0001}, {"name": "b", "weight": 50}]})),
    ]
}

#[test]
fn what_the_parser_takes_the_schema_takes() {
    for document in good() {
        assert_eq!(problems(&document), [""; 0], "{document}");
        let problems: Vec<String> =
            validator().iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(problems, [""; 0], "{document}");
    }
}

/// The maps with fixed fields of the schema, by their place through a document.
fn maps(schema: &Value, at: &Value, place: &str, found: &mut Vec<(String, BTreeSet<String>)>) {
    if let Some(reference) = at["$ref"].as_str() {
        maps(schema, schema.pointer(reference.trim_start_matches('#')).unwrap(), place, found);
    }
    for choice in at["anyOf"].as_array().into_iter().flatten() {
        maps(schema, choice, place, found);
    }
    if at["items"].is_object() {
        maps(schema, &at["items"], &format!("{place}/0"), found);
    }
    let Some(properties) = at["properties"].as_object() else { return };
    found.push((place.to_owned(), properties.keys().cloned().collect()));
    for (name, property) in properties {
        maps(schema, property, &format!("{place}/{name}"), found);
    }
}

/// The fields that the parser knows in the map at this place, by what it says about one that it does not know.
fn known(document: &Value, place: &str) -> Option<BTreeSet<String>> {
    let mut document = document.clone();
    let map = document.pointer_mut(place)?.as_object_mut()?;
    map.insert("qqqqqqqqqqqqqqqqqqqqqqqq".to_owned(), Value::Null);
    let problems = problems(&document);
    // Where a secret may stand, the problem does not name the field.
    let problems = problems.iter().find(|problem| problem.contains("unknown field; known here: "))?;
    let (_, names) = problems.split_once("known here: ")?;
    Some(names.split(", ").map(str::to_owned).collect())
}

/// Whether the parser only knows this field as one of a later version.
fn is_for_later(document: &Value, place: &str, name: &str) -> bool {
    let mut document = document.clone();
    let map = document.pointer_mut(place).unwrap().as_object_mut().unwrap();
    map.insert(name.to_owned(), Value::Null);
    problems(&document).iter().any(|problem| problem.contains("not yet supported"))
}

#[test]
fn every_field_of_the_parser_is_in_the_schema_and_the_other_way_round() {
    let mut found = Vec::new();
    maps(&schema(), &schema(), "", &mut found);
    assert!(found.len() > 15, "{}", found.len());
    let mut looked_at = BTreeSet::new();
    for (place, fields) in &found {
        // A document that has a map at this place: the items of its lists are tried one by one.
        for document in good() {
            for item in 0..8 {
                let place = match place.rsplit_once("/0") {
                    Some((before, after)) => format!("{before}/{item}{after}"),
                    None => place.clone(),
                };
                let Some(mut known) = known(&document, &place) else { continue };
                // Of two forms in one place (a claim and its name, a secret and where it is) only one is this map.
                if known.is_disjoint(fields) {
                    continue;
                }
                known.retain(|name| !is_for_later(&document, &place, name));
                assert_eq!(&known, fields, "{place}");
                looked_at.insert(fields.clone());
            }
        }
    }
    let all: BTreeSet<_> = found.into_iter().map(|(_, fields)| fields).collect();
    assert_eq!(looked_at, all, "every map of the schema has been compared");
}

/// Every word of an `enum` is one that the parser takes, and a word that is none is refused with just those.
#[test]
fn the_words_are_the_parser_s() {
    for (field, pointer) in [
        ("algorithm", "/$defs/rollout/properties/algorithm/enum"),
        ("onMissingIdentity", "/$defs/rollout/properties/onMissingIdentity/enum"),
    ] {
        let schema = schema();
        let words: BTreeSet<&str> = schema
            .pointer(pointer)
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let problems = problems(&policy(json!({field: "qqqqqqqqqqqqqqqqqqqqqqqqqqqq"})));
        let (_, known) = problems[0].split_once("known here: ").unwrap();
        assert_eq!(known.split(", ").collect::<BTreeSet<_>>(), words, "{field}");
    }
}

/// Any value that may be found in a document.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-10.0..1_000_010.0).prop_map(Value::from),
        (0_u32..200).prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "canary",
            "stable",
            "r",
            "x-user-id",
            "/",
            "GET",
            "a.b",
            "A",
            "30d",
            "unleash"
        ])
        .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "name", "weight", "header", "env", "canary", "path", "total", "exact", "zzz",
    ]);
    scalar.prop_recursive(2, 8, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..3).prop_map(|entries| entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

/// Every place in a document.
fn places(document: &Value, place: &str, found: &mut Vec<String>) {
    found.push(place.to_owned());
    match document {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{place}/{index}"), found);
            }
        }
        Value::Object(entries) => {
            for (name, value) in entries {
                places(value, &format!("{place}/{name}"), found);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever one value of a good document is replaced by: what the parser takes, the schema takes.
    #[test]
    fn the_schema_never_refuses_what_the_parser_takes(which in 0..9_usize, place in any::<prop::sample::Index>(), value in value()) {
        let mut document = good().swap_remove(which);
        let mut found = Vec::new();
        places(&document, "", &mut found);
        let place: &String = place.get(&found);
        *document.pointer_mut(place).unwrap() = value;
        if problems(&document).is_empty() {
            prop_assert!(validator().is_valid(&document), "{}", document);
        }
    }
}
