//! Requests that the servers of a version answered, by counters that are not the filter's: where they are fewer than the filter
//! assigned, a route leaks.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::exposition::Sample;
use super::totals::whole;
use crate::rollout::Name;

/// Which counters say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// Envoy's `envoy_cluster_upstream_rq_total`, of the cluster with this name.
    Cluster(Template),
    /// Istio's `istio_requests_total` at the client, of this Service in the rollout's namespace and of this version.
    Istio {
        /// Name of the Service.
        service: Template,
        /// The label `version` of its pods.
        version: Template,
    },
}

/// A name in which `{namespace}`, `{name}` and `{variant}` stand for those of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// A text with a placeholder that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATemplate;

/// What was served since a process began, by [`ServedBy::key`]; none where a series has no value.
pub(super) type ServedTotals = BTreeMap<String, Option<u64>>;

const PLACEHOLDERS: [&str; 3] = ["{namespace}", "{name}", "{variant}"];

// === impl ServedBy ===

impl ServedBy {
    /// Name of the metric.
    pub(super) fn metric(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "envoy_cluster_upstream_rq_total",
            Self::Istio { .. } => "istio_requests_total",
        }
    }

    /// What selects it on a page of an admin interface, as a part of an expression on Envoy's own names.
    pub(super) fn filter(&self) -> &'static str {
        match self {
            Self::Cluster(_) => r"^cluster\..*\.upstream_rq_total$",
            Self::Istio { .. } => "istio_requests_total",
        }
    }

    /// What a variant of a rollout is called in [`super::Counted::served`].
    pub(super) fn key(&self, name: &Name, variant: &str) -> String {
        match self {
            Self::Cluster(cluster) => cluster.fill(name, variant),
            Self::Istio { service, version } => {
                key_of_istio(name.namespace(), &service.fill(name, variant), &version.fill(name, variant))
            }
        }
    }

    /// Adds a sample of the metric.
    ///
    /// # Errors
    /// Its value is no count.
    pub(super) fn take(&self, sample: &Sample<'_>, totals: &mut ServedTotals) -> Result<(), String> {
        let key = match self {
            Self::Cluster(_) => sample.label("envoy_cluster_name").map(str::to_owned),
            // The server's side counts each request a second time.
            Self::Istio { .. } if sample.label("reporter") != Some("source") => None,
            Self::Istio { .. } => {
                let of = |label| sample.label(label).filter(|value| !value.is_empty());
                let namespace = of("destination_service_namespace");
                let service = namespace.zip(of("destination_service_name")).zip(of("destination_version"));
                service.map(|((namespace, service), version)| key_of_istio(namespace, service, version))
            }
        };
        let Some(key) = key else { return Ok(()) };
        let value = whole(sample)?;
        // One key may have several series, as one for each status.
        totals
            .entry(key)
            .and_modify(|sum| *sum = sum.zip(value).map(|(sum, value)| sum + value))
            .or_insert(value);
        Ok(())
    }
}

fn key_of_istio(namespace: &str, service: &str, version: &str) -> String {
    format!("{namespace}/{service}/{version}")
}

/// What was served between two readings of one process, or since a new one began.
pub(super) fn since(now: &ServedTotals, before: Option<&ServedTotals>) -> BTreeMap<String, u64> {
    let counted = now.iter().filter_map(|(key, now)| {
        let before = before.and_then(|before| before.get(key)).unwrap_or(&Some(0));
        let (now, before) = now.zip(*before)?;
        Some((key.clone(), now.checked_sub(before).unwrap_or(now)))
    });
    counted.collect()
}

// === impl Template ===

impl FromStr for Template {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, NotATemplate> {
        let rest =
            PLACEHOLDERS.iter().fold(text.to_owned(), |rest, placeholder| rest.replace(placeholder, ""));
        match text.is_empty() || rest.contains(['{', '}']) {
            true => Err(NotATemplate),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl Template {
    fn fill(&self, name: &Name, variant: &str) -> String {
        let values = [name.namespace(), name.name(), variant];
        let filled = PLACEHOLDERS.iter().zip(values);
        filled.fold(self.0.clone(), |text, (placeholder, value)| text.replace(placeholder, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::exposition::samples;

    fn name() -> Name {
        "shop/checkout".parse().unwrap()
    }

    fn totals(by: &ServedBy, text: &str) -> ServedTotals {
        let mut totals = ServedTotals::new();
        for sample in samples(text, &["envoy_", "istio_"]) {
            by.take(&sample.unwrap(), &mut totals).unwrap();
        }
        totals
    }

    #[test]
    fn a_template_names_one_thing_of_each_rollout() {
        let fill = |text: &str| text.parse::<Template>().map(|it| it.fill(&name(), "canary"));
        assert_eq!(fill("{namespace}-{name}-{variant}"), Ok("shop-checkout-canary".to_owned()));
        assert_eq!(fill("canary"), Ok("canary".to_owned()));
        for wrong in ["", "{rollout}", "{name", "name}", "{{name}}"] {
            assert_eq!(fill(wrong), Err(NotATemplate), "{wrong}");
        }
    }

    #[test]
    fn envoy_counts_by_cluster() {
        let by = ServedBy::Cluster("{name}-{variant}".parse().unwrap());
        let page = |requests: &str| {
            totals(
                &by,
                &format!(
                    "envoy_cluster_upstream_rq_total{{envoy_cluster_name=\"checkout-canary\"}} {requests}\n"
                ),
            )
        };
        let key = by.key(&name(), "canary");
        let counted =
            |now: &str, before: Option<&str>| since(&page(now), before.map(page).as_ref()).get(&key).copied();
        assert_eq!(
            (counted("15", Some("5")), counted("15", None), counted("3", Some("5"))),
            (Some(10), Some(15), Some(3))
        );
        assert_eq!((counted("NaN", Some("5")), counted("5", Some("NaN"))), (None, None));
    }

    #[test]
    fn istio_counts_by_service_and_version_at_the_client() {
        let by =
            ServedBy::Istio { service: "{name}".parse().unwrap(), version: "{variant}".parse().unwrap() };
        let series = |reporter: &str, namespace: &str, code: u16, requests: u64| {
            format!(
                "istio_requests_total{{reporter=\"{reporter}\",destination_service_name=\"checkout\",\
                 destination_service_namespace=\"{namespace}\",destination_version=\"canary\",response_code=\"{code}\"}} \
                 {requests}\n"
            )
        };
        let page = [
            series("source", "shop", 200, 5),
            series("source", "shop", 500, 2),
            series("destination", "shop", 200, 100),
            series("source", "bank", 200, 1_000),
        ];
        let counted = since(&totals(&by, &page.concat()), None);
        assert_eq!(counted.get(&by.key(&name(), "canary")), Some(&7));
        assert_eq!(counted.get(&by.key(&name(), "stable")), None);
    }
}
