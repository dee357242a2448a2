//! Walks a document and collects everything that is wrong with it, so that its writer sees every problem at once.

use std::cell::RefCell;

use crate::node::{Entry, Node, Span, Value};
use crate::path::{Path, span_of_value};
use crate::problem::{Code, Problem, Problems};
use crate::quote::quoted;
use crate::suggest::{hint, nearest};

/// What the reading of one document collects.
///
/// Readers go on after a problem, with a placeholder where a value was expected: a document with a problem is refused
/// whole, so a placeholder is never acted on.
#[derive(Debug, Default)]
pub struct Reader {
    problems: RefCell<Problems>,
    /// Where secrets stand, or may stand.
    secrets: RefCell<Vec<Span>>,
}

/// One value of a document and its place.
///
/// Methods that return an `Option` have added a problem where they return `None`: it needs no further words.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'d, 'p> {
    node: &'d Node,
    path: Path<'p>,
    /// The bytes that a problem marks.
    span: Span,
    reader: &'p Reader,
    /// Whether a secret may stand here: then no problem quotes a value.
    pub(crate) guarded: bool,
}

/// The fields of a map, each of them known.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'d, 'p> {
    map: Cursor<'d, 'p>,
}

/// An entry of a map whose keys are the writer's choice.
#[derive(Debug)]
pub struct Field<'d, 'p> {
    /// The key.
    pub name: &'d str,
    /// The value.
    pub value: Cursor<'d, 'p>,
}

/// The fields that a map may have.
#[derive(Debug)]
pub struct Known {
    /// Those that are read; at most 64.
    pub fields: &'static [&'static str],
    /// Those that hold a secret.
    pub secret: &'static [&'static str],
    /// Those that the document format has, but this version does not act on.
    pub unsupported: &'static [&'static str],
}

// === impl Reader ===

impl Reader {
    /// The top of a document.
    pub fn cursor<'d, 'p>(&'p self, document: &'d Node) -> Cursor<'d, 'p> {
        Cursor { node: document, path: Path::default(), span: document.span, reader: self, guarded: false }
    }

    /// Adds a problem that was found beside the walk.
    pub fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// The problems so far, and where the document has secrets, right or wrong.
    pub fn finish(self) -> (Problems, Vec<Span>) {
        (self.problems.into_inner(), self.secrets.into_inner())
    }
}

// === impl Known ===

impl Known {
    /// A map of these fields, without secrets.
    pub const fn new(fields: &'static [&'static str]) -> Self {
        Self { fields, secret: &[], unsupported: &[] }
    }

    fn all(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.fields.iter().chain(self.unsupported).copied()
    }
}

// === impl Cursor ===

