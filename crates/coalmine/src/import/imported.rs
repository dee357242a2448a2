//! What an import found, and how it is printed: a policy, or rollouts with plans.

use std::fmt::Write as _;

use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{Node, OwnedPath, Problem, SourceText, Value, write};
use serde::Serialize;

use crate::args::Format;
use crate::diagnostic::{Code, Diagnostic, count, excerpts};
use crate::failure::Failure;
use crate::output;
use crate::scan::EmbeddedRollout;

/// What was found. Its nodes have the places of the other system's file where they come from it.
#[derive(Default)]
pub(super) struct Imported {
    pub(super) rollouts: Vec<Node>,
    /// What is wrong with the file: there is no policy then.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What there is instead of something to import.
    pub(super) looked_for: String,
    /// Whether the rollouts are for a server, each a document of its own, and not a policy.
    is_planned: bool,
    notes: Vec<String>,
    names: Vec<String>,
}

#[derive(Serialize)]
struct ImportOutput<'a> {
    policy: serde_json::Value,
    notes: &'a [String],
}

#[derive(Serialize)]
struct PlannedOutput<'a> {
    rollouts: Vec<serde_json::Value>,
    notes: &'a [String],
}

// === impl Imported ===

impl Imported {
    /// Nothing yet; this note comes before all others.
    pub(super) fn new(first: &str) -> Self {
        Self { notes: vec![first.to_owned()], ..Self::default() }
    }

    /// Nothing yet of rollouts with plans; this note comes before all others.
    pub(super) fn of_rollouts(first: &str) -> Self {
        Self { is_planned: true, ..Self::new(first) }
    }

    /// A note is one line, whatever the other system's texts have in them: it is printed as a comment.
    pub(super) fn note(&mut self, note: impl AsRef<str>) {
        let mut line = String::new();
        for character in note.as_ref().chars() {
            match character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                true => line.extend(character.escape_default()),
                false => line.push(character),
            }
        }
        if !self.notes.contains(&line) {
            self.notes.push(line);
        }
    }

    /// A name that no other rollout has: this one, or with the first number that makes it one.
    pub(super) fn unique(&mut self, name: &str, namespace: Option<&str>) -> String {
        let whole = |name: &str| namespace.map_or_else(|| name.to_owned(), |space| format!("{space}/{name}"));
        let mut found = whole(name);
        let mut number = 2;
        while self.names.contains(&found) {
            let start: String = name.chars().take(55).collect();
            found = whole(&format!("{start}-{number}"));
            number += 1;
        }
        self.names.push(found.clone());
        found
    }

    /// Prints the policy, or tells everything that is wrong.
    pub(super) fn finish(mut self, source: &SourceText, format: Format) -> Result<(), Failure> {
        if !self.diagnostics.is_empty() {
            return Err(refusal(source, self.diagnostics));
        }
        if self.rollouts.is_empty() {
            let mut message = format!("{}: nothing to import: {}", source.name(), self.looked_for);
            for note in self.notes.iter().skip(1) {
                let _ = write!(message, "\n- {note}");
            }
            return Err(Failure::Problems(message));
        }
        if self.is_planned {
            return self.finish_rollouts(source, format);
        }
        let rollouts = std::mem::take(&mut self.rollouts);
        let policy = Node::of_fields([
            ("version", Node::from(Value::Number(1.0))),
            ("rollouts", Node::of_items(rollouts)),
        ]);
        if let Err(problems) = Policy::from_document(&policy, Environment::Unread) {
            return Err(refusal(source, problems.shown().iter().map(diagnostic).collect()));
        }
        if format == Format::Json {
            return output::json(&ImportOutput { policy: json(&policy), notes: &self.notes });
        }
        self.print(&[policy])
    }

    /// Prints the rollouts, or tells everything that is wrong.
    fn finish_rollouts(self, source: &SourceText, format: Format) -> Result<(), Failure> {
        let mut diagnostics = Vec::new();
        for rollout in &self.rollouts {
            let embedded = EmbeddedRollout { path: OwnedPath::default(), node: rollout.clone(), name: None };
            let Err(found) = embedded.spec() else { continue };
            diagnostics.extend(found.into_iter().map(of_rollout));
        }
        if !diagnostics.is_empty() {
            return Err(refusal(source, diagnostics));
        }
        if format == Format::Json {
            let rollouts = self.rollouts.iter().map(json).collect();
            return output::json(&PlannedOutput { rollouts, notes: &self.notes });
        }
        self.print(&self.rollouts)
    }

    fn print(&self, documents: &[Node]) -> Result<(), Failure> {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "# - {note}");
        }
        for (index, document) in documents.iter().enumerate() {
            let start = if index == 0 { "" } else { "---\n" };
            let _ = writeln!(text, "{start}{}", write::block(document, 0));
        }
        output::print_plain(&text)
    }
}

fn refusal(source: &SourceText, mut diagnostics: Vec<Diagnostic>) -> Failure {
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.map(|span| span.start));
    let (summary, excerpts) = (count(&diagnostics), excerpts(source, &diagnostics));
    Failure::Problems(format!("{}: {summary}\n\n{excerpts}", source.name()))
}

/// A problem of the policy that was made, at the place in the other system's file that it comes from.
fn diagnostic(problem: &Problem) -> Diagnostic {
    if problem.span.is_empty() {
        let message =
            format!("the policy that this file makes has a problem: {}: {}", problem.path, problem.message);
        return Diagnostic::of_file(Code::Policy, message);
    }
    Diagnostic::error(Code::Policy, problem.span, "", &problem.message)
}

/// A problem of a rollout that was made, at the place in the other system's file that it comes from.
fn of_rollout(diagnostic: Diagnostic) -> Diagnostic {
    if diagnostic.span.is_some_and(|span| !span.is_empty()) {
        return Diagnostic { place: String::new(), ..diagnostic };
    }
    let message = format!("the rollout that this file makes has a problem: {}", diagnostic.sentence());
    Diagnostic { stands_for: diagnostic.stands_for, ..Diagnostic::of_file(Code::Policy, message) }
}

fn json(tree: &Node) -> serde_json::Value {
    match &tree.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line() {
        let mut imported = Imported::new("first");
        imported.note("a\nb\r\u{85}\u{2028}c\u{1b}[0m");
        assert_eq!(imported.notes[1], "a\\nb\\r\\u{85}\\u{2028}c\\u{1b}[0m");
    }

    #[test]
    fn names_are_unique() {
        let mut imported = Imported::default();
        let names = ["web", "web", "web-2", "web"].map(|name| imported.unique(name, None));
        assert_eq!(names, ["web", "web-2", "web-2-2", "web-3"]);
        assert_eq!(imported.unique("web", Some("shop")), "shop/web");
        let long = "x".repeat(63);
        let _ = imported.unique(&long, None);
        assert_eq!(imported.unique(&long, None).len(), 57);
    }
}
