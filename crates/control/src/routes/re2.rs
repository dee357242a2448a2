//! Regular expressions of RE2, and what another reader makes of them: the syntax is that of
//! <https://github.com/google/re2/wiki/Syntax>, and Istio's validation reads it with Go's package.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, Error, ErrorKind, Flag, FlagsItemKind, GroupKind,
    HexLiteralKind, LiteralKind, Repetition, RepetitionKind, RepetitionRange, Visitor, visit,
};

/// The longest that Istio takes.
const MAX_TEXT: usize = 1024;
/// The most repetitions that RE2 takes.
const MAX_COUNT: u32 = 1000;

/// What RE2 makes of a text, beside what is made of it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The same.
    Alike,
    /// Something else, or it is not known.
    Unknown,
    /// Nothing: Istio refuses it, for this reason.
    Refused(&'static str),
}

/// How RE2 reads this text.
pub fn reading(text: &str) -> Reading {
    if text.is_empty() {
        return Reading::Refused("it is empty");
    }
    if text.len() > MAX_TEXT {
        return Reading::Refused("it has more than 1024 characters");
    }
    if text.contains("\\Q") {
        return Reading::Unknown;
    }
    match Parser::new().parse(text) {
        Ok(ast) => visit(&ast, Reader { text, reading: Reading::Alike }).unwrap_or(Reading::Unknown),
        Err(error) => refusal(&error).map_or(Reading::Unknown, Reading::Refused),
    }
}

/// Why RE2 refuses what is refused here; `None` where it may take it.
fn refusal(error: &Error) -> Option<&'static str> {
    let from = |offset: usize| error.pattern().get(offset..).unwrap_or_default();
    let (start, end) = (error.span().start.offset, error.span().end.offset);
    match error.kind() {
        ErrorKind::UnsupportedLookAround => Some("RE2 has no look-around"),
        ErrorKind::UnsupportedBackreference if !from(end).starts_with(|next: char| next.is_ascii_digit()) => {
            Some("RE2 has no backreferences")
        }
        ErrorKind::GroupUnclosed | ErrorKind::GroupUnopened => Some("a parenthesis has no partner"),
        ErrorKind::ClassUnclosed if !from(start).contains(']') => Some("a bracket has no partner"),
        ErrorKind::ClassRangeInvalid => Some("a range of characters goes backwards"),
        ErrorKind::RepetitionMissing if from(start).starts_with(['*', '+', '?']) => {
            Some("there is nothing to repeat")
        }
        ErrorKind::RepetitionCountInvalid => Some("a repetition goes backwards"),
        ErrorKind::EscapeUnexpectedEof => Some("it ends with a backslash"),
        ErrorKind::EscapeUnrecognized
            if from(start).starts_with(|_| true)
                && from(start)
                    .chars()
                    .nth(1)
                    .is_some_and(|it| it.is_ascii_alphabetic() && !"CE".contains(it)) =>
        {
            Some("RE2 does not know one of its escapes")
        }
        ErrorKind::FlagUnrecognized | ErrorKind::FlagUnexpectedEof => {
            Some("RE2 does not know one of its flags")
        }
        _ => None,
    }
}

/// Looks for what RE2 reads otherwise.
struct Reader<'t> {
    text: &'t str,
    reading: Reading,
}

// === impl Reader ===

impl Reader<'_> {
    fn unknown(&mut self) {
        if self.reading == Reading::Alike {
            self.reading = Reading::Unknown;
        }
    }

    fn refuse(&mut self, why: &'static str) {
        self.reading = Reading::Refused(why);
    }

    fn repetition(&mut self, repetition: &Repetition) {
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            self.refuse("a repetition is repeated");
        }
        let RepetitionKind::Range(range) = &repetition.op.kind else { return };
        let (RepetitionRange::Exactly(most)
        | RepetitionRange::AtLeast(most)
        | RepetitionRange::Bounded(_, most)) = range;
        if *most > MAX_COUNT {
            self.refuse("a repetition counts to more than 1000");
        }
        let span = repetition.op.span;
        let written = self.text.get(span.start.offset..span.end.offset).unwrap_or_default();
        // `{,2}` is no repetition for RE2.
        if written.starts_with("{,") || written.contains(' ') {
            self.unknown();
        }
    }
}

impl Visitor for Reader<'_> {
    type Output = Reading;
    type Err = ();

    fn finish(self) -> Result<Reading, ()> {
        Ok(self.reading)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        let flags = match ast {
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(flags) => Some(flags),
                GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => None,
            },
            _ => None,
        };
        for item in flags.into_iter().flat_map(|flags| &flags.items) {
            if let FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace) = item.kind {
                self.refuse("RE2 does not know one of its flags");
            }
        }
        match ast {
            Ast::Repetition(repetition) => self.repetition(repetition),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary => {}
                _ => self.unknown(),
            },
            Ast::Literal(literal) => match literal.kind {
                LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
                | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
                    self.refuse("RE2 does not know one of its escapes");
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), ()> {
        // `[[a]b]` is a class and two characters for RE2.
        if matches!(item, ClassSetItem::Bracketed(_)) {
            self.unknown();
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _operation: &ClassSetBinaryOp) -> Result<(), ()> {
        // `[a-z&&b]` has a `&` for RE2.
        self.unknown();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_read_alike() {
        for text in [
            "/api/.*",
            "[a-z]+?",
            "(?i)eu|us",
            "(?:a|b)*c{2,3}",
            "\\d\\b",
            "[[:alpha:]]",
            "(?P<n>a)",
            "a\\.b",
        ] {
            assert_eq!(reading(text), Reading::Alike, "{text}");
        }
    }

    #[test]
    fn what_re2_reads_otherwise() {
        for text in
            ["[a-c&&b]", "[a-c--b]", "[[a]b]", "a{,2}", "a{", "\\Q(\\E", "\\<a", "\\b{start}a", "[[a]"]
        {
            assert_eq!(reading(text), Reading::Unknown, "{text}");
        }
    }

    #[test]
    fn what_re2_refuses() {
        let texts = [
            "", "(?!x)y", "(?<=a)b", "(a)\\1", "(", ")", "a)(b", "[a", "*", "a|*", "a**", "a{2}{3}",
            "a{3,1}", "a{1001}", "[z-a]", "a\\", "\\y", "\\u0041", "(?x)a", "(?z)a",
        ];
        for text in texts {
            assert!(matches!(reading(text), Reading::Refused(_)), "{text}: {:?}", reading(text));
        }
        assert!(matches!(reading(&"a".repeat(1025)), Reading::Refused(_)));
    }
}
