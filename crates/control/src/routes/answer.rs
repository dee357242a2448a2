//! *Which route takes this request, and where does it lead?*

use super::istio::MESH;
use super::{Action, Alternative, Destination, Request, Route, Subject, Truth, VirtualHost, Weighted};

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'t> {
    /// This alternative of this route takes it; both are counted from 0.
    Taken {
        /// Place of the route.
        route: usize,
        /// Place of the alternative in it.
        alternative: usize,
        /// The route.
        taken: &'t Route,
    },
    /// No route takes it: the proxy answers 404.
    NotFound,
    /// It depends on something that cannot be decided.
    /// It depends on something that cannot be decided.
    Unknown,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Here.
    One(Destination),
    /// One of these, drawn anew for every request.
    Random(Vec<Destination>),
    /// Nowhere: the header that names the cluster is not there.
    Nowhere,
    /// The proxy answers by itself, or no route takes the request.
    Reply,
    /// It depends on something that cannot be decided.
    Unknown,
}

// === impl VirtualHost ===

impl VirtualHost {
    /// What becomes of a request to one of its hosts.
    pub fn answer(&self, request: &Request) -> Answer<'_> {
        let made = self.is_made(request);
        // A sidecar without routes of it sends the request where it would without a VirtualService.
        let is_mesh = self.gateways.iter().any(|gateway| gateway == MESH);
        let not_found = if is_mesh && made != Truth::Yes { Answer::Unknown } else { Answer::NotFound };
        if made == Truth::No {
            return not_found;
        }
        for (route, taken) in self.routes.iter().enumerate() {
            for (alternative, conditions) in taken.alternatives.iter().enumerate() {
                match conditions.holds(request) {
                    Truth::Yes if taken.is_inserted && made != Truth::Yes => return Answer::Unknown,
                    Truth::Yes => return Answer::Taken { route, alternative, taken },
                    Truth::Unknown => return Answer::Unknown,
                    Truth::No => {}
                }
            }
        }
        not_found
    }

    /// Whether istiod makes any route for the proxy that the request comes through. It adds a virtual host, and patches it,
    /// only then.
    fn is_made(&self, request: &Request) -> Truth {
        if self.gateways.is_empty() {
            return Truth::Yes;
        }
        let made = self.routes.iter().filter(|route| !route.is_inserted);
        let made = made.flat_map(|route| &route.alternatives).map(|alternative| alternative.is_made(request));
        Truth::any(made)
    }
}

impl Alternative {
    fn is_made(&self, request: &Request) -> Truth {
        let around = self.conditions.iter().filter(|it| matches!(it.subject, Subject::Around(_)));
        Truth::all(around.map(|condition| condition.holds(request)))
    }
}

// === impl Answer ===

impl Answer<'_> {
    /// Where the request goes.
    pub fn reached(&self, request: &Request) -> Reached {
        match self {
            Self::Taken { taken, .. } => taken.action.reached(request),
            Self::NotFound => Reached::Reply,
            Self::Unknown => Reached::Unknown,
        }
    }
}

// === impl Action ===

impl Action {
    fn reached(&self, request: &Request) -> Reached {
        let value = |header: &str| request.get(&super::Subject::Header(header.to_owned()));
        match self {
            Self::Weighted(all) => random(all),
            Self::ClusterHeader(header) => match value(header) {
                Some(cluster) if !cluster.is_empty() => Reached::One(Destination::cluster(cluster)),
                _ => Reached::Nowhere,
            },
            Self::ByHeader(header, all) => {
                let number = value(header).and_then(|text| text.parse::<u64>().ok());
                number.map_or_else(|| random(all), |number| numbered(all, number))
            }
            Self::Reply => Reached::Reply,
            Self::Unknown => Reached::Unknown,
        }
    }
}

/// One of these at random: of those that have a weight.
fn random(all: &[Weighted]) -> Reached {
    let weighty = all.iter().filter(|weighted| weighted.weight > 0 || all.len() == 1);
    let mut destinations: Vec<Destination> = weighty.map(|weighted| weighted.destination.clone()).collect();
    destinations.sort();
    destinations.dedup();
    match destinations.as_slice() {
        [] => Reached::Unknown,
        [only] => Reached::One(only.clone()),
        _ => Reached::Random(destinations),
    }
}

/// The one whose part of the weights this number falls into, less whole turns.
fn numbered(all: &[Weighted], number: u64) -> Reached {
    let total: u64 = all.iter().map(|weighted| weighted.weight).sum();
    let Some(number) = number.checked_rem(total) else { return Reached::Unknown };
    let mut end = 0;
    let found = all.iter().find(|weighted| {
        end += weighted.weight;
        number < end
    });
    found.map_or(Reached::Unknown, |weighted| Reached::One(weighted.destination.clone()))
}

#[cfg(test)]
mod tests {
    use coalmine_document::json;

    use super::super::table_of_istio;
    use super::*;

    /// Where every route is for a gateway, istiod makes none for a sidecar, which then does without.
    #[test]
    fn a_sidecar_without_routes_is_left_to_the_service() {
        let spec = r#"{"hosts": ["shop"], "gateways": ["mesh", "edge"], "http": [
            {"match": [{"gateways": ["edge"], "uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "shop"}}]}
        ]}"#;
        let table = table_of_istio(&json::read(spec.as_bytes()).unwrap(), Some("default"));
        let at = |gateway: &str| {
            let around = Subject::Around("gateway".to_owned());
            let request = Request::to("shop.default.svc.cluster.local").with(&around, Some(gateway));
            table.virtual_host(request.host(), Some(gateway)).unwrap().answer(&request)
        };
        assert!(matches!(at("mesh"), Answer::Unknown));
        assert!(matches!(at("default/edge"), Answer::NotFound));
    }
}
