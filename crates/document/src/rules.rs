//! The form of a text: its length and its characters, and the sentence about a text that has not that form.

use crate::cursor::Cursor;

/// The form of a name or another short text. Documents keep theirs in a table of constants.
#[derive(Clone, Copy, Debug)]
pub struct TextRule {
    /// The noun of the sentence: `"x" is not a valid NOUN: ..`.
    pub noun: &'static str,
    /// The form, for the sentence: `1 to 63 of a-z, 0-9 and -`.
    pub form: &'static str,
    /// Whether a text has the form.
    pub holds: fn(&str) -> bool,
}

/// Whether a text is a name as variants, gates and queries have it: 1 to 63 of a-z, 0-9 and -.
pub fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed)
}

// === impl TextRule ===

impl TextRule {
    /// The sentence about a text, in quotes already, that has not the form.
    fn refusal(&self, quoted: &str) -> String {
        format!("{quoted} is not a valid {}: {}", self.noun, self.form)
    }
}

impl<'d> Cursor<'d, '_> {
    /// A string that has this form.
    pub fn text(&self, rule: &TextRule) -> Option<&'d str> {
        let text = self.string()?;
        if (rule.holds)(text) {
            return Some(text);
        }
        self.problem(rule.refusal(&self.quote(text)));
        None
    }
}
