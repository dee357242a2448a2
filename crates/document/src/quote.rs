//! Values in a sentence: texts in quotes, and numbers as a person writes them.

/// How many bytes of a value are quoted.
const MAX_QUOTED: usize = 64;

/// `value` in quotes, cut to 64 bytes, with what could upset a log escaped.
pub fn quoted(value: &str) -> String {
    let end = (0..=MAX_QUOTED.min(value.len())).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
    let mut text = String::from("\"");
    for character in value.get(..end).unwrap_or_default().chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            _ if character.is_control() || turns_text(character) => text.extend(character.escape_default()),
            _ => text.push(character),
        }
    }
    text.push_str(if end < value.len() { "…\"" } else { "\"" });
    text
}

/// Whether a character ends the line or turns the direction of what follows: it could make a log say something else.
fn turns_text(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number as a person writes it: `5`, `33.3333`, rounded to nine decimals. The general printers of the standard
/// library and of serde_json come with tables that would make the module 15 KB larger, and every proxy compiles it.
pub fn number(value: f64) -> String {
    const DECIMALS: u64 = 1_000_000_000;
    /// Below it a double still tells whole numbers apart.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        return String::from("NaN");
    }
    let sign = if value <= -0.5 / DECIMALS as f64 { "-" } else { "" };
    let value = value.abs();
    if value > LARGEST {
        return format!("{sign}more than {}", LARGEST as u64);
    }
    let whole = value.trunc();
    let fraction = ((value - whole) * DECIMALS as f64).round() as u64;
    let (whole, fraction) = (whole as u64 + fraction / DECIMALS, fraction % DECIMALS);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(quoted("a\n\"b"), r#""a\n\"b""#);
        let long = format!("{}ééé", "x".repeat(63));
        assert_eq!(quoted(&long), format!("\"{}…\"", "x".repeat(63)));
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (5.0, "5"),
            (-1.0, "-1"),
            (0.0, "0"),
            (33.3333, "33.3333"),
            (33.333_33, "33.33333"),
            (0.000_05, "0.00005"),
            (0.1 + 0.2, "0.3"),
            (0.999_999_999_9, "1"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e300, "more than 9007199254740992"),
            (f64::NEG_INFINITY, "-more than 9007199254740992"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
