//! From JSON text to a tree. serde_json reads the text; the visitor here keeps what serde_json's own value drops:
//! the order of a map and keys that occur twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Key, MAX_BYTES, Node, Problem, Problems, Value};

impl Node {
    /// The tree of a JSON text. Its marks are empty: the proxy has no use for lines.
    ///
    /// # Errors
    /// The text is larger than [`MAX_BYTES`], not UTF-8, or not JSON; one problem, which says where.
    pub fn from_json(text: &[u8]) -> Result<Self, Problems> {
        if text.len() > MAX_BYTES {
            return Err(Problem::of_document(format!(
                "{} bytes; a policy document may have at most {MAX_BYTES}",
                text.len()
            ))
            .into());
        }
        serde_json::from_slice(text)
            .map_err(|error| Problem::of_document(format!("not valid JSON: {error}")).into())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(TreeVisitor)?;
        Ok(Self { value, mark: None })
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
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
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            entries.push((Key { name, mark: None }, value));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_duplicates() {
        let node = Node::from_json(br#"{"b": 1, "a": [true, null, "x"], "b": 2.5}"#).unwrap();
        let Value::Map(entries) = node.value else { panic!("a map") };
        let names: Vec<_> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        assert_eq!(entries[2].1.value, Value::Number(2.5));
    }

    #[test]
    fn what_is_no_json_is_one_problem_with_its_position() {
        let problems = |text: &[u8]| Node::from_json(text).unwrap_err().to_string();
        assert_eq!(problems(b"{\"a\": }"), "not valid JSON: expected value at line 1 column 7");
        assert!(problems(b"\xff\xfe").starts_with("not valid JSON"));
        assert!(problems(b"{} {}").contains("trailing characters"));
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        assert!(problems(&deep).contains("recursion limit"));
        assert_eq!(
            problems(&vec![b' '; MAX_BYTES + 1]),
            "1048577 bytes; a policy document may have at most 1048576"
        );
    }
}
