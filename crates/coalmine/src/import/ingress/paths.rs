//! The paths of a rule as conditions of a policy.

use coalmine_document::Node;

use super::resource::{PathKind, PathRule};

/// The paths of a rule, as a policy has them.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Whether they are every path: then a policy needs none.
    pub(super) is_whole: bool,
    pub(super) nodes: Vec<Node>,
    /// Those that are regular expressions.
    pub(super) regexes: Vec<String>,
    known: Vec<(&'static str, String)>,
}

// === impl Conditions ===

impl Conditions {
    pub(super) fn add(&mut self, path: &PathRule<'_>, is_regex: bool) {
        if is_regex {
            let start = literal_start(path.text);
            self.regexes.push(path.text.to_owned());
            return self.condition("prefix", &start, path);
        }
        match path.kind {
            PathKind::Exact => self.condition("exact", path.text, path),
            PathKind::Implementation => self.condition("prefix", path.text, path),
            PathKind::Prefix => {
                // By whole elements: /shop is /shop and what is below /shop/, and not /shopping.
                let element = path.text.trim_end_matches('/');
                if !element.is_empty() {
                    self.condition("exact", element, path);
                }
                self.condition("prefix", &format!("{element}/"), path);
            }
        }
    }

    fn condition(&mut self, kind: &'static str, text: &str, path: &PathRule<'_>) {
        self.is_whole |= kind == "prefix" && text == "/";
        let condition = (kind, text.to_owned());
        if !self.known.contains(&condition) {
            let node = Node { span: path.span, ..Node::of_text(text) };
            self.nodes.push(Node::of_fields([(kind, node)]));
            self.known.push(condition);
        }
    }
}

/// What every text begins with that this regular expression matches from its beginning.
fn literal_start(regex: &str) -> String {
    let (mut start, mut depth) = (String::new(), 0_i32);
    let mut is_literal = true;
    let mut characters = regex.strip_prefix('^').unwrap_or(regex).chars();
    while let Some(next) = characters.next() {
        match next {
            '\\' => match characters.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() && is_literal => start.push(escaped),
                _ => is_literal = false,
            },
            '|' if depth == 0 => return "/".to_owned(),
            '(' => {
                depth += 1;
                is_literal = false;
            }
            ')' => depth -= 1,
            '*' | '?' | '{' if is_literal => {
                start.pop();
                is_literal = false;
            }
            '*' | '?' | '{' | '.' | '[' | ']' | '}' | '+' | '$' | '^' => is_literal = false,
            _ if is_literal => start.push(next),
            _ => {}
        }
    }
    if start.starts_with('/') { start } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_regular_expression_begins_with() {
        for (regex, start) in [
            ("/api", "/api"),
            ("/api(/|$)(.*)", "/api"),
            ("/v[0-9]+/x", "/v"),
            ("/v1\\.0/x", "/v1.0/x"),
            ("/v1.0", "/v1"),
            ("/ab?c", "/a"),
            ("/ab{2}", "/a"),
            ("/ab+c", "/ab"),
            ("/a|/b", "/"),
            ("/\\d+", "/"),
            ("^/shop", "/shop"),
            (".*", "/"),
            ("", "/"),
        ] {
            assert_eq!(literal_start(regex), start, "{regex}");
        }
    }
}
