//! How a part of a document is written, so that what is added looks as if it had always been there.

use std::ops::Range;

use crate::text::{Entry, Source, Style, Tree, is_plain_text};

/// A text and one of the notations that it may be in.
#[derive(Clone, Copy)]
pub(super) struct Written<'s> {
    pub(super) source: &'s Source,
    /// Whether names are in double quotes, as in JSON.
    quotes: bool,
}

// === impl Written ===

impl<'s> Written<'s> {
    /// Writes as this map does.
    pub(super) fn like(source: &'s Source, map: &Tree) -> Self {
        let first = map.entries().first();
        let quotes = first.is_some_and(|entry| {
            source.text().get(entry.span.clone()).is_some_and(|key| key.starts_with('"'))
        });
        Self { source, quotes }
    }

    /// A name or a text.
    pub(super) fn name(self, name: &str) -> String {
        if self.quotes || !is_plain_text(name) { format!("\"{name}\"") } else { name.to_owned() }
    }

    /// The key of a field.
    pub(super) fn key(self, name: &str) -> String {
        format!("{}:", if self.quotes { format!("\"{name}\"") } else { name.to_owned() })
    }

    /// The end of the line that this byte is in: behind a comment.
    pub(super) fn line_end(self, at: usize) -> usize {
        self.source.line(self.source.line_of(at)).end
    }

    /// What stands before this byte in its line.
    pub(super) fn before(self, at: usize) -> &'s str {
        let start = self.source.line(self.source.line_of(at)).start;
        self.source.text().get(start..at).unwrap_or_default()
    }

    /// What stands behind this byte in its line.
    pub(super) fn behind(self, at: usize) -> &'s str {
        self.source.text().get(at..self.line_end(at)).unwrap_or_default()
    }

    /// The blanks before this byte when nothing else is: a dash counts as a blank.
    pub(super) fn indentation(self, at: usize) -> Option<String> {
        let before = self.before(at);
        before.chars().all(|character| " -".contains(character)).then(|| " ".repeat(before.len()))
    }

    /// Adds a field behind this one.
    pub(super) fn field_behind(self, map: &Tree, entry: &Entry, key: &str, value: &str) -> (usize, String) {
        let field = format!("{} {value}", self.key(key));
        let indentation = self.indentation(entry.span.start);
        match (map.style, indentation) {
            (Style::Block, Some(blanks)) => {
                (self.line_end(entry.tree.span.end), format!("\n{blanks}{field}"))
            }
            (_, Some(blanks)) if map.entries().len() > 1 => {
                (entry.tree.span.end, format!(",\n{blanks}{field}"))
            }
            _ => (entry.tree.span.end, format!(", {field}")),
        }
    }

    /// Adds a variant behind the last of this list.
    pub(super) fn variant_behind(
        self,
        list: &Tree,
        last: &Tree,
        fields: &[(&str, String)],
    ) -> (usize, String) {
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
    pub(super) fn without_field(self, map: &Tree, place: usize) -> Option<Range<usize>> {
        let entry = map.entries().get(place)?;
        let end = entry.tree.span.end;
        if map.style == Style::Flow {
            return match (place.checked_sub(1), map.entries().get(place + 1)) {
                (Some(before), _) => Some(map.entries().get(before)?.tree.span.end..end),
                (None, Some(next)) => Some(entry.span.start..next.span.start),
                (None, None) => Some(entry.span.start..end),
            };
        }
        if place == 0 {
            // The next field takes the place behind the dash; a comment in between would be lost.
            let next = map.entries().get(1)?.span.start;
            let between = self.source.text().get(end..next)?;
            return between.trim().is_empty().then_some(entry.span.start..next);
        }
        if self.behind(end).trim().is_empty() {
            let line = self.source.line(self.source.line_of(entry.span.start));
            let start = line.start.saturating_sub(1);
            return Some(start..self.line_end(end));
        }
        Some(entry.span.start..end)
    }

    /// The bytes of the items of a list, and what stands between two of them.
    pub(super) fn items_of(self, list: &Tree) -> Option<(Range<usize>, String)> {
        let (first, last) = (list.items().first()?, list.items().last()?);
        let joint = match list.style {
            Style::Block => format!("\n{}", self.before(first.span.start)),
            _ => match self.indentation(first.span.start) {
                Some(blanks) => format!(",\n{blanks}"),
                None => ", ".to_owned(),
            },
        };
        Some((first.span.start..last.span.end, joint))
    }
}
