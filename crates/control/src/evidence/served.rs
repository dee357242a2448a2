//! How it is found what the servers of a version answered, by counters that are not the filter's: Envoy's of its clusters, or
//! Istio's. Where they are fewer than the filter assigned, a route leaks.

use std::str::FromStr;

use super::answered::{AnsweredTotals, What};
use super::exposition::Sample;
use super::totals::whole;
use crate::rollout::Name;

/// Which counters say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// Whose they are.
    pub servers: Servers,
    /// Where guards are counted by them too: the thresholds in milliseconds that guards may name. None where the filter's
    /// counters are for that.
    pub guards: Option<Vec<u64>>,
}

/// The servers of a version, as a proxy that calls them knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Those of Envoy's cluster with this name.
    Cluster(Template),
    /// In Istio, those of this Service in the rollout's namespace and of this version.
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

const PLACEHOLDERS: [&str; 3] = ["{namespace}", "{name}", "{variant}"];

const ENVOY_REQUESTS: &str = "envoy_cluster_upstream_rq_total";
const ENVOY_ANSWERS: &str = "envoy_cluster_upstream_rq_xx";
const ENVOY_TIMES: &str = "envoy_cluster_upstream_rq_time_bucket";
const ISTIO_REQUESTS: &str = "istio_requests_total";
const ISTIO_TIMES: &str = "istio_request_duration_milliseconds_bucket";

/// What gRPC says where the caller is to blame, or nobody: as the filter has it.
const GRPC_FINE: [&str; 10] = ["0", "1", "3", "5", "6", "7", "9", "10", "11", "16"];

// === impl ServedBy ===

impl ServedBy {
    /// Names of the metrics.
    pub(super) fn metrics(&self) -> &'static [&'static str] {
        match (&self.servers, &self.guards) {
            (Servers::Cluster(_), None) => &[ENVOY_REQUESTS],
            (Servers::Cluster(_), Some(_)) => &[ENVOY_REQUESTS, ENVOY_ANSWERS, ENVOY_TIMES],
            (Servers::Istio { .. }, None) => &[ISTIO_REQUESTS],
            (Servers::Istio { .. }, Some(_)) => &[ISTIO_REQUESTS, ISTIO_TIMES],
        }
    }

    /// What selects them on a page of an admin interface, as a part of an expression on Envoy's own names.
    pub(super) fn filter(&self) -> &'static str {
        match (&self.servers, &self.guards) {
            (Servers::Cluster(_), None) => r"^cluster\..*\.upstream_rq_total$",
            (Servers::Cluster(_), Some(_)) => r"^cluster\..*\.upstream_rq_(total|\dxx|time)$",
            (Servers::Istio { .. }, None) => "istio_requests_total",
            (Servers::Istio { .. }, Some(_)) => "istio_requests_total|istio_request_duration_milliseconds",
        }
    }

    /// What the label `le` is like on series that are read, as an expression; none where no histogram is read. A histogram
    /// has twenty buckets, and few of them are asked for.
    pub(super) fn buckets(&self) -> Option<String> {
        let thresholds: Vec<String> = self.guards.as_ref()?.iter().map(u64::to_string).collect();
        // Prometheus 3 writes a whole bound with a point.
        Some(format!(r"|({})(\.0)?|\+Inf", thresholds.join("|")))
    }

    /// What a variant of a rollout is called in [`super::Counted::served`].
    pub(super) fn key(&self, name: &Name, variant: &str) -> String {
        match &self.servers {
            Servers::Cluster(cluster) => cluster.fill(name, variant),
            Servers::Istio { service, version } => {
                key_of_istio(name.namespace(), &service.fill(name, variant), &version.fill(name, variant))
            }
        }
    }

    /// Adds a sample of one of the metrics.
    ///
    /// # Errors
    /// Its value is no count.
    pub(super) fn take(&self, sample: &Sample<'_>, totals: &mut AnsweredTotals) -> Result<(), String> {
        let key = match &self.servers {
            Servers::Cluster(_) => sample.label("envoy_cluster_name").map(str::to_owned),
            // The server's side counts each request a second time.
            Servers::Istio { .. } if sample.label("reporter") != Some("source") => None,
            Servers::Istio { .. } => {
                let of = |label| sample.label(label).filter(|value| !value.is_empty());
                let namespace = of("destination_service_namespace");
                let service = namespace.zip(of("destination_service_name")).zip(of("destination_version"));
                service.map(|((namespace, service), version)| key_of_istio(namespace, service, version))
            }
        };
        let Some((key, what)) = key.zip(self.what(sample)) else { return Ok(()) };
        totals.add(key, what, sample, whole(sample)?);
        Ok(())
    }

    fn what(&self, sample: &Sample<'_>) -> Option<What> {
        let is_class = |class: &str| sample.label("envoy_response_code_class") == Some(class);
        match sample.name {
            ENVOY_REQUESTS => Some(What::Sent),
            ENVOY_ANSWERS => Some(What::Answered { bad: is_class("5"), sent: false }),
            ISTIO_REQUESTS => Some(What::Answered { bad: is_bad_for_istio(sample), sent: true }),
            ENVOY_TIMES | ISTIO_TIMES => {
                let bound: f64 = sample.label("le")?.parse().ok()?;
                if bound == f64::INFINITY {
                    return Some(What::Timed);
                }
                let known = self.guards.iter().flatten().find(|known| **known as f64 == bound)?;
                Some(What::Within(*known))
            }
            _ => None,
        }
    }
}

fn key_of_istio(namespace: &str, service: &str, version: &str) -> String {
    format!("{namespace}/{service}/{version}")
}

