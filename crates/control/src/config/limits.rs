//! How much a server takes from whoever comes by.

use std::time::Duration;

use coalmine_document::{Cursor, Known};

use super::read_seconds;

const LIMITS: Known = Known::new(&["body", "connections", "requests", "time"]);

/// How much a server takes from whoever comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a body.
    pub body: usize,
    /// The most connections of a port at a time, those of proxies too.
    pub connections: usize,
    /// The most requests of the API that are worked on at a time.
    pub requests: usize,
    /// How long an answer may take, reading the request's body included.
    pub time: Duration,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1 << 20, connections: 20_000, requests: 256, time: Duration::from_secs(10) }
    }
}

pub(super) fn read(cursor: &Cursor<'_, '_>) -> Limits {
    let fields = cursor.fields_as(&LIMITS, "limits, as {connections: 20000, requests: 256}");
    let otherwise = Limits::default();
    let count = |name, allowed, otherwise: usize| {
        let given = fields.get(name).and_then(|field| field.integer(allowed));
        given.and_then(|given| usize::try_from(given).ok()).unwrap_or(otherwise)
    };
    Limits {
        // A rollout that can be written at all has less than 256 KiB.
        body: count("body", 256 << 10..=16 << 20, otherwise.body),
        connections: count("connections", 10..=100_000, otherwise.connections),
        requests: count("requests", 1..=10_000, otherwise.requests),
        time: fields
            .get("time")
            .and_then(|field| read_seconds(&field))
            .map_or(otherwise.time, Duration::from_secs),
    }
}
