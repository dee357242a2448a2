//! What a scalar without quotes means: in YAML 1.2, and to the tools of Kubernetes, which read YAML 1.1.

use crate::node::{Misread, Node, Style, Value};

/// Whether this name means itself without quotes, to any reader of YAML.
#[cfg(feature = "edit")]
pub(crate) fn is_plain_text(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    // What begins with a digit may be a number or a date.
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(is_word)
        && [plain(name), in_kubernetes(name)].iter().all(|value| matches!(value, Value::String(_)))
}

/// What a scalar without quotes means: the core schema of YAML 1.2, section 10.3.2.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Number(f64::NAN),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Value::Number(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && let Ok(number) = u64::from_str_radix(digits, radix)
            && !digits.starts_with('+')
        {
            return Value::Number(number as f64);
        }
    }
    // Rust's `parse` also takes `inf` and `nan`, which YAML takes for text.
    let starts_as_number = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    match text.parse() {
        Ok(number) if starts_as_number => Value::Number(number),
        _ => Value::String(text.to_owned()),
    }
}

/// A key as text: `404: x` has the key `404`.
pub(crate) fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// What kubectl, Helm and Kubernetes make of a scalar without quotes: YAML 1.1, as version 2 of go-yaml has it.
///
/// A date becomes the same text again on its way, and sexagesimals (`1:30`) are text there: both are text here too.
pub(crate) fn in_kubernetes(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Number(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Number(f64::NEG_INFINITY),
        _ => {}
    }
    let digits = match text.chars().next() {
        // In what begins with a point, underscores are no part of a number.
        Some('.') => text.to_owned(),
        Some(first) if first.is_ascii_digit() || "+-".contains(first) => text.replace('_', ""),
        _ => return Value::String(text.to_owned()),
    };
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    let starts_as_number = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let number = integer(unsigned).map(|number| if digits.starts_with('-') { -number } else { number });
    match number.or_else(|| digits.parse().ok().filter(|number: &f64| starts_as_number && number.is_finite()))
    {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

/// A whole number without its sign, in the bases of Go: a leading 0 means octal.
fn integer(digits: &str) -> Option<f64> {
    let prefixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2), ("0", 8)];
    let (digits, radix) = prefixes
        .iter()
        .find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)))
        .filter(|(rest, _)| !rest.is_empty())
        .unwrap_or((digits, 10));
    let is_whole = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    is_whole.then(|| u128::from_str_radix(digits, radix).ok()).flatten().map(|number| number as f64)
}

/// What the tools of Kubernetes read in the place of a value, when it is another one.
pub(crate) fn scalar_in_kubernetes(text: &str, value: &Value) -> Option<Box<Misread>> {
    let other = in_kubernetes(text);
    let are_nan = matches!((&other, value), (Value::Number(a), Value::Number(b)) if a.is_nan() && b.is_nan());
    (other != *value && !are_nan).then(|| Box::new(Misread::Value(text.to_owned(), other)))
}

/// What the tools of Kubernetes read in the place of a key that is this text, when it is another one.
pub(crate) fn key_in_kubernetes(key: &Node, text: &str) -> Option<Box<Misread>> {
    if let Some(misread) = &key.misread {
        return Some(misread.clone());
    }
    // Without a text there is no key: kubectl refuses the file.
    (key.style == Style::Plain && key.value == Value::Null)
        .then(|| Box::new(Misread::Value(text.to_owned(), Value::Null)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What sigs.k8s.io/yaml 1.6.0 makes of these, seen.
    #[test]
    fn a_plain_scalar_means_to_kubectl_what_go_yaml_says() {
        let number = |text: &str, number: f64| (text.to_owned(), Value::Number(number));
        let text = |text: &str| (text.to_owned(), Value::String(text.to_owned()));
        let mut cases = vec![
            number("0b101", 5.0),
            number("0o10", 8.0),
            number("010", 8.0),
            number("08", 8.0),
            number("09.5", 9.5),
            number("1_000", 1000.0),
            number("2026_11", 202_611.0),
            number("0_1.5", 1.5),
            number("0x1F", 31.0),
            number("-0x1F", -31.0),
            number("-0b11", -3.0),
            number("+0b11", 3.0),
            number("-0o7", -7.0),
            number("1e3", 1000.0),
            number("+5", 5.0),
            number("1.", 1.0),
            number(".5", 0.5),
            number("1__0", 10.0),
            number("0_", 0.0),
            number("0x_1", 1.0),
            number("12345678901234567890123", 1.234_567_890_123_456_8e22),
        ];
        for (words, value) in [("y Y yes on On ON True", true), ("n N nO no off", false)] {
            let bool = |word: &str| match word {
                "nO" => text(word),
                _ => (word.to_owned(), Value::Bool(value)),
            };
            cases.extend(words.split(' ').map(bool));
        }
        cases.extend(
            [
                "2026-11-21T09:00:00Z",
                "2026-11-21",
                "1:30",
                ".inf2",
                "0b2",
                "0o9",
                "1e400",
                "oN",
                "tRUE",
                "_1",
                "inf",
                "=",
            ]
            .map(text),
        );
        for (written, value) in cases {
            assert_eq!(in_kubernetes(&written), value, "{written}");
        }
    }
}
