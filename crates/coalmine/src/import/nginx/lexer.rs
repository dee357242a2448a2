//! The words of an nginx configuration, as nginx takes them apart.

use coalmine_document::Span;

use crate::diagnostic::{Code, Diagnostic};

/// What begins the comments in which `nginx -T` names the files that it prints.
const DUMP: &str = "# configuration file ";

/// A word or a mark of a configuration, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word without its quotes and escapes.
    Word(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `;`
    End,
}

/// The words of a configuration: all of them, or those in front of what could not be read.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) tokens: Vec<Token>,
    pub(super) problem: Option<Diagnostic>,
    /// Whether this is the output of `nginx -T`, which has the files that are included.
    pub(super) is_dump: bool,
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    words: Words,
    /// The first word of the directive that is being read.
    directive: String,
}

/// Takes a configuration apart.
pub(super) fn read(text: &str) -> Words {
    let mut lexer = Lexer { text, at: 0, words: Words::default(), directive: String::new() };
    if let Err(problem) = lexer.run() {
        lexer.words.problem = Some(problem);
    }
    lexer.words
}

fn problem(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::Syntax, span, "", message)
}

// === impl Lexer ===

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn line_of(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or_default().matches('\n').count() + 1
    }

    fn run(&mut self) -> Result<(), Diagnostic> {
        while let Some(first) = self.peek() {
            let start = self.at;
            match first {
                _ if is_blank(first) => drop(self.next()),
                '#' => self.comment(),
                '{' => {
                    self.mark(Kind::Open);
                    if std::mem::take(&mut self.directive).ends_with("_by_lua_block") {
                        self.lua(start)?;
                    }
                }
                '}' | ';' => {
                    self.mark(if first == ';' { Kind::End } else { Kind::Close });
                    self.directive.clear();
                }
                '"' | '\'' => self.quoted(first)?,
                _ => self.plain(),
            }
        }
        Ok(())
    }

    fn mark(&mut self, kind: Kind) {
        let start = self.at;
        self.next();
        self.words.tokens.push(Token { kind, span: Span::new(start, self.at) });
    }

    fn word(&mut self, word: String, start: usize) {
        if self.directive.is_empty() {
            self.directive.clone_from(&word);
        }
        self.words.tokens.push(Token { kind: Kind::Word(word), span: Span::new(start, self.at) });
    }

    fn comment(&mut self) {
        self.words.is_dump |= self.rest().starts_with(DUMP);
        while self.next().is_some_and(|next| next != '\n') {}
    }

    /// A word without quotes: it ends at a blank, at `;` and at `{`, unless that is the one of `${name}`. It may have a
    /// quote, a `#` or a `}` in it.
    fn plain(&mut self) {
        let start = self.at;
        let mut word = String::new();
        while let Some(next) = self.peek() {
            let is_variable = next == '{' && word.ends_with('$');
            if is_blank(next) || next == ';' || next == '{' && !is_variable {
                break;
            }
            self.next();
            match next {
                '\\' => self.escape(&mut word),
                _ => word.push(next),
            }
        }
        self.word(word, start);
    }

    fn quoted(&mut self, quote: char) -> Result<(), Diagnostic> {
        let start = self.at;
        self.next();
        let mut word = String::new();
        loop {
            match self.next() {
                Some('\\') => self.escape(&mut word),
                Some(next) if next == quote => break,
                Some(next) => word.push(next),
                None => {
                    let line = self.line_of(start);
                    return Err(problem(
                        Span::new(start, start + 1),
                        format!("a quote that is opened in line {line} is not closed"),
                    ));
                }
            }
        }
        self.word(word, start);
        match self.peek() {
            Some(next) if !is_blank(next) && !";{)".contains(next) => Err(problem(
                Span::new(self.at, self.at + next.len_utf8()),
                "a blank, \";\" or \"{\" is missing behind the quote; nginx refuses this too",
            )),
            _ => Ok(()),
        }
    }

    /// What stands behind a backslash. nginx keeps a backslash that escapes nothing.
    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some(next @ ('"' | '\'' | '\\')) => word.push(next),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(next) => word.extend(['\\', next]),
            None => word.push('\\'),
        }
    }

    /// Skips Lua, up to the brace that closes its block: its strings and comments have quotes and braces of their own.
    fn lua(&mut self, open: usize) -> Result<(), Diagnostic> {
        let mut depth = 1;
        while depth > 0 {
            let start = self.at;
            let Some(next) = self.next() else {
                let line = self.line_of(open);
                let message = format!("a block of Lua that is opened in line {line} is not closed");
                return Err(problem(Span::new(open, open + 1), message));
            };
            match next {
                '{' => depth += 1,
                '}' => depth -= 1,
                '-' if self.peek() == Some('-') => {
                    self.next();
                    if !self.long_bracket(self.at)? {
                        while self.next().is_some_and(|next| next != '\n') {}
                    }
                }
                '[' => drop(self.long_bracket(start)?),
                '"' | '\'' => self.lua_string(next, start)?,
                _ => {}
            }
        }
        let span = Span::new(self.at.saturating_sub(1), self.at);
        self.words.tokens.push(Token { kind: Kind::Close, span });
        Ok(())
    }

    fn lua_string(&mut self, quote: char, start: usize) -> Result<(), Diagnostic> {
        loop {
            match self.next() {
                Some('\\') => drop(self.next()),
                Some(next) if next == quote => return Ok(()),
                Some('\n') | None => {
                    let line = self.line_of(start);
                    return Err(problem(
                        Span::new(start, start + 1),
                        format!("a quote that is opened in line {line}, in Lua, is not closed"),
                    ));
                }
                Some(_) => {}
            }
        }
    }

    /// Skips `[[..]]` or `[==[..]==]` when it begins at this byte.
    fn long_bracket(&mut self, start: usize) -> Result<bool, Diagnostic> {
        let Some(inside) = self.text.get(start..).and_then(|text| text.strip_prefix('[')) else {
            return Ok(false);
        };
        let level = inside.chars().take_while(|next| *next == '=').count();
        if !inside.get(level..).unwrap_or_default().starts_with('[') {
            return Ok(false);
        }
        let end = format!("]{}]", "=".repeat(level));
        let begin = start + level + 2;
        let Some(length) = self.text.get(begin..).and_then(|text| text.find(&end)) else {
            let line = self.line_of(start);
            let message = format!("a long bracket that is opened in line {line}, in Lua, is not closed");
            return Err(problem(Span::new(start, begin), message));
        };
        self.at = begin + length + end.len();
        Ok(true)
    }
}

