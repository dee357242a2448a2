//! From an answer to what each proxy showed at its latest scrape.
//!
//! Prometheus stamps all samples of one scrape with one time, so the samples of a target with the latest time are its page.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::series::{self, Series};
use crate::evidence::ServedBy;
use crate::evidence::exposition::Sample;
use crate::evidence::table::Page;
use crate::evidence::totals::Totals;

/// Labels that the filter gives, and that of a bucket; all others are of the target.
const OURS: [&str; 10] =
    ["__name__", "rollout", "variant", "reason", "group", "threshold", "class", "version", "node", "le"];
/// Labels that Envoy and Istio give to what is served. Istio's are many, and those of a kind begin alike.
const OF_SERVED: [&str; 10] = [
    "envoy_cluster_name",
    "envoy_response_code_class",
    "reporter",
    "source_",
    "destination_",
    "request_protocol",
    "response_",
    "grpc_response_status",
    "connection_security_policy",
    "session_id",
];
/// What Prometheus puts in front of a label that the target has as well.
const EXPORTED: &str = "exported_";

/// What is known of a target's latest scrape.
#[derive(Default)]
struct Target<'a, 's> {
    /// Its time, in seconds.
    at: f64,
    samples: Vec<(&'s Series<'a>, f64)>,
}

/// The latest page of each target.
pub(super) fn read(answer: &[u8], served: Option<&ServedBy>) -> Result<Vec<Page>, String> {
    let result = series::read(answer)?;
    let mut targets: BTreeMap<String, Target<'_, '_>> = BTreeMap::new();
    for series in &result {
        let Some((at, value)) = series.latest()? else { continue };
        let target = targets.entry(series.target()).or_default();
        if at > target.at {
            *target = Target { at, samples: Vec::new() };
        }
        // A series that ended with an earlier scrape is not on the latest page.
        if at >= target.at {
            target.samples.push((series, value));
        }
    }
    let mut pages = Vec::new();
    for (name, target) in targets {
        match target.totals(served) {
            Ok(totals) => pages.push(Page { address: name, at: target.at as u64, totals }),
            Err(error) => tracing::warn!("a proxy cannot be read from Prometheus: {name}: {error}"),
        }
    }
    Ok(pages)
}

// === impl Series ===

impl Series<'_> {
    /// What names the target: all labels that are not the filter's.
    fn target(&self) -> String {
        let is_served = |name: &str| OF_SERVED.iter().any(|begin| name.starts_with(begin));
        let is_of_series = |name: &str| OURS.contains(&name) || is_served(name);
        let labels = self.metric.iter().filter(|(name, _)| !is_of_series(plain(name)));
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        labels.join(" ")
    }

    /// The series as it stood on the page.
    fn sample(&self, value: f64) -> Option<Sample<'_>> {
        let name = self.metric.get("__name__")?;
        let is_hidden = |label: &str| self.metric.contains_key(format!("{EXPORTED}{label}").as_str());
        let labels = self.metric.iter().filter(|(label, _)| !is_hidden(label));
        let labels = labels.map(|(label, value)| (plain(label), Cow::Borrowed(value.as_ref()))).collect();
        Some(Sample::new(name, labels, value))
    }
}

/// The label as the filter named it.
fn plain(label: &str) -> &str {
    label.strip_prefix(EXPORTED).unwrap_or(label)
}

// === impl Target ===

impl Target<'_, '_> {
    fn totals(&self, served: Option<&ServedBy>) -> Result<Totals, String> {
        let samples = self.samples.iter().filter_map(|(series, value)| series.sample(*value)).map(Ok);
        Totals::of(samples, served)
    }
}
