//! A condition on a part of a request.

use std::borrow::Cow;
use std::ops::Not;

use super::pattern::Pattern;
use super::{Place, Request};

/// Whether something holds, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It cannot be decided.
    Unknown,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The host.
    Host,
    /// Up to `?`.
    Path,
    /// A parameter of the query.
    Query(String),
    /// In lower case; `:method` and `:scheme` are headers too.
    Header(String),
    /// Something beside the request: the gateway, the port, a label of the caller.
    Around(String),
}

/// A condition.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What it looks at.
    pub subject: Subject,
    /// What it asks of that.
    pub test: Test,
    /// Whether capitals count as small letters; a regular expression says so itself.
    pub ignores_case: bool,
    /// Whether it holds where the test does not.
    pub is_inverted: bool,
    /// Whether what is missing counts as empty; otherwise no condition on a value holds, inverted or not.
    pub missing_is_empty: bool,
    /// Where it is written.
    pub place: Place,
}

/// What is asked of a text.
#[derive(Clone, Debug)]
pub enum Test {
    /// It is there, or not.
    Present(bool),
    /// It is this text.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// It ends so.
    Suffix(String),
    /// It has this in it.
    Contains(String),
    /// The path itself, or one below it.
    Segments(String),
    /// It fits this expression.
    Regex(Pattern),
    /// A whole number, from the first on and below the second.
    Range(i64, i64),
    /// It is one of these.
    OneOf(Vec<String>),
    /// It cannot be decided.
    Unknown,
}

// === impl Truth ===

impl Truth {
    /// Whether all of these hold.
    pub fn all(truths: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for truth in truths {
            match truth {
                Self::No => return Self::No,
                Self::Unknown => all = Self::Unknown,
                Self::Yes => {}
            }
        }
        all
    }

    /// Whether one of these holds.
    pub fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        !Self::all(truths.into_iter().map(|truth| !truth))
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

// === impl Condition ===

impl Condition {
    /// A condition as it is usually meant.
    pub fn new(subject: Subject, test: Test, place: Place) -> Self {
        Self { subject, test, ignores_case: false, is_inverted: false, missing_is_empty: false, place }
    }

    /// Whether it holds for a request.
    pub fn holds(&self, request: &Request) -> Truth {
        self.holds_for(request.get(&self.subject))
    }

    /// Whether it holds for this value of its subject.
    pub fn holds_for(&self, value: Option<&str>) -> Truth {
        let value = match (&self.test, value) {
            (Test::Unknown, _) => return Truth::Unknown,
            (Test::Present(present), value) => {
                let is_there = value.is_some() || self.missing_is_empty;
                return Truth::from((is_there == *present) != self.is_inverted);
            }
            (_, None) if self.missing_is_empty => "",
            (_, None) => return Truth::No,
            (_, Some(value)) => value,
        };
        match self.test.holds(value, self.ignores_case) {
            Some(holds) => Truth::from(holds != self.is_inverted),
            None => Truth::Unknown,
        }
    }
}

// === impl Test ===

impl Test {
    fn holds(&self, value: &str, ignores_case: bool) -> Option<bool> {
        if let Self::Regex(pattern) = self {
            return pattern.matches(value);
        }
        let fold = |text| fold(text, ignores_case);
        let value = &*fold(value);
        Some(match self {
            Self::Present(present) => *present,
            Self::Exact(text) => value == fold(text),
            Self::Prefix(text) => value.starts_with(&*fold(text)),
            Self::Suffix(text) => value.ends_with(&*fold(text)),
            Self::Contains(text) => value.contains(&*fold(text)),
            Self::Segments(text) => {
                value.strip_prefix(&*fold(text)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Range(from, to) => value.parse::<i64>().is_ok_and(|number| (*from..*to).contains(&number)),
            Self::OneOf(texts) => texts.iter().any(|text| value == fold(text)),
            Self::Regex(_) | Self::Unknown => return None,
        })
    }

    /// Values that it holds for, and values near them that it may not hold for.
    pub fn values(&self) -> Vec<String> {
        match self {
            Self::Present(_) => vec!["x".to_owned()],
            Self::Exact(text) => vec![text.clone(), format!("{text}x")],
            Self::Prefix(text) => vec![text.clone(), format!("{text}x")],
            Self::Suffix(text) | Self::Contains(text) => vec![text.clone(), format!("x{text}")],
            Self::Segments(text) => vec![text.clone(), format!("{text}/x"), format!("{text}x")],
            Self::Regex(pattern) => pattern.values(),
            Self::Range(from, to) => {
                [*from, to.saturating_sub(1), *to].map(|number| number.to_string()).into()
            }
            Self::OneOf(texts) => texts.clone(),
            Self::Unknown => Vec::new(),
        }
    }
}

fn fold(text: &str, ignores_case: bool) -> Cow<'_, str> {
    if ignores_case { text.to_ascii_lowercase().into() } else { text.into() }
}
