//! Evidence straight from the proxies: the server reads their own pages of metrics. No other system is needed.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::answer::{self, sentence};
use super::table::{Page, Table};
use super::totals::Totals;
use super::{Forms, Reading, ServedBy, Source};
use crate::tls;

/// How many proxies are read at a time.
const AT_ONCE: usize = 32;
/// The most bytes of a page.
const MAX_BYTES: usize = 16 << 20;
/// The most proxies.
const MAX_PROXIES: usize = 5_000;
/// The page with the metrics that are needed; the parameter `filter` is an expression on Envoy's own names of them.
const PAGE: &str = "/stats/prometheus";
const FILTER: &str = "coalmine_|^server.uptime$";

/// The proxies at a list of addresses of their admin interfaces: `host:port`. A name stands for all addresses that it has.
#[derive(Debug)]
pub struct Proxies {
    addresses: Vec<String>,
    client: reqwest::Client,
    within: Duration,
    served: Option<ServedBy>,
    table: Table,
}

// === impl Proxies ===

impl Proxies {
    /// Reads these addresses, each within this time, with what versions served where somebody says how that is counted.
    ///
    /// # Errors
    /// No client can be made.
    pub fn new(addresses: Vec<String>, within: Duration, served: Option<ServedBy>) -> Result<Self, String> {
        // An admin interface is asked directly and never sends anybody elsewhere.
        let client =
            tls::client(true).timeout(within).no_proxy().build().map_err(|error| sentence(&error))?;
        Ok(Self { addresses, client, within, served, table: Table::default() })
    }

    async fn resolve(&self) -> (Vec<SocketAddr>, Vec<String>) {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for address in &self.addresses {
            match timeout(self.within, lookup_host(address)).await {
                Ok(Ok(addresses)) => found.extend(addresses),
                Ok(Err(error)) => errors.push(format!("{address}: {error}")),
                Err(_) => errors.push(format!("{address}: its name is not resolved in time")),
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
    async fn read(&mut self, now: u64, forms: &Forms) -> Reading {
        let (addresses, mut errors) = self.resolve().await;
        let (client, served) = (&self.client, self.served.as_ref());
        let pages = stream::iter(addresses)
            .map(|address| async move { (address, page(client, address, served).await) });
        let pages: Vec<(SocketAddr, Result<Totals, String>)> =
            pages.buffer_unordered(AT_ONCE).collect().await;
        let mut read = Vec::new();
        for (address, page) in pages {
            match page {
                Ok(totals) => read.push(Page { address: address.to_string(), at: now, totals }),
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        for error in &errors {
            tracing::warn!("a proxy cannot be read: {error}");
        }
        // One that answers is enough to go on; the others are seen to be away.
        let away = if read.is_empty() { errors.first().cloned() } else { None };
        Reading { away, proxies: self.table.take(now, read, forms), served: self.served.clone() }
    }
}

async fn page(
    client: &reqwest::Client,
    address: SocketAddr,
    served: Option<&ServedBy>,
) -> Result<Totals, String> {
    let filter = served.map_or_else(|| FILTER.to_owned(), |served| format!("{FILTER}|{}", served.filter()));
    let request = client.get(format!("http://{address}{PAGE}")).query(&[("filter", filter)]);
    let response = request.send().await.map_err(|error| sentence(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    let page = answer::bytes(response, MAX_BYTES, "page").await?;
    let text = String::from_utf8(page).map_err(|_| "its page is no text".to_owned())?;
    Totals::read(&text, served)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const PAGE: &str = "coalmine_policy_revision 7\ncoalmine_build_info{version=\"1\",node=\"edge-1\"} 1\n";

    /// Answers every request with these bytes, again and again where it is endless.
    async fn answering(head: &'static str, body: &'static str, is_endless: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(body.as_bytes()).await.is_ok() && is_endless {}
            }
        });
        address
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn one_proxy_that_makes_no_sense_keeps_no_other_from_being_read() {
        crate::tls::choose_provider();
        let filler = "# nothing nothing nothing nothing nothing nothing nothing nothing nothing nothing\n";
        let hostile = [
            answering(
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
                "",
                false,
            )
            .await,
            answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", "", false).await,
            answering("no HTTP", "", false).await,
            answering(OK, "coalmine_all_total{ 5\n", false).await,
            answering(OK, filler, true).await,
            "127.0.0.1:1".to_owned(),
        ];
        for address in &hostile {
            let mut proxies = Proxies::new(vec![address.clone()], Duration::from_secs(20), None).unwrap();
            let reading = proxies.read(100, &Forms::new()).await;
            assert!(reading.away.is_some() && reading.proxies.is_empty(), "{reading:?}");
        }
        let mut addresses = vec![answering(OK, PAGE, false).await];
        addresses.extend(hostile);
        let reading =
            Proxies::new(addresses, Duration::from_secs(20), None).unwrap().read(100, &Forms::new()).await;
        assert_eq!(reading.away, None);
        let names: Vec<(&str, Option<u64>)> =
            reading.proxies.iter().map(|proxy| (proxy.name.as_str(), proxy.revision)).collect();
        assert_eq!(names, [("edge-1", Some(7))]);
    }

    #[tokio::test]
    async fn a_proxy_that_does_not_answer_costs_its_time_and_no_more() {
        crate::tls::choose_provider();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let reading = Proxies::new(vec![address], Duration::from_millis(50), None)
            .unwrap()
            .read(100, &Forms::new())
            .await;
        assert!(reading.away.unwrap().contains("does not answer in time"));
    }
}
