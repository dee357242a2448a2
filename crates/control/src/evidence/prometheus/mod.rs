//! Evidence from a Prometheus that scrapes the proxies.
//!
//! It is asked for raw samples with their own times, never for a rate: what was counted is the difference series by series,
//! as if the server had read the pages itself.
//!
//! | file | what is in it |
//! |---|---|
//! | `api` | one query at one time |
//! | `series` | what an answer holds |
//! | `pages` | from an answer to what each proxy showed at its latest scrape |

mod api;
mod pages;
pub(super) mod series;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::table::{Page, Table};
use super::{Forms, Reading, ServedBy, Source};
use crate::config::PrometheusAddress;

/// How far back samples are read: a proxy that was not scraped for so long is gone.
pub(super) const WINDOW: &str = "2m";
/// The metrics that are read.
const METRICS: &str = "coalmine_(requests_total|all_total|bad_total|slow_total|policy_revision|rollout_disabled|build_info)\
|envoy_server_uptime";

pub(super) use api::{Api, authorization};

/// A Prometheus, and the proxies that it scrapes.
pub struct Prometheus {
    api: Api,
    query: String,
    served: Option<ServedBy>,
    table: Table,
}

// === impl Prometheus ===

impl Prometheus {
    /// Reads this Prometheus, each time within this time, with what versions served where somebody says how that is counted.
    ///
    /// # Errors
    /// A certificate or a secret will not do: a sentence, without the secret.
    pub fn new(
        address: &PrometheusAddress,
        within: Duration,
        served: Option<ServedBy>,
    ) -> Result<Self, String> {
        let api = Api::new(address, "evidence.prometheus", within)?;
        let query = query(&address.labels, served.as_ref());
        Ok(Self { api, query, served, table: Table::default() })
    }

    async fn ask(&self, now: u64) -> Result<Vec<Page>, String> {
        pages::read(&self.api.ask(&self.query, now).await?, self.served.as_ref())
    }
}

/// The address without what is secret.
impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("query", &self.query).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for Prometheus {
    async fn read(&mut self, now: u64, forms: &Forms) -> Reading {
        match self.ask(now).await {
            Ok(mut pages) => {
                // Of two replicas one may be behind: what it shows has been counted.
                pages.retain(|page| self.table.is_newer(page));
                Reading {
                    away: None,
                    proxies: self.table.take(now, pages, forms),
                    served: self.served.clone(),
                }
            }
            Err(error) => {
                let away = format!("Prometheus: {error}");
                Reading {
                    away: Some(away),
                    proxies: self.table.take(now, Vec::new(), forms),
                    served: self.served.clone(),
                }
            }
        }
    }

    fn forget(&mut self) {
        self.table = Table::default();
    }
}

/// One range selector for everything that is read.
fn query(labels: &BTreeMap<String, String>, served: Option<&ServedBy>) -> String {
    let metrics = served
        .map_or_else(|| METRICS.to_owned(), |served| format!("{METRICS}|{}", served.metrics().join("|")));
    let mut matchers = format!("__name__=~{}", quoted(&metrics));
    if let Some(buckets) = served.and_then(ServedBy::buckets) {
        matchers.push_str(&format!(",le=~{}", quoted(&buckets)));
    }
    for (name, value) in labels {
        matchers.push_str(&format!(",{name}={}", quoted(value)));
    }
    format!("{{{matchers}}}[{WINDOW}]")
}

/// A text in PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests;