impl<'d, 'p> Cursor<'d, 'p> {
    /// The value itself, of whatever kind.
    pub fn value(&self) -> &'d Value {
        &self.node.value
    }

    /// A text of the document in quotes, for a sentence; where a secret may stand, words in its place.
    pub fn quote(&self, text: &str) -> String {
        if self.guarded { "this text".to_owned() } else { quoted(text) }
    }

    /// Tells that this value will not do.
    pub fn problem(&self, message: impl Into<String>) {
        self.tell(Code::InvalidValue, message.into());
    }

    /// Tells that this value and another part of the document exclude each other.
    pub fn conflict(&self, message: impl Into<String>) {
        self.tell(Code::Conflict, message.into());
    }

    /// Tells that there is more of this than a document may have.
    pub fn too_large(&self, message: impl Into<String>) {
        self.tell(Code::TooLarge, message.into());
    }

    pub(crate) fn tell(&self, code: Code, message: String) {
        self.tell_at(self.span, code, message);
    }

    #[cold]
    #[inline(never)]
    fn tell_at(&self, span: Span, code: Code, message: String) {
        let path = self.path.to_owned_path();
        self.reader.push(Problem { path, span, code, message, related: Vec::new() });
    }

    /// This value as one that holds a secret somewhere: problems name the kinds of what is in it, not the texts, and no
    /// excerpt shows what stands under an unknown field.
    #[must_use]
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// This value as a secret: guarded, and no excerpt shows it.
    #[must_use]
    pub fn secret(self) -> Self {
        hide(self.node, &mut self.reader.secrets.borrow_mut());
        self.guarded()
    }

    /// The items of a list; none where this is not a list.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Cursor<'d, '_>> {
        self.items_as("a list", ": put [ ] around a single item")
    }

    /// The same; what is not a list is told with what was expected, and with this advice.
    pub fn items_as<'s>(
        &'s self,
        expected: &str,
        advice: &str,
    ) -> impl ExactSizeIterator<Item = Cursor<'d, 's>> + use<'s, 'd, 'p> {
        if !matches!(self.node.value, Value::List(_)) {
            self.wrong_kind_because(expected, advice);
        }
        let item = |(index, node): (usize, &'d Node)| Cursor {
            node,
            path: self.path.item(index),
            span: node.span,
            reader: self.reader,
            guarded: self.guarded,
        };
        self.node.items().iter().enumerate().map(item)
    }

    /// The items of a list that may not be empty; `otherwise` says what to write instead of an empty one.
    pub fn filled_items(&self, otherwise: &str) -> impl ExactSizeIterator<Item = Cursor<'d, '_>> {
        if matches!(&self.node.value, Value::List(items) if items.is_empty()) {
            self.problem(format!("is an empty list; {otherwise}"));
        }
        self.items()
    }

    /// The fields of a map. Fields that are unknown, unsupported or given twice are problems.
    pub fn fields(&self, known: &Known) -> Fields<'d, 'p> {
        self.fields_as(known, "a map")
    }

    /// The same; `expected` says which map belongs here, where a text is easily written instead.
    pub fn fields_as(&self, known: &Known, expected: &str) -> Fields<'d, 'p> {
        if !matches!(self.node.value, Value::Map(_)) {
            let is_single = matches!(&self.node.value, Value::List(items) if items.len() == 1);
            self.wrong_kind_because(expected, if is_single { ": take its item out of the list" } else { "" });
        }
        let mut seen = 0_u64;
        for entry in self.node.entries() {
            let bit = known.fields.iter().position(|field| *field == entry.key).map(|place| 1_u64 << place);
            match bit {
                Some(bit) if seen & bit == 0 => seen |= bit,
                Some(_) => self.given_twice(entry, known.secret),
                None => self.not_known(entry, known),
            }
        }
        Fields { map: *self }
    }

    /// The entries of a map whose keys are the writer's choice, in their order; of a key that is given twice the first.
    pub fn entries(&self) -> Vec<Field<'d, '_>> {
        if !matches!(self.node.value, Value::Map(_)) {
            self.wrong_kind("a map");
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut fields = Vec::new();
        for entry in self.node.entries() {
            if seen.insert(entry.key.as_str()) {
                fields.push(Field { name: &entry.key, value: self.child(entry) });
            } else {
                self.given_twice(entry, &[]);
            }
        }
        fields
    }

    fn child<'s>(&'s self, entry: &'d Entry) -> Cursor<'d, 's> {
        Cursor {
            node: &entry.node,
            path: self.path.field(&entry.key),
            span: span_of_value(&entry.node, entry.span),
            reader: self.reader,
            guarded: self.guarded,
        }
    }

    #[cold]
    fn given_twice(&self, entry: &'d Entry, secret: &[&str]) {
        if self.guarded || secret.contains(&entry.key.as_str()) {
            hide(&entry.node, &mut self.reader.secrets.borrow_mut());
        }
        self.child(entry).tell_at(entry.span, Code::DuplicateField, "is given twice; keep one".to_owned());
    }

    #[cold]
    #[inline(never)]
    fn not_known(&self, entry: &'d Entry, known: &Known) {
        let name = entry.key.as_str();
        let holds_secret = known.secret.iter().any(|field| nearest(name, known.all()) == Some(*field));
        if self.guarded || holds_secret {
            hide(&entry.node, &mut self.reader.secrets.borrow_mut());
        }
        // Looking for the name that was meant takes time, and past the limit it is not shown.
        if self.reader.problems.borrow().is_full() {
            self.reader.problems.borrow_mut().count_one();
            return;
        }
        let (code, message) = if known.unsupported.contains(&name) {
            let message = format!("{} is not yet supported by this version of Coalmine", quoted(name));
            (Code::Unsupported, message)
        } else {
            (
                Code::UnknownField,
                format!("unknown field; {}", hint(name, known.all(), known.fields.iter().copied())),
            )
        };
        // Where a secret may stand, it may stand in the place of the name.
        if self.guarded {
            self.tell_at(entry.span, code, message);
        } else {
            self.child(entry).tell_at(entry.span, code, message);
        }
    }
}

/// Every text and number in this value, but the names of environment variables. A secret may stand where its variable's
/// name belongs.
fn hide(node: &Node, secrets: &mut Vec<Span>) {
    let is_name = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !node.is_container() {
        secrets.push(node.span);
    }
    node.items().iter().for_each(|item| hide(item, secrets));
    for entry in node.entries() {
        if entry.key != "env" || !entry.node.text().is_some_and(is_name) {
            hide(&entry.node, secrets);
        }
    }
}

// === impl Fields ===

impl<'d, 'p> Fields<'d, 'p> {
    /// The value of this field, when it is given.
    pub fn get(&self, name: &'static str) -> Option<Cursor<'d, '_>> {
        Some(self.map.child(self.map.node.entry(name)?))
    }

    /// The value of this field, when it is given: it may be a secret.
    pub fn get_secret(&self, name: &'static str) -> Option<Cursor<'d, '_>> {
        self.get(name).map(Cursor::secret)
    }

    /// The value of this field; a problem when it is missing. `why` says what to write.
    pub fn required(&self, name: &'static str, why: &str) -> Option<Cursor<'d, '_>> {
        let field = self.get(name);
        if field.is_none() && matches!(self.map.node.value, Value::Map(_)) {
            self.map.tell(Code::MissingField, format!("\"{name}\" is missing: {why}"));
        }
        field
    }

    /// Whether the map has no fields.
    pub fn is_empty(&self) -> bool {
        self.map.node.entries().is_empty()
    }

    /// Whether this is a map at all: where not, there is a problem already.
    pub fn is_map(&self) -> bool {
        matches!(self.map.node.value, Value::Map(_))
    }

    /// The map itself, for problems that concern several of its fields.
    pub fn whole(&self) -> &Cursor<'d, 'p> {
        &self.map
    }
}
