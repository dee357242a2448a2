//! What proxies refuse: whose fault it is, and where it is the policy's, that it is taken back.
//!
//! A policy that any other proxy has taken is not the policy's fault: the proxy that refuses it lacks its module, or a
//! variable. It is told, and one broken proxy does not stop the fleet. Proxies that follow this server say within
//! milliseconds whether they take it. Of those that follow another one on the same store only their metrics say so, which
//! are read at the next tick: also by a server that does not tick, where it has to know.
//!
//! A refusal waits here until the store has taken it, also that of a policy behind which there are later ones: as long as
//! it does not count as refused, it is what the server falls back to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use coalmine_steer::inputs::GONE_AFTER;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::told;
use crate::ending::Ending;
use crate::evidence::{ProxyReading, label};
use crate::publish::xds::{ProxyTable, Refusal};
use crate::server::Server;
use crate::store::StoreError;

/// How long the other proxies that follow this server have to answer before one refusal is everybody's.
const OTHERS_ANSWER: Duration = Duration::from_secs(1);
/// How often it is looked again, and the store asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long it is waited at least until the metrics of all others have been read, as a Prometheus scrapes them: in ticks
/// and as a time, whichever is longer.
const READ_TICKS: u64 = 2;
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Of how many proxies it is kept that they refuse the same.
const MAX_PROXIES: usize = 10_000;

/// A fleet and a revision.
type Key = (String, u64);

/// What proxies refuse and is not decided yet.
type Waiting = BTreeMap<Key, Refused>;

/// A revision that proxies refuse.
#[derive(Debug)]
struct Refused {
    /// When the first one did.
    since: Instant,
    /// The same in seconds since 1970.
    at: u64,
    /// When it is decided, or tried again; none while the store writes it down.
    due: Option<Instant>,
    /// Whether it was not known the last time whose fault it is.
    is_unknown: bool,
    /// What the first one said.
    why: String,
    /// What each said.
    proxies: BTreeMap<String, String>,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// That of the proxies: another one has taken it.
    Theirs,
    /// That of the policy, as far as anybody knows.
    Policy,
    /// It is not known yet whether another one has taken it.
    Unknown,
}

/// Decides on what proxies refuse, and writes down what is the policy's fault, until the server ends.
pub async fn refuse_always(
    server: Arc<Server>,
    mut refusals: mpsc::Receiver<Refusal>,
    table: Arc<ProxyTable>,
    mut ending: Ending,
) {
    let mut waiting = Waiting::new();
    let mut writes: JoinSet<(Key, Result<(), StoreError>)> = JoinSet::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        let due = waiting.values().filter_map(|refused| refused.due).min();
        tokio::select! {
            refusal = refusals.recv(), if is_open => match refusal {
                Some(refusal) => note(&mut waiting, refusal, server.now()),
                None => is_open = false,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                for (key, why) in decide(&server, &table, &mut waiting) {
                    let server = server.clone();
                    writes.spawn(async move {
                        let (fleet, revision) = &key;
                        let written = server.store().refuse(fleet, *revision, &why).await;
                        (key, written)
                    });
                }
            }
            Some(written) = writes.join_next() => {
                let Ok((key, written)) = written else { continue };
                if told(&server, written).is_some() {
                    waiting.remove(&key);
                    server.wake();
                } else if let Some(refused) = waiting.get_mut(&key) {
                    refused.due = Some(Instant::now() + AGAIN);
                }
            }
            () = ending.comes() => return,
        }
    }
}

fn note(waiting: &mut Waiting, Refusal { fleet, revision, node, why }: Refusal, now: u64) {
    let since = Instant::now();
    let refused = match waiting.entry((fleet, revision)) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(Refused {
            since,
            at: now,
            due: Some(since + OTHERS_ANSWER),
            is_unknown: false,
            why: why.clone(),
            proxies: BTreeMap::new(),
        }),
    };
    if refused.proxies.len() < MAX_PROXIES {
        refused.proxies.insert(node, why);
    }
}

/// Decides on those that are due. What the store is to write down is given back.
fn decide(server: &Server, table: &ProxyTable, waiting: &mut Waiting) -> Vec<(Key, String)> {
    let now = Instant::now();
    let mut policies = Vec::new();
    waiting.retain(|key, refused| {
        if refused.due.is_none_or(|due| due > now) {
            return true;
        }
        let (fleet, revision) = key;
        let fault = refused.fault(server, table, key);
        refused.is_unknown = fault == Fault::Unknown;
        match fault {
            Fault::Theirs => {
                for (proxy, why) in &refused.proxies {
                    let what = "others have taken the policy that this proxy refuses";
                    tracing::error!(fleet, proxy, revision, "{what}: {why}");
                }
                return false;
            }
            Fault::Policy => {
                refused.due = None;
                policies.push((key.clone(), refused.why.clone()));
            }
            Fault::Unknown => refused.due = Some(now + AGAIN),
        }
        true
    });
    let unknown = waiting.iter().filter(|(_, refused)| refused.is_unknown);
    server.ask_for_readings(unknown.map(|((fleet, _), _)| fleet.clone()).collect());
    policies
}

// === impl Refused ===

impl Refused {
    fn fault(&self, server: &Server, table: &ProxyTable, (fleet, revision): &Key) -> Fault {
        let (view, now) = (server.view(), server.now());
        // A later one has what this one had, unless it was that which was wrong; then nobody falls back to this one.
        let latest = server.published(fleet).map_or(*revision, |latest| latest.revision.max(*revision));
        let has_taken = |has: Option<u64>| has.is_some_and(|has| (*revision..=latest).contains(&has));
        let streams = table.list(now);
        let mut others =
            streams.iter().filter(|it| it.fleet == *fleet && !self.proxies.contains_key(&it.node));
        if others.any(|it| has_taken(it.acked)) || view.proxies(fleet).iter().any(|it| has_taken(it.revision))
        {
            return Fault::Theirs;
        }
        let reading = view.readings.get(fleet).filter(|reading| reading.away.is_none());
        let is_known = reading.is_some_and(|it| it.proxies.iter().all(|proxy| self.is_known(proxy, now)));
        let read_within = READ_WITHIN.max(Duration::from_secs(READ_TICKS * server.tick()));
        if is_known || self.since.elapsed() >= read_within { Fault::Policy } else { Fault::Unknown }
    }

    /// Whether it is known of a proxy that has not taken it that it will not: it refuses it, is gone, or was read since.
    fn is_known(&self, proxy: &ProxyReading, now: u64) -> bool {
        let refuses = || self.proxies.keys().any(|node| label(node) == proxy.name);
        proxy.seen > self.at || now.saturating_sub(proxy.seen) >= GONE_AFTER || refuses()
    }
}
