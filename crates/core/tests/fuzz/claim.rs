//! Verified claims, as the host hands them over: first line the names on the way to it, separated by blanks, the rest the
//! value.

use coalmine_core::request::StaticRequest;

use crate::engine::fuzz;
use crate::{EVERYBODY, assert_identity, json, policy_of};

const DICTIONARY: [&str; 10] =
    ["sub", "payload sub", "realm tenant", " ", "\n", "\0", "alice", "\u{7f}", "\u{85}", "äö"];

/// What a value says, read once more: text without control characters, or eight bytes of a whole number that a double
/// holds exactly.
fn expected(value: &[u8]) -> Option<Vec<u8>> {
    if let Ok(text) = std::str::from_utf8(value) {
        let control = |character: char| matches!(u32::from(character), 0..=31 | 127..=159);
        if !text.chars().any(control) {
            return Some(value.to_vec());
        }
    }
    let mut bits = 0_u64;
    for &byte in value.iter().rev() {
        bits = bits << 8 | u64::from(byte);
    }
    let number = f64::from_bits(bits);
    let limit = 2_f64.powi(53);
    let exact = value.len() == 8
        && number.is_finite()
        && number.floor() == number
        && -limit < number
        && number < limit;
    exact.then(|| if number == 0.0 { b"0".to_vec() } else { format!("{number:.0}").into_bytes() })
}

#[test]
fn claim() {
    fuzz("claim", &DICTIONARY, |input| {
        let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
        let value = input.get(end + 1..).unwrap_or_default();
        let Ok(names) = std::str::from_utf8(&input[..end]) else { return "not text".into() };
        let names: Vec<&str> = names.split(' ').collect();
        let path: Vec<String> = names[1..].iter().map(|name| json(name)).collect();
        let fields = format!(
            r#""identity": [{{"jwtClaim": {{"payload": {}, "path": [{}]}}}}], {EVERYBODY}"#,
            json(names[0]),
            path.join(", ")
        );
        let Some(policy) = policy_of(&fields) else { return "refused".into() };
        let mut place = vec!["metadata", "filter_metadata", "envoy.filters.http.jwt_authn"];
        place.extend(&names);
        let expected = expected(value);
        let request = StaticRequest::new("GET", "h", "/").with_property(&place, value);
        assert_identity(&policy, &request, expected.as_deref());
        // Anywhere else it is not found.
        let elsewhere = [&place[..], &["x"]].concat();
        assert_identity(&policy, &StaticRequest::new("GET", "h", "/").with_property(&elsewhere, value), None);
        let number = expected.as_deref().is_some_and(|text| text != value);
        format!("{} {number} {} {}", expected.is_some(), value.len().min(10), names.len().min(4))
    });
}
