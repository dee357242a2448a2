//! Numbers in a sentence.

use std::fmt::Write as _;

/// A weight in percent: `5`, `0.01`.
pub fn percent(weight: u32) -> String {
    coalmine_document::number(f64::from(weight) / 10_000.0)
}

/// Seconds as a person says them: `90s` is `1m 30s`.
pub fn duration(seconds: u64) -> String {
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= size || (size == 1 && text.is_empty()) {
            let joint = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{joint}{}{unit}", rest / size);
            rest %= size;
        }
    }
    text
}

/// A count with its noun: `1 replica`, `3 replicas`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A number with a comma between thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Names in a sentence, the first few of them.
pub(crate) fn names(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_a_person_says_them() {
        assert_eq!(duration(0), "0s");
        assert_eq!(duration(90), "1m 30s");
        assert_eq!(duration(90_000), "1d 1h");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(names(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
