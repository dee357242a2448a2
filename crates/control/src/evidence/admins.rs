//! Where the admin interfaces of proxies are.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use crate::publish::xds::ProxyTable;

/// The most that are read.
const MAX_PROXIES: usize = 5_000;
/// How much of the name of a proxy tells it from others, in bytes: no more than the table of streams keeps.
const MAX_NODE: usize = 256;

/// Where they are looked for, at each reading anew.
#[derive(Clone, Debug)]
pub enum Admins {
    /// At these, `host:port`. A name stands for all addresses that it has.
    Listed(Vec<String>),
    /// At the other ends of streams.
    Streams(Streams),
}

/// The streams of a fleet.
///
/// Only a stream that was let in has a row in the table, and its address is the one that its connection came from: nobody
/// has the server ask another host than its own.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The fleet.
    pub fleet: String,
    /// The port of each proxy's admin interface.
    pub port: u16,
    /// All streams of this server.
    pub table: Arc<ProxyTable>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The addresses, each with the proxies that it is of, as labels of metrics have their names; none where any may answer.
    pub(super) admins: BTreeMap<SocketAddr, BTreeSet<String>>,
    /// What was not found or is left out, and why.
    pub(super) errors: Vec<String>,
}

// === impl Admins ===

impl Admins {
    /// Looks for them; names are resolved until the deadline.
    pub(super) async fn find(&self, now: u64, deadline: Instant) -> Found {
        match self {
            Self::Listed(addresses) => listed(addresses, deadline).await,
            Self::Streams(streams) => streams.find(now),
        }
    }
}

async fn listed(addresses: &[String], deadline: Instant) -> Found {
    let (mut found, mut left_out) = (Found::default(), 0);
    // All at once: a name that is slow keeps no other waiting.
    let resolved = join_all(addresses.iter().map(|address| timeout_at(deadline, lookup_host(address)))).await;
    for (address, resolved) in addresses.iter().zip(resolved) {
        match resolved {
            Ok(Ok(addresses)) => {
                for address in addresses {
                    left_out += usize::from(!found.add(address, None));
                }
            }
            Ok(Err(error)) => found.errors.push(format!("{address}: {error}")),
            Err(_) => found.errors.push(format!("{address}: its name is not resolved in time")),
        }
    }
    found.tell(left_out);
    found
}

// === impl Streams ===

impl Streams {
    /// The other ends of open streams, and of those that have ended less than two minutes ago: a proxy whose stream breaks
    /// goes on with its users.
    fn find(&self, now: u64) -> Found {
        let (mut found, mut left_out) = (Found::default(), 0);
        // Open ones come first, so what is too much is left out of those that have ended.
        for stream in self.table.list(now) {
            let Some(peer) = stream.address.filter(|_| stream.fleet == self.fleet) else { continue };
            // A server that listens on [::] sees the addresses of IPv4 inside of IPv6.
            let host = peer.ip().to_canonical();
            if matches!(host, IpAddr::V6(host) if host.is_unicast_link_local()) {
                let proxy = stream.node;
                found
                    .errors
                    .push(format!("{proxy} is at the link-local address {host}, which cannot be read"));
                continue;
            }
            left_out += usize::from(!found.add(SocketAddr::new(host, self.port), Some(&stream.node)));
        }
        found.tell(left_out);
        found
    }
}

// === impl Found ===

impl Found {
    /// Adds an address, which is of this proxy where that is known, unless there is no room.
    fn add(&mut self, address: SocketAddr, node: Option<&str>) -> bool {
        let has_room = self.admins.len() < MAX_PROXIES;
        let nodes = match self.admins.entry(address) {
            Entry::Vacant(_) if !has_room => return false,
            entry => entry.or_default(),
        };
        nodes.extend(node.map(label));
        true
    }

    fn tell(&mut self, left_out: usize) {
        if left_out > 0 {
            self.errors.push(format!("{left_out} more are left out: at most {MAX_PROXIES} are read"));
        }
    }
}

