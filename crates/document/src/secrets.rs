//! Secrets by the name of their field, in a document of any kind.
//!
//! A reader knows the secrets of the fields that it reads, and says so in [`crate::Reader::finish`]. This is for the
//! rest: a secret in the wrong map, below a field that is not known, behind an alias, or in a text whose places are not
//! known. So it looks for texts too, not only for places.

use std::collections::BTreeSet;

use crate::node::{Node, Span, Value};
use crate::suggest::nearest;

/// What the names of fields with secrets have in them, or nearly so.
const WORDS: [&str; 2] = ["key", "secret"];
/// Shorter texts are no secrets, and occur by accident.
const SHORTEST: usize = 8;

/// What may be secret in a document.
#[derive(Debug, Default)]
pub(crate) struct Secrets<'d> {
    /// Where it stands.
    pub(crate) spans: Vec<Span>,
    /// Texts that may stand elsewhere too.
    pub(crate) texts: Vec<&'d str>,
}

/// What may be secret in this document: what stands under a field whose name says so, and the values of variables.
pub(crate) fn secrets(document: &Node) -> Secrets<'_> {
    let mut secrets = Secrets::default();
    let mut numbers = BTreeSet::new();
    collect(document, false, &mut secrets, &mut numbers);
    // A number behind an alias of YAML stands at its anchor, too.
    if !numbers.is_empty() {
        same_numbers(document, &numbers, &mut secrets.spans);
    }
    secrets.texts.retain(|text| text.len() >= SHORTEST);
    secrets.texts.sort_unstable();
    secrets.texts.dedup();
    secrets
}

fn collect<'d>(node: &'d Node, is_secret: bool, secrets: &mut Secrets<'d>, numbers: &mut BTreeSet<u64>) {
    if is_secret && !node.is_container() {
        secrets.spans.push(node.span);
        secrets.texts.extend(node.text());
        if let Value::Number(number) = node.value {
            numbers.insert(number.to_bits());
        }
    }
    node.items().iter().for_each(|item| collect(item, is_secret, secrets, numbers));
    for entry in node.entries() {
        // `{env: NAME}` in the place of a secret says where it is.
        let is_name = entry.key == "env";
        let of_variable = entry.key == "value" && node.get("name").is_some();
        if is_secret && !is_name {
            secrets.texts.push(&entry.key);
        }
        let is_secret = !is_name && (is_secret || of_variable || may_hold_secret(&entry.key));
        collect(&entry.node, is_secret, secrets, numbers);
    }
}

fn same_numbers(node: &Node, numbers: &BTreeSet<u64>, spans: &mut Vec<Span>) {
    if let Value::Number(number) = node.value
        && numbers.contains(&number.to_bits())
    {
        spans.push(node.span);
    }
    node.items().iter().for_each(|item| same_numbers(item, numbers, spans));
    node.entries().iter().for_each(|entry| same_numbers(&entry.node, numbers, spans));
}

/// Whether the name of a field says, or is meant to say, that it holds a secret.
fn may_hold_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word)) || nearest(&lower, WORDS).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_secret_is_found_by_the_name_of_its_field() {
        let text = br#"{"rolouts": [{"key": {"env": "COALMINE_KEY"}, "kee": "misspelt-key", "name": "name-is-public",
            "overide": {"secrets": ["the-first-one", {"in-place-of-env": "the-second"}], "header": "x-coalmine"}}],
            "env": [{"name": "COALMINE_KEY", "value": "of-a-variable"}], "secret": "short"}"#;
        let document = json::read(text).unwrap();
        let expected = ["in-place-of-env", "misspelt-key", "of-a-variable", "the-first-one", "the-second"];
        let found = secrets(&document).texts;
        let expected: &[&str] = if cfg!(feature = "suggest") {
            &expected
        } else {
            &["in-place-of-env", "of-a-variable", "the-first-one", "the-second"]
        };
        assert_eq!(found, expected);
    }
}
