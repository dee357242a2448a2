//! Evidence straight from the proxies: the server reads their own pages of metrics. No other system is needed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::admins::{self, Admins};
use super::answer::{self, sentence};
use super::table::{Page, Table};
use super::totals::Totals;
use super::turns::{Time, Turns};
use super::{Forms, Reading, ServedBy, Source};
use crate::tls;

/// How many proxies are read at a time.
const AT_ONCE: usize = 32;
/// How long a connection may take: those that are gone must not keep the tick from the others.
const CONNECTED: Duration = Duration::from_secs(1);
/// The most bytes of a page.
const MAX_BYTES: usize = 16 << 20;
/// The page with the metrics that are needed; the parameter `filter` is an expression on Envoy's own names of them.
const PAGE: &str = "/stats/prometheus";
const FILTER: &str = "coalmine_|^server.uptime$";

/// The proxies that answer at their admin interfaces.
#[derive(Debug)]
pub struct Proxies {
    admins: Admins,
    client: reqwest::Client,
    within: Duration,
    served: Option<ServedBy>,
    table: Table,
    turns: Turns<SocketAddr>,
}

// === impl Proxies ===

impl Proxies {
    /// Reads these admin interfaces, all within this time, with what versions served where somebody says how that is counted.
    ///
    /// # Errors
    /// No client can be made.
    pub fn new(admins: Admins, within: Duration, served: Option<ServedBy>) -> Result<Self, String> {
        // An admin interface is asked directly and never sends anybody elsewhere.
        let client = tls::client(true).timeout(within).connect_timeout(CONNECTED).no_proxy().build();
        let client = client.map_err(|error| sentence(&error))?;
        Ok(Self { admins, client, within, served, table: Table::default(), turns: Turns::default() })
    }
}

#[async_trait]
impl Source for Proxies {
    async fn read(&mut self, now: u64, forms: &Forms) -> Reading {
        let time = Time::of(self.within);
        // A name that is not resolved leaves time for those that are.
        let admins::Found { admins, mut errors } = self.admins.find(now, time.half).await;
        let mut admins: Vec<(SocketAddr, BTreeSet<String>)> = admins.into_iter().collect();
        self.turns.begin(&mut admins, |(address, _)| *address);
        let (client, served) = (&self.client, self.served.as_ref());
        let pages = stream::iter(admins).map(|(address, nodes)| async move {
            let page = time.ask(page(client, address, served)).await;
            (address, page.map(|page| page.and_then(|totals| of(totals, &nodes))))
        });
        // None of those that were not asked.
        let pages: Vec<(SocketAddr, Option<Result<Totals, String>>)> =
            pages.buffer_unordered(AT_ONCE).collect().await;
        let mut read = Vec::new();
        for (address, page) in pages {
            match page {
                Some(Ok(totals)) => {
                    self.turns.asked(address, false);
                    read.push(Page { address: address.to_string(), at: now, totals });
                }
                Some(Err(error)) => {
                    self.turns.asked(address, true);
                    errors.push(format!("{address}: {error}"));
                }
                None => errors.push(format!("{address}: others took all the time that there is to read it")),
            }
        }
        for error in &errors {
            tracing::warn!("a proxy cannot be read: {error}");
        }
        // One that answers is enough to go on; the others are seen to be away.
        let away = if read.is_empty() { errors.first().cloned() } else { None };
        Reading { away, proxies: self.table.take(now, read, forms), served: self.served.clone() }
    }

