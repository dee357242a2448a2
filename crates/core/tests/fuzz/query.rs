//! The query: first line the `:path`, second line the name of the parameter.

use coalmine_core::request::StaticRequest;

use crate::engine::fuzz;
use crate::{EVERYBODY, assert_identity, json, lines, policy_of};

const DICTIONARY: [&str; 12] =
    ["user", "user=", "?", "&", "=", "#", "/", "%3D", "+", ";", "?user=alice&", "%00"];

/// The first parameter of this name. Written down once more, as a walk over the bytes with a state.
fn first(path: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut in_query = false;
    let mut parameter: Vec<u8> = Vec::new();
    let mut parameters = Vec::new();
    for &byte in path {
        match byte {
            b'#' => break,
            b'?' if !in_query => in_query = true,
            b'&' if in_query => parameters.push(std::mem::take(&mut parameter)),
            _ if in_query => parameter.push(byte),
            _ => {}
        }
    }
    parameters.push(parameter);
    parameters.into_iter().find_map(|parameter| {
        let rest = parameter.strip_prefix(name)?;
        match rest.first() {
            None => Some(Vec::new()),
            Some(b'=') => Some(rest[1..].to_vec()),
            Some(_) => None,
        }
    })
}

#[test]
fn query() {
    fuzz("query", &DICTIONARY, |input| {
        let (path, rest) = lines(input);
        let Some(Ok(name)) = rest.first().map(|name| std::str::from_utf8(name)) else {
            return "no name".into();
        };
        let fields = format!(r#""identity": [{{"queryParameter": {}}}], {EVERYBODY}"#, json(name));
        let Some(policy) = policy_of(&fields) else { return "refused".into() };
        let expected = first(path, name.as_bytes());
        let request = StaticRequest::default().with_header(":path", path).with_header(":authority", "h");
        assert_identity(&policy, &request, expected.as_deref());
        let count = |wanted: u8| path.iter().filter(|&&byte| byte == wanted).count().min(4);
        format!("{:?} {} {} {}", expected.map(|it| it.len().min(3)), count(b'?'), count(b'&'), count(b'#'))
    });
}
