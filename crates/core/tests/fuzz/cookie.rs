//! The `Cookie` header: first line the header, second line the name.

use coalmine_core::request::StaticRequest;

use crate::engine::fuzz;
use crate::{EVERYBODY, NOW, assert_identity, json, lines, policy_of, set};

const DICTIONARY: [&str; 14] = [
    "sid",
    "sid=",
    "=",
    ";",
    "; ",
    " \t",
    "a=0",
    "\"",
    "coalmine-id=",
    "__Host-id",
    "0123456789abcdef0123456789abcdef",
    "%3D",
    "\0",
    "$Version=1",
];
const RANDOM: [u8; 16] = [0xab; 16];
const ISSUED: &str = "abababababababababababababababab";

/// The pairs of a header, each without the blanks around it, with its name where it has one. Written down once more,
/// byte by byte, so that it shares nothing with the reader.
fn pairs(cookies: &[u8]) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let mut pairs = vec![Vec::new()];
    for &byte in cookies {
        match byte {
            b';' => pairs.push(Vec::new()),
            _ => pairs.last_mut().unwrap().push(byte),
        }
    }
    pairs
        .into_iter()
        .map(|mut pair| {
            while pair.first().is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
                pair.remove(0);
            }
            while pair.last().is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
                pair.pop();
            }
            let name =
                pair.contains(&b'=').then(|| pair.iter().copied().take_while(|&byte| byte != b'=').collect());
            (name, pair)
        })
        .collect()
}

/// The pairs that have another name, without empty ones, which no reader sees.
fn others(cookies: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let other =
        pairs(cookies).into_iter().filter(|(given, pair)| given.as_deref() != Some(name) && !pair.is_empty());
    other.map(|(_, pair)| pair).collect()
}

fn of_name(cookies: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let value = |pair: Vec<u8>| pair[name.len() + 1..].to_vec();
    pairs(cookies)
        .into_iter()
        .filter(|(given, _)| given.as_deref() == Some(name))
        .map(|(_, pair)| value(pair))
        .collect()
}

#[test]
fn cookie() {
    fuzz("cookie", &DICTIONARY, |input| {
        let (cookies, rest) = lines(input);
        let Some(Ok(name)) = rest.first().map(|name| std::str::from_utf8(name)) else {
            return "no name".into();
        };
        let request = StaticRequest::new("GET", "h", "/").with_header("cookie", cookies).with_random(RANDOM);
        let Some(policy) = policy_of(&format!(r#""identity": [{{"cookie": {}}}], {EVERYBODY}"#, json(name)))
        else {
            return "refused".into();
        };
        let values = of_name(cookies, name.as_bytes());
        assert_identity(&policy, &request, values.first().map(Vec::as_slice));
        issued(cookies, name, &request);
        overridden(cookies, name, &request);
        let empty = values.first().is_some_and(Vec::is_empty);
        format!("{} of {}, empty {empty}", values.len().min(5), pairs(cookies).len().min(9))
    });
}

/// The cookie that is issued is the only one of its name, and the others are as they were.
fn issued(cookies: &[u8], name: &str, request: &StaticRequest) {
    let fields =
        format!(r#""onMissingIdentity": "issueCookie", "cookie": {{"name": {}}}, {EVERYBODY}"#, json(name));
    let policy = policy_of(&fields).expect("a name that is good for an identity is good here");
    let outcome = policy.decide(request, NOW);
    let first = of_name(cookies, name.as_bytes()).into_iter().next();
    let known = first.filter(|value| {
        value.len() == 32 && value.iter().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    });
    let identity = known.clone().unwrap_or_else(|| ISSUED.into());
    assert_identity(&policy, &request.clone().with_random(RANDOM), Some(&identity));
    assert_eq!(outcome.set_cookies.is_empty(), known.is_some());
    match set(&outcome, "cookie") {
        None => assert!(known.is_some()),
        Some(rewritten) => {
            assert!(known.is_none());
            assert_eq!(of_name(rewritten, name.as_bytes()), [ISSUED.as_bytes()]);
            assert_eq!(others(rewritten, name.as_bytes()), others(cookies, name.as_bytes()));
        }
    }
}

/// A token's cookie ends here, and the others are as they were.
fn overridden(cookies: &[u8], name: &str, request: &StaticRequest) {
    let fields = format!(
        r#""identity": [{{"header": "x-user-id"}}], {EVERYBODY},
           "override": {{"cookie": {}, "secret": "0123456789abcdef0123456789abcdef"}}"#,
        json(name)
    );
    let policy = policy_of(&fields).expect("a name that is good for an identity is good here");
    let outcome = policy.decide(request, NOW);
    let sent = !of_name(cookies, name.as_bytes()).is_empty();
    assert_eq!(outcome.override_result.is_some(), sent);
    match set(&outcome, "cookie") {
        None => assert!(!sent),
        Some(rest) => {
            assert!(sent);
            assert_eq!(of_name(rest, name.as_bytes()), [[0_u8; 0]; 0]);
            assert_eq!(others(rest, name.as_bytes()), others(cookies, name.as_bytes()));
        }
    }
}
