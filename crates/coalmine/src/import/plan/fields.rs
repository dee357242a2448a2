//! The fields of another controller's resources. Every field that is documented stands in a table, so none of them is
//! dropped in silence, and one that stands in none is a problem.

use coalmine_document::{Entry, Node, Value, nearest};

use super::Reading;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) enum Fate {
    /// The importer reads it, and notes what changes.
    Read,
    /// It has no counterpart, or another meaning: this sentence says what.
    Note(&'static str),
}

/// Fields and what becomes of them, with and of all that is in them. Items of a list have the path of the list.
pub(in crate::import) type Table = [(&'static str, Fate)];

/// A sentence, and the fields that it is about.
type Noted = (&'static str, Vec<String>);

// === impl Reading ===

impl Reading<'_> {
    /// Notes every field of this map that has no counterpart. Fields that are not in the table are problems. `about` is
    /// what stands before a note, `prefix` what stands before each path, for people.
    pub(in crate::import) fn walk(&mut self, map: &Node, about: &str, prefix: &str, table: &Table) {
        let mut noted = Vec::new();
        self.walk_in(map, prefix, "", table, &mut noted);
        for (why, fields) in noted {
            self.note(format!("{about}{}: {why}.", fields.join(", ")));
        }
    }

    fn walk_in(&mut self, node: &Node, prefix: &str, path: &str, table: &Table, noted: &mut Vec<Noted>) {
        match &node.value {
            Value::Null => {}
            Value::List(items) if !path.is_empty() => {
                items.iter().for_each(|item| self.walk_in(item, prefix, path, table, noted));
            }
            Value::Map(entries) => {
                entries.iter().for_each(|entry| self.walk_entry(entry, prefix, path, table, noted));
            }
            _ => self.problem(node.span, &format!("{prefix}{path}"), "must be a map"),
        }
    }

    fn walk_entry(
        &mut self,
        entry: &Entry,
        prefix: &str,
        parent: &str,
        table: &Table,
        noted: &mut Vec<Noted>,
    ) {
        let path = if parent.is_empty() { entry.key.clone() } else { format!("{parent}.{}", entry.key) };
        if let Some((_, fate)) = table.iter().find(|(known, _)| *known == path) {
            let Fate::Note(why) = *fate else { return };
            if says_nothing(&entry.node) {
                return;
            }
            let shown = format!("{prefix}{path}");
            match noted.iter_mut().find(|(other, _)| *other == why) {
                Some((_, fields)) if fields.contains(&shown) => {}
                Some((_, fields)) => fields.push(shown),
                None => noted.push((why, vec![shown])),
            }
            return;
        }
        let below = format!("{path}.");
        if table.iter().any(|(known, _)| known.starts_with(&below)) {
            return self.walk_in(&entry.node, prefix, &path, table, noted);
        }
        let start = if parent.is_empty() { String::new() } else { format!("{parent}.") };
        let siblings =
            table.iter().filter_map(|(known, _)| known.strip_prefix(start.as_str())?.split('.').next());
        let meant = nearest(&entry.key, siblings);
        let meant = meant.map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default();
        self.problem(entry.span, &format!("{prefix}{path}"), &format!("unknown field{meant}"));
    }
}

/// Whether a field is as if it were not there.
fn says_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => true,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Number(_) | Value::String(_) | Value::Bool(true) => false,
    }
}
