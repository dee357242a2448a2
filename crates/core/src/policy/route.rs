//! How the answer reaches the host's router.

use std::borrow::Cow;

use coalmine_document::{Cursor, Fields, Known, OwnedPath, Value};

use super::assignment::{Assignment, Reason};
use super::names::{self, DEFAULT_HEADER, managed_header};
use super::variants::Variants;
use crate::bucketing::{BUCKETS, Bucket};
use crate::split::Variant;

const ROUTE: Known = Known::new(&["header", "clusterHeader", "bucketHeader"]);
const CLUSTER_HEADER: Known = Known::new(&["name", "clusters"]);
const BUCKET_HEADER: Known = Known::new(&["name", "total", "canary"]);

/// The header that tells the host's router the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub(super) header: Box<str>,
    /// The place of the header among the policy's managed headers.
    pub(super) slot: usize,
    /// Whether the document names the header.
    is_given: bool,
    value: RouteValue,
}

/// What the header of a route says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteValue {
    /// The variant's name; the absence of the header is stable.
    Variant,
    /// The variant's cluster, for stable too. The clusters are in the order of [`Variant::index`].
    Cluster(Box<[Box<str>]>),
    /// The bucket of a user who is drawn: the route keeps the weights. The absence of the header is stable, whatever
    /// the weights are and in whatever order the route has its clusters.
    Bucket(BucketScale),
}

/// The buckets as a route with weights counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketScale {
    total: u32,
    canary: CanaryPlace,
}

/// Where in the route's weights the canary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryPlace {
    /// It is the first cluster.
    First,
    /// It is the last cluster, as where a tool lists stable first.
    Last,
}

// === impl Route ===

impl Route {
    /// Whether the rollout's weights stay in the proxy's route: its `route` has a bucketHeader.
    pub(super) fn keeps_weights(rollout: &Fields<'_, '_>) -> bool {
        rollout.get("route").is_some_and(|route| match route.value() {
            Value::Map(fields) => fields.iter().any(|field| field.key == "bucketHeader"),
            _ => false,
        })
    }

    /// Reads a rollout's route.
    pub(super) fn read(rollout: &Fields<'_, '_>, variants: &Variants) -> Self {
        let Some(cursor) = rollout.get("route") else {
            let header = DEFAULT_HEADER.into();
            return Self { header, slot: 0, is_given: false, value: RouteValue::Variant };
        };
        let fields = cursor.fields(&ROUTE);
        let (header, value) =
            match (fields.get("header"), fields.get("clusterHeader"), fields.get("bucketHeader")) {
                (Some(header), None, None) => (managed_header(&header), RouteValue::Variant),
                (None, Some(header), None) => read_cluster_header(&header, variants),
                (None, None, Some(header)) => read_bucket_header(&header),
                _ => {
                    if fields.is_map() {
                        cursor.problem("needs one way: header, clusterHeader or bucketHeader");
                    }
                    (Box::default(), RouteValue::Variant)
                }
            };
        Self { header, slot: 0, is_given: true, value }
    }

    /// The header, in lower case.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// What the header says.
    pub fn value(&self) -> &RouteValue {
        &self.value
    }

    /// Where the document of a rollout names the header; the rollout itself where it does not.
    pub(super) fn header_path(&self) -> OwnedPath {
        OwnedPath::of(match self.value {
            _ if !self.is_given => &[],
            RouteValue::Variant => &["route", "header"],
            RouteValue::Cluster(_) => &["route", "clusterHeader", "name"],
            RouteValue::Bucket(_) => &["route", "bucketHeader", "name"],
        })
    }

    /// The text of the header for this assignment; `None` where the header must be absent.
    pub(super) fn text<'p>(&'p self, assignment: &Assignment<'p>) -> Option<Cow<'p, [u8]>> {
        let variant = assignment.variant;
        match &self.value {
            RouteValue::Variant | RouteValue::Bucket(_) if variant == Variant::STABLE => None,
            RouteValue::Variant => Some(assignment.variant_name().as_bytes().into()),
            RouteValue::Cluster(clusters) => Some(clusters.get(variant.index())?.as_bytes().into()),
            RouteValue::Bucket(scale) => {
                let value = match assignment.reason {
                    Reason::Pinned | Reason::Override => scale.of_canary(),
                    _ => scale.of(assignment.bucketed?.bucket),
                };
                Some(value.to_string().into_bytes().into())
            }
        }
    }
}

// === impl BucketScale ===

impl BucketScale {
    /// The sum of the route's weights.
    pub fn total(self) -> u32 {
        self.total
    }

    /// Where the canary is among the route's clusters.
    pub fn canary(self) -> CanaryPlace {
        self.canary
    }

    /// Where this bucket lies in the route's weights.
    fn of(self, bucket: Bucket) -> u32 {
        (u64::from(bucket.number()) * u64::from(self.total) / u64::from(BUCKETS)) as u32
    }

    /// What is the canary's at every weight but 0.
    fn of_canary(self) -> u32 {
        match self.canary {
            CanaryPlace::First => 0,
            CanaryPlace::Last => self.total - 1,
        }
    }
}

fn read_cluster_header(cursor: &Cursor<'_, '_>, variants: &Variants) -> (Box<str>, RouteValue) {
    let fields = cursor.fields(&CLUSTER_HEADER);
    let name = fields.required("name", "the header that the route takes its cluster from");
    let name = name.map(|name| managed_header(&name)).unwrap_or_default();
    let clusters = fields.required("clusters", "a cluster for every variant, stable too");
    let mut by_variant: Vec<Option<Box<str>>> = vec![None; variants.names.len()];
    if let Some(clusters) = clusters {
        for field in clusters.entries() {
            let cluster = names::cluster(&field.value);
            let variant = variants.named(&field.value, field.name);
            if let Some(slot) = variant.and_then(|variant| by_variant.get_mut(variant.index())) {
                *slot = Some(cluster);
            }
        }
        let named = variants.names.iter().zip(&by_variant);
        let missing: Vec<&str> =
            named.filter(|(_, cluster)| cluster.is_none()).map(|(name, _)| &**name).collect();
        let is_map = matches!(clusters.value(), Value::Map(_));
        if !missing.is_empty() && is_map && variants.are_named {
            clusters.problem(format!("no cluster for {}; every variant needs one", missing.join(", ")));
        }
    }
    (name, RouteValue::Cluster(by_variant.into_iter().flatten().collect()))
}

fn read_bucket_header(cursor: &Cursor<'_, '_>) -> (Box<str>, RouteValue) {
    let fields = cursor.fields(&BUCKET_HEADER);
    let name = fields.required("name", "the header_name of the route's weighted_clusters");
    let name = name.map(|name| managed_header(&name)).unwrap_or_default();
    let total = fields.required("total", "the sum of the route's weights, 100 in a VirtualService");
    let total = total.and_then(|total| total.integer(1..=u64::from(BUCKETS)));
    let places = [("first", CanaryPlace::First), ("last", CanaryPlace::Last)];
    let canary = fields.get("canary").and_then(|place| place.word(&places)).unwrap_or(CanaryPlace::First);
    (name, RouteValue::Bucket(BucketScale { total: total.map_or(1, |total| total as u32), canary }))
}
