//! Rollouts that no request can ever reach, for whoever checks a policy. No request comes here.

use super::hosts::HostPattern;
use super::matching::{HeaderCondition, HeaderMatch, Match, Text};
use super::{Policy, Rollout};

impl Policy {
    /// Each rollout that can never match, with an earlier one that takes a part of what it speaks of; together the
    /// earlier ones take all of it.
    pub fn shadowed(&self) -> Vec<(&Rollout, &Rollout)> {
        let by = |(place, rollout): (usize, &'_ Rollout)| -> Option<usize> {
            let earlier = self.rollouts.get(..place)?;
            let taker = |host: Option<&HostPattern>| {
                earlier.iter().position(|other| {
                    let hosts = &other.matching.hosts;
                    host.map_or(hosts.is_empty(), |host| hosts.contains(host))
                        && other.matching.covers(&rollout.matching)
                })
            };
            let hosts = &rollout.matching.hosts;
            if hosts.is_empty() {
                return taker(None);
            }
            let takers: Option<Vec<usize>> = hosts.iter().map(|host| taker(Some(host))).collect();
            takers?.first().copied()
        };
        let pair = |(place, rollout)| Some((rollout, self.rollouts.get(by((place, rollout))?)?));
        self.rollouts.iter().enumerate().filter_map(pair).collect()
    }
}

// === impl Match ===

impl Match {
    /// Whether every request that `other` accepts is accepted here too, the host aside. May miss that it is so.
    fn covers(&self, other: &Self) -> bool {
        let all_of = |given: bool, other_given: bool, covered: bool| !given || other_given && covered;
        let paths = other.paths.iter().all(|path| self.paths.iter().any(|ours| ours.covers(path)));
        let methods = other.methods.iter().all(|method| self.methods.contains(method));
        all_of(!self.paths.is_empty(), !other.paths.is_empty(), paths)
            && all_of(!self.methods.is_empty(), !other.methods.is_empty(), methods)
            && self.headers.iter().all(|ours| other.headers.iter().any(|theirs| ours.follows_from(theirs)))
    }
}

// === impl Text ===

impl Text {
    /// Whether it holds of everything that `other` holds of.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(ours), Self::Prefix(theirs) | Self::Exact(theirs)) => theirs.starts_with(&**ours),
            (Self::Exact(ours), Self::Exact(theirs)) => ours == theirs,
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }
}

// === impl HeaderMatch ===

impl HeaderMatch {
    /// Whether it holds wherever `other` does.
    fn follows_from(&self, other: &Self) -> bool {
        self.name == other.name
            && match (&self.condition, &other.condition) {
                (HeaderCondition::Value(ours), HeaderCondition::Value(theirs)) => ours.covers(theirs),
                (HeaderCondition::Present(true), HeaderCondition::Value(_)) => true,
                (HeaderCondition::Present(ours), HeaderCondition::Present(theirs)) => ours == theirs,
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rollouts that can never match, by name, of a policy of rollouts with these matches.
    fn shadowed(matches: &[&str]) -> Vec<(String, String)> {
        let rollouts: Vec<String> = matches
            .iter()
            .enumerate()
            .map(|(place, fields)| {
                format!(r#"{{"name": "r{place}", "identity": [{{"peer": true}}], "variants": [{{"name": "c", "weight": 1}}]{fields}}}"#)
            })
            .collect();
        let policy =
            Policy::from_json(format!("{{\"rollouts\": [{}]}}", rollouts.join(", ")).as_bytes()).unwrap();
        policy.shadowed().iter().map(|(one, by)| (one.name().to_owned(), by.name().to_owned())).collect()
    }

    #[test]
    fn a_rollout_behind_one_that_takes_everything() {
        let pair = |one: &str, by: &str| vec![(one.to_owned(), by.to_owned())];
        assert_eq!(shadowed(&["", ""]), pair("r1", "r0"));
        assert_eq!(shadowed(&["", r#", "match": {"methods": ["GET"]}"#]), pair("r1", "r0"));
        assert_eq!(
            shadowed(&["", r#", "match": {"hosts": ["a"]}"#]),
            [],
            "a host is more specific than none"
        );
        assert_eq!(shadowed(&[r#", "match": {"hosts": ["a"]}"#, r#", "match": {"hosts": ["a", "b"]}"#]), []);
        assert_eq!(
            shadowed(&[
                r#", "match": {"hosts": ["a"]}"#,
                r#", "match": {"hosts": ["b"]}"#,
                r#", "match": {"hosts": ["a", "b"]}"#
            ]),
            pair("r2", "r0")
        );
    }

    #[test]
    fn one_condition_that_implies_another() {
        let shadowed = |first: &str, second: &str| {
            !shadowed(&[&format!(", \"match\": {{{first}}}"), &format!(", \"match\": {{{second}}}")])
                .is_empty()
        };
        let (api, v1) =
            (r#""paths": [{"prefix": "/api"}]"#, r#""paths": [{"prefix": "/api/v1"}, {"exact": "/api"}]"#);
        assert!(shadowed(api, v1) && !shadowed(v1, api));
        let (present, exact) =
            (r#""headers": [{"name": "h", "present": true}]"#, r#""headers": [{"name": "H", "exact": "x"}]"#);
        assert!(shadowed(present, exact) && !shadowed(exact, present));
        let (get, both) = (r#""methods": ["GET"]"#, r#""methods": ["GET", "POST"]"#);
        assert!(shadowed(both, get) && !shadowed(get, both));
        assert!(!shadowed(get, api) && !shadowed(api, get));
    }
}
