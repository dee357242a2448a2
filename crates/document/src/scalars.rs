//! Values without parts: strings, numbers and what is written as one.

use std::ops::RangeInclusive;

use crate::cursor::Cursor;
use crate::node::Value;
use crate::problem::Code;
use crate::quote::{number, quoted};
use crate::suggest::{hint, meant_duration, meant_number};

/// The longest time of a response, an hour, in milliseconds.
const MAX_MILLISECONDS: u64 = 3_600_000;

impl<'d> Cursor<'d, '_> {
    /// Tells that this is not the kind of value that belongs here.
    pub(crate) fn wrong_kind(&self, expected: &str) {
        self.wrong_kind_because(expected, "");
    }

    /// The same with what to do about it.
    #[cold]
    #[inline(never)]
    pub(crate) fn wrong_kind_because(&self, expected: &str, advice: &str) {
        let found = match self.value() {
            other if self.guarded => other.kind().to_owned(),
            Value::String(text) => format!("the string {}", quoted(text)),
            Value::Number(found) => format!("the number {}", number(*found)),
            Value::Bool(value) => format!("{value}"),
            other => other.kind().to_owned(),
        };
        self.tell(Code::WrongKind, format!("must be {expected}, not {found}{advice}"));
    }

    /// A string: any, so that what is none becomes one in quotes.
    pub fn string(&self) -> Option<&'d str> {
        match self.value() {
            Value::String(text) => return Some(text),
            Value::Number(_) | Value::Bool(_) if !self.guarded => {
                self.wrong_kind_because("a string", ": put it in quotes");
            }
            _ => self.wrong_kind("a string"),
        }
        None
    }

    /// A string that quotes alone would not make of something else: `expected` says what belongs here.
    pub fn string_of(&self, expected: &str) -> Option<&'d str> {
        if let Value::String(text) = self.value() {
            return Some(text);
        }
        self.wrong_kind(expected);
        None
    }

    /// `true` or `false`; `false` is the placeholder.
    pub fn boolean(&self) -> bool {
        if let Value::Bool(value) = *self.value() {
            return value;
        }
        let is_quoted = matches!(self.value(), Value::String(text) if text == "true" || text == "false");
        self.wrong_kind_because("true or false", if is_quoted { ": write it without quotes" } else { "" });
        false
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        if let Value::Number(number) = *self.value() {
            return Some(number);
        }
        let text = self.value().text().filter(|_| !self.guarded).unwrap_or_default();
        match meant_number(text) {
            Some(plain) if plain == text => self.wrong_kind_because("a number", ": write it without quotes"),
            Some(plain) => self.wrong_kind_because("a number", &format!(": write {plain}")),
            None => self.wrong_kind("a number"),
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
        if let Value::Number(given) = *self.value() {
            let example = number(given.abs().trunc());
            self.wrong_kind_because("a duration", &format!(": write its unit too, as {example}s"));
            return None;
        }
        let text = self.string_of("a duration")?;
        let seconds = with_unit(text, &[("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)]);
        if seconds.is_none() {
            let form = match meant_duration(text) {
                Some(meant) => format!("write {meant}"),
                None => "a whole number and s, m, h or d, as 30m".to_owned(),
            };
            self.problem(format!("{} is not a duration: {form}", self.quote(text)));
        }
        seconds
    }

    /// A time beyond which a response is slow, in milliseconds: `250ms`, `1s`, `2m`, at most an hour. `form` says what may
    /// stand here.
    pub fn milliseconds(&self, form: &str) -> Option<u64> {
        let text = self.string_of(form)?;
        let given = with_unit(text, &[("ms", 1), ("s", 1_000), ("m", 60_000)]);
        let given = given.filter(|given| (1..=MAX_MILLISECONDS).contains(given));
        if given.is_none() {
            let text = quoted(text);
            self.problem(format!(
                "{text} is no threshold: 1ms to 60m, a whole number and ms, s or m, as 250ms"
            ));
        }
        given
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let Value::String(text) = self.value() else {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong_kind(&format!("one of {}", known.join(", ")));
            return None;
        };
        if let Some(&(_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(meaning);
        }
        let known = || words.iter().map(|(word, _)| *word);
        let hint = hint(text, known(), known());
        self.problem(format!("{} is not known; {hint}", self.quote(text)));
        None
    }
}

/// The meaning of a whole number and one of these units, as `30m`; `None` for another form, and for a number of more than
/// 32 bits.
pub fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find_map(|&(unit, times)| {
        let number = text.strip_suffix(unit)?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| number.parse::<u32>().ok()).flatten().map(|number| u64::from(number) * times)
    })
}
