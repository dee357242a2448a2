//! The name that a mistyped word was meant to be. Only with the feature `suggest`: the filter's messages list the names
//! that are known instead.

/// What the writer of `word` may have meant: the nearest of `known`, or else any of `listed`.
pub(crate) fn hint<'k>(
    word: &str,
    known: impl Iterator<Item = &'k str>,
    listed: impl Iterator<Item = &'k str>,
) -> String {
    match nearest(word, known) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("known here: {}", listed.collect::<Vec<_>>().join(", ")),
    }
}

/// Without the feature no name is near enough.
#[cfg(not(feature = "suggest"))]
pub(crate) fn nearest<'k>(_word: &str, _known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    None
}

/// The known name that `word` most likely meant; `None` when none is near enough to be helpful.
#[cfg(feature = "suggest")]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A document may hold a key of any length; nothing that long is a mistyped field.
    if word.len() > 32 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (distance(&word, &name.to_ascii_lowercase()), name))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, name)| distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// Without the feature nothing is guessed.
#[cfg(not(feature = "suggest"))]
pub(crate) fn meant_duration(_text: &str) -> Option<String> {
    None
}

/// Without the feature nothing is guessed.
#[cfg(not(feature = "suggest"))]
pub(crate) fn meant_number(_text: &str) -> Option<String> {
    None
}

/// The number that a text means, as documents write it: `5`, `5%` and `1_000_000`.
#[cfg(feature = "suggest")]
pub(crate) fn meant_number(text: &str) -> Option<String> {
    let plain = text.trim_end_matches(['%', ' ']).replace('_', "");
    let is_digit = |character: char| character.is_ascii_digit();
    let is_number = plain.starts_with(is_digit)
        && plain.ends_with(is_digit)
        && plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && plain.matches('.').count() <= 1;
    is_number.then_some(plain)
}

/// The duration that a text of another form means, as documents write it: `1h30m`, `1.5h`, `30 min` and `2 weeks`.
#[cfg(feature = "suggest")]
pub(crate) fn meant_duration(text: &str) -> Option<String> {
    let is_of_number = |character: char| character.is_ascii_digit() || character == '.';
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_of_number(character))?;
        let (number, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let end = behind.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit.to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hr" | "hrs" | "hour" | "hours" => 60 * 60,
            "d" | "day" | "days" => 24 * 60 * 60,
            "w" | "week" | "weeks" => 7 * 24 * 60 * 60,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * f64::from(unit);
        rest = behind.trim_start();
    }
    let is_whole = !text.trim().is_empty() && seconds.fract() == 0.0 && seconds <= f64::from(u32::MAX);
    let seconds = is_whole.then_some(seconds as u64)?;
    let units = [("d", 24 * 60 * 60), ("h", 60 * 60), ("m", 60), ("s", 1)];
    let (unit, size) =
        units.into_iter().find(|(_, size)| seconds != 0 && seconds.is_multiple_of(*size)).unwrap_or(("s", 1));
    Some(format!("{}{unit}", seconds / size))
}

/// Edits from `a` to `b` (Levenshtein, with the swap of two neighbours as one: the optimal string alignment).
#[cfg(feature = "suggest")]
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(all(test, feature = "suggest"))]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        let known = ["name", "enabled", "match", "identity", "variants", "weight"];
        assert_eq!(nearest("wieght", known), Some("weight"));
        assert_eq!(nearest("Variants", known), Some("variants"));
        assert_eq!(nearest("identities", known), Some("identity"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }

    #[test]
    fn finds_the_number_that_was_meant() {
        for (text, meant) in [("5", "5"), ("2.5 %", "2.5"), ("1_000_000", "1000000")] {
            assert_eq!(meant_number(text).as_deref(), Some(meant), "{text}");
        }
        for text in ["", "%", "5.", ".5", "5.5.5", "-1", "5e0", "5 of 100"] {
            assert_eq!(meant_number(text), None, "{text}");
        }
    }

    #[test]
    fn finds_the_duration_that_was_meant() {
        for (text, meant) in [
            ("1h30m", "90m"),
            ("1.5h", "90m"),
            ("30 min", "30m"),
            ("30days", "30d"),
            ("1 d", "1d"),
            ("2 weeks", "14d"),
            ("1d 12h", "36h"),
            ("90M", "90m"),
            ("0min", "0s"),
            ("1m1s", "61s"),
        ] {
            assert_eq!(meant_duration(text).as_deref(), Some(meant), "{text}");
        }
        for text in
            ["", " ", "30", "h", "d30", "-1d", "+1d", "1.5s", "1..5h", "100ms", "PT30M", "4294967296s"]
        {
            assert_eq!(meant_duration(text), None, "{text}");
        }
    }
}
