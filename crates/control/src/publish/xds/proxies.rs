//! Which proxies are connected, and what each of them was sent, has and refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use envoy_types::pb::envoy::config::core::v3::Node;
use tonic::Status;

use super::session::Session;

/// The most streams at a time.
const MAX_STREAMS: usize = 10_000;
/// The most characters of a proxy's name that are kept.
const MAX_NAME: usize = 256;

/// The streams that are open.
#[derive(Debug, Default)]
pub struct ProxyTable {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    open: BTreeMap<u64, Connected>,
}

/// A proxy on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connected {
    /// Envoy's `node.id`; empty until it has said it.
    pub node: String,
    /// Envoy's `node.cluster`.
    pub cluster: String,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// The revision that it was sent last on this stream.
    pub sent: Option<u64>,
    /// The revision that it last said it has: a hint. What it runs, the filter's own gauge says.
    pub accepted: Option<u64>,
    /// The revision that it refused last on this stream, and why.
    pub refused: Option<(u64, String)>,
}

/// The row of one stream; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Row {
    table: Arc<ProxyTable>,
    id: u64,
}

// === impl ProxyTable ===

impl ProxyTable {
    /// All that are connected, by name.
    pub fn connected(&self) -> Vec<Connected> {
        let mut all: Vec<Connected> = self.rows().open.values().cloned().collect();
        all.sort_by(|one, other| (&one.node, one.since).cmp(&(&other.node, other.since)));
        all
    }

    /// A row for a stream that is opened.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn open(self: &Arc<Self>, address: Option<SocketAddr>, now: u64) -> Result<Row, Status> {
        let mut rows = self.rows();
        if rows.open.len() >= MAX_STREAMS {
            return Err(Status::resource_exhausted(format!(
                "{MAX_STREAMS} streams are open, and no more are taken"
            )));
        }
        rows.next += 1;
        let id = rows.next;
        rows.open.insert(id, Connected { address, since: now, ..Connected::default() });
        Ok(Row { table: self.clone(), id })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Row ===

impl Row {
    /// The proxy says who it is: on the first request of a stream, perhaps on more.
    pub(super) fn name(&self, node: &Node) {
        let shown = |text: &str| text.chars().filter(|it| !it.is_control()).take(MAX_NAME).collect();
        self.change(|row| {
            row.node = shown(&node.id);
            row.cluster = shown(&node.cluster);
        });
    }

    /// What the proxy is called.
    pub(super) fn node(&self) -> String {
        self.table.rows().open.get(&self.id).map(|row| row.node.clone()).unwrap_or_default()
    }

    /// Shows what its stream knows.
    pub(super) fn show(&self, session: &Session) {
        self.change(|row| {
            row.sent = session.sent();
            row.accepted = session.accepted;
            row.refused.clone_from(&session.refused);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Connected)) {
        if let Some(row) = self.table.rows().open.get_mut(&self.id) {
            change(row);
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        self.table.rows().open.remove(&self.id);
    }
}
