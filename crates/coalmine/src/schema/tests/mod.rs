//! The schemas against the readers, both ways.

mod policy;
mod rollout;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum as _;
use coalmine_document::{Node, Problems};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;

use super::Of;

/// A schema and what it is held against.
struct Subject {
    schema: Value,
    validator: Validator,
    read: fn(&Node) -> Result<(), Problems>,
    /// Documents that between them use every field.
    good: Vec<Value>,
}

fn subjects() -> Vec<Subject> {
    Of::value_variants().iter().map(|of| Subject::of(*of)).collect()
}

// === impl Subject ===

impl Subject {
    fn of(of: Of) -> Self {
        let schema: Value = serde_json::from_str(&of.schema().unwrap()).unwrap();
        let (read, good): (fn(&Node) -> _, _) = match of {
            Of::Policy => (policy::read, policy::good()),
            Of::Rollout => (rollout::read, rollout::good()),
            Of::Server => (server::read, server::good()),
        };
        Self { validator: jsonschema::validator_for(&schema).unwrap(), schema, read, good }
    }

    /// What the reader says about this document.
    fn problems(&self, document: &Value) -> Vec<String> {
        let node = coalmine_document::json::read(document.to_string().as_bytes()).unwrap();
        match (self.read)(&node) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.shown().iter().map(ToString::to_string).collect(),
        }
    }

    /// What the reader says once a field of this map has this value.
    fn problems_with(&self, document: &Value, map: &str, name: &str, value: Value) -> Vec<String> {
        let mut document = document.clone();
        document.pointer_mut(map).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        self.problems(&document)
    }

    /// The fields that the reader knows in the map at this place, by what it says about one that it does not know; but not
    /// those that it knows as ones of a later version, or of somewhere else.
    fn known(&self, document: &Value, place: &str) -> Option<BTreeSet<String>> {
        document.pointer(place)?.as_object()?;
        let problems = self.problems_with(document, place, "qqqqqqqqqqqqqqqqqqqqqqqq", Value::Null);
        // Where a secret may stand, the problem does not name the field.
        let problem = problems.iter().find(|problem| problem.contains("unknown field; known here: "))?;
        let (_, names) = problem.split_once("known here: ")?;
        let is_refused = |name: &str| {
            self.problems_with(document, place, name, Value::Null).iter().any(|problem| {
                ["not yet supported", "does not belong here", "has a weight, which the plan"]
                    .iter()
                    .any(|words| problem.contains(words))
            })
        };
        Some(names.split(", ").filter(|name| !is_refused(name)).map(str::to_owned).collect())
    }

    /// What the schema has in each place through a document, with a star for the items of lists and the values of maps with
    /// free names: the fields of its maps, and the words of its enumerations.
    fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        self.walk(&self.schema, "", &mut parts);
        parts
    }

    fn walk(&self, at: &Value, place: &str, parts: &mut Parts) {
        if let Some(reference) = at["$ref"].as_str() {
            let found = self.schema.pointer(reference.trim_start_matches('#'));
            self.walk(found.unwrap_or_else(|| panic!("{reference}")), place, parts);
        }
        for choice in at["anyOf"].as_array().into_iter().flatten() {
            self.walk(choice, place, parts);
        }
        for several in
            ["items", "additionalProperties"].map(|name| &at[name]).into_iter().filter(|it| it.is_object())
        {
            self.walk(several, &format!("{place}/*"), parts);
        }
        if let Some(words) = at["enum"].as_array() {
            let words = words.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
            parts.words.insert(place.to_owned(), words);
        }
        let Some(properties) = at["properties"].as_object() else { return };
        parts.maps.push((place.to_owned(), properties.keys().cloned().collect()));
        for (name, property) in properties {
            self.walk(property, &format!("{place}/{name}"), parts);
        }
    }
}

/// What a schema has in each place.
#[derive(Default)]
struct Parts {
    maps: Vec<(String, BTreeSet<String>)>,
    words: BTreeMap<String, BTreeSet<String>>,
}

