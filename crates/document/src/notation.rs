//! Notations for documents, and the reading of a text in one of them.

use crate::node::{Node, Span};
use crate::problem::Unreadable;
use crate::{json_places, yaml};

/// A notation for documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// JSON, and nothing that JSON does not allow: the filter reads it as strictly.
    Json,
    /// YAML 1.2, in any number of documents.
    Yaml,
}

// === impl Notation ===

impl Notation {
    /// The notation of a text with this name. JSON is JSON under any name; a file that calls itself JSON has to be JSON.
    pub fn of(name: &str, text: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let looks_like_json = text.trim_start().starts_with('{') && json_places::is_json(text);
        if name.ends_with(".json") || looks_like_json { Self::Json } else { Self::Yaml }
    }

    /// The documents of a text: of JSON always one, of YAML those that hold anything.
    ///
    /// # Errors
    /// The text is not in this notation.
    pub fn read(self, text: &str) -> Result<Vec<Node>, Unreadable> {
        if let Some(at) = text.bytes().position(|byte| byte < b' ' && !b"\t\n\r".contains(&byte)) {
            let message = "not text: a control character; JSON or YAML was expected".to_owned();
            return Err(Unreadable { message, span: Span::new(at, at + 1) });
        }
        match self {
            Self::Json => json_places::read(text).map(|tree| vec![tree]),
            Self::Yaml => yaml::read(text),
        }
    }
}
