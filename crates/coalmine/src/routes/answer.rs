//! *Which route takes this request, and where does it lead?*

use super::{Action, Destination, Request, Route, Truth, VirtualHost, Weighted};

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'t> {
    /// This alternative of this route takes it; both are counted from 0.
    Taken { route: usize, alternative: usize, taken: &'t Route },
    /// No route takes it: the proxy answers 404.
    NotFound,
    /// It depends on something that cannot be decided.
    Unknown,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    One(Destination),
    /// One of these, drawn anew for every request.
    Random(Vec<Destination>),
    /// Nowhere: the header that names the cluster is not there.
    Nowhere,
    /// The proxy answers by itself, or no route takes the request.
    Reply,
    Unknown,
}

// === impl VirtualHost ===

impl VirtualHost {
    /// What becomes of a request to one of its hosts.
    pub(crate) fn answer(&self, request: &Request) -> Answer<'_> {
        for (route, taken) in self.routes.iter().enumerate() {
            for (alternative, conditions) in taken.alternatives.iter().enumerate() {
                match conditions.holds(request) {
                    Truth::Yes => return Answer::Taken { route, alternative, taken },
                    Truth::Unknown => return Answer::Unknown,
                    Truth::No => {}
                }
            }
        }
        Answer::NotFound
    }
}

// === impl Answer ===

impl Answer<'_> {
    /// Where the request goes.
    pub(crate) fn reached(&self, request: &Request) -> Reached {
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
