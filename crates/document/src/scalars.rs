//! Values without parts: strings, numbers and what is written as one.

use std::ops::RangeInclusive;

use crate::cursor::Cursor;
use crate::node::Value;
use crate::problem::Code;
use crate::quote::{number, quoted};
use crate::suggest::hint;

impl<'d> Cursor<'d, '_> {
    /// Tells that this is not the kind of value that belongs here.
    #[cold]
    #[inline(never)]
    pub(crate) fn wrong_kind(&self, expected: &str) {
        let found = match self.value() {
            other if self.guarded => other.kind().to_owned(),
            Value::String(text) => format!("the string {}", quoted(text)),
            Value::Number(found) => format!("the number {}", number(*found)),
            Value::Bool(value) => format!("{value}"),
            other => other.kind().to_owned(),
        };
        self.tell(Code::WrongKind, format!("must be {expected}, not {found}"));
    }

    /// A string.
    pub fn string(&self) -> Option<&'d str> {
        match self.value() {
            Value::String(text) => Some(text),
            Value::Number(found) if !self.guarded => {
                let number = number(*found);
                let message = format!("must be a string, not the number {number}: put it in quotes");
                self.tell(Code::WrongKind, message);
                None
            }
            _ => {
                self.wrong_kind("a string");
                None
            }
        }
    }

    /// `true` or `false`; `false` is the placeholder.
    pub fn boolean(&self) -> bool {
        if let Value::Bool(value) = *self.value() {
            return value;
        }
        self.wrong_kind("true or false");
        false
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        if let Value::Number(number) = *self.value() {
            return Some(number);
        }
        if let Value::String(text) = self.value()
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            let text = self.quote(text);
            let message = format!("must be a number, not the string {text}: write it without quotes");
            self.tell(Code::WrongKind, message);
        } else {
            self.wrong_kind("a number");
        }
        None
    }

    /// A whole number, which may be written as a double (`42.0`): Istio sends every number so.
    pub fn integer(&self, allowed: RangeInclusive<u64>) -> Option<u64> {
        let given = self.number()?;
        let in_range = (*allowed.start() as f64..=*allowed.end() as f64).contains(&given);
        if in_range && given.fract() == 0.0 {
            return Some(given as u64);
        }
        let (start, end, given) = (allowed.start(), allowed.end(), number(given));
        self.problem(format!("must be a whole number from {start} to {end}, not {given}"));
        None
    }

    /// A duration in seconds: `30s`, `10m`, `2h`, `1d`.
    pub fn duration(&self) -> Option<u64> {
        let text = self.string()?;
        let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
        let seconds = units.iter().find_map(|&(unit, seconds)| {
            let number = text.strip_suffix(unit)?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| number.parse::<u32>().ok()).flatten().map(|number| u64::from(number) * seconds)
        });
        if seconds.is_none() {
            let text = self.quote(text);
            self.problem(format!("{text} is not a duration: a whole number and s, m, h or d, as 30m"));
        }
        seconds
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some(&(_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(meaning);
        }
        let known = || words.iter().map(|(word, _)| *word);
        let hint = hint(text, known(), known());
        self.problem(format!("{} is not known; {hint}", self.quote(text)));
        None
    }
}
