//! A policy as JSON, in the order of its document.

use crate::text::{Tree, Value};

/// How wide a list or a map on one line may be.
const WIDTH: usize = 90;

/// The JSON of this value, indented by this much.
pub(super) fn pretty(tree: &Tree, indentation: usize) -> String {
    let flat = flat(tree);
    if flat.len() + indentation <= WIDTH && !holds_maps_of_maps(tree) {
        return flat;
    }
    let (open, close, items): (char, char, Vec<String>) = match &tree.value {
        Value::List(items) => ('[', ']', items.iter().map(|item| pretty(item, indentation + 2)).collect()),
        Value::Map(entries) => {
            let entry = |entry: &crate::text::Entry| {
                format!("{}: {}", quoted(&entry.key), pretty(&entry.tree, indentation + 2))
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
fn holds_maps_of_maps(tree: &Tree) -> bool {
    let holds_map = |tree: &Tree| tree.entries().iter().any(|entry| entry.tree.is_container());
    holds_map(tree) || tree.items().iter().any(holds_map)
}

fn flat(tree: &Tree) -> String {
    match &tree.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |entry: &crate::text::Entry| format!("{}: {}", quoted(&entry.key), flat(&entry.tree));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
