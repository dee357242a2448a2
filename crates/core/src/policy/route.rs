//! How the answer reaches the host's router.

use super::names;
use crate::document::{Cursor, Known, quoted};

const ROUTE: Known = Known { fields: &["header"], unsupported: &["clusterHeader", "bucketHeader"] };

/// The header that is set where a policy names none.
const DEFAULT_HEADER: &str = "x-coalmine-variant";
/// The most header names of Coalmine's own in a policy: each of them costs every request a look.
const MAX_OWN: usize = 4;
/// Names, and beginnings of names, that belong to HTTP and to the proxy.
const RESERVED: [&str; 8] =
    ["host", "cookie", "authorization", "connection", "transfer-encoding", "te", "upgrade", "x-request-id"];
const RESERVED_PREFIXES: [&str; 3] = ["content-", "x-envoy-", "x-forwarded-"];

/// How the answer reaches the host's router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// This header is set to the variant's name; its absence is stable.
    Header(Box<str>),
}

/// The header names of a policy while it is read: what clients send under Coalmine's own is removed, so nothing may
/// be taken from them.
#[derive(Debug, Default)]
pub(super) struct HeaderNames<'d> {
    own: Vec<(Box<str>, Cursor<'d>)>,
    read: Vec<Box<str>>,
}

// === impl Route ===

impl Route {
    pub(super) fn read<'d>(
        rollout: &Cursor<'d>,
        cursor: Option<Cursor<'d>>,
        names: &mut HeaderNames<'d>,
    ) -> Option<Self> {
        let header = match &cursor {
            Some(cursor) => cursor.map(&ROUTE)?.get("header"),
            None => None,
        };
        match header {
            Some(header) => names.read_own(&header).map(Self::Header),
            None => {
                Some(Self::Header(names.add_own(DEFAULT_HEADER.into(), cursor.as_ref().unwrap_or(rollout))))
            }
        }
    }
}

// === impl HeaderNames ===

impl<'d> HeaderNames<'d> {
    /// An identity or a condition is taken from this header.
    pub(super) fn add_read(&mut self, name: &str) {
        self.read.push(name.into());
    }

    /// Reads a name that is to be Coalmine's own.
    fn read_own(&mut self, cursor: &Cursor<'d>) -> Option<Box<str>> {
        let name = names::header(cursor)?;
        if RESERVED.contains(&&*name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            cursor.problem(format!("{} belongs to HTTP or the proxy; use a name of your own", quoted(&name)));
            return None;
        }
        Some(self.add_own(name, cursor))
    }

    fn add_own(&mut self, name: Box<str>, cursor: &Cursor<'d>) -> Box<str> {
        self.own.push((name.clone(), cursor.clone()));
        name
    }

    /// Coalmine's own names, each once, when every rollout has been read.
    pub(super) fn finish(self) -> Vec<Box<str>> {
        let mut distinct: Vec<Box<str>> = Vec::new();
        for (name, cursor) in self.own {
            if self.read.contains(&name) {
                cursor.problem(format!(
                    "{} is also an identity or a condition of this policy, but what clients send under it is removed",
                    quoted(&name)
                ));
            }
            if distinct.contains(&name) {
                continue;
            }
            if distinct.len() == MAX_OWN {
                cursor.problem(format!(
                    "{} would be the header of Coalmine number {}; a policy has at most {MAX_OWN}, rollouts may share one",
                    quoted(&name),
                    MAX_OWN + 1
                ));
                break;
            }
            distinct.push(name);
        }
        distinct
    }
}
