//! Secrets, from the environment or from files: never in the configuration itself.

use std::fmt;

use coalmine_document::{Cursor, Known, Value};

const SECRET: Known = Known::new(&["env", "file"]);

/// What a configuration refers to beside itself.
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file.
    pub file: &'a dyn Fn(&str) -> std::io::Result<String>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings")
    }
}

/// The text that stands here, or that `{env: NAME}` or `{file: PATH}` refers to, without one line break at its end.
pub(super) fn read(
    cursor: &Cursor<'_, '_>,
    surroundings: &Surroundings<'_>,
    expected: &str,
) -> Option<String> {
    if let Value::String(text) = cursor.value() {
        return Some(text.to_string());
    }
    let fields = cursor.fields_as(&SECRET, expected);
    let (variable, file) = (fields.get("env"), fields.get("file"));
    let text = match (&variable, &file) {
        (Some(_), Some(file)) => {
            file.conflict("\"env\" and \"file\" both say where it is; keep one");
            None
        }
        (Some(variable), None) => {
            let name = variable.string()?;
            let value = (surroundings.variable)(name);
            if value.is_none() {
                variable.problem(format!("the environment has no {name}"));
            }
            value
        }
        (None, Some(file)) => {
            let path = file.string()?;
            let read = (surroundings.file)(path);
            if let Err(error) = &read {
                file.problem(format!("{path} cannot be read: {error}"));
            }
            read.ok()
        }
        (None, None) => {
            if fields.is_map() {
                cursor.problem(format!("must be {expected}"));
            }
            None
        }
    };
    let text = text?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Some(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// The text that `{env: NAME}` or `{file: PATH}` refers to: a secret never stands here itself, and no message shows it.
pub(super) fn read_elsewhere(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Option<String> {
    let cursor = cursor.guarded();
    if let Value::String(_) = cursor.value() {
        cursor.problem("is a secret in clear; write {env: NAME} or {file: PATH}");
        return None;
    }
    read(&cursor, surroundings, "{env: NAME} or {file: PATH}")
}
