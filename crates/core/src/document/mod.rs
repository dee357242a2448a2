//! A document as a tree of values with places, and the one reader that walks it.
//!
//! JSON becomes such a tree here ([`Node::from_json`]); whoever has another notation builds the same tree, with
//! lines and columns in its [`Mark`]s, and hands it to [`crate::policy::Policy::from_document`]. There is no second
//! validator.

mod cursor;
mod json;
mod place;
mod problem;
mod suggest;

pub(crate) use cursor::{Cursor, Fields, Known};
pub(crate) use place::Place;
pub use problem::{Problem, Problems};
pub(crate) use problem::{number, quoted};

/// Names that were seen. One type for every use of it, since each would be compiled anew.
pub(crate) type NameSet = std::collections::BTreeSet<Box<str>>;

/// The most bytes that a document may have.
pub const MAX_BYTES: usize = 1 << 20;

/// A value and where it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value itself.
    pub value: Value,
    /// Where it begins; `None` where the notation does not tell.
    pub mark: Option<Mark>,
}

/// A position in a text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// What JSON and YAML have in common.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number. A double holds every number that a policy may carry exactly.
    Number(f64),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the text. A key that occurs twice is here twice, so that the reader can say so.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key itself.
    pub name: String,
    /// Where it begins; `None` where the notation does not tell.
    pub mark: Option<Mark>,
}

impl Value {
    /// What kind of value it is, for a sentence.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}
