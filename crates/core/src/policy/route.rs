//! How the answer reaches the host's router.

use std::borrow::Cow;

use super::names;
use super::variants::Variants;
use crate::decision::Decision;
use crate::document::{Cursor, Fields, Known, NameSet, quoted};
use crate::draw::BUCKETS;
use crate::ranges::Variant;

const ROUTE: Known = Known { fields: &["header", "clusterHeader", "bucketHeader"], unsupported: &[] };
const CLUSTER_HEADER: Known = Known { fields: &["name", "clusters"], unsupported: &[] };
const BUCKET_HEADER: Known = Known { fields: &["name", "total"], unsupported: &[] };

/// The header that is set where a policy names none.
const DEFAULT_HEADER: &str = "x-coalmine-variant";
/// The most header names, and the most cookie names, of Coalmine's own in a policy: each of them costs every request
/// a look.
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
    /// This header is set to the variant's cluster, for stable too.
    ClusterHeader {
        /// The header.
        name: Box<str>,
        /// The clusters, by [`Variant::index`].
        clusters: Box<[Box<str>]>,
    },
    /// This header is set to the bucket itself, for a route that keeps the weights.
    BucketHeader {
        /// The header.
        name: Box<str>,
        /// The sum of the route's weights.
        total: u32,
    },
}

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

// === impl Route ===

impl Route {
    /// Whether the rollout's weights stay in the proxy's route: its `route` has a bucketHeader.
    pub(super) fn keeps_weights(rollout: &Fields<'_>) -> bool {
        let is_given = |route: Cursor<'_>| {
            matches!(route.value(), crate::document::Value::Map(fields)
                if fields.iter().any(|(key, _)| key.name == "bucketHeader"))
        };
        rollout.get("route").is_some_and(is_given)
    }

    /// Reads a rollout's route. `variants` is `None` where they could not be read.
    pub(super) fn read<'d>(
        rollout: &Fields<'d>,
        variants: Option<&Variants>,
        headers: &mut HeaderNames<'d>,
    ) -> Option<Self> {
        let Some(cursor) = rollout.get("route") else {
            return Some(Self::Header(headers.add_own(DEFAULT_HEADER.into(), true, rollout.whole())));
        };
        let fields = cursor.map(&ROUTE)?;
        match (fields.get("header"), fields.get("clusterHeader"), fields.get("bucketHeader")) {
            (Some(header), None, None) => headers.read_own(&header, true).map(Self::Header),
            (None, Some(header), None) => Self::read_cluster_header(&header, variants, headers),
            (None, None, Some(header)) => Self::read_bucket_header(&header, headers),
            _ => {
                cursor.problem("needs one way: header, clusterHeader or bucketHeader");
                None
            }
        }
    }

    fn read_cluster_header<'d>(
        cursor: &Cursor<'d>,
        variants: Option<&Variants>,
        headers: &mut HeaderNames<'d>,
    ) -> Option<Self> {
        let fields = cursor.map(&CLUSTER_HEADER)?;
        let name = fields.required("name", "the header that the route takes its cluster from");
        let name = name.and_then(|name| headers.read_own(&name, true));
        let clusters = fields.required("clusters", "a cluster for every variant, stable too")?;
        let variants = variants?;
        let mut by_variant: Vec<Option<Box<str>>> = vec![None; variants.names.len()];
        for field in clusters.entries()? {
            let cluster = names::cluster(&field.cursor);
            let variant = names::variant(&field.cursor, field.name, variants);
            if let Some(slot) = variant.and_then(|variant| by_variant.get_mut(variant.index())) {
                *slot = cluster.or_else(|| Some(Box::default()));
            }
        }
        let missing: Vec<&str> = variants
            .names
            .iter()
            .zip(&by_variant)
            .filter(|(_, cluster)| cluster.is_none())
            .map(|(name, _)| &**name)
            .collect();
        if !missing.is_empty() {
            clusters.problem(format!("no cluster for {}; every variant needs one", missing.join(", ")));
        }
        let clusters: Option<Vec<_>> = by_variant.into_iter().collect();
        Some(Self::ClusterHeader { name: name?, clusters: clusters?.into() })
    }

    fn read_bucket_header<'d>(cursor: &Cursor<'d>, headers: &mut HeaderNames<'d>) -> Option<Self> {
        let fields = cursor.map(&BUCKET_HEADER)?;
        let name = fields.required("name", "the header_name of the route's weighted_clusters");
        let name = name.and_then(|name| headers.read_own(&name, true));
        let total = fields.required("total", "the sum of the route's weights, 100 in a VirtualService");
        let total = total.and_then(|total| total.integer(1..=u64::from(BUCKETS)));
        Some(Self::BucketHeader { name: name?, total: total? as u32 })
    }

    /// What this header of Coalmine's own has to say to the router; `None`: nothing, it must be absent.
    pub(super) fn value<'p>(&'p self, header: &str, decision: &Decision<'p>) -> Option<Cow<'p, [u8]>> {
        match self {
            Self::Header(name) if **name == *header && decision.variant != Variant::STABLE => {
                Some(decision.variant_name().as_bytes().into())
            }
            Self::ClusterHeader { name, clusters } if **name == *header => {
                Some(clusters.get(decision.variant.index())?.as_bytes().into())
            }
            Self::BucketHeader { name, total } if **name == *header => {
                let value = match decision.variant {
                    Variant::STABLE => total - 1,
                    Variants::CANARY_OF_ROUTE => 0,
                    _ => {
                        let bucket = decision.lot?.bucket.number();
                        (u64::from(bucket) * u64::from(*total) / u64::from(BUCKETS)) as u32
                    }
                };
                Some(value.to_string().into_bytes().into())
            }
            _ => None,
        }
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
