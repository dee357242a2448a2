//! Who is connected, and what became of what was sent.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::gate::Node;
use super::service::Clock;

/// How many streams that have ended are remembered.
const ENDED: usize = 1_000;
/// For how long, in seconds: a proxy that reconnects is not lost meanwhile.
const REMEMBERED: u64 = 120;
/// How many refusals of proxies are remembered over their streams.
const REFUSALS: usize = 10_000;

/// A proxy in the memory of refusals: its fleet, and a digest of its id, which may be long.
type Key = (String, [u8; 32]);

/// One stream of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// `node.id`, shortened.
    pub node: String,
    /// `node.cluster`, shortened.
    pub cluster: String,
    /// Its fleet.
    pub fleet: String,
    /// Where it connected from.
    pub address: Option<SocketAddr>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// When the stream ended; nothing while it is open.
    pub ended: Option<u64>,
    /// What it said it has, when it connected. Higher than all that the store knows: from another history.
    pub reported: Option<u64>,
    /// The revision that was sent last.
    pub sent: Option<u64>,
    /// The revision that it took last. A hint: what is in force, the filter's gauge says.
    pub acked: Option<u64>,
    /// What it refused last.
    pub refused: Option<Refused>,
}

/// A revision that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Which.
    pub revision: u64,
    /// What the proxy said, shortened. Envoy only names the filter: the sentences of the filter are in Envoy's log.
    pub why: String,
}

/// All streams.
#[derive(Debug, Default)]
pub struct ProxyTable {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    opened: u64,
    open: BTreeMap<u64, Proxy>,
    /// The oldest first.
    ended: VecDeque<Proxy>,
    /// The highest revision that a proxy refused, the oldest first in the second.
    refused: BTreeMap<Key, u64>,
    refused_order: VecDeque<Key>,
}

/// The row of an open stream.
pub(super) struct Row {
    table: Arc<ProxyTable>,
    number: u64,
    /// The proxy in the memory of refusals; `None` without an id, which would stand for many.
    key: Option<Key>,
    clock: Clock,
}

// === impl ProxyTable ===

impl ProxyTable {
    /// Every open stream, and those that ended less than two minutes before `now` without the proxy having come back.
    pub fn list(&self, now: u64) -> Vec<Proxy> {
        let inner = self.lock();
        let recent = |proxy: &&Proxy| proxy.ended.is_some_and(|ended| now < ended.saturating_add(REMEMBERED));
        inner.open.values().chain(inner.ended.iter().filter(recent)).cloned().collect()
    }

    /// How many streams are open.
    pub fn open_streams(&self) -> usize {
        self.lock().open.len()
    }

    /// Adds a stream that has just opened, and tells what its proxy refused on an earlier one.
    pub(super) fn open(
        self: &Arc<Self>,
        clock: Clock,
        fleet: &str,
        node: &Node,
        address: Option<SocketAddr>,
        shown: usize,
    ) -> (Row, Option<u64>) {
        let proxy = Proxy {
            node: shorten(&node.id, shown),
            cluster: shorten(&node.cluster, shown),
            fleet: fleet.to_owned(),
            address,
            since: clock(),
            ended: None,
            reported: None,
            sent: None,
            acked: None,
            refused: None,
        };
        let key = (!node.id.is_empty()).then(|| (fleet.to_owned(), Sha256::digest(&node.id).into()));
        let mut inner = self.lock();
        inner.ended.retain(|before| before.fleet != proxy.fleet || before.node != proxy.node);
        let refused = key.as_ref().and_then(|key| inner.refused.get(key).copied());
        inner.opened += 1;
        let number = inner.opened;
        inner.open.insert(number, proxy);
        (Row { table: Arc::clone(self), number, key, clock }, refused)
    }

    /// Nothing panics while it is locked.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl ProxyTable {
    /// A stream of a proxy that reports this revision; it ends when what is returned is dropped.
    pub(crate) fn pretend(
        self: &Arc<Self>,
        clock: Clock,
        (fleet, node): (&str, &str),
        address: &str,
        reported: Option<u64>,
    ) -> impl Drop + use<> {
        let node = Node { id: node.to_owned(), cluster: fleet.to_owned() };
        let (row, _) = self.open(clock, fleet, &node, address.parse().ok(), usize::MAX);
        row.update(|row| (row.reported, row.acked) = (reported, reported));
        row
    }
}

// === impl Row ===

impl Row {
    /// Writes down what has become of the stream.
    pub(super) fn update(&self, change: impl FnOnce(&mut Proxy)) {
        if let Some(proxy) = self.table.lock().open.get_mut(&self.number) {
            change(proxy);
        }
    }

    /// Writes down a refusal, for the next streams of the same proxy, too.
    pub(super) fn refuse(&self, refused: Refused) {
        let mut inner = self.table.lock();
        if let Some(key) = &self.key {
            if !inner.refused.contains_key(key) {
                if inner.refused_order.len() >= REFUSALS
                    && let Some(oldest) = inner.refused_order.pop_front()
                {
                    inner.refused.remove(&oldest);
                }
                inner.refused_order.push_back(key.clone());
            }
            let highest = inner.refused.entry(key.clone()).or_default();
            *highest = refused.revision.max(*highest);
        }
        if let Some(proxy) = inner.open.get_mut(&self.number) {
            proxy.refused = Some(refused);
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let now = (self.clock)();
        let mut inner = self.table.lock();
        let Some(mut proxy) = inner.open.remove(&self.number) else { return };
        proxy.ended = Some(now);
        // A proxy that reconnected before its old stream was seen to end is not lost.
        let is_back = inner.open.values().any(|it| it.fleet == proxy.fleet && it.node == proxy.node);
        while inner.ended.len() >= ENDED
            || inner
                .ended
                .front()
                .and_then(|it| it.ended)
                .is_some_and(|it| it.saturating_add(REMEMBERED) <= now)
        {
            inner.ended.pop_front();
        }
        if !is_back {
            inner.ended.push_back(proxy);
        }
    }
}

/// At most so many characters, on one line.
pub(super) fn shorten(text: &str, characters: usize) -> String {
    text.chars().take(characters).map(|it| if it.is_control() { ' ' } else { it }).collect()
}
