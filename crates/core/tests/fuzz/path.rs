//! Paths: first line the `:path`, every other line a condition, `=` and an exact path or `^` and a prefix.

use coalmine_core::Reason;
use coalmine_core::request::StaticRequest;

use crate::engine::fuzz;
use crate::{EVERYBODY, NOW, json, lines, policy_of};

const DICTIONARY: [&str; 14] =
    ["/", "//", "/api/", "/cart", "\n=/", "\n^/", "?", "#", "/../", "/./", "%2F", "%00", ";v=1", "/API/"];

#[test]
fn path() {
    fuzz("path", &DICTIONARY, |input| {
        let (path, rest) = lines(input);
        let mut conditions = Vec::new();
        for line in rest {
            let Ok(line) = std::str::from_utf8(line) else { return "not text".into() };
            match (line.strip_prefix('='), line.strip_prefix('^')) {
                (Some(exact), _) => conditions.push((true, exact)),
                (_, Some(prefix)) => conditions.push((false, prefix)),
                _ => return "no condition".into(),
            }
        }
        let written: Vec<String> = conditions
            .iter()
            .map(|(exact, text)| {
                format!(r#"{{"{}": {}}}"#, if *exact { "exact" } else { "prefix" }, json(text))
            })
            .collect();
        let fields = format!(
            r#""match": {{"paths": [{}]}}, "identity": [{{"header": "x-user-id"}}], {EVERYBODY}"#,
            written.join(", ")
        );
        let good = |text: &str| text.starts_with('/') && !text.contains('?') && !text.contains('#');
        let expected =
            (1..=1_000).contains(&conditions.len()) && conditions.iter().all(|(_, text)| good(text));
        let policy = policy_of(&fields);
        assert_eq!(policy.is_some(), expected);
        let Some(policy) = policy else { return "refused".into() };
        let mut end = 0;
        while end < path.len() && path[end] != b'?' && path[end] != b'#' {
            end += 1;
        }
        let holds = conditions.iter().any(|(exact, text)| {
            let text = text.as_bytes();
            let long_enough = if *exact { end == text.len() } else { end >= text.len() };
            long_enough && (0..text.len()).all(|at| path[at] == text[at])
        });
        let request = StaticRequest::default().with_header(":path", path).with_header("x-user-id", "u");
        let reason = policy.decide(&request, NOW).assignment.reason;
        assert_eq!(reason, if holds { Reason::Bucket } else { Reason::NoMatch });
        format!("{holds} {} {}", conditions.len().min(4), end == path.len())
    });
}
