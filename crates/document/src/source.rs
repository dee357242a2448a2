//! A text with a name and lines, and the secrets in it that no excerpt shows.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;

use crate::node::{Node, Span};
use crate::secrets::secrets;

/// The text of a file, with the name that its user knows it by.
#[derive(Debug)]
pub struct SourceText {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Whether a character is a byte: then no column has to be counted.
    is_ascii: bool,
    /// Secrets, which no excerpt shows.
    hidden: Vec<Span>,
}

/// How often the texts of secrets may occur in a text before all of it is hidden.
const MAX_OCCURRENCES: usize = 100_000;

/// A position in a text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

// === impl SourceText ===

impl SourceText {
    /// A text under this name.
    pub fn new(name: &str, text: String) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_breaks).collect();
        let is_ascii = text.is_ascii();
        Self { name: name.to_owned(), text, lines, is_ascii, hidden: Vec::new() }
    }

    /// The name that its user knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and the column of this byte.
    pub fn mark(&self, at: usize) -> Mark {
        let line = self.line_of(at);
        let start = self.lines.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        let column = if self.is_ascii { before.len() } else { before.chars().count() };
        Mark { line: line as u32 + 1, column: column as u32 + 1 }
    }

    /// From now on no excerpt shows these bytes.
    pub fn hide(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.hidden.extend(spans);
    }

    /// From now on no excerpt shows these texts, wherever they occur. Where they occur too often to tell, it shows
    /// nothing of the text.
    pub fn hide_texts(&mut self, texts: &[impl AsRef<str>]) {
        let whole = Span::new(0, self.text.len());
        let Ok(finder) = AhoCorasick::new(texts.iter().map(AsRef::as_ref)) else { return self.hide([whole]) };
        let mut places: Vec<Span> = Vec::new();
        for (count, found) in finder.find_overlapping_iter(&self.text).enumerate() {
            if count == MAX_OCCURRENCES {
                return self.hide([whole]);
            }
            // They come in the order of their ends.
            match places.last_mut() {
                Some(last) if found.start() <= last.end => {
                    *last = Span::new(last.start.min(found.start()), last.end.max(found.end()));
                }
                _ => places.push(Span::new(found.start(), found.end())),
            }
        }
        self.hide(places);
    }

    /// From now on no excerpt shows what may be secret in these documents of the text, by the names of their fields.
    pub fn hide_secrets<'d>(&mut self, documents: impl IntoIterator<Item = &'d Node>) {
        let mut texts = Vec::new();
        for document in documents {
            let found = secrets(document);
            self.hide(found.spans);
            texts.extend(found.texts);
        }
        self.hide_texts(&texts);
    }

    /// The text of these bytes, for an excerpt: every byte of a secret is a star.
    pub fn excerpt(&self, span: Span) -> Cow<'_, str> {
        let text = self.text.get(span.range()).unwrap_or_default();
        let mut hidden: Vec<Span> =
            self.hidden.iter().copied().filter(|hidden| hidden.overlaps(span)).collect();
        if hidden.is_empty() {
            return text.into();
        }
        hidden.sort_unstable_by_key(|hidden| hidden.start);
        let mut hidden = hidden.into_iter().peekable();
        let mut shown = String::with_capacity(text.len());
        for (at, character) in text.char_indices() {
            let at = span.start + at;
            while hidden.next_if(|hidden| hidden.end <= at).is_some() {}
            match hidden.peek().is_some_and(|hidden| hidden.start <= at) && character != '\n' {
                true => shown.extend(std::iter::repeat_n('*', character.len_utf8())),
                false => shown.push(character),
            }
        }
        shown.into()
    }

    /// The whole text, for people: every byte of a secret is a star.
    pub fn redacted(&self) -> Cow<'_, str> {
        self.excerpt(Span::new(0, self.text.len()))
    }

    /// The number of the line that this byte is in, from 0.
    pub fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// The bytes of this line, counted from 0, without its end.
    pub fn line(&self, line: usize) -> Span {
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        let text = self.text.get(start..end).unwrap_or_default();
        Span::new(start, start + text.trim_end_matches(['\n', '\r']).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_count_lines_and_characters_from_one() {
        let source = SourceText::new("x", "a: é1\r\n  b: 2\n".to_owned());
        let mark = |line, column| Mark { line, column };
        assert_eq!(source.mark(0), mark(1, 1));
        assert_eq!(source.mark(5), mark(1, 5));
        assert_eq!(source.mark(10), mark(2, 3));
        assert_eq!(source.mark(15), mark(3, 1));
        assert_eq!(source.line(0), Span::new(0, 6));
        assert_eq!(source.line(2), Span::at(15));
    }

    #[test]
    fn a_secret_is_stars_and_keeps_its_length() {
        let mut source = SourceText::new("x", "a: sé\nb: 1, c: t\n".to_owned());
        // In any order, one of them inside another.
        source.hide([Span::new(16, 17), Span::new(3, 6), Span::new(4, 6)]);
        assert_eq!(source.redacted(), "a: ***\nb: 1, c: *\n");
        assert_eq!(source.excerpt(Span::new(7, 11)), "b: 1");
        source.hide_texts(&["b: 1", "1, c"]);
        assert_eq!(source.redacted(), "a: ***\n*******: *\n");
    }
}
