//! Walks a document and collects what is wrong with it, so that a person sees every problem at once.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::NameSet;
use super::problem::{number, quoted};
use super::suggest::nearest;
use super::{Mark, Node, Place, Problem, Problems, Value};

/// One value of a document, its place, and where its problems go.
///
/// The readers return `None` when they have put a problem into the collection: a `None` needs no further words.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'d> {
    node: &'d Node,
    place: Place<'d>,
    problems: &'d RefCell<Problems>,
    /// Whether problems may quote the value.
    shown: bool,
}

/// The fields of a map, each of them known.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'d> {
    cursor: Cursor<'d>,
    entries: Vec<(&'d str, &'d Node)>,
}

/// The fields that a map may have.
pub(crate) struct Known {
    /// Those that are read.
    pub(crate) fields: &'static [&'static str],
    /// Those that the document format has, but this version does not act on.
    pub(crate) unsupported: &'static [&'static str],
}

/// The sentence about what the format has and this version does not.
pub(crate) fn unsupported(name: &str) -> String {
    format!("{} is not yet supported by this version of Coalmine", quoted(name))
}

/// What the writer of `word` may have meant.
fn hint<'k>(word: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

// === impl Cursor ===

impl<'d> Cursor<'d> {
    /// At the top of a document.
    pub(crate) fn new(document: &'d Node, problems: &'d RefCell<Problems>) -> Self {
        Self { node: document, place: Place::default(), problems, shown: true }
    }

    /// The same place, where a secret may stand: problems name the kind of what they find there, not its value.
    pub(crate) fn unshown(&self) -> Self {
        Self { shown: false, ..self.clone() }
    }

    pub(crate) fn value(&self) -> &'d Value {
        &self.node.value
    }

    /// Something is wrong with this value.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.problem_at(&self.place, self.node.mark, message.into());
    }

    #[cold]
    #[inline(never)]
    fn problem_at(&self, place: &Place<'d>, mark: Option<Mark>, message: String) {
        let problem = Problem { place: place.to_string(), mark, message };
        self.problems.borrow_mut().push(problem);
    }

    /// Not the kind of value that belongs here.
    fn wrong_kind(&self, expected: &str) {
        let found = match &self.node.value {
            other if !self.shown => other.kind().to_owned(),
            Value::String(text) => format!("the string {}", quoted(text)),
            Value::Number(found) => format!("the number {}", number(*found)),
            Value::Bool(value) => format!("{value}"),
            other => other.kind().to_owned(),
        };
        self.problem(format!("must be {expected}, not {found}"));
    }

    pub(crate) fn string(&self) -> Option<&'d str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            Value::Number(found) if self.shown => {
                self.problem(format!(
                    "must be a string, not the number {}: put it in quotes",
                    number(*found)
                ));
                None
            }
            _ => {
                self.wrong_kind("a string");
                None
            }
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        if let Value::Bool(value) = self.node.value {
            return Some(value);
        }
        self.wrong_kind("true or false");
        None
    }

    pub(crate) fn number(&self) -> Option<f64> {
        if let Value::Number(number) = self.node.value {
            return Some(number);
        }
        if let Value::String(text) = &self.node.value
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            self.problem(format!(
                "must be a number, not the string {}: write it without quotes",
                quoted(text)
            ));
        } else {
            self.wrong_kind("a number");
        }
        None
    }

    /// A whole number, which may be written as a double (`42.0`): Istio sends every number so.
    pub(crate) fn integer(&self, allowed: RangeInclusive<u64>) -> Option<u64> {
        let given = self.number()?;
        let in_range = (*allowed.start() as f64..=*allowed.end() as f64).contains(&given);
        if in_range && given.fract() == 0.0 {
            return Some(given as u64);
        }
        self.problem(format!(
            "must be a whole number from {} to {}, not {}",
            allowed.start(),
            allowed.end(),
            number(given)
        ));
        None
    }

    /// A duration in seconds: `30s`, `10m`, `2h`, `1d`.
    pub(crate) fn duration(&self) -> Option<u64> {
        let text = self.string()?;
        let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
        let seconds = units.iter().find_map(|&(unit, seconds)| {
            let number = text.strip_suffix(unit)?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| number.parse::<u32>().ok()).flatten().map(|number| u64::from(number) * seconds)
        });
        if seconds.is_none() {
            self.problem(format!("{} is no duration: a whole number and s, m, h or d, as 30m", quoted(text)));
        }
        seconds
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some(&(_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(meaning);
        }
        let hint = hint(text, words.iter().map(|(word, _)| *word));
        self.problem(format!("{} is not known; {hint}", quoted(text)));
        None
    }

    /// The items of a list.
    pub(crate) fn list(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            self.wrong_kind("a list");
            return None;
        };
        let item = |(index, node)| Self { node, place: self.place.item(index), ..self.clone() };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list that may not be empty.
    pub(crate) fn filled_list(&self, otherwise: &str) -> Option<Vec<Self>> {
        let items = self.list()?;
        if items.is_empty() {
            self.problem(format!("is an empty list; {otherwise}"));
            return None;
        }
        Some(items)
    }

    /// The fields of a map. Fields that are unknown, unsupported or given twice are problems.
    pub(crate) fn map(&self, known: &Known) -> Option<Fields<'d>> {
        let entries = self.entries()?;
        for field in &entries {
            let name = field.name;
            if known.fields.contains(&name) {
                continue;
            }
            // Looking for the name that was meant takes time, and past the limit nobody reads it.
            if self.problems.borrow().is_full() {
                self.problems.borrow_mut().count_one();
                continue;
            }
            let message = if known.unsupported.contains(&name) {
                unsupported(name)
            } else {
                format!(
                    "unknown field; {}",
                    hint(name, known.fields.iter().chain(known.unsupported).copied())
                )
            };
            field.cursor.problem_at(&field.cursor.place, field.mark, message);
        }
        let entries = entries.into_iter().map(|field| (field.name, field.cursor.node)).collect();
        Some(Fields { cursor: self.clone(), entries })
    }

    /// The entries of a map with names of the writer's choice, in their order, each name once.
    pub(crate) fn entries(&self) -> Option<Vec<Field<'d>>> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong_kind("a map");
            return None;
        };
        let mut seen = NameSet::new();
        let mut fields = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let cursor = Self { node, place: self.place.field(&key.name), ..self.clone() };
            if !seen.insert(key.name.as_str().into()) {
                self.problem_at(&cursor.place, key.mark, "is given twice; keep one".to_owned());
                continue;
            }
            fields.push(Field { name: &key.name, mark: key.mark, cursor });
        }
        Some(fields)
    }
}

/// An entry of a map.
pub(crate) struct Field<'d> {
    pub(crate) name: &'d str,
    pub(crate) mark: Option<Mark>,
    pub(crate) cursor: Cursor<'d>,
}

// === impl Fields ===

impl<'d> Fields<'d> {
    /// The value of this field, when it is given.
    pub(crate) fn get(&self, name: &'static str) -> Option<Cursor<'d>> {
        let &(_, node) = self.entries.iter().find(|(given, _)| *given == name)?;
        Some(Cursor { node, place: self.cursor.place.field(name), ..self.cursor.clone() })
    }

    /// The value of this field; a problem when it is missing.
    pub(crate) fn required(&self, name: &'static str, why: &str) -> Option<Cursor<'d>> {
        let field = self.get(name);
        if field.is_none() {
            self.cursor.problem(format!("\"{name}\" is missing: {why}"));
        }
        field
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The map itself, for problems that concern several of its fields.
    pub(crate) fn whole(&self) -> &Cursor<'d> {
        &self.cursor
    }
}
