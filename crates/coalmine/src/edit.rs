//! Changes of a text, by bytes.

use crate::text::Span;

/// Changes of one text. They must not overlap; those at one place come in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Span, String)>);

// === impl Edits ===

impl Edits {
    pub(crate) fn replace(&mut self, span: Span, text: impl Into<String>) {
        self.0.push((span, text.into()));
    }

    pub(crate) fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at..at, text);
    }

    pub(crate) fn remove(&mut self, span: Span) {
        self.replace(span, "");
    }

    /// The text with the changes made.
    pub(crate) fn applied(mut self, text: &str) -> String {
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
