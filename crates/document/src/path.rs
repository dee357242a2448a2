//! The path from the top of a document to one of its values: `rollouts[0].variants[1].weight`.

use std::fmt;

use crate::Node;
use crate::node::Span;
use crate::quote::quoted;

/// The path to a value while it is read. Each step lives on the stack of its reader, so a path costs nothing until a
/// problem needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<'p>(Option<Link<'p>>);

#[derive(Clone, Copy, Debug)]
struct Link<'p> {
    parent: &'p Path<'p>,
    step: Step<&'p str>,
}

/// The path to a value, kept: of a problem, or of a document inside another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedPath(Vec<Step<String>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<Name> {
    Field(Name),
    Item(usize),
}

// === impl Path ===

impl<'p> Path<'p> {
    /// The path of this field.
    #[must_use]
    pub fn field<'s>(&'s self, name: &'s str) -> Path<'s> {
        Path(Some(Link { parent: self, step: Step::Field(name) }))
    }

    /// The path of this item, counted from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> Path<'_> {
        Path(Some(Link { parent: self, step: Step::Item(index) }))
    }

    /// The same path, kept.
    pub fn to_owned_path(self) -> OwnedPath {
        let mut steps = Vec::new();
        let mut at = self;
        while let Some(Link { parent, step }) = at.0 {
            steps.push(match step {
                Step::Field(name) => Step::Field(name.to_owned()),
                Step::Item(index) => Step::Item(index),
            });
            at = *parent;
        }
        steps.reverse();
        OwnedPath(steps)
    }
}

// === impl OwnedPath ===

impl OwnedPath {
    /// The path of these fields, from the top.
    pub fn of(fields: &[&str]) -> Self {
        fields.iter().fold(Self::default(), |path, field| path.field(field))
    }

    /// The path of this field.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }

    /// The path of this item, counted from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step<String>) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// This path, and from there that one.
    #[must_use]
    pub fn join(&self, further: &Self) -> Self {
        Self(self.0.iter().chain(&further.0).cloned().collect())
    }

    /// Whether it is the document itself.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is that path, or leads on from it.
    pub fn begins_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The last step, when it is a field.
    pub fn last_field(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Field(name)) => Some(name),
            _ => None,
        }
    }

    /// The bytes to mark for a problem here: of the value, or of its key where the value is written below the key.
    /// Where the document ends before the path does, the bytes of the last value on it.
    pub fn span_in(&self, document: &Node) -> Span {
        let mut node = document;
        let mut span = document.span;
        for step in &self.0 {
            let next = match step {
                Step::Field(name) => {
                    node.entry(name).map(|entry| (&entry.node, span_of_value(&entry.node, entry.span)))
                }
                Step::Item(index) => node.items().get(*index).map(|item| (item, item.span)),
            };
            let Some((inner, at)) = next else { break };
            (node, span) = (inner, at);
        }
        span
    }
}

/// The bytes to mark for a value: a list or map in YAML's block style begins below its key and has no bracket, so the
/// key stands for it.
pub(crate) fn span_of_value(node: &Node, key: Span) -> Span {
    if node.style == crate::Style::Block { key } else { node.span }
}

impl fmt::Display for OwnedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if !is_plain(name) => write!(f, "[{}]", quoted(name))?,
                Step::Field(name) if index == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a name can stand in a path as it is. Any text may be a key, and a path is printed in logs.
fn is_plain(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_document() {
        let top = Path::default();
        assert_eq!(top.to_owned_path().to_string(), "");
        let (rollouts, name) = (top.field("rollouts"), top.field("a\nb"));
        let rollout = rollouts.item(0);
        assert_eq!(rollout.field("weight").to_owned_path().to_string(), "rollouts[0].weight");
        assert_eq!(name.field("c").to_owned_path().to_string(), "[\"a\\nb\"].c");
    }

    #[test]
    fn a_kept_path_goes_on_from_another() {
        let path = OwnedPath::of(&["data", "policy.yaml"]);
        assert_eq!(path.to_string(), "data[\"policy.yaml\"]");
        let inner = OwnedPath::of(&["rollouts"]).item(0).field("name");
        assert_eq!(path.join(&inner).to_string(), "data[\"policy.yaml\"].rollouts[0].name");
        assert_eq!(OwnedPath::default().join(&inner), inner);
        assert_eq!(path.last_field(), Some("policy.yaml"));
        assert!(path.join(&inner).begins_with(&path) && !path.begins_with(&inner));
    }
}
