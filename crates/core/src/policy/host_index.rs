//! The rollouts that a host may concern, found without looking at each of them.

use std::borrow::Cow;

use coalmine_document::{Cursor, quoted};
use rustc_hash::FxHashMap;

/// The longest name of the DNS (RFC 1035), and so the longest host worth looking up: a client may send any length.
const MAX_HOST: usize = 253;

/// A host of a rollout's `match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// This host alone.
    Exact(Box<str>),
    /// Any depth below this one, not this one itself: `*.x`.
    Below(Box<str>),
}

/// From a name to the places of what has it. The rules over several rollouts use it too: each further kind of map would be
/// compiled anew, and every kilobyte of the module is in every proxy.
pub(super) type Places = FxHashMap<Box<[u8]>, Vec<usize>>;

/// From a host to the rollouts that it may concern, by their place in the document.
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: Places,
    below: Places,
    any: Vec<usize>,
    /// One more than the highest place.
    rollouts: usize,
}

/// The places of the rollouts that one request's host may concern, in the order of asking.
pub(super) struct Candidates<'i> {
    by_host: Cow<'i, [usize]>,
    any: &'i [usize],
    /// How many of both together were taken.
    taken: usize,
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads a host; the placeholder is a host that no request has.
    pub(super) fn read(cursor: &Cursor<'_, '_>) -> Self {
        let Some(text) = cursor.string() else { return Self::Exact(Box::default()) };
        if let Some(why) = refusal(text) {
            cursor.problem(format!("{} is not a valid host: {why}", quoted(text)));
        }
        match text.strip_prefix("*.") {
            Some(name) => Self::Below(name.into()),
            None => Self::Exact(text.into()),
        }
    }
}

/// What keeps a text from being a host of a policy.
fn refusal(text: &str) -> Option<&'static str> {
    if text == "*" {
        return Some("leave out \"hosts\" to match every host");
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains(['/', '@']) {
        return Some("write the host alone, without scheme, user, port and path");
    }
    if !name.is_ascii() {
        return Some("write it as requests have it, in its ASCII form: xn--..");
    }
    if name.starts_with('[') && name != text {
        return Some("nothing lies below an address");
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("write it in lower case; requests are compared in lower case");
    }
    let is_address = name.starts_with('[') && name.ends_with(']');
    let is_bare_address = name.split(':').count() > 2 && !name.starts_with('[');
    if is_bare_address && name.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)) {
        return Some("write an IPv6 address in brackets, as [::1]");
    }
    if name.contains(':') && !is_address {
        return Some("leave out the port; it is taken off the request before the comparison");
    }
    if name.ends_with('.') {
        return Some("leave out the final dot; it is taken off the request before the comparison");
    }
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let in_address = |byte: u8| byte.is_ascii_hexdigit() || b"[]:.".contains(&byte);
    let allowed = |byte| if is_address { in_address(byte) } else { in_name(byte) };
    let gap = name.split('.').any(str::is_empty);
    if gap || name.len() > MAX_HOST || !name.bytes().all(allowed) {
        return Some("1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    }
    None
}

// === impl HostIndex ===

impl HostIndex {
    /// The index of the rollouts that have these hosts, in their order.
    pub(super) fn of<'h>(rollouts: impl Iterator<Item = &'h [HostPattern]>) -> Self {
        let mut index = Self::default();
        for (place, hosts) in rollouts.enumerate() {
            index.add(place, hosts);
        }
        index
    }

    /// Adds the rollout at this place of the document; without hosts it concerns every request.
    fn add(&mut self, rollout: usize, hosts: &[HostPattern]) {
        self.rollouts = self.rollouts.max(rollout + 1);
        if hosts.is_empty() {
            self.any.push(rollout);
        }
        for host in hosts {
            let (map, name) = match host {
                HostPattern::Exact(name) => (&mut self.exact, name),
                HostPattern::Below(name) => (&mut self.below, name),
            };
            let rollouts: &mut Vec<usize> = map.entry(name.as_bytes().into()).or_default();
            if rollouts.last() != Some(&rollout) {
                rollouts.push(rollout);
            }
        }
    }

    /// The rollouts that name this very pattern.
    pub(super) fn of_pattern(&self, host: &HostPattern) -> &[usize] {
        let (map, name) = match host {
            HostPattern::Exact(name) => (&self.exact, name),
            HostPattern::Below(name) => (&self.below, name),
        };
        map.get(name.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// The rollouts without hosts.
    pub(super) fn of_any_host(&self) -> &[usize] {
        &self.any
    }

    /// Whether the host of a request makes any difference.
    pub(super) fn needs_host(&self) -> bool {
        !self.exact.is_empty() || !self.below.is_empty()
    }

    /// The rollouts that this `:authority` may concern, each once, the most specific first: its own name, then the
    /// longest name that it lies below, and so on, then those without hosts; the document's order within each.
    #[inline]
    pub(super) fn candidates(&self, authority: &[u8]) -> Candidates<'_> {
        // Mostly the host is written as the policy writes it, or the policy does not name it.
        let as_written = self.exact.get(authority);
        let by_host = match as_written {
            Some(exact) if self.below.is_empty() => Cow::Borrowed(&**exact),
            _ => self.by_host(authority, as_written),
        };
        Candidates { by_host, any: &self.any, taken: 0 }
    }

    /// The places of the rollouts that name the host of this `:authority` or one above it, each once. Those that name it
    /// as it is written are known.
    #[inline]
    fn by_host<'i>(&'i self, authority: &[u8], as_written: Option<&'i Vec<usize>>) -> Cow<'i, [usize]> {
        let Some(host) = host_of(authority) else { return Cow::Borrowed(&[]) };
        let exact = match &host {
            Cow::Borrowed(host) if host.len() == authority.len() => as_written,
            host => self.exact.get(&**host),
        };
        let exact = exact.map_or(&[][..], Vec::as_slice);
        if self.below.is_empty() { Cow::Borrowed(exact) } else { self.with_those_above(exact, &host) }
    }

    /// These places and those of the names that this host lies below, each once.
    fn with_those_above<'i>(&'i self, exact: &'i [usize], host: &[u8]) -> Cow<'i, [usize]> {
        let mut all = Cow::Borrowed(exact);
        let dots = host.iter().enumerate().filter(|&(_, &byte)| byte == b'.');
        for above in dots.filter_map(|(dot, _)| self.below.get(host.get(dot + 1..)?)) {
            all.to_mut().extend(above);
        }
        if let Cow::Owned(places) = &mut all {
            // Only a rollout that names a host and one above it could come twice.
            let mut seen = vec![false; self.rollouts];
            places.retain(|&place| seen.get_mut(place).is_none_or(|seen| !std::mem::replace(seen, true)));
        }
        all
    }
}

// === impl Candidates ===

impl Iterator for Candidates<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let by_host = self.by_host.get(self.taken);
        let place = by_host.or_else(|| self.any.get(self.taken - self.by_host.len()))?;
        self.taken += 1;
        Some(*place)
    }
}