/// What parts words for nginx.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let read = read(text);
        assert_eq!(read.problem, None, "{text}");
        let word = |token: Token| match token.kind {
            Kind::Word(word) => word,
            Kind::Open => "{".to_owned(),
            Kind::Close => "}".to_owned(),
            Kind::End => ";".to_owned(),
        };
        read.tokens.into_iter().map(word).collect()
    }

    fn refusal(text: &str) -> String {
        read(text).problem.unwrap().message
    }

    #[test]
    fn words_are_those_of_nginx() {
        for (text, expected) in [
            ("a b;c{d;}", &["a", "b", ";", "c", "{", "d", ";", "}"][..]),
            ("a # b;\nc", &["a", "c"]),
            ("a#b", &["a#b"]),
            ("${a}b $c{", &["${a}b", "$c", "{"]),
            ("a'b \"c d\" 'e\"f' ;", &["a'b", "c d", "e\"f", ";"]),
            (r#""a\"b" a\ b 'c\nd' \d+"#, &["a\"b", "a\\ b", "c\nd", "\\d+"]),
            ("\"\" '';", &["", "", ";"]),
            ("a\r\nb", &["a", "b"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn lua_is_not_nginx() {
        for lua in [
            "-- 'tis one apostrophe\n",
            "local a = '}' .. \"{\\\"\"",
            "--[[ } ' ]] if a then b() end",
            "--[==[ ]] } ]==]",
            "x = [[ ' } ]] y = a[b[1]] ",
            "t = { { 1 }, {} }",
            "return a - b",
        ] {
            assert_eq!(words(&format!("set_by_lua_block $a {{ {lua} }} b;")).len(), 6, "{lua}");
        }
        assert_eq!(
            refusal("a_by_lua_block {\n x = 'a\n }"),
            "a quote that is opened in line 2, in Lua, is not closed"
        );
        assert_eq!(refusal("\na_by_lua_block { {}"), "a block of Lua that is opened in line 2 is not closed");
        assert_eq!(
            refusal("a_by_lua_block { --[[ }"),
            "a long bracket that is opened in line 1, in Lua, is not closed"
        );
    }

    #[test]
    fn a_quote_that_is_not_closed() {
        assert_eq!(refusal("a;\nb 'c;\n"), "a quote that is opened in line 2 is not closed");
        assert!(refusal("a 'b'c;").contains("behind the quote"));
    }
}
