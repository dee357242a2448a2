//! A document that people write, as a tree with spans, and the one reader that walks it.
//!
//! [`Node`] is the tree. JSON becomes one by [`json::read`]; with the feature `yaml`, so do YAML and JSON with the place
//! of every value ([`Notation::read`]). A [`Reader`] hands out [`Cursor`]s, which check the kind of a value, tell every
//! problem with its [`Path`] and [`Span`], and remember which values are secret. [`TextRule`] is the form of a name.
//!
//! What this crate does not do: it opens no file, knows no field of any document, and does not decide what a document
//! means.
//!
//! | module | what is in it |
//! |---|---|
//! | `node`, `path`, `problem` | the tree, the path to a value in it, what is wrong with a value |
//! | `cursor`, `scalars`, `percent`, `rules`, `quote`, `suggest` | the reader, and its sentences |
//! | `json` | JSON without places, as the filter reads it |
//! | `notation`, `yaml`, `merge`, `dialect`, `json_places`, `embedded`, `source`, `secrets` | feature `yaml`: text, its documents, its lines and its secrets |
//! | `edits`, `style`, `write` | feature `edit`: changes of a text, and text that looks as if it had always been there |
#![forbid(unsafe_code)]

mod cursor;
#[cfg(feature = "yaml")]
mod dialect;
#[cfg(feature = "edit")]
mod edits;
#[cfg(feature = "yaml")]
mod embedded;
pub mod json;
#[cfg(feature = "yaml")]
mod json_places;
#[cfg(feature = "yaml")]
mod merge;
mod node;
#[cfg(feature = "yaml")]
mod notation;
mod path;
mod percent;
mod problem;
mod quote;
mod rules;
mod scalars;
#[cfg(feature = "yaml")]
mod secrets;
#[cfg(feature = "yaml")]
mod source;
#[cfg(feature = "edit")]
pub mod style;
mod suggest;
#[cfg(feature = "edit")]
pub mod write;
#[cfg(feature = "yaml")]
mod yaml;

pub use cursor::{Cursor, Field, Fields, Known, Reader};
#[cfg(feature = "edit")]
pub use edits::Edits;
#[cfg(feature = "yaml")]
pub use embedded::embedded;
#[cfg(feature = "yaml")]
pub use node::Misread;
pub use node::{Entry, Node, Span, Style, Value};
#[cfg(feature = "yaml")]
pub use notation::Notation;
pub use path::{OwnedPath, Path};
pub use percent::parts_per_million;
#[cfg(feature = "yaml")]
pub use problem::Unreadable;
pub use problem::{Code, Problem, Problems, Related};
pub use quote::{number, quoted};
pub use rules::{TextRule, is_label};
pub use scalars::with_unit;
#[cfg(feature = "yaml")]
pub use source::{Mark, SourceText};
#[cfg(feature = "suggest")]
pub use suggest::nearest;

/// The most bytes that a document may have.
pub const MAX_BYTES: usize = 1 << 20;

/// The most values that a document may have: scalars, lists and maps. Without this bound, a text of [`MAX_BYTES`] bytes
/// could take tens of megabytes in every worker of a proxy.
pub const MAX_VALUES: usize = 100_000;

/// The sentence about a document that is too large to be read.
pub fn too_large(bytes: usize) -> Option<String> {
    (bytes > MAX_BYTES).then(|| format!("{bytes} bytes; a policy document may have at most {MAX_BYTES}"))
}
