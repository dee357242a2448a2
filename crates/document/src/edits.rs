//! Changes of a text, by bytes.

use crate::node::Span;

/// Changes of one text. They must not overlap; those at one place come in the order in which they were made.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Span, String)>);

// === impl Edits ===

impl Edits {
    /// Puts this text in the place of these bytes.
    pub fn replace(&mut self, span: Span, text: impl Into<String>) {
        self.0.push((span, text.into()));
    }

    /// Puts this text before this byte.
    pub fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(Span::at(at), text);
    }

    /// Takes these bytes away.
    pub fn remove(&mut self, span: Span) {
        self.replace(span, "");
    }

    /// The text with the changes made.
    pub fn applied(mut self, text: &str) -> String {
        // Stable: what was inserted first at a place comes first.
        self.0.sort_by_key(|(span, _)| span.start);
        let mut changed = String::with_capacity(text.len() + 64);
        let mut at = 0;
        for (span, new) in self.0 {
            changed.push_str(text.get(at..span.start).unwrap_or_default());
            changed.push_str(&new);
            at = span.end.max(at);
        }
        changed.push_str(text.get(at..).unwrap_or_default());
        changed
    }
}
