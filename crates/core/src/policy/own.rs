//! The headers and cookies that are Coalmine's own in a policy: what clients send under their names is removed.

use super::names;
use crate::document::{Cursor, NameSet, quoted};

/// The header that is set where a policy names none.
const DEFAULT_HEADER: &str = "x-coalmine-variant";
/// The most header names, and the most cookie names, of Coalmine's own in a policy: each of them costs every request
/// a look.
const MAX_OWN: usize = 4;
/// Names, and beginnings of names, that belong to HTTP and to the proxy.
const RESERVED: [&str; 8] =
    ["host", "cookie", "authorization", "connection", "transfer-encoding", "te", "upgrade", "x-request-id"];
const RESERVED_PREFIXES: [&str; 3] = ["content-", "x-envoy-", "x-forwarded-"];

/// The names of headers and cookies of a policy while it is read: what clients send under Coalmine's own is removed,
/// so nothing may be taken from them.
#[derive(Debug, Default)]
pub(super) struct HeaderNames<'d> {
    own: Vec<(OwnHeader, Cursor<'d>)>,
    own_cookies: Vec<(Box<str>, Cursor<'d>)>,
    read: NameSet,
    read_cookies: NameSet,
}

/// A header that a client has no say in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnHeader {
    pub(super) name: Box<str>,
    /// Whether only Coalmine sets it: a client that sends it forges. An override's header is the client's to send.
    pub(super) routes: bool,
}

// === impl OwnHeader ===

impl OwnHeader {
    /// What a policy without rollouts owns. The proxy's routes are still there and obey the header, so a client must
    /// not be able to send it.
    pub(super) fn of_no_rollout() -> Self {
        Self { name: DEFAULT_HEADER.into(), routes: true }
    }
}

// === impl HeaderNames ===

impl<'d> HeaderNames<'d> {
    /// An identity or a condition is taken from this header.
    pub(super) fn add_read(&mut self, name: &str) {
        self.read.insert(name.into());
    }

    /// An identity is taken from this cookie.
    pub(super) fn add_read_cookie(&mut self, name: &str) {
        self.read_cookies.insert(name.into());
    }

    /// Reads the header that override tokens come in.
    pub(super) fn read_override(&mut self, cursor: &Cursor<'d>) -> Option<Box<str>> {
        self.read_own(cursor, false)
    }

    /// Reads the cookie that override tokens come in.
    pub(super) fn read_override_cookie(&mut self, cursor: &Cursor<'d>) -> Option<Box<str>> {
        let name = names::cookie(cursor)?;
        self.own_cookies.push((name.clone(), cursor.clone()));
        Some(name)
    }

    /// Reads the header that a route is told by.
    pub(super) fn read_route(&mut self, cursor: &Cursor<'d>) -> Option<Box<str>> {
        self.read_own(cursor, true)
    }

    /// The header of a rollout that names none for its route; `cursor` is the rollout.
    pub(super) fn default_route(&mut self, cursor: &Cursor<'d>) -> Box<str> {
        self.add_own(DEFAULT_HEADER.into(), true, cursor)
    }

    fn read_own(&mut self, cursor: &Cursor<'d>, routes: bool) -> Option<Box<str>> {
        let name = names::header(cursor)?;
        if RESERVED.contains(&&*name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            cursor.problem(format!("{} belongs to HTTP or the proxy; use a name of your own", quoted(&name)));
            return None;
        }
        Some(self.add_own(name, routes, cursor))
    }

    fn add_own(&mut self, name: Box<str>, routes: bool, cursor: &Cursor<'d>) -> Box<str> {
        self.own.push((OwnHeader { name: name.clone(), routes }, cursor.clone()));
        name
    }

    /// Coalmine's own headers and cookies, each once, when every rollout has been read.
    pub(super) fn finish(self) -> (Vec<OwnHeader>, Vec<Box<str>>) {
        let mut headers: Vec<OwnHeader> = Vec::new();
        for (header, cursor) in self.own {
            if self.read.contains(&header.name) {
                cursor.problem(taken_twice(&header.name));
            }
            if let Some(known) = headers.iter().find(|known| known.name == header.name) {
                if known.routes != header.routes {
                    cursor.problem(format!(
                        "{} is a route's header and an override's; use two",
                        quoted(&header.name)
                    ));
                }
                continue;
            }
            // Told once; the one beyond the most is kept to know that it was.
            if headers.len() == MAX_OWN {
                cursor.problem(too_many("header", &header.name));
            }
            if headers.len() <= MAX_OWN {
                headers.push(header);
            }
        }
        let mut cookies: Vec<Box<str>> = Vec::new();
        for (name, cursor) in self.own_cookies {
            if self.read_cookies.contains(&name) {
                cursor.problem(taken_twice(&name));
            }
            if cookies.contains(&name) {
                continue;
            }
            // Told once; the one beyond the most is kept to know that it was.
            if cookies.len() == MAX_OWN {
                cursor.problem(too_many("cookie", &name));
            }
            if cookies.len() <= MAX_OWN {
                cookies.push(name);
            }
        }
        if headers.is_empty() {
            headers.push(OwnHeader::of_no_rollout());
        }
        (headers, cookies)
    }
}

fn too_many(kind: &str, name: &str) -> String {
    format!(
        "{} would be the {kind} of Coalmine number {}; a policy has at most {MAX_OWN}, rollouts may share one",
        quoted(name),
        MAX_OWN + 1
    )
}

fn taken_twice(name: &str) -> String {
    format!(
        "{} is also an identity or a condition of this policy, but what clients send under it is removed",
        quoted(name)
    )
}
