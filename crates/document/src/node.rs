//! The tree: values, and the bytes where they stand.

/// A value of a document and where it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value itself.
    pub value: Value,
    /// Its bytes in the text. Of a list or map in YAML's block style: from its first entry to the end of its last.
    pub span: Span,
    /// How it is written.
    pub style: Style,
    /// What the tools of Kubernetes read in its place, when it is something else.
    #[cfg(feature = "yaml")]
    pub misread: Option<Box<Misread>>,
}

/// What the tools of Kubernetes, which read YAML 1.1, read in the place of a value or a key.
#[cfg(feature = "yaml")]
#[derive(Clone, Debug, PartialEq)]
pub enum Misread {
    /// Of this text without quotes, this value.
    Value(String, Value),
    /// Of a key that is written before `<<`, the value that is merged: kubectl takes that one, other tools the written.
    Merged,
}

/// A range of bytes of a text: `start` is the first byte, `end` the one behind the last.
///
/// Readers do not look into it. It is empty at 0 where the notation does not tell places, as [`crate::json`] does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
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
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's bytes in the text.
    pub span: Span,
    /// The value.
    pub node: Node,
    /// What the tools of Kubernetes read in the place of the key, when it is something else.
    #[cfg(feature = "yaml")]
    pub misread: Option<Box<Misread>>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A scalar without quotes, or a value that is not written yet.
    #[default]
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

// === impl Span ===

impl Span {
    /// The bytes from `start` up to `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// No bytes, at this place.
    pub const fn at(start: usize) -> Self {
        Self { start, end: start }
    }

    /// As a range, for slicing.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// How many bytes it has.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the two share a byte.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether it has no bytes.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

// === impl Value ===

impl Value {
    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The kind of value, for a sentence.
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

// === impl Entry ===

impl Entry {
    /// An entry whose key has these bytes.
    pub fn new(key: String, span: Span, node: Node) -> Self {
        Self {
            key,
            span,
            node,
            #[cfg(feature = "yaml")]
            misread: None,
        }
    }
}

// === impl Node ===

/// A value that is not written anywhere yet.
impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self {
            value,
            span: Span::default(),
            style: Style::default(),
            #[cfg(feature = "yaml")]
            misread: None,
        }
    }
}

impl Node {
    /// A text that is not written anywhere yet.
    pub fn of_text(text: impl Into<String>) -> Self {
        Value::String(text.into()).into()
    }

    /// A list that is not written anywhere yet.
    pub fn of_items(items: impl IntoIterator<Item = Self>) -> Self {
        Value::List(items.into_iter().collect()).into()
    }

    /// A map that is not written anywhere yet.
    pub fn of_fields<'k>(fields: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        let entry = |(key, node): (&str, Self)| Entry::new(key.to_owned(), Span::default(), node);
        Value::Map(fields.into_iter().map(entry).collect()).into()
    }

    /// The value of this field, when this is a map that has it: the first of the name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.node)
    }

    /// The entry of this field, when this is a map that has it: the first of the name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == name)
    }

    /// The value at the end of these fields.
    pub fn descend(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The text at the end of these fields, when it is text.
    pub fn text_at(&self, names: &[&str]) -> Option<&str> {
        self.descend(names)?.text()
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        self.value.text()
    }

    /// Whether this is a list or a map.
    pub fn is_container(&self) -> bool {
        matches!(self.value, Value::List(_) | Value::Map(_))
    }

    /// How many values there are, this one and those in it.
    pub fn count(&self) -> usize {
        let items = self.items().iter().map(Self::count);
        let entries = self.entries().iter().map(|entry| entry.node.count());
        1 + items.chain(entries).sum::<usize>()
    }

    /// The bytes to mark where no field of it is meant: of a map its first key.
    pub fn head(&self) -> Span {
        self.entries().first().map_or(self.span, |first| first.span)
    }

    /// Whether the values are the same, wherever and however they are written.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::List(ours), Value::List(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|(ours, theirs)| ours.is_same(theirs))
            }
            (Value::Map(ours), Value::Map(theirs)) => {
                let is_same = |(ours, theirs): (&Entry, &Entry)| {
                    ours.key == theirs.key && ours.node.is_same(&theirs.node)
                };
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(is_same)
            }
            (ours, theirs) => ours == theirs,
        }
    }

    /// The same values, wherever and however they are written: for comparing.
    #[must_use]
    pub fn without_places(self) -> Self {
        let value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(Self::without_places).collect()),
            Value::Map(entries) => {
                let entry =
                    |entry: Entry| Entry::new(entry.key, Span::default(), entry.node.without_places());
                Value::Map(entries.into_iter().map(entry).collect())
            }
            scalar => scalar,
        };
        value.into()
    }

    /// Moves every span: from the bytes of a text to those of the file that it is written in.
    #[cfg(feature = "yaml")]
    pub(crate) fn moved(mut self, to: &impl Fn(usize) -> usize) -> Self {
        let moved = |span: &mut Span| *span = Span::new(to(span.start), to(span.end));
        self.visit(&mut |node, key| {
            moved(&mut node.span);
            key.map(moved);
        });
        self
    }

    /// Shows `see` this value and all in it, each with the span of its key where it has one.
    #[cfg(feature = "yaml")]
    fn visit(&mut self, see: &mut impl FnMut(&mut Self, Option<&mut Span>)) {
        fn inside(node: &mut Node, see: &mut impl FnMut(&mut Node, Option<&mut Span>)) {
            match &mut node.value {
                Value::List(items) => items.iter_mut().for_each(|item| {
                    see(item, None);
                    inside(item, see);
                }),
                Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                    see(&mut entry.node, Some(&mut entry.span));
                    inside(&mut entry.node, see);
                }),
                _ => {}
            }
        }
        see(self, None);
        inside(self, see);
    }
}
