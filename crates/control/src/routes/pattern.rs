//! Regular expressions, of the kind that Envoy has (RE2): the whole text must match.

use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};

use super::re2::{Reading, reading};

/// Longer texts are no examples.
const MAX_EXAMPLE: usize = 200;

/// A regular expression. Where it is none that can be read here, it is unknown what it matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Option<Regex>,
    examples: Vec<String>,
}

// === impl Pattern ===

impl Pattern {
    /// The expression of this text.
    pub fn new(text: &str) -> Self {
        let is_read_alike = reading(text) == Reading::Alike;
        let whole = is_read_alike.then(|| Regex::new(&format!("^(?:{text})$")).ok()).flatten();
        let hir = whole.as_ref().and_then(|_| regex_syntax::parse(text).ok());
        let examples = hir.map(|hir| [true, false].map(|first| example(&hir, first)));
        let mut examples: Vec<String> = examples.into_iter().flatten().flatten().collect();
        examples.dedup();
        Self { text: text.to_owned(), whole, examples }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches this whole text; `None` where that is unknown.
    pub fn matches(&self, text: &str) -> Option<bool> {
        Some(self.whole.as_ref()?.is_match(text))
    }

    /// Texts that it matches.
    pub fn values(&self) -> Vec<String> {
        let matched = self.examples.iter().filter(|text| self.matches(text) == Some(true));
        matched.cloned().collect()
    }
}

/// A text that may match: of alternatives the first, or the last.
fn example(hir: &Hir, first: bool) -> Option<String> {
    let text = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => String::new(),
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok()?,
        HirKind::Class(class) => character(class)?.to_string(),
        HirKind::Repetition(repetition) => {
            let times = if repetition.min == 0 && !first { 1 } else { repetition.min };
            example(&repetition.sub, first)?.repeat(usize::try_from(times).ok()?.min(MAX_EXAMPLE))
        }
        HirKind::Capture(capture) => example(&capture.sub, first)?,
        HirKind::Concat(parts) => parts.iter().map(|part| example(part, first)).collect::<Option<_>>()?,
        HirKind::Alternation(parts) => example(if first { parts.first() } else { parts.last() }?, first)?,
    };
    (text.len() <= MAX_EXAMPLE).then_some(text)
}

/// A character that can stand in a path: a letter or digit where the class has one.
fn character(class: &regex_syntax::hir::Class) -> Option<char> {
    let usual = ('a'..='z').chain('0'..='9').chain('A'..='Z').chain("-_./~".chars());
    let has = |character: char| match class {
        regex_syntax::hir::Class::Unicode(class) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&character))
        }
        regex_syntax::hir::Class::Bytes(class) => {
            let ranges = class.ranges();
            ranges.iter().any(|range| (range.start()..=range.end()).contains(&(character as u8)))
        }
    };
    usual.into_iter().find(|character| has(*character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let pattern = Pattern::new("[0-9]+");
        assert_eq!(pattern.matches("17"), Some(true));
        assert_eq!(pattern.matches("17a"), Some(false));
        assert_eq!(Pattern::new("a|b").matches("ab"), Some(false));
        assert_eq!(Pattern::new("(?!x)y").matches("y"), None, "not a kind that Envoy has");
    }

    #[test]
    fn examples_match() {
        for text in
            ["[0-9]+", "/api/(v1|v2)/.*", "^(.*?;)?(user=jason)(;.*)?$", "/[^/]+/x?", ".*", "(?i)canary"]
        {
            let pattern = Pattern::new(text);
            assert!(!pattern.values().is_empty(), "{text}");
        }
    }
}
