//! One resource that is read: its values, what is wrong with them, and what cannot be carried over.

use std::ops::RangeInclusive;

use coalmine_document::{Node, Notation, SourceText, Span, Value};

use super::go_seconds;
use crate::diagnostic::{Code, Diagnostic};
use crate::import::Imported;
use crate::scan::Object;

/// Reads a resource. Methods that return an `Option` of a value that is there have told a problem where they return
/// `None`.
pub(in crate::import) struct Reading<'i> {
    imported: &'i mut Imported,
    /// What notes begin with: the name of the rollout.
    name: String,
}

/// A whole number that other controllers store as 32 bits, not below 0.
pub(super) const COUNT: RangeInclusive<u64> = 0..=2_147_483_647;

// === impl Imported ===

impl Imported {
    /// The documents of a file of YAML or JSON. Where there are none, that is told.
    pub(in crate::import) fn documents(&mut self, source: &mut SourceText) -> Vec<Node> {
        match Notation::of(source.name(), source.text()).read(source.text()) {
            Ok(documents) => {
                source.hide_secrets(&documents);
                documents
            }
            Err(refused) => {
                self.diagnostics.push(Diagnostic::error(Code::Syntax, refused.span, "", refused.message));
                Vec::new()
            }
        }
    }
}

// === impl Reading ===

impl<'i> Reading<'i> {
    /// Reads a resource of another controller: `title` says of which kind.
    pub(in crate::import) fn new(imported: &'i mut Imported, object: &Object<'_>) -> Self {
        let name = crate::import::label(object.name(), "rollout");
        let namespace = object.namespace().map(|space| crate::import::label(space, "default"));
        let name = imported.unique(&name, namespace.as_deref());
        let mut reading = Self { imported, name };
        let written = object
            .namespace()
            .map_or_else(|| object.name().to_owned(), |namespace| format!("{namespace}/{}", object.name()));
        if written != reading.name {
            reading.note(format!("this is {}.", object.title()));
        }
        if object.namespace().is_none() {
            reading.note("metadata.namespace is missing; write the name as namespace/name for a server that has several.");
        }
        reading
    }

    /// The name of the rollout: `shop/checkout`.
    pub(in crate::import) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::import) fn note(&mut self, note: impl AsRef<str>) {
        self.imported.note(format!("{}: {}", self.name, note.as_ref()));
    }

    pub(in crate::import) fn problem(&mut self, span: Span, place: &str, message: &str) {
        self.imported.diagnostics.push(Diagnostic::error(Code::Policy, span, place, message));
    }

    /// Puts the rollout among those that were found.
    pub(in crate::import) fn finish(self, rollout: Node) {
        self.imported.rollouts.push(rollout);
    }

    /// A text that is not empty.
    pub(in crate::import) fn text<'n>(&mut self, map: &'n Node, path: &str, place: &str) -> Option<&'n str> {
        let node = field(map, path)?;
        let Some(text) = node.text() else {
            self.problem(node.span, place, "must be a string");
            return None;
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A whole number in this range.
    pub(in crate::import) fn whole(
        &mut self,
        map: &Node,
        path: &str,
        place: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let node = field(map, path)?;
        let Value::Number(number) = node.value else {
            self.problem(node.span, place, "must be a whole number");
            return None;
        };
        let whole = number as u64;
        if number.fract() != 0.0 || number < 0.0 || !range.contains(&whole) {
            let (least, most) = range.into_inner();
            self.problem(node.span, place, &format!("must be a whole number from {least} to {most}"));
            return None;
        }
        Some(whole)
    }

    /// A count.
    pub(in crate::import) fn count(&mut self, map: &Node, path: &str, place: &str) -> Option<u64> {
        self.whole(map, path, place, COUNT)
    }

    /// Any number.
    pub(in crate::import) fn number(&mut self, map: &Node, path: &str, place: &str) -> Option<f64> {
        let node = field(map, path)?;
        let Value::Number(number) = node.value else {
            self.problem(node.span, place, "must be a number");
            return None;
        };
        Some(number)
    }

    /// Whether this is `true`.
    pub(in crate::import) fn is_true(&mut self, map: &Node, path: &str, place: &str) -> bool {
        let Some(node) = field(map, path) else { return false };
        let Value::Bool(value) = node.value else {
            self.problem(node.span, place, "must be true or false, without quotes");
            return false;
        };
        value
    }

    /// Seconds of a duration as Go writes it.
    pub(in crate::import) fn seconds(&mut self, map: &Node, path: &str, place: &str) -> Option<u64> {
        let node = field(map, path)?;
        let seconds = node.text().and_then(go_seconds);
        if seconds.is_none() {
            self.problem(node.span, place, "must be a duration, as 90s, 1m30s or 1h");
        }
        seconds
    }

    /// The items of a list.
    pub(in crate::import) fn items<'n>(&mut self, map: &'n Node, path: &str, place: &str) -> &'n [Node] {
        let Some(node) = field(map, path) else { return &[] };
        if !matches!(node.value, Value::List(_)) {
            self.problem(node.span, place, "must be a list");
        }
        node.items()
    }
}

/// The value at the end of these fields, joined by dots; null is none.
pub(in crate::import) fn field<'n>(map: &'n Node, path: &str) -> Option<&'n Node> {
    let node = path.split('.').try_fold(map, |node, name| node.get(name))?;
    (node.value != Value::Null).then_some(node)
}
