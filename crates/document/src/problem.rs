//! What is wrong with a document, for the person who wrote it.

use std::fmt;

use crate::node::Span;
use crate::path::OwnedPath;

/// How many problems are shown one by one; the rest is a count.
const MAX_SHOWN: usize = 100;

/// One thing that is wrong: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place in the document; empty for the document itself.
    pub path: OwnedPath,
    /// The bytes to mark, where the notation tells places.
    pub span: Span,
    /// The kind of problem: a name for programs.
    pub code: Code,
    /// What is wrong and what would be right.
    pub message: String,
    /// The other places that the problem is about, as of rollouts in conflict.
    pub related: Vec<Related>,
}

/// Another place that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The place in the document.
    pub path: OwnedPath,
    /// The bytes to mark, where the notation tells places.
    pub span: Span,
}

/// The kind of a problem: names that do not change, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Neither JSON nor YAML.
    Syntax,
    /// More bytes, values or items than a document may have.
    TooLarge,
    /// A value of another kind than belongs here.
    WrongKind,
    /// A field that the document does not have.
    UnknownField,
    /// A field that is given twice.
    DuplicateField,
    /// A field that has to be there.
    MissingField,
    /// A field that this version does not act on.
    Unsupported,
    /// A value of the right kind that will not do.
    InvalidValue,
    /// Two parts of the document that exclude each other.
    Conflict,
}

/// The reason why a text could not be read at all.
#[cfg(feature = "yaml")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong with it.
    pub message: String,
    /// The bytes that it is about.
    pub span: Span,
}

/// Everything that is wrong with a document: at least one problem, at most 100 of them one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    shown: Vec<Problem>,
    not_shown: usize,
}

// === impl Code ===

impl Code {
    /// The name that programs know it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::TooLarge => "tooLarge",
            Self::WrongKind => "wrongKind",
            Self::UnknownField => "unknownField",
            Self::DuplicateField => "duplicateField",
            Self::MissingField => "missingField",
            Self::Unsupported => "unsupported",
            Self::InvalidValue => "invalidValue",
            Self::Conflict => "conflict",
        }
    }
}

// === impl Problem ===

impl Problem {
    /// A problem of the document as a whole.
    pub fn of_document(code: Code, message: impl Into<String>) -> Self {
        Self {
            path: OwnedPath::default(),
            span: Span::default(),
            code,
            message: message.into(),
            related: Vec::new(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_top() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

// === impl Problems ===

impl Problems {
    /// Adds a problem; past the limit it is only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.count_one();
        } else {
            self.shown.push(problem);
        }
    }

    /// Whether further problems are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.shown.len() >= MAX_SHOWN
    }

    /// Counts a problem that is not shown.
    pub(crate) fn count_one(&mut self) {
        self.not_shown += 1;
    }

    /// The problems that are shown one by one, in the order of the document's reading.
    pub fn shown(&self) -> &[Problem] {
        &self.shown
    }

    /// How many there are, shown or not.
    pub fn count(&self) -> usize {
        self.shown.len() + self.not_shown
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { shown: vec![problem], not_shown: 0 }
    }
}

/// A line a problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.shown.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.not_shown > 0 {
            write!(f, "\nand {} more problems", self.not_shown)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_a_hundred_they_are_counted() {
        let mut problems = Problems::default();
        for number in 0..103 {
            problems.push(Problem::of_document(Code::Conflict, format!("problem {number}")));
        }
        assert_eq!(problems.count(), 103);
        assert_eq!(problems.shown().len(), 100);
        assert!(problems.to_string().ends_with("problem 99\nand 3 more problems"));
    }
}
