//! Secrets of a policy: in the document, or in the environment under a name that the document gives. No problem ever
//! quotes one.

use coalmine_document::{Cursor, Known, Value, quoted};

use super::names;
use crate::bucketing::Key;

const ENV: Known = Known { fields: &["env"], secret: &["env"], unsupported: &[] };

/// Where `{env: NAME}` is looked up.
#[derive(Clone, Copy)]
pub enum Environment<'e> {
    /// Nowhere: the form of the document is checked, secrets stay unread.
    Unread,
    /// Here; a variable that is not there or will not do is a problem of the document. One line break at the end is no
    /// part of a value.
    Read(&'e dyn Fn(&str) -> Option<String>),
    /// In the environment of one proxy of many. What is not there or will not do is that proxy's trouble: the document is
    /// taken all the same, the secret is lacking here, and `lacks` is told what it is. Without its key a rollout sends
    /// everybody to stable (`noKey`), and an override accepts no token that only that secret has signed.
    OfProxy {
        /// The value of a variable.
        look_up: &'e dyn Fn(&str) -> Option<String>,
        /// Is told what is lacking.
        lacks: &'e dyn Fn(&str),
    },
}

/// Reads secrets, and keeps the names of those that were not looked up.
pub(super) struct SecretReader<'e> {
    environment: Environment<'e>,
    pub(super) unread: Vec<String>,
}

// === impl SecretReader ===

impl<'e> SecretReader<'e> {
    pub(super) fn new(environment: Environment<'e>) -> Self {
        Self { environment, unread: Vec::new() }
    }

    /// The secret at this cursor, made from its text by `make`, which gives `None` for a text that will not do; `rule`
    /// says what would. `None` also for a secret that was not looked up, or is lacking in this proxy.
    pub(super) fn read<T>(
        &mut self,
        cursor: &Cursor<'_, '_>,
        rule: &str,
        make: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match cursor.value() {
            Value::String(text) => {
                let secret = make(text);
                if secret.is_none() {
                    cursor.problem(format!("must be {rule} (it is a secret, so it is not shown here)"));
                }
                secret
            }
            Value::Map(_) => {
                let fields = cursor.fields(&ENV);
                let name = fields.required("env", "the name of an environment variable")?;
                let variable = environment_name(&name)?;
                let (Environment::Read(look_up) | Environment::OfProxy { look_up, .. }) = self.environment
                else {
                    self.unread.push(variable.to_owned());
                    return None;
                };
                let Some(text) = look_up(variable) else {
                    self.tell(&name, format!("the environment has no variable {}", quoted(variable)));
                    return None;
                };
                // A Secret that `echo` has made ends in a line break, which `$(..)` of a shell takes off.
                let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
                let secret = make(line.unwrap_or(&text));
                if secret.is_none() {
                    let (variable, count) = (quoted(variable), text.len());
                    let end = match text.bytes().last() {
                        Some(b'\n' | b'\r') => ", the last of them a line break",
                        Some(b' ' | b'\t') => ", the last of them a blank",
                        _ => "",
                    };
                    self.tell(
                        &name,
                        format!("the variable {variable} must be {rule}; it has {count} bytes{end}"),
                    );
                }
                secret
            }
            _ => {
                cursor.problem(format!("must be {rule}, or {{env: NAME}}"));
                None
            }
        }
    }

    /// Tells what is wrong with the variable of this name.
    fn tell(&self, name: &Cursor<'_, '_>, message: String) {
        match self.environment {
            Environment::OfProxy { lacks, .. } => lacks(&message),
            Environment::Read(_) | Environment::Unread => name.problem(message),
        }
    }
}

/// The name of a variable, in capitals as the environment's names mostly are: what stands here by mistake may be the
/// secret itself, and the name is shown.
fn environment_name<'d>(cursor: &Cursor<'d, '_>) -> Option<&'d str> {
    let text = cursor.string()?;
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = names::bytes(text, 64, allowed) && !text.starts_with(|c: char| c.is_ascii_digit());
    if is_name && Key::from_hex(text).is_none() {
        return Some(text);
    }
    cursor.secret().problem("must be the name of a variable: 1 to 64 of A-Z, 0-9 and _ (what stands here may be a secret, so it is not shown)");
    None
}
