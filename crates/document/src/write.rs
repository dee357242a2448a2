//! A tree as YAML, in its order.

use crate::dialect::is_plain_text;
use crate::node::{Entry, Node, Value};

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

/// A text, in quotes where it would mean something else without them: to any reader, of YAML 1.1 or 1.2.
pub fn text(value: &str) -> String {
    let starts_well = value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_plain = starts_well && is_plain_text(&value.replace(['.', '/'], "_"));
    if is_plain { value.to_owned() } else { quoted(value) }
}

/// A text in double quotes, with escapes that JSON and every YAML know.
pub fn quoted(value: &str) -> String {
    let text = serde_json::Value::from(value).to_string();
    if text.is_ascii() && !text.contains('\u{7f}') {
        return text;
    }
    // YAML 1.1 takes some of these for the end of a line, and refuses others; JSON takes them as they are.
    let escaped = |character: char| match character {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(character))
        }
        other => other.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::SourceStyle;
    use crate::{Notation, SourceText};

    /// What the type repository of YAML 1.1 (yaml.org/type) takes for text: not its booleans, nulls, the merge and the
    /// value key. Its numbers, sexagesimals and times begin with a digit, a sign or a point.
    fn is_text_in_1_1(plain: &str) -> bool {
        const WORDS: &str = "y Y yes Yes YES n N no No NO true True TRUE false False FALSE on On ON off Off OFF \
                             null Null NULL ~ << =";
        let begins_as_number =
            plain.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        !plain.is_empty() && !begins_as_number && !WORDS.split(' ').any(|word| word == plain)
    }

    /// What any reader makes of this, written as a value: the text, or `None` where readers may differ.
    fn read_by_all(written: &str) -> Option<String> {
        let Some(inner) = written.strip_prefix('"') else {
            let is_safe = written.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
            return (is_safe && is_text_in_1_1(written)).then(|| written.to_owned());
        };
        // The escapes of JSON are those of YAML; what YAML 1.1 does not take as it is has to be escaped.
        let breaks = |character: char| {
            character.is_control()
                || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        };
        if inner.chars().any(breaks) {
            return None;
        }
        serde_json::from_str(written).ok()
    }

    /// A text of pieces that readers disagree about.
    fn random_text(state: &mut u64) -> String {
        const PIECES: [&str; 44] = [
            "y",
            "n",
            "no",
            "No",
            "ON",
            "off",
            "yes",
            "true",
            "Null",
            "~",
            "<<",
            "=",
            "0",
            "1",
            "7",
            "08",
            "010",
            "0x",
            "0b",
            "0o",
            "_",
            "1_0",
            ".",
            "-",
            "+",
            ":",
            "e3",
            "inf",
            "nan",
            "2026-11-21",
            "T09:00:00Z",
            "1:30",
            "/",
            " ",
            "#",
            "\t",
            "\n",
            "\"",
            "\\",
            "'",
            "\u{85}",
            "\u{2028}",
            "\u{7f}",
            "é😀",
        ];
        let mut next = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 33) as usize
        };
        (0..next() % 4).map(|_| PIECES[next() % PIECES.len()]).collect()
    }

    #[test]
    fn every_reader_of_yaml_reads_what_was_written() {
        let source = SourceText::new("x", "a: 1".to_owned());
        let style = SourceStyle::like(&source, &Notation::Yaml.read(source.text()).unwrap()[0]);
        let mut state = 7;
        for _ in 0..20_000 {
            let value = random_text(&mut state);
            for written in [text(&value), quoted(&value), style.name(&value)] {
                assert_eq!(read_by_all(&written).as_deref(), Some(&*value), "{written}");
                for around in
                    [format!("b: {written}\n"), format!("b: [{written}]\n"), format!("{written}: a\n")]
                {
                    let tree = Notation::Yaml.read(&around).unwrap().remove(0);
                    let entry = &tree.entries()[0];
                    let node = entry.node.items().first().unwrap_or(&entry.node);
                    let read = if !around.starts_with("b: ") { Some(&*entry.key) } else { node.text() };
                    assert_eq!(read, Some(&*value), "{around}");
                    assert_eq!((&node.misread, &entry.misread), (&None, &None), "{around}");
                }
            }
        }
    }

    #[test]
    fn what_means_itself_has_no_quotes() {
        for plain in [
            "canary",
            "shop/checkout",
            "/etc/envoy/coalmine.yaml",
            "x-user-id",
            "shop.example",
            "a2",
            "null-x",
        ] {
            assert_eq!(text(plain), plain);
        }
        for other in [
            "", "on", "NO", "y", "null", "2a", "010", "1_000", "0b101", "1:30", "a: b", "a b", ".5", "-x",
            "a#",
        ] {
            assert_eq!(text(other), format!("\"{other}\""));
        }
    }
}
