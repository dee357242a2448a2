//! The style of a part of a document, so that an addition looks as if it had always been there.

use crate::dialect::is_plain_text;
use crate::node::{Entry, Node, Span, Style};
use crate::source::SourceText;
use crate::write::quoted;

/// The style of a part of a text.
#[derive(Clone, Copy)]
pub struct SourceStyle<'s> {
    source: &'s SourceText,
    /// Whether names are in double quotes, as in JSON.
    quotes: bool,
}

// === impl SourceStyle ===

impl<'s> SourceStyle<'s> {
    /// Writes as this map does.
    pub fn like(source: &'s SourceText, map: &Node) -> Self {
        let first = map.entries().first();
        let quotes = first.is_some_and(|entry| {
            source.text().get(entry.span.range()).is_some_and(|key| key.starts_with('"'))
        });
        Self { source, quotes }
    }

    /// A name or a text.
    pub fn name(self, name: &str) -> String {
        if self.quotes || !is_plain_text(name) { quoted(name) } else { name.to_owned() }
    }

    /// The key of a field.
    pub fn key(self, name: &str) -> String {
        format!("{}:", if self.quotes { quoted(name) } else { name.to_owned() })
    }

    /// The end of the line that this byte is in: behind a comment.
    pub fn line_end(self, at: usize) -> usize {
        self.source.line(self.source.line_of(at)).end
    }

    /// What stands before this byte in its line.
    pub fn before(self, at: usize) -> &'s str {
        let start = self.source.line(self.source.line_of(at)).start;
        self.source.text().get(start..at).unwrap_or_default()
    }

    /// What stands behind this byte in its line.
    pub fn behind(self, at: usize) -> &'s str {
        self.source.text().get(at..self.line_end(at)).unwrap_or_default()
    }

    /// The blanks before this byte when nothing else is: a dash counts as a blank.
    pub fn indentation(self, at: usize) -> Option<String> {
        let before = self.before(at);
        before.chars().all(|character| " -".contains(character)).then(|| " ".repeat(before.len()))
    }

    /// Adds a field behind this one.
    pub fn field_behind(self, map: &Node, entry: &Entry, key: &str, value: &str) -> (usize, String) {
        let field = format!("{} {value}", self.key(key));
        let indentation = self.indentation(entry.span.start);
        match (map.style, indentation) {
            (Style::Block, Some(blanks)) => {
                (self.line_end(entry.node.span.end), format!("\n{blanks}{field}"))
            }
            (_, Some(blanks)) if map.entries().len() > 1 => {
                (entry.node.span.end, format!(",\n{blanks}{field}"))
            }
            _ => (entry.node.span.end, format!(", {field}")),
        }
    }

    /// Adds a variant behind the last of this list.
    pub fn variant_behind(self, list: &Node, last: &Node, fields: &[(&str, String)]) -> (usize, String) {
        let flow = || {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{} {value}", self.key(key))).collect();
            format!("{{{}}}", fields.join(", "))
        };
        if list.style == Style::Block {
            let before = self.before(last.span.start);
            let dash = before.trim_end().len().saturating_sub(1);
            let blanks = " ".repeat(dash);
            let item = if last.style == Style::Flow {
                flow()
            } else {
                let inner = " ".repeat(before.len());
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!("{} {value}", self.key(key))).collect();
                fields.join(&format!("\n{inner}"))
            };
            let gap = " ".repeat(before.len() - dash - 1);
            return (self.line_end(last.span.end), format!("\n{blanks}-{gap}{item}"));
        }
        match self.indentation(last.span.start) {
            Some(blanks) => (last.span.end, format!(",\n{blanks}{}", flow())),
            None => (last.span.end, format!(", {}", flow())),
        }
    }

    /// The bytes to take away so that this field of this map is gone.
    pub fn without_field(self, map: &Node, place: usize) -> Option<Span> {
        let entry = map.entries().get(place)?;
        let end = entry.node.span.end;
        if map.style == Style::Flow {
            return match (place.checked_sub(1), map.entries().get(place + 1)) {
                (Some(before), _) => Some(Span::new(map.entries().get(before)?.node.span.end, end)),
                (None, Some(next)) => Some(Span::new(entry.span.start, next.span.start)),
                (None, None) => Some(Span::new(entry.span.start, end)),
            };
        }
        if place == 0 {
            // The next field takes the place behind the dash; a comment in between would be lost.
            let next = map.entries().get(1)?.span.start;
            let between = self.source.text().get(end..next)?;
            return between.trim().is_empty().then_some(Span::new(entry.span.start, next));
        }
        if self.behind(end).trim().is_empty() {
            let line = self.source.line(self.source.line_of(entry.span.start));
            let start = line.start.saturating_sub(1);
            return Some(Span::new(start, self.line_end(end)));
        }
        Some(Span::new(entry.span.start, end))
    }

    /// The bytes of the items of a list, and what stands between two of them.
    pub fn items_of(self, list: &Node) -> Option<(Span, String)> {
        let (first, last) = (list.items().first()?, list.items().last()?);
        let joint = match list.style {
            Style::Block => format!("\n{}", self.before(first.span.start)),
            _ => match self.indentation(first.span.start) {
                Some(blanks) => format!(",\n{blanks}"),
                None => ", ".to_owned(),
            },
        };
        Some((Span::new(first.span.start, last.span.end), joint))
    }
}
