//! Domains: which of several virtual hosts a host belongs to.

use super::istio::MESH;
use super::names::DOMAIN;
use super::{Table, VirtualHost};

/// How well a domain fits; a better one wins.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Any,
    /// `shop.*`, and its length.
    Prefix(usize),
    /// `*.shop.example`, and its length.
    Suffix(usize),
    Exact,
}

impl Table {
    /// The routes for this host at this gateway: by an exact domain, else the longest `*.suffix`, else the longest
    /// `prefix.*`, else `*`. Those of Envoy have no gateway.
    pub fn virtual_host(&self, host: &str, gateway: Option<&str>) -> Option<&VirtualHost> {
        let host = host.to_ascii_lowercase();
        let best =
            |candidate: &VirtualHost| candidate.domains.iter().filter_map(|domain| fit(domain, &host)).max();
        let is_there = |candidate: &&VirtualHost| {
            gateway.is_none_or(|gateway| candidate.gateways.iter().any(|there| there == gateway))
        };
        let here = self.hosts.iter().filter(is_there);
        let fits = here.filter_map(|candidate| Some((best(candidate)?, candidate)));
        // No domain may occur twice, so two equal fits are two hosts of Istio; the first wins.
        fits.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, found)| found)
    }
}

// === impl VirtualHost ===

impl VirtualHost {
    /// Whether requests to this domain are to be expected here. The VirtualService of a Service and of a name outside often
    /// has both at the gateway and in sidecars: a caller then takes the Service's name, and a user the other one.
    pub fn is_at_home(&self, domain: &str, table: &Table) -> bool {
        let is_mesh = |host: &Self| host.gateways.iter().any(|gateway| gateway == MESH);
        let is_service = |domain: &str| domain.ends_with(DOMAIN);
        let has = |wanted: bool| {
            table.hosts.iter().flat_map(|host| &host.names).any(|name| is_service(name) == wanted)
        };
        if !(table.hosts.iter().any(is_mesh)
            && table.hosts.iter().any(|host| !is_mesh(host))
            && has(true)
            && has(false))
        {
            return true;
        }
        let of_service = self.names.iter().any(|name| is_service(name) && (is_mesh(self) || name == domain));
        of_service == is_mesh(self)
    }
}

fn fit(domain: &str, host: &str) -> Option<Fit> {
    let domain = domain.to_ascii_lowercase();
    if domain == "*" {
        return Some(Fit::Any);
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        let is_longer = host.len() > suffix.len();
        return (is_longer && host.ends_with(suffix)).then_some(Fit::Suffix(suffix.len()));
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        let is_longer = host.len() > prefix.len();
        return (is_longer && host.starts_with(prefix)).then_some(Fit::Prefix(prefix.len()));
    }
    (domain == host).then_some(Fit::Exact)
}

/// A host that this domain is for.
pub fn example(domain: &str) -> String {
    match domain {
        "*" => super::request::HOST.to_owned(),
        _ => domain.replace('*', "coalmine-validate"),
    }
}

/// A host that both of these speak of: `*.shop.example` and `shop.example` have none. `None` where there is none.
pub fn overlap(one: &str, other: &str) -> Option<String> {
    if fit(one, other).is_some() {
        return Some(example(other));
    }
    fit(other, one).is_some().then(|| example(one))
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    #[test]
    fn the_most_exact_domain_wins() {
        let host = |domain: &str| VirtualHost {
            domains: vec![domain.to_owned()],
            names: Vec::new(),
            routes: Vec::new(),
            place: Place::default(),
            gateways: Vec::new(),
        };
        let hosts = ["*", "a.*", "*.b", "*.a.b", "a.b"].map(host).into();
        let table = Table { hosts, name: None, chain: None };
        let found = |name: &str| table.virtual_host(name, None).unwrap().domains[0].clone();
        assert_eq!(
            ["a.b", "x.a.b", "a.c.b", "a.c", "c", "A.B"].map(found),
            ["a.b", "*.a.b", "*.b", "a.*", "*", "a.b"]
        );
    }
}
