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
    /// Its proxies, by their `node.cluster`; empty where `spiffe` alone says which they are.
    pub clusters: Vec<TextPattern>,
    /// Its proxies, by the SPIFFE ids in their certificates; empty where they need none.
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
        let clusters = vec![TextPattern::Begins(String::new())];
        Self { clusters, spiffe: Vec::new(), rollouts: vec![Pattern::Every] }
    }

    /// Whether its proxies show who they are by a certificate.
    pub fn is_proved(&self) -> bool {
        !self.spiffe.is_empty()
    }

    /// The narrowest pattern of `spiffe` that one of these names fits.
    fn proof(&self, names: &[String]) -> Option<&TextPattern> {
        self.spiffe.iter().filter(|it| names.iter().any(|name| it.matches(name))).max()
    }

    fn cluster(&self, cluster: &str) -> Option<&TextPattern> {
        self.clusters.iter().filter(|it| it.matches(cluster)).max()
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

    /// The fleet of a proxy with this `node.cluster`, whose certificate has these names. What is proved goes before what a
    /// proxy says of itself.
    pub fn of_proxy(&self, cluster: &str, names: &[String]) -> Option<&str> {
        let proved = self.narrowest(|members| {
            let proof = members.proof(names)?;
            match members.cluster(cluster) {
                None if !members.clusters.is_empty() => None,
                cluster => Some((proof, cluster)),
            }
        });
        proved.or_else(|| self.narrowest(|members| members.cluster(cluster).filter(|_| !members.is_proved())))
    }

    /// Whether a certificate with these names proves that its bearer is of a fleet.
    pub fn know(&self, names: &[String]) -> bool {
        self.members.values().any(|members| members.proof(names).is_some())
    }

    /// The fleet with the narrowest pattern that fits.
    fn narrowest<'a, P: Ord>(&'a self, fits: impl Fn(&'a Members) -> Option<P>) -> Option<&'a str> {
        let found = self.members.iter().filter_map(|(fleet, members)| Some((fits(members)?, fleet.as_str())));
        found.max_by(|one, other| one.0.cmp(&other.0)).map(|(_, fleet)| fleet)
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
        let of = |cluster: &str| fleets().of_proxy(cluster, &[]).unwrap().to_owned();
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
            spiffe: Vec::new(),
            rollouts: vec!["shop/*".parse().unwrap()],
        };
        let fleets = Fleets::new(BTreeMap::from([("shop".to_owned(), shop)]));
        assert_eq!(fleets.of_rollout(&"bank/payments".parse().unwrap()), None);
        assert_eq!((fleets.of_proxy("bank", &[]), fleets.of_proxy("", &[])), (None, None));
        assert_eq!((fleets.only(), Fleets::default().only()), (Some("shop"), Some(FLEET)));
    }

    #[test]
    fn a_certificate_goes_before_what_a_proxy_says_of_itself() {
        let members = |clusters: &[&str], spiffe: &[&str]| Members {
            clusters: clusters.iter().map(|text| text.parse().unwrap()).collect(),
            spiffe: spiffe.iter().map(|text| text.parse().unwrap()).collect(),
            rollouts: Vec::new(),
        };
        let fleets = Fleets::new(BTreeMap::from([
            ("edge".to_owned(), members(&[], &["spiffe://a/ns/edge/*"])),
            ("gateway".to_owned(), members(&[], &["spiffe://a/ns/edge/sa/gateway"])),
            ("eu".to_owned(), members(&["eu-*"], &["spiffe://a/ns/region/*"])),
            ("us".to_owned(), members(&["us-*"], &["spiffe://a/ns/region/*"])),
            ("open".to_owned(), members(&["open"], &[])),
        ]));
        let of = |cluster: &str, name: &str| {
            let names =
                if name.is_empty() { Vec::new() } else { vec!["dns.example".to_owned(), name.to_owned()] };
            fleets.of_proxy(cluster, &names).map(str::to_owned)
        };
        assert_eq!(of("anything", "spiffe://a/ns/edge/sa/x").as_deref(), Some("edge"));
        assert_eq!(of("open", "spiffe://a/ns/edge/sa/x").as_deref(), Some("edge"), "it is what it proves");
        assert_eq!(of("x", "spiffe://a/ns/edge/sa/gateway").as_deref(), Some("gateway"));
        assert_eq!(of("eu-1", "spiffe://a/ns/region/sa/x").as_deref(), Some("eu"));
        assert_eq!(of("us-1", "spiffe://a/ns/region/sa/x").as_deref(), Some("us"));
        assert_eq!(of("asia-1", "spiffe://a/ns/region/sa/x"), None, "both have to fit");
        for name in ["", "spiffe://b/ns/edge/sa/x", "spiffe://a/ns/edges/sa/x"] {
            assert_eq!(of("eu-1", name), None, "{name}");
            assert_eq!(of("open", name).as_deref(), Some("open"), "{name}");
        }
    }
}
