//! A shipped file whose values can be changed in their places.

use crate::failure::Failure;
use coalmine_document::Edits;
use coalmine_document::{Node, Notation, SourceText, Span, Style, write};

/// A shipped file.
pub(super) struct Template {
    source: SourceText,
    node: Node,
    edits: Edits,
}

// === impl Template ===

impl Template {
    pub(super) fn new(name: &str, text: &str) -> Result<Self, Failure> {
        let node =
            Notation::Yaml.read(text).ok().and_then(|mut nodes| nodes.pop()).ok_or_else(|| broken(name))?;
        Ok(Self { source: SourceText::new(name, text.to_owned()), node, edits: Edits::default() })
    }

    /// The value at this path, its steps joined by slashes; numbers are places in lists.
    pub(super) fn at(&self, path: &str) -> Result<&Node, Failure> {
        let mut node = &self.node;
        for name in path.split('/') {
            let next = match name.parse::<usize>() {
                Ok(place) => node.items().get(place),
                Err(_) => node.get(name),
            };
            node = next.ok_or_else(|| broken(&format!("{} ({path})", self.source.name())))?;
        }
        Ok(node)
    }

    /// Writes another value there.
    pub(super) fn set(&mut self, path: &str, text: impl Into<String>) -> Result<(), Failure> {
        let span = self.at(path)?.span;
        self.edits.replace(span, text);
        Ok(())
    }

    /// Writes these items of a list in the place of those that are there.
    pub(super) fn set_items(&mut self, path: &str, items: &[String]) -> Result<(), Failure> {
        let list = self.at(path)?.span;
        let joint = format!("\n{}- ", " ".repeat(self.column(list.start).saturating_sub(2)));
        self.edits.replace(list, items.join(&joint));
        Ok(())
    }

    /// The text of these bytes.
    pub(super) fn text(&self, span: Span) -> &str {
        self.source.text().get(span.range()).unwrap_or_default()
    }

    /// How far a byte is from the beginning of its line.
    pub(super) fn column(&self, at: usize) -> usize {
        at - self.source.line(self.source.line_of(at)).start
    }

    /// The same file with every text changed that `change` has another one for.
    pub(super) fn with_texts(mut self, change: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let mut found = Vec::new();
        collect(&self.node, &mut found);
        for (span, text) in found {
            if let Some(new) = change(&text) {
                self.edits.replace(span, write::text(&new));
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

/// Every text without quotes in this node.
fn collect(node: &Node, found: &mut Vec<(Span, String)>) {
    if let (Some(text), Style::Plain) = (node.text(), node.style) {
        found.push((node.span, text.to_owned()));
    }
    node.items().iter().for_each(|item| collect(item, found));
    node.entries().iter().for_each(|entry| collect(&entry.node, found));
}

/// The shipped file is not what this command was built for: only its maker can see this.
fn broken(name: &str) -> Failure {
    Failure::usage(format!("the built-in {name} lacks a value"), "this is a mistake in Coalmine")
}
