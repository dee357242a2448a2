//! The `split_clients` blocks of a configuration, and what is wrong with them.

use coalmine_document::{Span, quoted};

use super::lexer::{Kind, Token, Words};
use crate::diagnostic::{Code, Diagnostic};

/// All users, in hundredths of a percent: the finest share that nginx has.
pub(super) const WHOLE: u32 = 10_000;

/// A `split_clients` block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) key: String,
    pub(super) variable: String,
    /// Where the variable stands.
    pub(super) span: Span,
    pub(super) parts: Vec<Part>,
    /// Whether it splits TCP connections.
    pub(super) in_stream: bool,
}

/// A line of a block.
#[derive(Debug)]
pub(super) struct Part {
    /// In hundredths of a percent; `None` of `*`.
    pub(super) share: Option<u32>,
    pub(super) value: String,
}

/// What a configuration has for an import.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) blocks: Vec<Block>,
    /// The files that it includes, and that were not read.
    pub(super) includes: Vec<String>,
    pub(super) problems: Vec<Diagnostic>,
    /// How many `split_clients` were seen, whether they could be read or not.
    pub(super) seen: usize,
}

struct Walk<'t> {
    tokens: std::slice::Iter<'t, Token>,
    /// The blocks around: their first words.
    around: Vec<&'t str>,
    found: Configuration,
    end: usize,
}

