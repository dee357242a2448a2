//! How the answer reaches the host's router.

use std::borrow::Cow;

use super::names;
use super::own::HeaderNames;
use super::variants::Variants;
use crate::decision::Decision;
use crate::document::{Cursor, Fields, Known};
use crate::draw::BUCKETS;
use crate::ranges::Variant;

const ROUTE: Known = Known { fields: &["header", "clusterHeader", "bucketHeader"], unsupported: &[] };
const CLUSTER_HEADER: Known = Known { fields: &["name", "clusters"], unsupported: &[] };
const BUCKET_HEADER: Known = Known { fields: &["name", "total"], unsupported: &[] };

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
            return Some(Self::Header(headers.default_route(rollout.whole())));
        };
        let fields = cursor.map(&ROUTE)?;
        match (fields.get("header"), fields.get("clusterHeader"), fields.get("bucketHeader")) {
            (Some(header), None, None) => headers.read_route(&header).map(Self::Header),
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
        let name = name.and_then(|name| headers.read_route(&name));
        let clusters = fields.required("clusters", "a cluster for every variant, stable too")?;
        let variants = variants?;
        let mut by_variant: Vec<Option<Box<str>>> = vec![None; variants.names.len()];
        for field in clusters.entries()? {
            let cluster = names::cluster(&field.cursor);
            let variant = variants.named(&field.cursor, field.name);
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
        let name = name.and_then(|name| headers.read_route(&name));
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
