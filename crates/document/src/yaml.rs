//! YAML text to trees, from the events of saphyr-parser.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Chars, Tag};

use crate::dialect::{key_in_kubernetes, key_text, plain, scalar_in_kubernetes};
use crate::merge::merge;
use crate::node::{Entry, Misread, Node, Span, Style, Value};
use crate::problem::Unreadable;

/// How deep lists and maps may lie in each other: as deep as serde_json goes.
const MAX_DEPTH: usize = 128;
/// How many values a file may have once its aliases are followed: a few lines can stand for billions. A file may hold more
/// than one document, and more than policies.
const MAX_VALUES: usize = 1_000_000;

/// The documents of a text; empty ones are left out.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    let mut reader = Reader { offsets: Offsets::new(text), ..Reader::default() };
    for event in Parser::new_from_str(text) {
        let (event, chars) = event.map_err(|error| reader.unreadable(text, &error))?;
        reader.take(event, chars)?;
    }
    Ok(reader.documents)
}

#[derive(Default)]
struct Reader {
    offsets: Offsets,
    documents: Vec<Node>,
    /// The lists and maps that are not closed yet.
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
}

/// A list or map that is not closed yet.
struct Open {
    tree: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<Key>,
    /// The value of its merge key, and the place of it among the entries.
    merged: Option<(Node, usize)>,
    /// How many values had been read when it was opened.
    values: usize,
}

/// The key of an entry whose value comes next.
struct Key {
    text: String,
    span: Span,
    misread: Option<Box<Misread>>,
    /// Whether it is `<<`: its value is a map, or a list of maps, whose entries this map has too.
    is_merge: bool,
}

/// From characters, in which saphyr-parser counts, to bytes.
#[derive(Default)]
struct Offsets {
    /// Where each character begins; empty where every character is a byte.
    starts: Vec<u32>,
    length: usize,
}

// === impl Offsets ===

impl Offsets {
    fn new(text: &str) -> Self {
        let starts = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(at, _)| at as u32).collect(),
        };
        Self { starts, length: text.len() }
    }

    fn byte(&self, marker: Marker) -> usize {
        if self.starts.is_empty() {
            return marker.index().min(self.length);
        }
        self.starts.get(marker.index()).map_or(self.length, |&at| at as usize)
    }

    fn span(&self, chars: Chars) -> Span {
        Span::new(self.byte(chars.start), self.byte(chars.end))
    }
}

// === impl Reader ===