/// Words up to the mark that ends them.
struct Directive<'t> {
    words: Vec<(&'t str, Span)>,
    /// The mark, and its place; none at the end of the file.
    end: Option<(&'t Kind, Span)>,
}

/// Finds the blocks.
pub(super) fn read(words: &Words, length: usize) -> Configuration {
    let mut walk = Walk {
        tokens: words.tokens.iter(),
        around: Vec::new(),
        found: Configuration::default(),
        end: length,
    };
    // Behind a problem of the words the file seems to end early, which is no second problem.
    let is_whole = words.problem.is_none();
    walk.run(is_whole);
    if words.is_dump {
        walk.found.includes.clear();
    }
    walk.found.problems.extend(words.problem.clone());
    walk.found
}

// === impl Walk ===

impl<'t> Walk<'t> {
    fn problem(&mut self, span: Span, message: impl Into<String>) {
        self.found.problems.push(Diagnostic::error(Code::Policy, span, "", message));
    }

    fn directive(&mut self) -> Directive<'t> {
        let mut words = Vec::new();
        for Token { kind, span } in self.tokens.by_ref() {
            match kind {
                Kind::Word(word) => words.push((word.as_str(), *span)),
                mark => return Directive { words, end: Some((mark, *span)) },
            }
        }
        Directive { words, end: None }
    }

    fn run(&mut self, is_whole: bool) {
        loop {
            let directive = self.directive();
            let first = directive.words.first().map_or("", |(word, _)| *word);
            match directive.end {
                Some((Kind::Open, _)) if first == "split_clients" => self.split(&directive.words, is_whole),
                Some((Kind::Open, _)) => self.around.push(first),
                Some((Kind::Close, _)) => drop(self.around.pop()),
                Some((Kind::End, _)) if first == "include" => {
                    self.found.includes.extend(directive.words.get(1).map(|(file, _)| (*file).to_owned()));
                }
                _ => {}
            }
            if first == "split_clients"
                && !matches!(directive.end, Some((Kind::Open, _)))
                && let Some((_, span)) = directive.words.first()
                && (is_whole || directive.end.is_some())
            {
                self.found.seen += 1;
                self.problem(
                    *span,
                    "split_clients has no block: split_clients TEXT $VARIABLE { .. } was expected",
                );
            }
            if directive.end.is_none() {
                return;
            }
        }
    }

    fn split(&mut self, words: &[(&'t str, Span)], is_whole: bool) {
        self.found.seen += 1;
        let before = self.found.problems.len();
        let heading = words.first().map_or(Span::default(), |(_, span)| *span);
        let parts = self.parts(heading, is_whole);
        let [_, (key, _), (variable, span)] = words else {
            let message = "split_clients takes a text and a variable: split_clients TEXT $VARIABLE { .. }";
            return self.problem(heading, message);
        };
        if !variable.starts_with('$') || variable.len() < 2 {
            let message = format!("{} is no variable; nginx expects $NAME here", quoted(variable));
            return self.problem(*span, message);
        }
        if self.found.problems.len() == before {
            self.found.blocks.push(Block {
                key: (*key).to_owned(),
                variable: (*variable).to_owned(),
                span: *span,
                parts,
                in_stream: self.around.contains(&"stream"),
            });
        }
    }

    fn parts(&mut self, heading: Span, is_whole: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut sum: u32 = 0;
        loop {
            let directive = self.directive();
            for (index, pair) in directive.words.chunks(2).enumerate() {
                let Some((share, span)) = pair.first() else { continue };
                if index > 0 {
                    self.problem(*span, format!("a \";\" is missing before {}", quoted(share)));
                }
                let share = match self.share(share, *span) {
                    Ok(share) => share,
                    Err(()) => continue,
                };
                // As nginx adds up: `*` takes what is left, so it has to be the last one.
                let is_over = sum <= WHOLE;
                sum = share.map_or(WHOLE, |share| sum.saturating_add(share));
                if sum > WHOLE && is_over {
                    let why = "shares add up to more than 100 %, and \"*\" is all that is left; nginx refuses it too";
                    self.problem(*span, why);
                }
                match pair.get(1) {
                    Some((value, _)) => parts.push(Part { share, value: (*value).to_owned() }),
                    None => self.problem(*span, "a share without a value; \"\" is the empty one"),
                }
            }
            match directive.end {
                Some((Kind::End, span)) if directive.words.is_empty() => {
                    self.problem(span, "a \";\" without a share in front of it");
                }
                Some((Kind::End, _)) => {}
                Some((Kind::Close, span)) => {
                    if !directive.words.is_empty() {
                        self.problem(span, "a \";\" is missing before \"}\"");
                    }
                    return parts;
                }
                Some((Kind::Open, span)) => {
                    self.problem(
                        span,
                        "a \"{\" inside split_clients; is this a template that was not filled in?",
                    );
                    self.skip_block();
                }
                _ => {
                    if is_whole {
                        let end = Span::at(self.end);
                        let place = if heading.is_empty() { end } else { heading };
                        self.problem(place, "the block of split_clients is not closed: a \"}\" is missing");
                    }
                    return parts;
                }
            }
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 1;
        while depth > 0 {
            match self.directive().end {
                Some((Kind::Open, _)) => depth += 1,
                Some((Kind::Close, _)) => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The share of a line; `None` is `*`.
    fn share(&mut self, text: &str, span: Span) -> Result<Option<u32>, ()> {
        if text == "*" {
            return Ok(None);
        }
        let why = match text.strip_suffix('%').map(hundredths) {
            Some(Some(0)) => "is no share: nginx takes 0.01% and more; leave the line out",
            Some(Some(share)) => return Ok(Some(share)),
            Some(None) | None if text.contains("${") || text.contains("{{") => {
                "is no percentage; is this a template that was not filled in?"
            }
            Some(None) => "is no percentage: a number with at most two decimals was expected, as 0.5%",
            None if text == "include" => {
                "is not for split_clients: nginx takes it for a share, and refuses it"
            }
            None => "is no percentage: 0.5% or * was expected",
        };
        self.problem(span, format!("{} {why}", quoted(text)));
        Err(())
    }
}

/// A number with at most two decimals, in hundredths.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() || decimals.len() > 2 || !digits(whole) || !digits(decimals) {
        return None;
    }
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let decimals: u32 = format!("{decimals:0<2}").parse().ok()?;
    whole.checked_mul(100)?.checked_add(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_two_decimals() {
        for (text, expected) in [
            ("0.5", Some(50)),
            ("12.34", Some(1234)),
            ("100", Some(10_000)),
            ("5.", Some(500)),
            (".5", Some(50)),
            ("0", Some(0)),
            ("0.001", None),
            ("", None),
            ("1e1", None),
            ("-1", None),
            ("+1", None),
            ("1.2.3", None),
            ("99999999999", None),
        ] {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }
}
