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
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
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
}
