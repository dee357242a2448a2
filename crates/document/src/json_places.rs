//! JSON text to a tree with places. serde_json says what is JSON, as in the filter; jsonc-parser says where every value
//! stands.

use std::borrow::Cow;

use jsonc_parser::ast::{self, ObjectPropName};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use crate::node::{Entry, Node, Span, Style, Value};
use crate::problem::Unreadable;

/// Whether this is JSON from its first byte to its last.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The tree of a JSON text.
pub(crate) fn read(text: &str) -> Result<Node, Unreadable> {
    if !is_json(text)
        // Where a value is kept, the error says more.
        && let Err(error) = serde_json::from_str::<serde_json::Value>(text)
    {
        return Err(unreadable(text, &error));
    }
    let options = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options).map_err(|error| Unreadable {
        message: format!("not valid JSON: {}", error.kind()),
        span: Span::new(error.range().start, error.range().end),
    })?;
    parsed
        .value
        .map(tree)
        .ok_or_else(|| Unreadable { message: "not valid JSON: empty".to_owned(), span: Span::default() })
}

/// serde_json's error with its own words for the place taken off: the excerpt shows it.
fn unreadable(text: &str, error: &serde_json::Error) -> Unreadable {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // serde_json counts columns in bytes, the one that it stumbled over included.
    let mut start = match error.is_eof() {
        true => text.trim_end().len(),
        false => (line_start + error.column().saturating_sub(1)).min(text.len()),
    };
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let length = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let sentence = error.to_string();
    let what = sentence.split(" at line ").next().unwrap_or(&sentence);
    let hint = match text.get(start..start + length) {
        Some("'") => "; JSON has double quotes only",
        Some("/" | "#") => "; JSON has no comments",
        _ if what.contains("trailing comma") => "; remove it",
        _ if what.contains("EOF") => "; a bracket or a quote is not closed",
        _ => "",
    };
    Unreadable { message: format!("not valid JSON: {what}{hint}"), span: Span::new(start, start + length) }
}

fn tree(value: ast::Value<'_>) -> Node {
    let span = |range: jsonc_parser::common::Range| Span::new(range.start, range.end);
    match value {
        ast::Value::NullKeyword(null) => scalar(Value::Null, span(null.range)),
        ast::Value::BooleanLit(literal) => scalar(Value::Bool(literal.value), span(literal.range)),
        // serde_json has taken this number already: it can be parsed.
        ast::Value::NumberLit(literal) => {
            scalar(Value::Number(literal.value.parse().unwrap_or(f64::NAN)), span(literal.range))
        }
        ast::Value::StringLit(literal) => {
            let text = Value::String(Cow::into_owned(literal.value));
            Node { span: span(literal.range), style: Style::Double, ..text.into() }
        }
        ast::Value::Array(array) => {
            let items = Value::List(array.elements.into_iter().map(tree).collect());
            Node { span: span(array.range), style: Style::Flow, ..items.into() }
        }
        ast::Value::Object(object) => {
            let entries = Value::Map(object.properties.into_iter().map(entry).collect());
            Node { span: span(object.range), style: Style::Flow, ..entries.into() }
        }
    }
}

fn entry(property: ast::ObjectProp<'_>) -> Entry {
    let (key, range) = match property.name {
        ObjectPropName::String(name) => (name.value.into_owned(), name.range),
        ObjectPropName::Word(name) => (name.value.to_owned(), name.range),
    };
    Entry::new(key, Span::new(range.start, range.end), tree(property.value))
}

fn scalar(value: Value, span: Span) -> Node {
    Node { span, ..value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_twice_is_here_twice_and_has_its_place() {
        let text = "{\"é\": [1, \"\\u00e9\\ud83d\\ude00\"],\n\t\"é\": null}";
        let read = read(text).unwrap();
        assert_eq!(read.entries().len(), 2);
        assert_eq!(read.entries()[0].node.items()[1].text(), Some("é😀"));
        assert_eq!(&text[read.entries()[1].span.range()], "\"é\"");
        assert_eq!(&text[read.entries()[0].node.items()[0].span.range()], "1");
    }

    #[test]
    fn what_is_no_json_is_shown_where_it_ends_to_be() {
        let refused = |text: &str| {
            let refused = read(text).unwrap_err();
            (refused.message, text[refused.span.range()].to_owned())
        };
        assert_eq!(
            refused("{'a': 1}"),
            ("not valid JSON: key must be a string; JSON has double quotes only".to_owned(), "'".to_owned())
        );
        assert_eq!(refused("{\"é\": }").1, "}");
        assert_eq!(refused("{\"a\": 1").1, "");
        assert!(refused(&"[".repeat(100_000)).0.contains("recursion limit"));
    }
}
