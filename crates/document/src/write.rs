//! A tree as YAML, in its order.

use crate::node::{Entry, Node, Value};
use crate::yaml::is_plain_text;

/// How long a list or a map on one line may be.
const SHORT: usize = 60;

/// The lines of this map, joined; every line behind the first begins with this many blanks.
pub fn block(node: &Node, indentation: usize) -> String {
    let joint = format!("\n{}", " ".repeat(indentation));
    lines(node).join(&joint)
}

fn lines(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Map(entries) => entries.iter().flat_map(entry).collect(),
        Value::List(items) => items.iter().flat_map(item).collect(),
        _ => vec![flow(node)],
    }
}

fn entry(entry: &Entry) -> Vec<String> {
    let key = text(&entry.key);
    if is_short(&entry.node) {
        return vec![format!("{key}: {}", flow(&entry.node))];
    }
    let is_list = matches!(entry.node.value, Value::List(_));
    let inner = lines(&entry.node).into_iter().map(|line| if is_list { line } else { format!("  {line}") });
    std::iter::once(format!("{key}:")).chain(inner).collect()
}

fn item(item: &Node) -> Vec<String> {
    if is_short(item) {
        return vec![format!("- {}", flow(item))];
    }
    let lines = lines(item).into_iter().enumerate();
    lines.map(|(index, line)| format!("{}{line}", if index == 0 { "- " } else { "  " })).collect()
}

/// Whether it goes on one line: scalars, and lists and maps of few scalars.
fn is_short(node: &Node) -> bool {
    let inner = node.items().iter().chain(node.entries().iter().map(|entry| &entry.node));
    let nested = inner.clone().any(|inner| inner.is_container() && matches!(node.value, Value::List(_)));
    let deep = inner
        .flat_map(|inner| inner.items().iter().chain(inner.entries().iter().map(|entry| &entry.node)))
        .any(Node::is_container);
    !node.is_container() || !nested && !deep && flow(node).len() <= SHORT
}

fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(value) => text(value),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", text(&entry.key), flow(&entry.node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text, in quotes where it would mean something else without them: in YAML 1.1 too, which Kubernetes reads.
pub fn text(value: &str) -> String {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let starts_well = value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_word = WORDS.contains(&value.to_ascii_lowercase().as_str());
    if starts_well && is_plain_text(&value.replace(['.', '/'], "-")) && !is_word {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}
