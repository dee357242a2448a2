//! The parts of a request in which an identity may stand, read from the bytes as they came.

/// The value of the first cookie of this name, raw.
#[inline]
pub(super) fn cookie<'c>(cookies: &'c [u8], name: &[u8]) -> Option<&'c [u8]> {
    pairs(cookies)
        .find(|&pair| cookie_name(pair) == Some(name))
        .map(|pair| pair.get(name.len() + 1..).unwrap_or_default())
}

/// The `Cookie` header without the pairs of this name, the rest byte for byte.
pub(super) fn without_cookie(cookies: &[u8], name: &[u8]) -> Vec<u8> {
    let kept: Vec<&[u8]> = cookies
        .split(|&byte| byte == b';')
        .filter(|pair| cookie_name(trim_blanks(pair)) != Some(name))
        .collect();
    let kept = kept.join(&b';');
    // A pair that has become the first one brings the blank that stood behind the semicolon before it.
    if cookies.starts_with(b" ") {
        kept
    } else {
        kept.strip_prefix(b" ").map_or_else(|| kept.clone(), <[u8]>::to_vec)
    }
}

#[inline]
fn pairs(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    cookies.split(|&byte| byte == b';').map(trim_blanks)
}

/// The name of a pair, up to its first `=`.
#[inline]
fn cookie_name(pair: &[u8]) -> Option<&[u8]> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    pair.get(..equals)
}

/// The value of the first parameter of this name in a query, not decoded.
pub(super) fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|&byte| byte == b'&').find_map(|parameter| {
        let mut halves = parameter.splitn(2, |&byte| byte == b'=');
        (halves.next() == Some(name)).then(|| halves.next().unwrap_or_default())
    })
}

/// An address as Envoy prints it, without its port and brackets: from `10.0.0.1:443` and `[2001:db8::1]:443`.
pub(super) fn address(text: &[u8]) -> Option<&[u8]> {
    let colon = text.iter().rposition(|&byte| byte == b':')?;
    let (host, port) = text.split_at(colon);
    if port.len() < 2 || !port.iter().skip(1).all(u8::is_ascii_digit) {
        return None;
    }
    match host.strip_prefix(b"[") {
        Some(host) => host.strip_suffix(b"]"),
        None => Some(host),
    }
}

/// A claim as Envoy hands it over: a string as it is, a whole number as decimal text, anything else is missing.
///
/// A number comes as the eight bytes of a double, and nothing tells it from a string of eight bytes. Text wins: no
/// whole number below 2^52 looks like text.
pub(super) fn claim(value: Vec<u8>) -> Option<Vec<u8>> {
    if is_text(&value) {
        return Some(value);
    }
    let number = f64::from_le_bytes(value.try_into().ok()?);
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    is_whole.then(|| (number as i64).to_string().into_bytes())
}

fn is_text(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Without the spaces and tabs around it.
#[inline]
fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let kept = |byte: &u8| !b" \t".contains(byte);
    let start = bytes.iter().position(kept).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(kept).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_the_first_of_its_name_with_its_raw_value() {
        for (cookies, value) in [
            ("sid=1", Some("1")),
            ("a=0; sid=1; sid=2", Some("1")),
            (" \tsid=1\t ", Some("1")),
            ("sid=\"1\"", Some("\"1\"")),
            ("sid=a=b", Some("a=b")),
            ("sid=", Some("")),
            ("sid", None),
            ("Sid=1", None),
            ("sid =1", None),
            ("xsid=1;;;=;", None),
            ("=1", None),
            ("", None),
        ] {
            assert_eq!(cookie(cookies.as_bytes(), b"sid"), value.map(str::as_bytes), "{cookies}");
        }
    }

    #[test]
    fn a_cookie_is_cut_out_and_the_rest_stays_byte_for_byte() {
        for (cookies, rest) in [
            ("sid=1", ""),
            ("a=0; sid=1; b=2", "a=0; b=2"),
            ("sid=1; a=0", "a=0"),
            ("a=0;sid=1;\tb=2 ;sid=3", "a=0;\tb=2 "),
            ("a=0; ;; b", "a=0; ;; b"),
            (" a=0", " a=0"),
            ("sid", "sid"),
        ] {
            assert_eq!(without_cookie(cookies.as_bytes(), b"sid"), rest.as_bytes(), "{cookies}");
        }
    }

    #[test]
    fn a_parameter_is_the_first_of_its_name_not_decoded() {
        for (query, value) in [
            ("user=1", Some("1")),
            ("a&user=1&user=2", Some("1")),
            ("user=%20a+b", Some("%20a+b")),
            ("user=a=b", Some("a=b")),
            ("user", Some("")),
            ("user=", Some("")),
            ("User=1", None),
            ("&&=&", None),
            ("", None),
        ] {
            assert_eq!(parameter(query.as_bytes(), b"user"), value.map(str::as_bytes), "{query}");
        }
    }

    #[test]
    fn an_address_loses_its_port_and_brackets() {
        for (text, host) in [
            ("10.0.0.1:443", Some("10.0.0.1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("10.0.0.1", None),
            ("10.0.0.1:", None),
            ("[::1:443", None),
            ("envoy://internal/", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), host.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn a_claim_is_a_string_or_a_whole_number() {
        let number =
            |number: f64| claim(number.to_le_bytes().to_vec()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(number(0.0).as_deref(), Some("0"));
        assert_eq!(number(-0.0).as_deref(), Some("0"));
        assert_eq!(number(42.0).as_deref(), Some("42"));
        assert_eq!(number(-7.0).as_deref(), Some("-7"));
        assert_eq!(number(9_007_199_254_740_991.0).as_deref(), Some("9007199254740991"));
        assert_eq!(number(9_007_199_254_740_992.0), None);
        assert_eq!(number(1.5), None);
        assert_eq!(number(f64::NAN), None);
        for text in ["alice", "user0001", "eight 3C", "äöüß", "李雷李"] {
            assert_eq!(claim(text.into()), Some(text.into()));
        }
        for other in [&b"\x01"[..], b"\x00", b"\x01\x00\x00\x00ab", b"\xff\xfe"] {
            assert_eq!(claim(other.to_vec()), None);
        }
    }

    #[test]
    fn no_whole_number_below_two_to_the_52_looks_like_text() {
        for number in (0..52).flat_map(|bit| [1_u64 << bit, (1 << bit) + 1, (1 << (bit + 1)) - 1]).chain([0])
        {
            assert!(!is_text(&(number as f64).to_le_bytes()), "{number}");
        }
    }
}