/// The host that an `:authority` names, as hosts are compared: in lower case, without a final port and one trailing
/// dot. `None` for what cannot be a host that a policy names.
#[inline]
fn host_of(authority: &[u8]) -> Option<Cow<'_, [u8]>> {
    // One more for the dot, six for the port: nothing longer can become a host.
    if authority.len() > MAX_HOST + 7 {
        return None;
    }
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte);
    if authority.iter().all(is_plain) && !authority.ends_with(b".") {
        return Some(Cow::Borrowed(authority));
    }
    let host = match authority.iter().rposition(|&byte| byte == b':') {
        Some(colon) if authority.iter().skip(colon + 1).all(u8::is_ascii_digit) => authority.get(..colon)?,
        _ => authority,
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    str::from_utf8(host).ok()?;
    let is_lower = !host.iter().any(u8::is_ascii_uppercase);
    Some(if is_lower { host.into() } else { host.to_ascii_lowercase().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_case_port_and_final_dot() {
        for (authority, host) in [
            ("checkout", "checkout"),
            ("CheckOut:8080", "checkout"),
            ("checkout.:80", "checkout"),
            ("checkout..", "checkout."),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(host_of(authority.as_bytes()).as_deref(), Some(host.as_bytes()), "{authority}");
        }
        assert_eq!(host_of(b"\xff"), None);
        assert_eq!(host_of(&vec![b'.'; 60_000]), None);
    }

    #[test]
    fn the_most_specific_host_comes_first() {
        let exact = |name: &str| HostPattern::Exact(name.into());
        let below = |name: &str| HostPattern::Below(name.into());
        let rollouts = [
            vec![],
            vec![below("example")],
            vec![below("shop.example"), exact("x.shop.example")],
            vec![exact("x.shop.example")],
        ];
        let index = HostIndex::of(rollouts.iter().map(Vec::as_slice));
        let candidates = |host: &str| index.candidates(host.as_bytes()).collect::<Vec<_>>();
        assert_eq!(candidates("X.shop.example:443"), [2, 3, 1, 0]);
        assert_eq!(candidates("a.b.shop.example"), [2, 1, 0]);
        assert_eq!(candidates("shop.example"), [1, 0]);
        assert_eq!(candidates("example"), [0]);
        assert_eq!(candidates("other"), [0]);
    }
}
