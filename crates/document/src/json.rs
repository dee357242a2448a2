//! JSON text without places, as the filter reads it, and JSON text of a tree.
//!
//! serde_json reads; the visitor here keeps what serde_json's own value drops: the order of a map and keys that occur
//! twice.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::node::{Entry, Node, Span, Value};
use crate::problem::{Code, Problem};
use crate::{MAX_VALUES, too_large};

const STRUCT: &str =
    "not JSON; this is a protobuf message: give Envoy a google.protobuf.StringValue with the policy in JSON";

/// The tree of a JSON text of at most [`crate::MAX_BYTES`] bytes and [`MAX_VALUES`] values. Its spans are empty: the
/// proxy has no use for them.
///
/// # Errors
/// The text is too large, not UTF-8, or not JSON; the message says where.
pub fn read(text: &[u8]) -> Result<Node, Problem> {
    if let Some(message) = too_large(text.len()) {
        return Err(Problem::of_document(Code::TooLarge, message));
    }
    let values = Values { left: &Cell::new(MAX_VALUES) };
    let mut json = serde_json::Deserializer::from_slice(text);
    let tree = values.deserialize(&mut json).and_then(|tree| json.end().map(|()| tree));
    tree.map_err(|error| match error.classify() {
        Category::Data => {
            let message = format!("more values than a policy document may have, which is {MAX_VALUES}");
            Problem::of_document(Code::TooLarge, message)
        }
        _ if is_struct(text) => Problem::of_document(Code::Syntax, STRUCT),
        _ => Problem::of_document(Code::Syntax, format!("not valid JSON: {error}")),
    })
}

/// Whether these are the bytes of a `google.protobuf.Struct`: it begins with the tag of an entry, which as a text is a
/// line break, and has the tag of a value, which no text has.
fn is_struct(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\n") && bytes.contains(&0x12)
}

/// Reads one value, of as many as are left.
#[derive(Clone, Copy)]
struct Values<'c> {
    left: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self).map(Node::from)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push(Entry::new(key, Span::default(), map.next_value_seed(self)?));
        }
        Ok(Value::Map(entries))
    }
}

/// How wide a list or a map on one line may be.
const WIDTH: usize = 90;

/// The JSON of a tree, in its order; lines behind the first are indented by this much.
pub fn pretty(node: &Node, indentation: usize) -> String {
    let flat = flat(node);
    if flat.len() + indentation <= WIDTH && !holds_maps_of_maps(node) {
        return flat;
    }
    let (open, close, items): (char, char, Vec<String>) = match &node.value {
        Value::List(items) => ('[', ']', items.iter().map(|item| pretty(item, indentation + 2)).collect()),
        Value::Map(entries) => {
            let entry = |entry: &Entry| {
                format!("{}: {}", json_string(&entry.key), pretty(&entry.node, indentation + 2))
            };
            ('{', '}', entries.iter().map(entry).collect())
        }
        _ => return flat,
    };
    let blanks = " ".repeat(indentation);
    let items: Vec<String> = items.iter().map(|item| format!("{blanks}  {item}")).collect();
    format!("{open}\n{}\n{blanks}{close}", items.join(",\n"))
}

/// Rollouts and the document itself are opened up, however short.
fn holds_maps_of_maps(node: &Node) -> bool {
    let holds_map = |node: &Node| node.entries().iter().any(|entry| entry.node.is_container());
    holds_map(node) || node.items().iter().any(holds_map)
}

/// The JSON of a tree on one line, in its order.
pub fn flat(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => json_string(text),
        Value::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", json_string(&entry.key), flat(&entry.node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_duplicates() {
        let node = read(br#"{"b": 1, "a": [true, null, "x"], "b": 2.5}"#).unwrap();
        let Value::Map(entries) = node.value else { panic!("a map") };
        let names: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        assert_eq!(entries[2].node.value, Value::Number(2.5));
    }

    #[test]
    fn what_is_no_json_is_one_problem_with_its_position() {
        let problems = |text: &[u8]| read(text).unwrap_err().to_string();
        assert_eq!(problems(b"{\"a\": }"), "not valid JSON: expected value at line 1 column 7");
        assert!(problems(b"\xff\xfe").starts_with("not valid JSON"));
        assert!(problems(b"{} {}").contains("trailing characters"));
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        assert!(problems(&deep).contains("recursion limit"));
        assert_eq!(
            problems(&vec![b' '; crate::MAX_BYTES + 1]),
            "1048577 bytes; a policy document may have at most 1048576"
        );
    }

    #[test]
    fn more_values_than_a_document_may_have_are_one_problem() {
        let list = |values: usize| format!("[{}]", vec!["1"; values].join(","));
        assert!(read(list(MAX_VALUES - 1).as_bytes()).is_ok());
        let refused = read(list(MAX_VALUES).as_bytes()).unwrap_err();
        assert_eq!(refused.code, Code::TooLarge);
        assert!(refused.message.starts_with("more values than"), "{refused}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = r#"{"a": [1, 0.5, {"b": "é\n"}], "c": null, "c": {"d": {"e": true}}}"#;
        let node = read(text.as_bytes()).unwrap();
        assert_eq!(read(pretty(&node, 0).as_bytes()).unwrap(), node);
    }
}
