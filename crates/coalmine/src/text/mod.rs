//! Text that a person wrote, and the values in it with the bytes where they stand.
//!
//! JSON and YAML become the same [`Tree`]. It keeps what a plain value drops: the order of a map, keys that occur
//! twice, and where everything stands, so that a problem can be shown in its line and a weight changed in its place.

mod embedded;
mod json;
mod source;
mod tree;
pub(crate) mod written;
mod yaml;

pub(crate) use embedded::embedded;
pub(crate) use source::{Refused, Source};
pub(crate) use tree::{Entry, Style, Tree, Value};
pub(crate) use yaml::is_plain_text;

use std::ops::Range;

use coalmine_core::document::MAX_BYTES;

/// A range of bytes of a file.
pub(crate) type Span = Range<usize>;

/// Why a text is no document: a sentence, and the bytes that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) message: String,
    pub(crate) span: Span,
}

/// A notation for documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// JSON, and nothing that JSON does not allow: the filter reads it as strictly.
    Json,
    /// YAML 1.2, in any number of documents.
    Yaml,
}

// === impl Notation ===

impl Notation {
    /// What a text with this name is written in. JSON is JSON under any name; what calls itself JSON has to be.
    pub(crate) fn of(name: &str, text: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let looks_like_json = text.trim_start().starts_with('{') && json::is_json(text);
        if name.ends_with(".json") || looks_like_json { Self::Json } else { Self::Yaml }
    }

    /// The documents of a text: of JSON always one, of YAML those that hold anything.
    pub(crate) fn read(self, text: &str) -> Result<Vec<Tree>, Unreadable> {
        if let Some(at) = text.bytes().position(|byte| byte < b' ' && !b"\t\n\r".contains(&byte)) {
            let message = "not text: a control character; JSON or YAML was expected".to_owned();
            return Err(Unreadable { message, span: at..at + 1 });
        }
        match self {
            Self::Json => json::read(text).map(|tree| vec![tree]),
            Self::Yaml => yaml::read(text),
        }
    }
}

/// The sentence about a policy document of `bytes` bytes, where that is too many.
pub(crate) fn too_large(bytes: usize) -> Option<String> {
    (bytes > MAX_BYTES).then(|| format!("{bytes} bytes; a policy document may have at most {MAX_BYTES}"))
}
