//! Evidence from a Prometheus that scrapes the proxies.
//!
//! It is asked for raw samples with their own times, never for a rate: what was counted is the difference series by series,
//! as if the server had read the pages itself.
//!
//! | file | what is in it |
//! |---|---|
//! | `pages` | from an answer to what each proxy showed at its latest scrape |

mod pages;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Identity, StatusCode};

use super::answer::{self, sentence};
use super::table::{Page, Table};
use super::{Forms, Reading, ServedBy, Source};
use crate::config::{Credentials, PrometheusAddress};
use crate::tls;

/// The most bytes of an answer.
const MAX_BYTES: usize = 128 << 20;
/// The most bytes that are shown of what a Prometheus says about an error.
const MAX_SHOWN: usize = 300;
/// How far back samples are read: a proxy that was not scraped for so long is gone.
const WINDOW: &str = "2m";
/// The metrics that are read.
const METRICS: &str = "coalmine_(requests_total|all_total|bad_total|slow_total|policy_revision|rollout_disabled|build_info)\
|envoy_server_uptime";

/// A Prometheus, and the proxies that it scrapes.
pub struct Prometheus {
    url: String,
    query: String,
    client: Client,
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
        let mut builder = tls::client(address.url.starts_with("http://")).timeout(within);
        if let Some(pem) = &address.ca {
            let ca = Certificate::from_pem(pem.as_bytes());
            builder =
                builder.tls_certs_merge([ca.map_err(|_| "evidence.prometheus.ca is no certificate in PEM")?]);
        }
        if let Some(pem) = &address.identity {
            let identity = Identity::from_pem(pem.0.as_bytes());
            let why = "evidence.prometheus.certificate and key are no certificate and key in PEM";
            builder = builder.identity(identity.map_err(|_| why)?);
        }
        let mut headers = HeaderMap::new();
        if let Some(credentials) = &address.credentials {
            headers.insert(AUTHORIZATION, authorization(credentials)?);
        }
        let client = builder.default_headers(headers).build().map_err(|error| sentence(&error))?;
        let url = format!("{}/api/v1/query", address.url);
        let query = query(&address.labels, served.as_ref());
        Ok(Self { url, query, client, served, table: Table::default() })
    }

    async fn ask(&self, now: u64) -> Result<Vec<Page>, String> {
        let time = now.to_string();
        let form = [("query", self.query.as_str()), ("time", time.as_str())];
        let request = self.client.post(&self.url).form(&form);
        let response = request.send().await.map_err(|error| sentence(&error))?;
        let status = response.status();
        let answer = answer::bytes(response, MAX_BYTES, "answer").await?;
        if status != StatusCode::OK {
            let said = String::from_utf8_lossy(&answer);
            let shown: String = said.chars().filter(|it| !it.is_control()).take(MAX_SHOWN).collect();
            return Err(format!("it answers {status}: {shown}"));
        }
        pages::read(&answer, self.served.as_ref())
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
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, String> {
    let text = match credentials {
        Credentials::Bearer(token) => format!("Bearer {token}"),
        Credentials::Basic { user, password } => {
            use base64ct::{Base64, Encoding as _};
            format!("Basic {}", Base64::encode_string(format!("{user}:{password}").as_bytes()))
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| "the token of evidence.prometheus has a line break or the like")?;
    value.set_sensitive(true);
    Ok(value)
}

/// One range selector for everything that is read.
fn query(labels: &BTreeMap<String, String>, served: Option<&ServedBy>) -> String {
    let metrics =
        served.map_or_else(|| METRICS.to_owned(), |served| format!("{METRICS}|{}", served.metric()));
    let mut matchers = format!("__name__=~{}", quoted(&metrics));
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
