//! A value of a document and the bytes where it stands.

use coalmine_core::document::{Key, Mark, Node, Value as CoreValue};

use super::{Source, Span};

/// A value and where it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) value: Value,
    /// Its bytes in the file. Of a list or map in YAML's block style: from its first entry to the end of its last.
    pub(crate) span: Span,
    pub(crate) style: Style,
}

/// What JSON and YAML have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    List(Vec<Tree>),
    /// In the order of the text; a key that occurs twice is here twice.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The key's bytes in the file.
    pub(crate) span: Span,
    pub(crate) tree: Tree,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A scalar without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes, with escapes.
    Double,
    /// YAML's `|`.
    Literal,
    /// YAML's `>`.
    Folded,
    /// A list or a map in brackets.
    Flow,
    /// A list or a map by indentation.
    Block,
    /// Written elsewhere: an alias of YAML.
    Alias,
}

// === impl Tree ===

impl Tree {
    /// A value that nobody has written yet.
    pub(crate) fn new(value: Value) -> Self {
        Self { value, span: 0..0, style: Style::Plain }
    }

    pub(crate) fn of_text(text: impl Into<String>) -> Self {
        Self::new(Value::String(text.into()))
    }

    pub(crate) fn of_items(items: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Value::List(items.into_iter().collect()))
    }

    pub(crate) fn of_fields<'k>(fields: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        let entry = |(key, tree): (&str, Self)| Entry { key: key.to_owned(), span: 0..0, tree };
        Self::new(Value::Map(fields.into_iter().map(entry).collect()))
    }

    /// The value of this field, when this is a map that has it: the first of the name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == name).map(|entry| &entry.tree)
    }

    /// The value at the end of these fields.
    pub(crate) fn path(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |tree, name| tree.get(name))
    }

    /// The text of this field, when it is text.
    pub(crate) fn text_at(&self, names: &[&str]) -> Option<&str> {
        self.path(names)?.text()
    }

    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_container(&self) -> bool {
        matches!(self.value, Value::List(_) | Value::Map(_))
    }

    /// The tree that the core reads. A list or map that is written below its key is marked at the key.
    pub(crate) fn to_node(&self, source: &Source) -> Node {
        self.node(source, None)
    }

    fn node(&self, source: &Source, key: Option<Mark>) -> Node {
        let value = match &self.value {
            Value::Null => CoreValue::Null,
            Value::Bool(value) => CoreValue::Bool(*value),
            Value::Number(number) => CoreValue::Number(*number),
            Value::String(text) => CoreValue::String(text.clone()),
            Value::List(items) => CoreValue::List(items.iter().map(|item| item.node(source, None)).collect()),
            Value::Map(entries) => {
                let entry = |entry: &Entry| {
                    let mark = Some(source.mark(entry.span.start));
                    (Key { name: entry.key.clone(), mark }, entry.tree.node(source, mark))
                };
                CoreValue::Map(entries.iter().map(entry).collect())
            }
        };
        let own = Some(source.mark(self.span.start));
        let mark = if self.style == Style::Block { key.or(own) } else { own };
        Node { value, mark }
    }

    /// The bytes to underline for a problem at `mark`: of the key or the value that begins there. Where a key is the
    /// beginning of a map that is an item of a list, `of_item` says which of the two is meant.
    pub(crate) fn span_at(&self, at: usize, of_item: bool) -> Option<Span> {
        // In the block style a list begins where its first item does, and a map where its first key does.
        let is_meant = match (&self.value, self.style) {
            (Value::List(_), Style::Block) => false,
            (Value::Map(_), Style::Block) => of_item,
            _ => true,
        };
        if is_meant && self.span.start == at {
            return Some(self.span.clone());
        }
        let in_entry = |entry: &Entry| {
            if entry.span.start == at { Some(entry.span.clone()) } else { entry.tree.span_at(at, of_item) }
        };
        let covers = |span: &Span| span.start <= at && at <= span.end;
        match &self.value {
            Value::List(items) => {
                items.iter().filter(|item| covers(&item.span)).find_map(|item| item.span_at(at, of_item))
            }
            Value::Map(entries) => entries
                .iter()
                .filter(|entry| covers(&entry.span) || covers(&entry.tree.span))
                .find_map(in_entry),
            _ => None,
        }
    }

    /// The same, wherever and however it is written: for comparing.
    pub(crate) fn without_places(self) -> Self {
        let mut tree = self.moved(&|_| 0);
        tree.plain();
        tree
    }

    fn plain(&mut self) {
        self.style = Style::Plain;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(Self::plain),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.tree.plain()),
            _ => {}
        }
    }

    /// Moves every span by `to`: from the bytes of a text to those of the file that it is written in.
    pub(super) fn moved(mut self, to: &impl Fn(usize) -> usize) -> Self {
        let moved = |span: &Span| to(span.start)..to(span.end);
        self.span = moved(&self.span);
        self.value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|item| item.moved(to)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry {
                        key: entry.key,
                        span: moved(&entry.span),
                        tree: entry.tree.moved(to),
                    })
                    .collect(),
            ),
            scalar => scalar,
        };
        self
    }
}
