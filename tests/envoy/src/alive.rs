//! Whether the filter has lived through everything that a test sent.

use anyhow::{Result, ensure};
use coalmine_harness::{Lab, Metrics};

/// The listener, not the admin interface, which is busy at first.
const PUBLIC: (&str, &str) = ("envoy_http_conn_manager_prefix", "public");
const REQUESTS: &str = "coalmine_requests_total";
/// What Envoy's log says when a VM dies.
const CRASHES: [&str; 3] = ["Function: proxy_", "RuntimeError", "panicked"];

/// Waits until the filter has counted this many requests: it decided about each, so no worker runs without it. None
/// may have been answered with an error, and the log may not speak of a crash.
pub async fn decided(lab: &Lab, requests: usize) -> Result<Metrics> {
    let counted = |metrics: &Metrics| metrics.sum(REQUESTS, &[]).unwrap_or_default();
    let all = |metrics: &Metrics| counted(metrics) >= requests as f64;
    let metrics = lab.metrics_when(&format!("{requests} requests in the filter's counters"), all).await?;
    ensure!(counted(&metrics) == requests as f64, "the filter counts {} requests", counted(&metrics));
    let errors = metrics.sum("envoy_http_downstream_rq_xx", &[("envoy_response_code_class", "5"), PUBLIC]);
    ensure!(errors == Some(0.0), "{errors:?} answers of class 5xx");
    let log = lab.envoy().log()?;
    ensure!(!CRASHES.iter().any(|sign| log.contains(sign)), "the log speaks of a crash: {log}");
    Ok(metrics)
}

/// How many requests of a rollout were decided for this reason.
pub fn by_reason(metrics: &Metrics, rollout: &str, reason: &str) -> u64 {
    metrics.sum(REQUESTS, &[("rollout", rollout), ("reason", reason)]).unwrap_or_default() as u64
}
