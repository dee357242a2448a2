//! Fleets: proxies that have the same policy, and the rollouts that are in it.
//!
//! A rollout is in one fleet, and a proxy too. Where several patterns fit, the narrowest one decides, so that the order in
//! which fleets are written means nothing.

use std::collections::BTreeMap;

use crate::access::Pattern;
use crate::rollout::Name;
use crate::text_pattern::TextPattern;

/// The fleet of a server whose configuration names none: all proxies and all rollouts.
pub const FLEET: &str = "default";

/// Who is of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Its proxies, by their `node.cluster`.
    pub clusters: Vec<TextPattern>,
    /// Its proxies, by the SPIFFE id in their certificate. Where there are any, nobody else is of it.
    pub spiffe: Vec<TextPattern>,
    /// Its rollouts.
    pub rollouts: Vec<Pattern>,
}

/// The fleets of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleets {
    members: BTreeMap<String, Members>,
}

// === impl Members ===

impl Members {
    /// Everything: all proxies and all rollouts.
    pub fn all() -> Self {
        let all = vec![TextPattern::Begins(String::new())];
        Self { clusters: all, spiffe: Vec::new(), rollouts: vec![Pattern::Every] }
    }
}

// === impl Fleets ===

impl Fleets {
    /// These fleets, by their names. No pattern is in two of them.
    pub fn new(members: BTreeMap<String, Members>) -> Self {
        Self { members }
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The name of the only one, where there is one.
    pub fn only(&self) -> Option<&str> {
        let mut names = self.names();
        names.next().filter(|_| names.next().is_none())
    }

    /// Who is of this fleet.
    pub fn members(&self, fleet: &str) -> Option<&Members> {
        self.members.get(fleet)
    }

    /// The fleet that a rollout is in.
    pub fn of_rollout(&self, name: &Name) -> Option<&str> {
        self.narrowest(|members| members.rollouts.iter().filter(|it| it.matches(name)).max())
    }

    /// The fleet of a proxy with this `node.cluster` and with these URIs in its certificate; none where it is of none.
    ///
    /// A certificate says more than what a proxy says of itself: a fleet that names its id comes first.
    ///
    /// # Errors
    /// It says that it is of this fleet, which it would need another certificate for.
    pub fn of_proxy(&self, cluster: &str, uris: &[String]) -> Result<Option<&str>, &str> {
        let fits = |pattern: &&TextPattern| uris.iter().any(|uri| pattern.matches(uri));
        if let Some(fleet) = self.narrowest(|members| members.spiffe.iter().filter(fits).max()) {
            return Ok(Some(fleet));
        }
        let said = self.narrowest(|members| members.clusters.iter().filter(|it| it.matches(cluster)).max());
        match said.and_then(|fleet| Some((fleet, self.members(fleet)?))) {
            Some((fleet, members)) if !members.spiffe.is_empty() => Err(fleet),
            _ => Ok(said),
        }
    }

    /// The fleet with the narrowest pattern that fits.
    fn narrowest<'a, P: Ord + 'a>(&'a self, fits: impl Fn(&'a Members) -> Option<&'a P>) -> Option<&'a str> {
        let found = self.members.iter().filter_map(|(fleet, members)| Some((fits(members)?, fleet.as_str())));
        found.max_by(|one, other| one.0.cmp(other.0)).map(|(_, fleet)| fleet)
    }
}

impl Default for Fleets {
    fn default() -> Self {
        Self::new(BTreeMap::from([(FLEET.to_owned(), Members::all())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleets() -> Fleets {
        let members = |clusters: &[&str], rollouts: &[&str]| Members {
            clusters: clusters.iter().map(|text| text.parse().unwrap()).collect(),
            spiffe: Vec::new(),
            rollouts: rollouts.iter().map(|text| text.parse().unwrap()).collect(),
        };
        Fleets::new(BTreeMap::from([
            ("a-rest".to_owned(), members(&["*"], &["*"])),
            ("edge".to_owned(), members(&["edge-*", "gateway"], &["shop/*", "bank/accounts"])),
            ("edge-eu".to_owned(), members(&["edge-eu", "edge-eu-*"], &["shop/checkout", "bank/*"])),
        ]))
    }

    #[test]
    fn a_rollout_is_in_the_fleet_of_the_narrowest_pattern() {
        let of = |name: &str| fleets().of_rollout(&name.parse().unwrap()).unwrap().to_owned();
        assert_eq!(of("shop/checkout"), "edge-eu");
        assert_eq!(of("shop/search"), "edge");
        assert_eq!(of("bank/accounts"), "edge");
        assert_eq!(of("bank/payments"), "edge-eu");
        assert_eq!(of("other/search"), "a-rest");
    }

    #[test]
    fn a_proxy_is_in_the_fleet_of_the_narrowest_pattern() {
        let of = |cluster: &str| fleets().of_proxy(cluster, &[]).unwrap().unwrap().to_owned();
        assert_eq!(of("edge-eu"), "edge-eu");
        assert_eq!(of("edge-eu-1"), "edge-eu");
        assert_eq!(of("edge-us"), "edge");
        assert_eq!(of("gateway"), "edge");
        assert_eq!(of("gateway-2"), "a-rest");
        assert_eq!(of(""), "a-rest");
    }

    #[test]
    fn what_no_pattern_fits_is_in_no_fleet() {
        let shop = Members {
            clusters: vec!["shop".parse().unwrap()],
            rollouts: vec!["shop/*".parse().unwrap()],
            ..Members::default()
        };
        let fleets = Fleets::new(BTreeMap::from([("shop".to_owned(), shop)]));
        assert_eq!(fleets.of_rollout(&"bank/payments".parse().unwrap()), None);
        assert_eq!((fleets.of_proxy("bank", &[]), fleets.of_proxy("", &[])), (Ok(None), Ok(None)));
        assert_eq!((fleets.only(), Fleets::default().only()), (Some("shop"), Some(FLEET)));
    }

    #[test]
    fn a_certificate_says_more_than_a_cluster() {
        let members = |cluster: &str, ids: &[&str]| Members {
            clusters: vec![cluster.parse().unwrap()],
            spiffe: ids.iter().map(|text| text.parse().unwrap()).collect(),
            rollouts: Vec::new(),
        };
        let fleets = Fleets::new(BTreeMap::from([
            ("edge".to_owned(), members("edge", &["spiffe://local/ns/edge/*"])),
            ("pay".to_owned(), members("pay", &["spiffe://local/ns/edge/sa/pay", "spiffe://local/ns/pay/*"])),
            ("rest".to_owned(), members("*", &[])),
        ]));
        let of = |cluster: &str, uri: &str| {
            let uris: Vec<String> = Some(uri.to_owned()).into_iter().filter(|it| !it.is_empty()).collect();
            fleets.of_proxy(cluster, &uris).map(Option::unwrap).map(str::to_owned).map_err(str::to_owned)
        };
        assert_eq!(of("anything", "spiffe://local/ns/edge/sa/front"), Ok("edge".to_owned()));
        assert_eq!(of("edge", "spiffe://local/ns/edge/sa/pay"), Ok("pay".to_owned()), "the narrowest");
        assert_eq!(of("other", ""), Ok("rest".to_owned()));
        assert_eq!(of("other", "spiffe://local/ns/other/sa/x"), Ok("rest".to_owned()));
        assert_eq!(of("edge", ""), Err("edge".to_owned()), "it only says so");
        assert_eq!(of("pay", "spiffe://local/ns/other/sa/x"), Err("pay".to_owned()));
    }
}
