//! Evidence straight from the proxies: the server reads their own pages of metrics. No other system is needed.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::table::Table;
use super::totals::Totals;
use super::{Reading, Source};

/// How many proxies are read at a time.
const AT_ONCE: usize = 32;
/// The most bytes of a page.
const MAX_BYTES: usize = 16 << 20;
/// The most proxies.
const MAX_PROXIES: usize = 5_000;
/// The page with the metrics that are needed: the expression `coalmine_|^server.uptime$` for Envoy's own names of them.
const PAGE: &str = "/stats/prometheus?filter=coalmine_%7C%5Eserver.uptime%24";

/// The proxies at a list of addresses of their admin interfaces: `host:port`. A name stands for all addresses that it has.
#[derive(Debug)]
pub struct Proxies {
    addresses: Vec<String>,
    client: reqwest::Client,
    table: Table,
}

// === impl Proxies ===

impl Proxies {
    /// Reads these addresses, each within this time.
    ///
    /// # Errors
    /// No client can be made.
    pub fn new(addresses: Vec<String>, within: Duration) -> Result<Self, reqwest::Error> {
        // An admin interface is asked directly and never sends anybody elsewhere.
        let client = reqwest::Client::builder()
            .timeout(within)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { addresses, client, table: Table::default() })
    }

    async fn resolve(&self) -> (Vec<SocketAddr>, Vec<String>) {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for address in &self.addresses {
            match tokio::net::lookup_host(address).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(MAX_PROXIES);
        (found, errors)
    }
}

#[async_trait]
impl Source for Proxies {
    async fn read(&mut self, now: u64) -> Reading {
        let (addresses, mut errors) = self.resolve().await;
        let client = &self.client;
        let pages =
            stream::iter(addresses).map(|address| async move { (address, page(client, address).await) });
        let pages: Vec<(SocketAddr, Result<Totals, String>)> =
            pages.buffer_unordered(AT_ONCE).collect().await;
        let mut read = Vec::new();
        for (address, page) in pages {
            match page {
                Ok(totals) => read.push((address.to_string(), totals)),
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        for error in &errors {
            tracing::warn!("a proxy cannot be read: {error}");
        }
        // One that answers is enough to go on; the others are seen to be away.
        let away = if read.is_empty() { errors.first().cloned() } else { None };
        Reading { away, proxies: self.table.take(now, read) }
    }
}

async fn page(client: &reqwest::Client, address: SocketAddr) -> Result<Totals, String> {
    let url = format!("http://{address}{PAGE}");
    let mut response = client.get(url).send().await.map_err(|error| sentence(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    let mut page = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| sentence(&error))? {
        if page.len() + bytes.len() > MAX_BYTES {
            return Err(format!("its page has more than {} MiB", MAX_BYTES >> 20));
        }
        page.extend_from_slice(&bytes);
    }
    let text = String::from_utf8(page).map_err(|_| "its page is no text".to_owned())?;
    Totals::read(&text)
}

/// The innermost cause says what happened.
fn sentence(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