/// The name of a proxy as the filter writes it into the labels of its metrics.
pub(crate) fn label(node: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/@".contains(&byte);
    node.bytes().take(MAX_NODE).map(|byte| char::from(if plain(byte) { byte } else { b'_' })).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::publish::xds::Clock;

    const NOW: u64 = 1_000;

    /// A clock, and what sets it.
    fn clock() -> (Clock, Arc<AtomicU64>) {
        let now = Arc::new(AtomicU64::new(NOW));
        let time = now.clone();
        (Arc::new(move || time.load(Ordering::Relaxed)), now)
    }

    fn streams(table: &Arc<ProxyTable>) -> Streams {
        Streams { fleet: "edge".to_owned(), port: 9901, table: table.clone() }
    }

    /// Where they are, with the proxies that each is of.
    fn shown(found: &Found) -> Vec<String> {
        let names = |nodes: &BTreeSet<String>| nodes.iter().cloned().collect::<Vec<_>>().join(",");
        found.admins.iter().map(|(address, nodes)| format!("{address} {}", names(nodes))).collect()
    }

    #[test]
    fn they_are_at_the_other_ends_of_the_streams_of_the_fleet() {
        let (table, (clock, _)) = (Arc::new(ProxyTable::default()), clock());
        let open = |fleet, node, address| table.pretend(clock.clone(), (fleet, node), address, None);
        let _streams = [
            open("edge", "edge-1", "10.0.0.1:40000"),
            open("edge", "edge-1", "10.0.0.1:40001"),
            open("edge", "edge 2 ü", "[::ffff:10.0.0.2]:40000"),
            open("edge", "edge-3", "[2001:db8::3]:40000"),
            open("bank", "bank-1", "10.0.0.9:40000"),
            open("edge", "edge-4", "[fe80::4]:40000"),
            open("edge", "edge-5", "nowhere"),
        ];
        let found = streams(&table).find(NOW);
        assert_eq!(
            shown(&found),
            ["10.0.0.1:9901 edge-1", "10.0.0.2:9901 edge_2___", "[2001:db8::3]:9901 edge-3"]
        );
        assert_eq!(found.errors, ["edge-4 is at the link-local address fe80::4, which cannot be read"]);
    }

    #[test]
    fn a_proxy_whose_stream_has_ended_is_read_for_two_minutes_more() {
        let (table, (clock, time)) = (Arc::new(ProxyTable::default()), clock());
        let open = |node, address| table.pretend(clock.clone(), ("edge", node), address, None);
        let (one, two) = (open("edge-1", "10.0.0.1:1"), open("edge-2", "10.0.0.2:1"));
        drop(one);
        let find = |now| shown(&streams(&table).find(now));
        assert_eq!(find(NOW + 119), ["10.0.0.1:9901 edge-1", "10.0.0.2:9901 edge-2"]);
        assert_eq!(find(NOW + 120), ["10.0.0.2:9901 edge-2"], "then it is gone");
        // One that is back at another address is at the one before no more.
        time.store(NOW + 200, Ordering::Relaxed);
        drop(two);
        let _back = open("edge-2", "10.0.0.3:1");
        assert_eq!(find(NOW + 201), ["10.0.0.3:9901 edge-2"]);
    }

    #[test]
    fn there_is_a_limit_and_open_streams_go_first() {
        let (table, (clock, _)) = (Arc::new(ProxyTable::default()), clock());
        let open = |number: u32| {
            let address = format!("{}:1", std::net::Ipv4Addr::from(number));
            table.pretend(clock.clone(), ("edge", &format!("edge-{number}")), &address, None)
        };
        drop((1..=10).map(open).collect::<Vec<_>>());
        let _open: Vec<_> = (0..MAX_PROXIES as u32 - 3).map(|number| open(10_000 + number)).collect();
        let found = streams(&table).find(NOW);
        assert_eq!(found.admins.len(), MAX_PROXIES);
        assert_eq!(found.errors, ["7 more are left out: at most 5000 are read"]);
        assert_eq!(found.admins.keys().filter(|it| it.ip() < IpAddr::from([0, 0, 1, 0])).count(), 3);
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_told_and_keeps_no_other_from_being_found() {
        let admins = Admins::Listed(vec!["127.0.0.1:9901".to_owned(), "nothing.invalid:9901".to_owned()]);
        let found = admins.find(NOW, Instant::now() + Duration::from_secs(20)).await;
        assert_eq!(shown(&found), ["127.0.0.1:9901 "]);
        assert!(found.errors.len() == 1 && found.errors[0].starts_with("nothing.invalid:9901: "));
    }
}