impl Reader {
    fn take(&mut self, event: Event<'_>, chars: Chars) -> Result<(), Unreadable> {
        let span = self.offsets.span(chars);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tree = scalar(&text, style, tag.as_deref(), span);
                self.finish(tree, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(Value::List(Vec::new()), span, anchor),
            Event::MappingStart(anchor, _) => self.open(Value::Map(Vec::new()), span, anchor),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, value: Value, span: Span, anchor: usize) -> Result<(), Unreadable> {
        if self.open.len() == MAX_DEPTH {
            return Err(refused(format!("more than {MAX_DEPTH} lists and maps in each other"), span));
        }
        // In the flow style the event has the bracket; in the block style it is empty.
        let style = if span.is_empty() { Style::Block } else { Style::Flow };
        let tree = Node { span, style, ..value.into() };
        self.open.push(Open { tree, anchor, key: None, merged: None, values: self.values });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Unreadable> {
        let Some(Open { mut tree, anchor, values, merged, .. }) = self.open.pop() else { return Ok(()) };
        tree.span.end = match (&tree.style, &tree.value) {
            (Style::Flow, _) => end.end,
            (_, Value::List(items)) => items.last().map_or(end.start, |item| item.span.end),
            (_, Value::Map(entries)) => {
                let last = entries.last().map(|entry| entry.node.span.end.max(entry.span.end));
                let merged = merged.as_ref().map(|(merged, _)| merged.span.end);
                last.max(merged).unwrap_or(end.start)
            }
            _ => end.start,
        };
        if let (Some((merged, place)), Value::Map(entries)) = (merged, &mut tree.value) {
            merge(entries, merged, place)?;
        }
        let inside = self.values - values;
        self.finish(tree, anchor, inside + 1)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Unreadable> {
        let Some((tree, values)) = self.anchors.get(&anchor).cloned() else {
            return Err(refused("an alias of something that is not closed yet", span));
        };
        let mut tree = tree.moved(&|_| span.start);
        tree.span = span;
        tree.style = Style::Alias;
        self.finish(tree, 0, values)
    }

    /// Puts a whole value, which has this many values in it, where it belongs.
    fn finish(&mut self, tree: Node, anchor: usize, values: usize) -> Result<(), Unreadable> {
        self.values += if tree.is_container() && tree.style != Style::Alias { 1 } else { values };
        if self.values > MAX_VALUES {
            return Err(refused(format!("more than {MAX_VALUES} values"), tree.span));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (tree.clone(), values));
        }
        let Some(parent) = self.open.last_mut() else {
            // A document without a word in it.
            if !(tree.value == Value::Null && tree.span.is_empty()) {
                self.documents.push(tree);
            }
            return Ok(());
        };
        match (&mut parent.tree.value, parent.key.take()) {
            (Value::List(items), _) => items.push(tree),
            (Value::Map(_), Some(key)) if key.is_merge && parent.merged.is_some() => {
                return Err(refused(
                    "\"<<\" is given twice in a map; give one, with a list of maps",
                    key.span,
                ));
            }
            (Value::Map(entries), Some(key)) if key.is_merge => parent.merged = Some((tree, entries.len())),
            (Value::Map(entries), Some(Key { text, span, misread, .. })) => {
                entries.push(Entry { misread, ..Entry::new(text, span, tree) });
            }
            (_, _) => {
                let Some(text) = key_text(&tree.value) else {
                    return Err(refused(
                        "a list or a map as a key; keys are text (a template that was not filled in?)",
                        tree.span,
                    ));
                };
                let is_merge = tree.style == Style::Plain && text == "<<";
                let misread = key_in_kubernetes(&tree, &text);
                parent.key = Some(Key { text, span: tree.span, misread, is_merge });
            }
        }
        Ok(())
    }

    /// saphyr-parser's error, in the words of a person who writes YAML by hand.
    fn unreadable(&self, text: &str, error: &ScanError) -> Unreadable {
        let mut start = self.offsets.byte(*error.marker());
        let what = error.info();
        let line_start = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let rest_of_line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let hint = if what.contains("tab") || rest_of_line.trim_start_matches(' ').starts_with('\t') {
            start = text.get(start..).and_then(|rest| rest.find('\t')).map_or(start, |tab| start + tab);
            "; YAML is indented by spaces, never by tabs"
        } else if what.contains("did not find expected key") {
            "; is the line indented as its neighbours are?"
        } else if what.contains("mapping values are not allowed") {
            "; is the line indented as its neighbours are, or a value with \": \" in it not in quotes?"
        } else if what.contains("expect ':'") {
            "; is a colon, or the blank behind it, missing?"
        } else if what.contains("node content") {
            "; a bracket is not closed, or a value is missing"
        } else if what.contains("quoted scalar") {
            "; the quote is not closed"
        } else if what.contains("unexpected character") {
            "; put the value in quotes"
        } else if what.contains("flow") {
            "; the bracket is not closed"
        } else {
            ""
        };
        let length = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Unreadable {
            message: format!("not valid YAML: {what}{hint}"),
            span: Span::new(start, start + length),
        }
    }
}

pub(crate) fn refused(message: impl Into<String>, span: Span) -> Unreadable {
    Unreadable { message: format!("not readable: {}", message.into()), span }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    // Where there is nothing, the event has what comes next.
    let span = if style == Style::Plain && text.is_empty() { Span::at(span.start) } else { span };
    let value = match style {
        Style::Plain if !is_text => plain(text),
        _ => Value::String(text.to_owned()),
    };
    let misread = if style == Style::Plain && !is_text { scalar_in_kubernetes(text, &value) } else { None };
    Node { span, style, misread, ..value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        let mut documents = read(text).unwrap_or_else(|refused| panic!("{}", refused.message));
        assert_eq!(documents.len(), 1);
        documents.remove(0)
    }

    #[test]
    fn a_plain_scalar_means_what_the_core_schema_says() {
        for (text, value) in [
            ("5", Value::Number(5.0)),
            ("-5.5", Value::Number(-5.5)),
            ("5e0", Value::Number(5.0)),
            ("+1", Value::Number(1.0)),
            ("0x10", Value::Number(16.0)),
            ("007", Value::Number(7.0)),
            (".5", Value::Number(0.5)),
            ("inf", Value::String("inf".to_owned())),
            ("1_000", Value::String("1_000".to_owned())),
            ("yes", Value::String("yes".to_owned())),
            ("2026-11-21T09:00:00Z", Value::String("2026-11-21T09:00:00Z".to_owned())),
            (".", Value::String(".".to_owned())),
            ("'5'", Value::String("5".to_owned())),
            ("!!str 5", Value::String("5".to_owned())),
            ("~", Value::Null),
        ] {
            assert_eq!(one(&format!("a: {text}")).entries()[0].node.value, value, "{text}");
        }
    }

    #[test]
    fn spans_are_bytes_and_duplicates_stay() {
        let text = "é: [a, {b: 1}]\nc:\n- d: x # y\n  e: 'é'\nc: 2\n";
        let tree = one(text);
        let at = |span: &Span| &text[span.range()];
        assert_eq!(at(&tree.entries()[0].node.span), "[a, {b: 1}]");
        assert_eq!(at(&tree.entries()[1].node.items()[0].span), "d: x # y\n  e: 'é'");
        assert_eq!((tree.entries()[2].key.as_str(), at(&tree.entries()[2].span)), ("c", "c"));
    }

    #[test]
    fn an_alias_has_the_value_of_its_anchor_and_its_own_place() {
        let text = "a: &x [1, 2]\nb: *x\n";
        let tree = one(text);
        assert_eq!(tree.entries()[1].node.items().len(), 2);
        assert_eq!(&text[tree.entries()[1].node.span.range()], "*x");
    }

    #[test]
    fn a_few_lines_that_stand_for_billions_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&text).unwrap_err().message.contains("more than 1000000 values"));
        assert!(read(&"- ".repeat(200)).unwrap_err().message.contains("more than 128"));
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn documents_without_a_word_are_none() {
        assert_eq!(read("").unwrap().len(), 0);
        assert_eq!(read("# only a comment\n---\n---\na: 1\n---\n").unwrap().len(), 1);
    }
}