/// The places in a document that a place with stars means.
fn meant(document: &Value, place: &str) -> Vec<String> {
    let all = places(document);
    let is_meant = |found: &&String| {
        let (found, place): (Vec<&str>, Vec<&str>) = (found.split('/').collect(), place.split('/').collect());
        found.len() == place.len()
            && place.iter().zip(found).all(|(place, found)| *place == "*" || *place == found)
    };
    all.iter().filter(is_meant).cloned().collect()
}

/// Every place in a document.
fn places(document: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut inner = |name: &str, value: &Value| {
        // What a pointer writes otherwise is in no name here.
        found.extend(places(value).into_iter().map(|place| format!("/{name}{place}")));
    };
    match document {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| inner(&index.to_string(), item))
        }
        Value::Object(entries) => entries.iter().for_each(|(name, value)| inner(name, value)),
        _ => {}
    }
    found
}

#[test]
fn what_the_reader_takes_the_schema_takes() {
    for subject in subjects() {
        for document in &subject.good {
            assert_eq!(subject.problems(document), [""; 0], "{document}");
            let problems: Vec<String> =
                subject.validator.iter_errors(document).map(|error| error.to_string()).collect();
            assert_eq!(problems, [""; 0], "{document}");
        }
    }
}

#[test]
fn every_field_of_the_reader_is_in_the_schema_and_the_other_way_round() {
    for subject in subjects() {
        let mut looked_at = BTreeSet::new();
        let maps = subject.parts().maps;
        for (place, fields) in &maps {
            for document in &subject.good {
                for place in meant(document, place) {
                    let Some(known) = subject.known(document, &place) else { continue };
                    // Of two forms in one place (a claim and its name, a secret and where it is) only one is this map.
                    if known.is_disjoint(fields) {
                        continue;
                    }
                    assert_eq!(&known, fields, "{place}");
                    looked_at.insert(fields.clone());
                }
            }
        }
        let all: BTreeSet<_> = maps.into_iter().map(|(_, fields)| fields).collect();
        assert_eq!(looked_at, all, "every map of the schema has been compared");
    }
}

/// Every word of an `enum` is one that the reader takes, and a word that is none is refused with just those.
#[test]
fn the_words_are_the_reader_s() {
    for subject in subjects() {
        for (place, words) in subject.parts().words {
            let found = subject.good.iter().find_map(|it| Some((it, meant(it, &place).into_iter().next()?)));
            let (document, place) = found.unwrap_or_else(|| panic!("{place} is in no document"));
            let mut document = document.clone();
            *document.pointer_mut(&place).unwrap() = "qqqqqqqqqqqqqqqqqqqqqqqqqqqq".into();
            let problems = subject.problems(&document);
            let known = problems.iter().find_map(|it| it.split_once("known here: "));
            let (_, known) = known.unwrap_or_else(|| panic!("{place}: {problems:?}"));
            let known: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
            assert_eq!(known, words, "{place}");
        }
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
            "10s",
            "250ms",
            "unleash",
            "judge",
            "shop/*",
            "*",
            "127.0.0.1:1",
            "http://a",
        ])
        .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "name", "weight", "header", "env", "file", "canary", "path", "total", "exact", "plus", "rollouts",
        "zzz",
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

/// Whatever one value of a good document is replaced by: what the reader takes, the schema takes.
fn never_refuses_what_the_reader_takes(of: Of) {
    let subject = Subject::of(of);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2_000));
    let strategy = (0..subject.good.len(), any::<prop::sample::Index>(), value());
    let result = runner.run(&strategy, |(which, place, value)| {
        let mut document = subject.good[which].clone();
        let found = places(&document);
        let place: &String = place.get(&found);
        *document.pointer_mut(place).unwrap() = value;
        if subject.problems(&document).is_empty() {
            prop_assert!(subject.validator.is_valid(&document), "{}", document);
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn the_schema_of_a_policy_never_refuses_what_the_reader_takes() {
    never_refuses_what_the_reader_takes(Of::Policy);
}

#[test]
fn the_schema_of_a_rollout_never_refuses_what_the_reader_takes() {
    never_refuses_what_the_reader_takes(Of::Rollout);
}

#[test]
fn the_schema_of_a_server_never_refuses_what_the_reader_takes() {
    never_refuses_what_the_reader_takes(Of::Server);
}
