//! A document written inside a text of another one: JSON in Envoy's `StringValue`, a file in a ConfigMap.

use crate::node::{Node, Span, Style, Value};
use crate::notation::Notation;
use crate::problem::Unreadable;

/// The documents in this text, with every span in the file itself.
///
/// `file` is the whole file, `holder` the value of it that holds the text. Where the notation does not show which byte
/// came from where, every span is where the text begins.
///
/// # Errors
/// The text is not in this notation; the span is in the file.
pub fn embedded(file: &str, holder: &Node, notation: Notation) -> Result<Vec<Node>, Unreadable> {
    let Value::String(text) = &holder.value else { return Ok(Vec::new()) };
    let origin = origin(file, holder, text);
    let last = origin.as_ref().and_then(|origin| origin.last().copied()).unwrap_or(holder.span.start);
    let to_file = |at: usize| match &origin {
        Some(origin) => origin.get(at).copied().unwrap_or(last),
        None => holder.span.start,
    };
    match notation.read(text) {
        Ok(trees) => Ok(trees.into_iter().map(|tree| tree.moved(&to_file)).collect()),
        Err(refused) => {
            let start = to_file(refused.span.start);
            Err(Unreadable {
                message: refused.message,
                span: Span::new(start, to_file(refused.span.end).max(start)),
            })
        }
    }
}

/// For each byte of `text`, and one more for its end, the byte of the file that it came from.
fn origin(file: &str, holder: &Node, text: &str) -> Option<Vec<usize>> {
    let raw = file.get(holder.span.range())?;
    match holder.style {
        Style::Literal => literal(file, holder.span.start, text),
        Style::Double => escaped(raw, holder.span.start, text),
        Style::Plain if raw == text => Some((holder.span.start..=holder.span.end).collect()),
        Style::Single if raw.get(1..raw.len().checked_sub(1)?) == Some(text) => {
            Some((holder.span.start + 1..holder.span.end).collect())
        }
        _ => None,
    }
}

/// YAML's `|`: every line is as written, less its indentation.
fn literal(file: &str, start: usize, text: &str) -> Option<Vec<usize>> {
    let line_start = file.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let indentation = start - line_start;
    // `start` is in the first line that has a word.
    let mut at = line_start;
    for _ in text.bytes().take_while(|&byte| byte == b'\n') {
        at = file.get(..at.checked_sub(1)?)?.rfind('\n')? + 1;
    }
    let mut origin = Vec::with_capacity(text.len() + 1);
    let mut lines = file.get(at..)?.split_inclusive('\n');
    for line in text.split_inclusive('\n') {
        let raw = lines.next()?;
        // A line without a word may be shorter than the indentation.
        let skipped = indentation.min(raw.trim_end_matches(['\n', '\r']).len());
        if raw.trim_end_matches(['\n', '\r']).get(skipped..)? != line.trim_end_matches('\n') {
            return None;
        }
        origin.extend((0..line.len()).map(|byte| at + skipped + byte));
        at += raw.len();
    }
    origin.push(origin.last().map_or(start, |last| last + 1));
    Some(origin)
}

/// Double quotes on one line, the escapes of JSON.
fn escaped(raw: &str, start: usize, text: &str) -> Option<Vec<usize>> {
    let mut origin = Vec::with_capacity(text.len() + 1);
    let mut rest = raw.get(1..raw.len().checked_sub(1)?)?.char_indices();
    for character in text.chars() {
        let (at, written) = rest.next()?;
        let from = start + 1 + at;
        if written == '\\' {
            let (_, kind) = rest.next()?;
            let digits = match kind {
                'u' if u32::from(character) > 0xffff => 10,
                'u' => 4,
                'x' => 2,
                'U' => 8,
                _ => 0,
            };
            for _ in 0..digits {
                rest.next()?;
            }
        } else if written != character {
            return None;
        }
        origin.extend(std::iter::repeat_n(from, character.len_utf8()));
    }
    origin.push(start + raw.len() - 1);
    Some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file's text of the value under `weight` in the document under `value`.
    fn found(file: &str) -> String {
        let tree = Notation::of("x", file).read(file).unwrap().remove(0);
        let holder = tree.get("value").unwrap();
        let inner = embedded(file, holder, Notation::of("", holder.text().unwrap())).unwrap().remove(0);
        file[inner.get("weight").unwrap().span.range()].to_owned()
    }

    #[test]
    fn a_document_in_a_text_has_its_place_in_the_file() {
        assert_eq!(found("value: |\n\n  {\n\n    \"é\": 1,\n    \"weight\": 77}\n"), "77");
        assert_eq!(found("a:\nvalue: |2\n    é: 1\n    weight: 77\n"), "77");
        assert_eq!(found("value: |-\r\n  a: 1\r\n  weight: 77\r\n"), "77");
        assert_eq!(found(r#"{"value": "{\"\u00e9\\n\ud83d\ude00\":\n1, \"weight\": 77}"}"#), "77");
        assert_eq!(found("value: '{\"a\": 1, \"weight\": 77}'"), "77");
    }

    #[test]
    fn where_it_cannot_be_told_it_is_where_the_text_begins() {
        let file = "value: >\n  {\"a\": 1,\n  \"weight\": 77}\n";
        assert_eq!(found(file), "");
    }
}
