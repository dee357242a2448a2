//! A file, read once and whole.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use coalmine_core::document::Mark;

use super::Span;

/// The most bytes that a file may have: a policy is at most 1 MiB, what is around it may be more.
pub(crate) const MAX_FILE_BYTES: u64 = 16 << 20;

/// A file's text, with the name that its user knows it by.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Whether a character is a byte: then no column has to be counted.
    is_ascii: bool,
    /// Secrets, which no excerpt shows.
    hidden: Vec<Span>,
}

/// Why a file could not become a text.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It could not be read.
    Read(io::Error),
    /// It was read, and is nothing to go on with: a sentence.
    Unfit(String),
}

// === impl Source ===

impl Source {
    /// Reads a file; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, Refused> {
        if path.as_os_str() == "-" {
            return Self::from_reader("<stdin>", io::stdin().lock());
        }
        let file = File::open(path).map_err(Refused::Read)?;
        Self::from_reader(&path.display().to_string(), file)
    }

    fn from_reader(name: &str, reader: impl Read) -> Result<Self, Refused> {
        let mut bytes = Vec::new();
        reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Refused::Read)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(Refused::Unfit(format!(
                "larger than {MAX_FILE_BYTES} bytes; a policy document may have at most {}",
                coalmine_core::document::MAX_BYTES
            )));
        }
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Refused::Unfit("UTF-16 text; save it as UTF-8".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Refused::Unfit(format!("not UTF-8 text (byte {at}); JSON or YAML was expected"))
        })?;
        Ok(Self::new(name, text))
    }

    /// A text under this name.
    pub(crate) fn new(name: &str, text: String) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_breaks).collect();
        let is_ascii = text.is_ascii();
        Self { name: name.to_owned(), text, lines, is_ascii, hidden: Vec::new() }
    }

    /// The name that its user knows it by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line and the column of this byte.
    pub(crate) fn mark(&self, at: usize) -> Mark {
        let line = self.line_of(at);
        let start = self.lines.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        let column = if self.is_ascii { before.len() } else { before.chars().count() };
        Mark { line: line as u32 + 1, column: column as u32 + 1 }
    }

    /// From now on no excerpt shows these bytes.
    pub(crate) fn hide(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.hidden.extend(spans);
    }

    /// The text of these bytes, for an excerpt: every byte of a secret is a star.
    pub(crate) fn excerpt(&self, span: Span) -> Cow<'_, str> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let overlaps = |hidden: &&Span| hidden.start < span.end && span.start < hidden.end;
        let hidden: Vec<&Span> = self.hidden.iter().filter(overlaps).collect();
        if hidden.is_empty() {
            return text.into();
        }
        let is_hidden = |at: usize| hidden.iter().any(|hidden| hidden.contains(&at));
        let shown = |(at, character): (usize, char)| match is_hidden(span.start + at) && character != '\n' {
            true => "*".repeat(character.len_utf8()),
            false => character.to_string(),
        };
        text.char_indices().map(shown).collect::<String>().into()
    }

    /// The byte at this line and column.
    pub(crate) fn offset(&self, mark: Mark) -> usize {
        let start =
            self.lines.get((mark.line as usize).saturating_sub(1)).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..).unwrap_or_default();
        let column = (mark.column as usize).saturating_sub(1);
        start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
    }

    /// The number of the line that this byte is in, from 0.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// The bytes of this line, counted from 0, without its end.
    pub(crate) fn line(&self, line: usize) -> Span {
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_count_lines_and_characters_from_one() {
        let source = Source::new("x", "a: é1\r\n  b: 2\n".to_owned());
        let mark = |line, column| Mark { line, column };
        assert_eq!(source.mark(0), mark(1, 1));
        assert_eq!(source.mark(5), mark(1, 5));
        assert_eq!(source.mark(10), mark(2, 3));
        assert_eq!(source.mark(15), mark(3, 1));
        assert_eq!(source.line(0), 0..6);
        assert_eq!(source.line(2), 15..15);
    }
}
