//! A text, or how it begins: how a configuration says which values are meant.

use std::str::FromStr;

/// Which texts are meant. Of two that fit a text, the narrower one is the greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextPattern {
    /// Those that begin like this: `edge-*`, or `*` for all.
    Begins(String),
    /// This text.
    Exact(String),
}

/// A text that is no [`TextPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPattern;

// === impl TextPattern ===

impl FromStr for TextPattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let (begin, is_begin) = match text.strip_suffix('*') {
            Some(begin) => (begin, true),
            None => (text, false),
        };
        match is_begin {
            _ if text.is_empty() || begin.contains('*') => Err(NotAPattern),
            true => Ok(Self::Begins(begin.to_owned())),
            false => Ok(Self::Exact(text.to_owned())),
        }
    }
}

impl TextPattern {
    /// Whether this text is one of them.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Begins(begin) => text.starts_with(begin.as_str()),
        }
    }
}