fn is_bad_for_istio(sample: &Sample<'_>) -> bool {
    let is_grpc = sample.label("request_protocol") == Some("grpc");
    let grpc = sample.label("grpc_response_status").filter(|status| is_grpc && !status.is_empty());
    let code = sample.label("response_code").unwrap_or_default();
    (code.len() == 3 && code.starts_with('5')) || grpc.is_some_and(|status| !GRPC_FINE.contains(&status))
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
    use crate::evidence::answered::Answered;
    use crate::evidence::exposition::samples;

    fn name() -> Name {
        "shop/checkout".parse().unwrap()
    }

    fn cluster(guards: Option<Vec<u64>>) -> ServedBy {
        ServedBy { servers: Servers::Cluster("{name}-{variant}".parse().unwrap()), guards }
    }

    fn istio(guards: Option<Vec<u64>>) -> ServedBy {
        let (service, version) = ("{name}".parse().unwrap(), "{variant}".parse().unwrap());
        ServedBy { servers: Servers::Istio { service, version }, guards }
    }

    fn totals(by: &ServedBy, text: &str) -> AnsweredTotals {
        let mut totals = AnsweredTotals::default();
        for sample in samples(text, by.metrics()) {
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
        let by = cluster(None);
        let page = |requests: &str| {
            totals(
                &by,
                &format!(
                    "envoy_cluster_upstream_rq_total{{envoy_cluster_name=\"checkout-canary\"}} {requests}\n"
                ),
            )
        };
        let key = by.key(&name(), "canary");
        let counted = |now: &str, before: Option<&str>| {
            page(now).since(before.map(page).as_ref()).get(&key).map(|answered| answered.sent)
        };
        assert_eq!(
            (counted("15", Some("5")), counted("15", None), counted("3", Some("5"))),
            (Some(10), Some(15), Some(3))
        );
        assert_eq!((counted("NaN", Some("5")), counted("5", Some("NaN"))), (None, None));
    }

    #[test]
    fn istio_counts_by_service_and_version_at_the_client() {
        let by = istio(None);
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
        let counted = totals(&by, &page.concat()).since(None);
        assert_eq!(counted.get(&by.key(&name(), "canary")).map(|answered| answered.sent), Some(7));
        assert_eq!(counted.get(&by.key(&name(), "stable")), None);
    }

    #[test]
    fn envoy_counts_bad_answers_and_slow_ones() {
        let by = cluster(Some(vec![250, 300]));
        let of = "{envoy_cluster_name=\"checkout-canary\"";
        let page = format!(
            "envoy_cluster_upstream_rq_total{of}}} 110\n\
             envoy_cluster_upstream_rq_xx{of},envoy_response_code_class=\"2\"}} 90\n\
             envoy_cluster_upstream_rq_xx{of},envoy_response_code_class=\"4\"}} 8\n\
             envoy_cluster_upstream_rq_xx{of},envoy_response_code_class=\"5\"}} 7\n\
             envoy_cluster_upstream_rq_time_bucket{of},le=\"100\"}} 50\n\
             envoy_cluster_upstream_rq_time_bucket{of},le=\"250\"}} 80\n\
             envoy_cluster_upstream_rq_time_bucket{of},le=\"+Inf\"}} 100\n\
             envoy_cluster_upstream_rq_time_count{of}}} 100\n"
        );
        let counted = totals(&by, &page).since(None);
        let within = [(250, 80)].into();
        let expected = Answered { sent: 110, all: 105, bad: 7, timed: 100, within };
        assert_eq!(counted.get("checkout-canary"), Some(&expected), "no bucket ends at 300");
    }

    #[test]
    fn istio_counts_bad_answers_of_http_and_of_grpc_and_slow_ones() {
        let by = istio(Some(vec![250]));
        let of = "reporter=\"source\",destination_service_name=\"checkout\",destination_service_namespace=\"shop\",\
                  destination_version=\"canary\"";
        let requests = |protocol: &str, code: &str, grpc: &str| {
            format!(
                "istio_requests_total{{{of},request_protocol=\"{protocol}\",response_code=\"{code}\",\
                 grpc_response_status=\"{grpc}\"}} 1\n"
            )
        };
        let answers = [
            ("http", "200", "", false),
            ("http", "404", "", false),
            ("http", "503", "", true),
            // The caller left.
            ("http", "0", "", false),
            ("grpc", "200", "0", false),
            ("grpc", "200", "5", false),
            ("grpc", "200", "14", true),
        ];
        for (protocol, code, grpc, is_bad) in answers {
            let counted = totals(&by, &requests(protocol, code, grpc)).since(None);
            let expected = Answered { sent: 1, all: 1, bad: is_bad.into(), ..Answered::default() };
            assert_eq!(counted.get("shop/checkout/canary"), Some(&expected), "{protocol} {code} {grpc}");
        }
        // As Prometheus 3 writes it.
        let times = format!(
            "istio_request_duration_milliseconds_bucket{{{of},response_code=\"200\",le=\"250.0\"}} 8\n\
             istio_request_duration_milliseconds_bucket{{{of},response_code=\"503\",le=\"250.0\"}} 1\n\
             istio_request_duration_milliseconds_bucket{{{of},response_code=\"200\",le=\"+Inf\"}} 11\n"
        );
        let counted = totals(&by, &times).since(None);
        let expected = Answered { timed: 11, within: [(250, 9)].into(), ..Answered::default() };
        assert_eq!(counted.get("shop/checkout/canary"), Some(&expected));
    }
}
