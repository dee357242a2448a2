//! A shipped file whose values can be changed in their places.

use crate::edit::Edits;
use crate::failure::Failure;
use crate::text::{Notation, Source, Span, Style, Tree};

/// A shipped file.
pub(super) struct Template {
    source: Source,
    tree: Tree,
    edits: Edits,
}

// === impl Template ===

impl Template {
    pub(super) fn new(name: &str, text: &str) -> Result<Self, Failure> {
        let tree =
            Notation::Yaml.read(text).ok().and_then(|mut trees| trees.pop()).ok_or_else(|| broken(name))?;
        Ok(Self { source: Source::new(name, text.to_owned()), tree, edits: Edits::default() })
    }

    /// The value at this way; numbers are places in lists.
    pub(super) fn at(&self, way: &str) -> Result<&Tree, Failure> {
        let mut tree = &self.tree;
        for name in way.split('/') {
            let next = match name.parse::<usize>() {
                Ok(place) => tree.items().get(place),
                Err(_) => tree.get(name),
            };
            tree = next.ok_or_else(|| broken(&format!("{} ({way})", self.source.name())))?;
        }
        Ok(tree)
    }

    /// Writes another value there.
    pub(super) fn set(&mut self, way: &str, text: impl Into<String>) -> Result<(), Failure> {
        let span = self.at(way)?.span.clone();
        self.edits.replace(span, text);
        Ok(())
    }

    /// Writes these items of a list in the place of those that are there.
    pub(super) fn set_items(&mut self, way: &str, items: &[String]) -> Result<(), Failure> {
        let list = self.at(way)?.span.clone();
        let joint = format!("\n{}- ", " ".repeat(self.column(list.start).saturating_sub(2)));
        self.edits.replace(list, items.join(&joint));
        Ok(())
    }

    /// The text of these bytes.
    pub(super) fn text(&self, span: Span) -> &str {
        self.source.text().get(span).unwrap_or_default()
    }

    /// How far a byte is from the beginning of its line.
    pub(super) fn column(&self, at: usize) -> usize {
        at - self.source.line(self.source.line_of(at)).start
    }

    /// The same file with every text changed that `change` has another one for.
    pub(super) fn with_texts(mut self, change: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let mut found = Vec::new();
        collect(&self.tree, &mut found);
        for (span, text) in found {
            if let Some(new) = change(&text) {
                self.edits.replace(span, new);
            }
        }
        let name = self.source.name().to_owned();
        Self::new(&name, &self.written())
    }

    /// The file with its new values.
    pub(super) fn written(self) -> String {
        self.edits.applied(self.source.text())
    }
}

/// Every text without quotes in this tree.
fn collect(tree: &Tree, found: &mut Vec<(Span, String)>) {
    if let (Some(text), Style::Plain) = (tree.text(), tree.style) {
        found.push((tree.span.clone(), text.to_owned()));
    }
    tree.items().iter().for_each(|item| collect(item, found));
    tree.entries().iter().for_each(|entry| collect(&entry.tree, found));
}

/// The shipped file is not what this command was built for: only its maker can see this.
fn broken(name: &str) -> Failure {
    Failure::usage(format!("the built-in {name} lacks a value"), "this is a mistake in Coalmine")
}
