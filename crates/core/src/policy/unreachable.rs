//! Rollouts that no request can ever reach, for the checks before a policy is live. No request comes here.

use super::host_index::HostIndex;
use super::match_rules::{HeaderCondition, HeaderMatch, Match, Text};
use super::rollout::Rollout;

/// The places of the rollouts that can never match, each with the place of the first of the earlier ones that together
/// take all its requests.
pub(super) fn takers(rollouts: &[Rollout]) -> Vec<(usize, usize)> {
    let hosts = HostIndex::of(rollouts.iter().map(|rollout| &*rollout.matching.hosts));
    rollouts
        .iter()
        .enumerate()
        .filter_map(|(place, rollout)| Some((place, taker(rollouts, &hosts, place, rollout)?)))
        .collect()
}

/// The first of the earlier rollouts that take every request of this one.
fn taker(rollouts: &[Rollout], hosts: &HostIndex, place: usize, rollout: &Rollout) -> Option<usize> {
    let takes = |same_host: &[usize]| {
        let mut earlier = same_host.iter().copied().take_while(|other| *other < place);
        earlier
            .find(|other| rollouts.get(*other).is_some_and(|other| other.matching.covers(&rollout.matching)))
    };
    if rollout.matching.hosts.is_empty() {
        return takes(hosts.of_any_host());
    }
    let by_host: Option<Vec<usize>> =
        rollout.matching.hosts.iter().map(|host| takes(hosts.of_pattern(host))).collect();
    by_host?.first().copied()
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
    use crate::policy::Policy;

    /// The rollouts that can never match, by name, of a policy of rollouts with these matches.
    fn unreachable(matches: &[&str]) -> Vec<(String, String)> {
        let rollouts: Vec<String> = matches
            .iter()
            .enumerate()
            .map(|(place, fields)| {
                format!(r#"{{"name": "r{place}", "identity": [{{"peer": true}}], "variants": [{{"name": "c", "weight": 1}}]{fields}}}"#)
            })
            .collect();
        let policy =
            Policy::from_json(format!("{{\"rollouts\": [{}]}}", rollouts.join(", ")).as_bytes()).unwrap();
        let name = |place: usize| policy.rollouts()[place].name().to_owned();
        takers(policy.rollouts()).into_iter().map(|(later, earlier)| (name(later), name(earlier))).collect()
    }

    #[test]
    fn a_rollout_behind_one_that_takes_everything() {
        let pair = |one: &str, by: &str| vec![(one.to_owned(), by.to_owned())];
        assert_eq!(unreachable(&["", ""]), pair("r1", "r0"));
        assert_eq!(unreachable(&["", r#", "match": {"methods": ["GET"]}"#]), pair("r1", "r0"));
        assert_eq!(
            unreachable(&["", r#", "match": {"hosts": ["a"]}"#]),
            [],
            "a host is more specific than none"
        );
        assert_eq!(
            unreachable(&[r#", "match": {"hosts": ["a"]}"#, r#", "match": {"hosts": ["a", "b"]}"#]),
            []
        );
        assert_eq!(
            unreachable(&[
                r#", "match": {"hosts": ["a"]}"#,
                r#", "match": {"hosts": ["b"]}"#,
                r#", "match": {"hosts": ["a", "b"]}"#
            ]),
            pair("r2", "r0")
        );
    }

    #[test]
    fn one_condition_that_implies_another() {
        let covers = |first: &str, second: &str| {
            !unreachable(&[&format!(", \"match\": {{{first}}}"), &format!(", \"match\": {{{second}}}")])
                .is_empty()
        };
        let (api, v1) =
            (r#""paths": [{"prefix": "/api"}]"#, r#""paths": [{"prefix": "/api/v1"}, {"exact": "/api"}]"#);
        assert!(covers(api, v1) && !covers(v1, api));
        let (present, exact) =
            (r#""headers": [{"name": "h", "present": true}]"#, r#""headers": [{"name": "H", "exact": "x"}]"#);
        assert!(covers(present, exact) && !covers(exact, present));
        let (get, both) = (r#""methods": ["GET"]"#, r#""methods": ["GET", "POST"]"#);
        assert!(covers(both, get) && !covers(get, both));
        assert!(!covers(get, api) && !covers(api, get));
    }
}
