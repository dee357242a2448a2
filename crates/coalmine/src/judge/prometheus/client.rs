//! The HTTP API of Prometheus: one query at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::failure::Failure;

/// Most bytes of one answer.
const MAX_ANSWER: u64 = 256 << 20;

/// A Prometheus.
pub(super) struct Client {
    agent: Agent,
    url: String,
    bearer: Option<String>,
}

/// Samples of one series with their own times.
#[derive(Debug, Deserialize)]
pub(super) struct Series {
    #[serde(rename = "metric")]
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value as a text.
    pub(super) values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

// === impl Client ===

impl Client {
    /// Client of the Prometheus at this URL.
    pub(super) fn new(url: &str, bearer: Option<&Path>) -> Result<Self, Failure> {
        let bearer = match bearer {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
                Some(text.lines().next().unwrap_or_default().trim().to_owned())
            }
            None => None,
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .tls_config(tls);
        Ok(Self { agent: config.build().into(), url: url.trim_end_matches('/').to_owned(), bearer })
    }

    /// Samples of a range selector at a time.
    pub(super) fn query(&self, query: &str, at: Duration) -> Result<Vec<Series>, Failure> {
        let wrong = |what: String| {
            Failure::usage(
                format!("cannot read from {}: {what}", self.url),
                "is this the URL of a Prometheus?",
            )
        };
        let mut request = self
            .agent
            .get(format!("{}/api/v1/query", self.url))
            .query("query", query)
            .query("time", format!("{:.3}", at.as_secs_f64()));
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let mut response = request.call().map_err(|error| wrong(error.to_string()))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        let body = body.map_err(|error| wrong(error.to_string()))?;
        let answer: Answer = serde_json::from_str(&body).map_err(|error| {
            wrong(format!("HTTP {}, and no answer of Prometheus: {error}", status.as_u16()))
        })?;
        match (answer.data, answer.error) {
            (Some(data), None) => Ok(data.result),
            (_, error) => Err(wrong(format!("HTTP {}: {}", status.as_u16(), error.unwrap_or_default()))),
        }
    }
}
