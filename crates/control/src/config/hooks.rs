//! Whom the server asks and tells.

use std::collections::BTreeMap;

use coalmine_document::{Cursor, Known, Value};

use super::{Surroundings, check_name, secret};
use crate::notify::{Notifier, Shape};

const NOTIFIER: Known = Known::new(&["url", "shape", "secret"]);
/// What a map has that says where an address is.
const SOURCES: [&str; 2] = ["env", "file"];
const ADDRESS: &str = "its URL, or {env: NAME} where that holds a token";

/// Addresses of gates, by name.
pub(super) fn read_gates(
    cursor: &Cursor<'_, '_>,
    surroundings: &Surroundings<'_>,
) -> BTreeMap<String, String> {
    let mut gates = BTreeMap::new();
    for field in cursor.entries() {
        check_name(&field);
        if let Some(url) = secret::read(&field.value, surroundings, ADDRESS) {
            gates.insert(field.name.to_owned(), url);
        }
    }
    gates
}

/// Notifiers, by name. One that is an address alone reads JSON, and its notices are not signed.
pub(super) fn read_notifiers(
    cursor: &Cursor<'_, '_>,
    surroundings: &Surroundings<'_>,
) -> BTreeMap<String, Notifier> {
    let mut notifiers = BTreeMap::new();
    for field in cursor.entries() {
        check_name(&field);
        let notifier = match field.value.value() {
            Value::Map(entries) if !entries.iter().any(|entry| SOURCES.contains(&entry.key.as_str())) => {
                read_notifier(&field.value, surroundings)
            }
            _ => secret::read(&field.value, surroundings, ADDRESS).map(|url| Notifier {
                url,
                shape: Shape::Webhook,
                secret: None,
            }),
        };
        if let Some(notifier) = notifier {
            notifiers.insert(field.name.to_owned(), notifier);
        }
    }
    notifiers
}

fn read_notifier(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Option<Notifier> {
    let fields = cursor.fields_as(&NOTIFIER, "a notifier, as {url: {env: NAME}, shape: slack}");
    let url = fields.required("url", ADDRESS).and_then(|field| secret::read(&field, surroundings, ADDRESS));
    let words = [("webhook", Shape::Webhook), ("slack", Shape::Slack), ("teams", Shape::Teams)];
    let shape = fields.get("shape").map_or(Some(Shape::Webhook), |field| field.word(&words));
    let mut signed_with = None;
    if let Some(field) = fields.get("secret") {
        signed_with = Some(secret::read_elsewhere(&field, surroundings)?);
        if shape.is_some_and(|shape| shape != Shape::Webhook) {
            field.problem("is for the shape webhook: Slack and Teams look at no signature");
        }
    }
    Some(Notifier { url: url?, shape: shape?, secret: signed_with })
}
