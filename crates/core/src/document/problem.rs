//! What is wrong with a document, for the person who wrote it.

use std::fmt;

use super::Mark;

/// How many problems are told one by one; the rest is a count.
const MAX_TOLD: usize = 100;
/// How many bytes of a value are quoted in a message.
const MAX_QUOTED: usize = 64;

/// One thing that is wrong: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place in the document, as `rollouts[0].variants[1].weight`; empty for the document itself.
    pub place: String,
    /// Where that is in the text, where the notation tells.
    pub mark: Option<Mark>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with a document: at least one problem, at most 100 told one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    told: Vec<Problem>,
    untold: usize,
}

/// `value` in quotes, cut to 64 bytes, with what could upset a log escaped.
pub(crate) fn quoted(value: &str) -> String {
    let end = (0..=MAX_QUOTED.min(value.len())).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
    let mut text = String::from("\"");
    for character in value.get(..end).unwrap_or_default().chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            _ if character.is_control() || turns_text(character) => text.extend(character.escape_default()),
            _ => text.push(character),
        }
    }
    text.push_str(if end < value.len() { "…\"" } else { "\"" });
    text
}

/// Whether a character ends the line or turns the direction of what follows: it could make a log say something else.
fn turns_text(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number as a person writes it: `5`, `33.3333`, rounded to nine decimals. The general printers of the standard
/// library and of serde_json come with tables that would make the module 15 KB larger, and every proxy compiles it.
pub(crate) fn number(value: f64) -> String {
    const DECIMALS: u64 = 1_000_000_000;
    /// Below it a double still tells whole numbers apart.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        return String::from("NaN");
    }
    let sign = if value <= -0.5 / DECIMALS as f64 { "-" } else { "" };
    let value = value.abs();
    if value > LARGEST {
        return format!("{sign}more than {}", LARGEST as u64);
    }
    let whole = value.trunc();
    let fraction = ((value - whole) * DECIMALS as f64).round() as u64;
    let (whole, fraction) = (whole as u64 + fraction / DECIMALS, fraction % DECIMALS);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0'))
}

// === impl Problem ===

impl Problem {
    /// A problem of the document as a whole.
    pub(crate) fn of_document(message: String) -> Self {
        Self { place: String::new(), mark: None, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

// === impl Problems ===

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.count_one();
        } else {
            self.told.push(problem);
        }
    }

    /// Whether further problems are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.told.len() >= MAX_TOLD
    }

    /// Counts a problem that is not told.
    pub(crate) fn count_one(&mut self) {
        self.untold += 1;
    }

    /// The problems that are told one by one, in the order of the document's reading.
    pub fn told(&self) -> &[Problem] {
        &self.told
    }

    /// How many there are, told or not.
    pub fn count(&self) -> usize {
        self.told.len() + self.untold
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { told: vec![problem], untold: 0 }
    }
}

/// A line a problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.told.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.untold > 0 {
            write!(f, "\nand {} more problems", self.untold)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(quoted("a\n\"b"), r#""a\n\"b""#);
        let long = format!("{}ééé", "x".repeat(63));
        assert_eq!(quoted(&long), format!("\"{}…\"", "x".repeat(63)));
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (5.0, "5"),
            (-1.0, "-1"),
            (0.0, "0"),
            (33.3333, "33.3333"),
            (33.333_33, "33.33333"),
            (0.000_05, "0.00005"),
            (0.1 + 0.2, "0.3"),
            (0.999_999_999_9, "1"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e300, "more than 9007199254740992"),
            (f64::NEG_INFINITY, "-more than 9007199254740992"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn past_a_hundred_they_are_counted() {
        let mut problems = Problems::default();
        for number in 0..103 {
            problems.push(Problem::of_document(format!("problem {number}")));
        }
        assert_eq!(problems.count(), 103);
        assert_eq!(problems.told().len(), 100);
        assert!(problems.to_string().ends_with("problem 99\nand 3 more problems"));
    }
}
