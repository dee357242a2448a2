//! `--set FIELD=VALUE`: a field of the configuration, on the command line.

use std::str::FromStr;

use coalmine_document::{Entry, Node, Notation, Span, Value};

/// A field of the configuration, and the value that it has instead of the file's.
#[derive(Clone, Debug)]
pub(super) struct Set {
    field: String,
    value: Node,
}

// === impl Set ===

impl FromStr for Set {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let Some((field, value)) = given.split_once('=') else {
            return Err("no FIELD=VALUE, as tick=5s".to_owned());
        };
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
        if !field.split('.').all(is_name) {
            return Err("what stands before = is no field of the configuration, as evidence.prometheus.url"
                .to_owned());
        }
        let values = Notation::Yaml.read(value);
        let values = values.map_err(|unreadable| format!("the value is no YAML: {}", unreadable.message))?;
        match <[Node; 1]>::try_from(values) {
            // Its places are not the file's.
            Ok([value]) => Ok(Self { field: field.to_owned(), value: value.without_places() }),
            Err(_) => Err("there is no value after =; write null for none".to_owned()),
        }
    }
}

impl Set {
    /// Gives the field this value.
    pub(super) fn apply(&self, document: &mut Node) {
        let names: Vec<&str> = self.field.split('.').collect();
        put(document, &names, self.value.clone());
    }

    /// Whether a place in the configuration is in this field.
    pub(super) fn has(&self, place: &str) -> bool {
        let rest = place.strip_prefix(&self.field);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// Gives the field at the end of a path this value. What is no map on the way becomes one.
fn put(node: &mut Node, names: &[&str], value: Node) {
    let [name, further @ ..] = names else {
        *node = value;
        return;
    };
    let mut entries = match std::mem::replace(&mut node.value, Value::Null) {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    };
    match entries.iter_mut().find(|entry| entry.key == *name) {
        Some(entry) => put(&mut entry.node, further, value),
        None => {
            let mut inner = Value::Null.into();
            put(&mut inner, further, value);
            entries.push(Entry::new((*name).to_owned(), Span::default(), inner));
        }
    }
    node.value = Value::Map(entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(given: &str, document: &str) -> Node {
        let mut node = Notation::Yaml.read(document).unwrap().remove(0);
        given.parse::<Set>().unwrap().apply(&mut node);
        node
    }

    #[test]
    fn a_field_has_the_value_that_is_given() {
        let file = "{tick: 15s, evidence: {prometheus: {url: 'http://a'}}}";
        assert_eq!(set("tick=5s", file).text_at(&["tick"]), Some("5s"));
        let inner = set("evidence.prometheus.url=http://b", file);
        assert_eq!(inner.text_at(&["evidence", "prometheus", "url"]), Some("http://b"));
        let list = set("evidence={proxies: ['127.0.0.1:9901']}", file);
        assert_eq!(list.descend(&["evidence", "proxies"]).unwrap().items().len(), 1);
        assert_eq!(list.descend(&["evidence", "prometheus"]), None, "the whole field");
        assert_eq!(
            set("policy.accessLog=true", file).descend(&["policy", "accessLog"]).unwrap().value,
            Value::Bool(true)
        );
    }

    #[test]
    fn what_is_no_field_with_a_value_is_said() {
        for (given, expected) in [
            ("tick", "no FIELD=VALUE"),
            ("=5s", "is no field"),
            ("a..b=1", "is no field"),
            ("tick=", "there is no value after ="),
            ("tick=[", "is no YAML"),
        ] {
            let refused = given.parse::<Set>().unwrap_err();
            assert!(refused.contains(expected), "{given}: {refused}");
        }
    }

    #[test]
    fn a_field_has_the_places_in_it() {
        let set: Set = "evidence.proxies=[a]".parse().unwrap();
        assert!(set.has("evidence.proxies") && set.has("evidence.proxies[0]"));
        assert!(!set.has("evidence.proxiesmore") && !set.has("evidence"));
    }
}
