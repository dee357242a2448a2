//! The headers and cookies that only Coalmine may set in a policy: what clients send under their names is removed.

use super::names::DEFAULT_HEADER;
use super::rollout::Rollout;

/// A header that Coalmine manages: a client has no say in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManagedHeader {
    pub(super) name: Box<str>,
    /// Whether only Coalmine sets it: a client that sends it forges. An override's header is the client's to send.
    pub(super) routes: bool,
}

/// The managed headers of these rollouts, each once; every route learns which of them is its own.
///
/// Without rollouts it is the default header: the proxy's routes are still there and obey it, so a client must not be
/// able to send it.
pub(super) fn managed_headers(rollouts: &mut [Rollout]) -> Vec<ManagedHeader> {
    let mut headers: Vec<ManagedHeader> = Vec::new();
    let mut add = |name: &str, routes: bool| {
        let known = headers.iter().position(|header| *header.name == *name);
        known.unwrap_or_else(|| {
            headers.push(ManagedHeader { name: name.into(), routes });
            headers.len() - 1
        })
    };
    for rollout in rollouts {
        rollout.route.slot = add(&rollout.route.header, true);
        if let Some(header) = rollout.override_header() {
            add(header, false);
        }
    }
    if headers.is_empty() {
        headers.push(ManagedHeader { name: DEFAULT_HEADER.into(), routes: true });
    }
    headers
}

/// The cookies of these rollouts that override tokens come in, each once.
pub(super) fn managed_cookies(rollouts: &[Rollout]) -> Vec<Box<str>> {
    let mut cookies: Vec<Box<str>> = Vec::new();
    for name in rollouts.iter().filter_map(Rollout::override_cookie) {
        if !cookies.iter().any(|known| **known == *name) {
            cookies.push(name.into());
        }
    }
    cookies
}