    fn forget(&mut self) {
        self.table = Table::default();
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

/// What a page says, where it is of one of these proxies; of any, where they are none.
///
/// Behind a relay the address of a stream is the relay's, and another proxy may answer there, of another fleet perhaps.
fn of(totals: Totals, nodes: &BTreeSet<String>) -> Result<Totals, String> {
    let Some(node) = totals.facts.node.as_deref().filter(|_| !nodes.is_empty()) else { return Ok(totals) };
    if nodes.contains(&admins::label(node)) {
        return Ok(totals);
    }
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    Err(format!(
        "the proxy {node} answers there, and the stream from that address is of {}; a proxy whose admin interface is found \
         by its stream connects directly",
        nodes.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::super::admins::Streams;
    use super::*;
    use crate::publish::xds::ProxyTable;

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

    fn listed(addresses: Vec<String>, within: Duration) -> Proxies {
        Proxies::new(Admins::Listed(addresses), within, None).unwrap()
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
            let reading =
                listed(vec![address.clone()], Duration::from_secs(20)).read(100, &Forms::new()).await;
            assert!(reading.away.is_some() && reading.proxies.is_empty(), "{reading:?}");
        }
        let mut addresses = vec![answering(OK, PAGE, false).await];
        addresses.extend(hostile);
        let reading = listed(addresses, Duration::from_secs(20)).read(100, &Forms::new()).await;
        assert_eq!(reading.away, None);
        let names: Vec<(&str, Option<u64>)> =
            reading.proxies.iter().map(|proxy| (proxy.name.as_str(), proxy.revision)).collect();
        assert_eq!(names, [("edge-1", Some(7))]);
    }

    #[tokio::test]
    async fn after_forgetting_the_next_reading_counts_nothing() {
        crate::tls::choose_provider();
        let mut proxies = listed(vec![answering(OK, PAGE, false).await], Duration::from_secs(20));
        let mut counted = async |now| {
            let reading = proxies.read(now, &Forms::new()).await;
            let counted = reading.proxies[0].counted.is_some();
            proxies.forget();
            (counted, proxies.read(now + 1, &Forms::new()).await.proxies[0].counted.is_some())
        };
        assert_eq!(counted(100).await, (false, false));
        assert_eq!(counted(115).await, (true, false));
    }

    #[tokio::test]
    async fn a_proxy_that_does_not_answer_costs_its_time_and_no_more() {
        crate::tls::choose_provider();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let reading = listed(vec![address], Duration::from_millis(50)).read(100, &Forms::new()).await;
        assert!(reading.away.unwrap().contains("does not answer in time"));
    }

    /// Listens on a port of all addresses of this host, and answers where the address is this one alone.
    async fn silent_but(last: u8) -> u16 {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if stream.local_addr().unwrap().ip() == IpAddr::from([127, 0, 0, last]) {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(format!("{OK}{PAGE}").as_bytes()).await;
                } else {
                    open.push(stream);
                }
            }
        });
        port
    }

    #[tokio::test]
    async fn many_that_do_not_answer_cost_no_more_time_than_one() {
        crate::tls::choose_provider();
        let port = silent_but(0).await;
        let addresses = (1..=100).map(|last| format!("127.0.0.{last}:{port}")).collect();
        let begin = Instant::now();
        let reading = listed(addresses, Duration::from_secs(1)).read(100, &Forms::new()).await;
        let took = begin.elapsed();
        assert!(reading.away.is_some() && took < Duration::from_secs(3), "{took:?}");
    }

    #[tokio::test]
    async fn one_that_answers_is_read_before_those_that_were_silent() {
        crate::tls::choose_provider();
        let port = silent_but(250).await;
        let first = (1..=AT_ONCE).map(|last| format!("127.0.0.{last}:{port}"));
        let addresses = first.chain([format!("127.0.0.250:{port}")]).collect();
        let mut proxies = listed(addresses, Duration::from_secs(2));
        let away = proxies.read(100, &Forms::new()).await.away;
        assert!(away.is_some(), "the others took all the time");
        let reading = proxies.read(115, &Forms::new()).await;
        assert_eq!((reading.away, reading.proxies[0].name.as_str()), (None, "edge-1"));
    }

    #[tokio::test]
    async fn a_proxy_that_is_found_by_its_stream_is_the_one_that_answers() {
        crate::tls::choose_provider();
        let address: SocketAddr = answering(OK, PAGE, false).await.parse().unwrap();
        let read = async |node: &str, from: &str| {
            let table = Arc::new(ProxyTable::default());
            let _stream = table.pretend(Arc::new(|| 100), ("edge", node), from, None);
            let streams = Streams { fleet: "edge".to_owned(), port: address.port(), table };
            let mut proxies = Proxies::new(Admins::Streams(streams), Duration::from_secs(20), None).unwrap();
            proxies.read(100, &Forms::new()).await
        };
        let reading = read("edge-1", "127.0.0.1:40000").await;
        assert_eq!((reading.away, reading.proxies[0].name.as_str()), (None, "edge-1"));
        let reading = read("edge-2", "127.0.0.1:40000").await;
        let away = reading.away.unwrap();
        assert!(
            away.contains("the proxy edge-1 answers there, and the stream from that address is of edge-2")
        );
        assert!(reading.proxies.is_empty());
        let reading = read("edge-1", "127.0.0.2:40000").await;
        assert!(reading.away.unwrap().starts_with(&format!("127.0.0.2:{}: ", address.port())));
    }
}
