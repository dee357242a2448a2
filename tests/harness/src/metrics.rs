//! What the proxy counts, as Prometheus would read it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

// === impl Metrics ===

impl Metrics {
    /// Reads the text format of Prometheus.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines
            .map(|line| Sample::parse(line).with_context(|| format!("not a sample: `{line}`")))
            .collect::<Result<_>>()?;
        Ok(Self { samples })
    }

    /// The sum over all samples of this name that have at least these labels; `None` when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample, (label, value): &(&str, &str)| {
            sample.labels.get(*label).is_some_and(|found| found == value)
        };
        self.samples
            .iter()
            .filter(|sample| sample.name == name && labels.iter().all(|label| has(sample, label)))
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }

    /// The names of the labels of this metric, in order.
    pub fn labels(&self, name: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .flat_map(|sample| sample.labels.keys().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

// === impl Sample ===

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            None => (series, ""),
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
        };
        // None of the labels that are looked at here holds a comma or a quote: they are names in lower case.
        let labels = labels
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        Some(Self { name: name.to_owned(), labels, value: value.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "# TYPE coalmine_requests_total counter\n\
        coalmine_requests_total{rollout=\"a\",variant=\"canary\",reason=\"bucket\"} 2\n\
        coalmine_requests_total{rollout=\"a\",variant=\"stable\",reason=\"bucket\"} 40\n\
        coalmine_requests_total{rollout=\"b\",variant=\"stable\",reason=\"bucket\"} 1\n\
        coalmine_policy_rejected_total{} 3\n";

    #[test]
    fn samples_are_found_by_their_labels() {
        let metrics = Metrics::parse(SCRAPE).unwrap();
        assert_eq!(metrics.sum("coalmine_requests_total", &[("rollout", "a")]), Some(42.0));
        assert_eq!(metrics.sum("coalmine_requests_total", &[("variant", "canary"), ("rollout", "b")]), None);
        assert_eq!(metrics.sum("coalmine_policy_rejected_total", &[]), Some(3.0));
        assert_eq!(metrics.labels("coalmine_requests_total"), ["reason", "rollout", "variant"]);
    }
}
