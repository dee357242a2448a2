//! A tree as YAML, in its order.

use super::{Entry, Tree, Value, is_plain_text};

/// How long a list or a map on one line may be.
const SHORT: usize = 60;

/// The lines of this map, behind each line's end as many blanks.
pub(crate) fn block(tree: &Tree, indentation: usize) -> String {
    let joint = format!("\n{}", " ".repeat(indentation));
    lines(tree).join(&joint)
}

fn lines(tree: &Tree) -> Vec<String> {
    match &tree.value {
        Value::Map(entries) => entries.iter().flat_map(entry).collect(),
        Value::List(items) => items.iter().flat_map(item).collect(),
        _ => vec![flow(tree)],
    }
}

fn entry(entry: &Entry) -> Vec<String> {
    let key = text(&entry.key);
    if is_short(&entry.tree) {
        return vec![format!("{key}: {}", flow(&entry.tree))];
    }
    let is_list = matches!(entry.tree.value, Value::List(_));
    let inner = lines(&entry.tree).into_iter().map(|line| if is_list { line } else { format!("  {line}") });
    std::iter::once(format!("{key}:")).chain(inner).collect()
}

fn item(item: &Tree) -> Vec<String> {
    if is_short(item) {
        return vec![format!("- {}", flow(item))];
    }
    let lines = lines(item).into_iter().enumerate();
    lines.map(|(index, line)| format!("{}{line}", if index == 0 { "- " } else { "  " })).collect()
}

/// Whether it goes on one line: scalars, and lists and maps of few scalars.
fn is_short(tree: &Tree) -> bool {
    let inner = tree.items().iter().chain(tree.entries().iter().map(|entry| &entry.tree));
    let nested = inner.clone().any(|inner| inner.is_container() && matches!(tree.value, Value::List(_)));
    let deep = inner
        .flat_map(|inner| inner.items().iter().chain(inner.entries().iter().map(|entry| &entry.tree)))
        .any(Tree::is_container);
    !tree.is_container() || !nested && !deep && flow(tree).len() <= SHORT
}

fn flow(tree: &Tree) -> String {
    match &tree.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(value) => text(value),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", text(&entry.key), flow(&entry.tree));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text, in quotes where it would be something else without: in YAML 1.1 too, which Kubernetes reads.
pub(crate) fn text(value: &str) -> String {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let starts_well = value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_word = WORDS.contains(&value.to_ascii_lowercase().as_str());
    if starts_well && is_plain_text(&value.replace(['.', '/'], "-")) && !is_word {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}
