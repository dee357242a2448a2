//! Hosts: first line the `:authority`, every other line the host of one rollout more.

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;

use crate::engine::fuzz;
use crate::{EVERYBODY, NOW, json, lines};

const DICTIONARY: [&str; 16] = [
    "shop.example",
    "*.",
    "\n*.shop.example",
    "\nshop.example",
    ".",
    "..",
    ":",
    ":443",
    ":65536",
    "[::1]",
    "\n[::1]",
    "SHOP",
    "example",
    "\n*",
    "-",
    "_",
];
/// What an `:authority` may have at most, to be a host at all: a name of 253 bytes, a dot, a port.
const MAX_AUTHORITY: usize = 260;

/// The host of an `:authority`, read once more by taking off what does not belong to it from behind.
fn host(authority: &[u8]) -> Option<Vec<u8>> {
    if authority.len() > MAX_AUTHORITY || std::str::from_utf8(authority).is_err() {
        return None;
    }
    let mut host = authority.to_vec();
    let mut shorter = host.clone();
    while shorter.last().is_some_and(u8::is_ascii_digit) {
        shorter.pop();
    }
    if shorter.last() == Some(&b':') {
        shorter.pop();
        host = shorter;
    }
    if host.last() == Some(&b'.') {
        host.pop();
    }
    host.make_ascii_lowercase();
    Some(host)
}

/// How well a host fits a pattern: the less, the better; `None` where it does not.
fn fit(host: &[u8], pattern: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        None => (host == pattern.as_bytes()).then_some(0),
        // The dot belongs to the end that must fit; before it may stand anything, and something in a real host.
        Some(end) => host.ends_with(end.as_bytes()).then(|| usize::MAX - end.len()),
    }
}

#[test]
fn hosts() {
    fuzz("host", &DICTIONARY, |input| {
        let (authority, rest) = lines(input);
        let patterns: Result<Vec<&str>, _> = rest.iter().map(|line| std::str::from_utf8(line)).collect();
        let Ok(patterns) = patterns else { return "not text".into() };
        let rollouts: Vec<String> = patterns
            .iter()
            .enumerate()
            .map(|(place, pattern)| {
                format!(
                    r#"{{"name": "r{place}", "match": {{"hosts": [{}]}}, "identity": [{{"cookie": "s"}}], {EVERYBODY}}}"#,
                    json(pattern)
                )
            })
            .collect();
        let policy =
            match Policy::from_json(format!("{{\"rollouts\": [{}]}}", rollouts.join(", ")).as_bytes()) {
                Ok(policy) => policy,
                Err(problems) => {
                    assert!(
                        problems.count() <= patterns.len() && problems.count() > 0,
                        "one for each bad host"
                    );
                    return "refused".into();
                }
            };
        let decided = |authority: &[u8]| {
            let request = StaticRequest::default().with_header(":authority", authority);
            policy.decide(&request, NOW).assignment.rollout.map(|rollout| rollout.index())
        };
        let host = host(authority);
        let fits = patterns
            .iter()
            .enumerate()
            .filter_map(|(place, pattern)| Some((fit(host.as_deref()?, pattern)?, place)));
        assert_eq!(decided(authority), fits.min().map(|(_, place)| place));
        for (place, pattern) in patterns.iter().enumerate() {
            // A host that a policy may name is found by that very name, by the first rollout that names it.
            let first = patterns.iter().position(|other| other == pattern);
            let name = pattern.replacen('*', "x", 1);
            let found = decided(name.as_bytes());
            assert!(found.is_some(), "{pattern} of {place}");
            if !pattern.starts_with('*') {
                assert_eq!(found, first, "{pattern}");
            }
        }
        format!("{:?} of {}", decided(authority).map(|place| place.min(4)), patterns.len().min(6))
    });
}
