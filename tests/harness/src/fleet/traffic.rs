//! Users of a fleet, who come again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::Empty;
use tokio::task::JoinSet;

use crate::client::{Connection, Protocol, get};
use crate::wait;

/// The host that users visit.
const HOST: &str = "checkout.example";
/// The header that names them.
const USER: &str = "x-user-id";
/// How long two proxies may differ after a change: one has it, the other will have it.
const APART: Duration = Duration::from_secs(2);
/// How long a user's lane rests between two requests.
const REST: Duration = Duration::from_millis(2);

/// Users that come again and again, through every proxy.
#[derive(Debug)]
pub struct Traffic {
    lanes: JoinSet<()>,
    seen: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
}

/// One visit of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The user.
    pub user: usize,
    /// When the answer was there.
    pub at: Instant,
    /// Which version answered; none where neither did.
    pub variant: Option<&'static str>,
    /// The status; 0 without an answer.
    pub status: u16,
}

// === impl Traffic ===

impl Traffic {
    /// Lets so many users come by these proxies, from so many lanes.
    pub(super) fn start(proxies: &[SocketAddr], users: usize, lanes: usize) -> Self {
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let next = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..lanes.max(1) {
            set.spawn(lane(proxies.to_vec(), users, next.clone(), seen.clone(), is_over.clone()));
        }
        Self { lanes: set, seen, is_over }
    }

    /// All visits so far, in the order of their answers.
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.sort_by_key(|seen| seen.at);
        seen
    }

    /// Waits until something holds of the visits since a moment.
    pub async fn until(&self, what: &str, since: Instant, holds: impl Fn(&[Seen]) -> bool) -> Result<()> {
        wait::until(what, || {
            let seen: Vec<Seen> = self.seen().into_iter().filter(|seen| seen.at >= since).collect();
            std::future::ready(holds(&seen).then_some(()))
        })
        .await
    }

    /// Ends it, and gives all visits in the order of their answers.
    pub async fn stop(mut self) -> Vec<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        while self.lanes.join_next().await.is_some() {}
        self.seen()
    }
}

/// The users who were back on stable after they had been on the canary, beyond the time in which proxies may differ. The
/// visits are in the order of their answers.
pub fn went_back(seen: &[Seen]) -> BTreeSet<usize> {
    let mut first: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut back = BTreeSet::new();
    for visit in seen {
        let since = first.get(&visit.user).map(|first| visit.at.duration_since(*first));
        match visit.variant {
            Some("canary") => {
                first.entry(visit.user).or_insert(visit.at);
            }
            Some("stable") if since.is_some_and(|since| since > APART) => {
                back.insert(visit.user);
            }
            _ => {}
        }
    }
    back
}

async fn lane(
    proxies: Vec<SocketAddr>,
    users: usize,
    next: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
) {
    let mut connections: Vec<Option<Connection>> = proxies.iter().map(|_| None).collect();
    while !is_over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let user = number % users;
        // Each user comes by another proxy the next time.
        let proxy = (number / users + number) % proxies.len().max(1);
        let visit = visit(proxies.get(proxy), connections.get_mut(proxy), user).await;
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
        tokio::time::sleep(REST).await;
    }
}

async fn visit(proxy: Option<&SocketAddr>, connection: Option<&mut Option<Connection>>, user: usize) -> Seen {
    let nothing = |at| Seen { user, at, variant: None, status: 0 };
    let (Some(proxy), Some(place)) = (proxy, connection) else { return nothing(Instant::now()) };
    // A proxy says with its last answer that it closes the connection, and a client opens another one.
    if place.as_ref().is_none_or(|connection| !connection.is_open()) {
        *place = Connection::open(*proxy, Protocol::Http1).await.ok();
    }
    let request = get(HOST).header(USER, format!("user-{user}")).body(Empty::new());
    let (Some(connection), Ok(request)) = (place.as_mut(), request) else { return nothing(Instant::now()) };
    match connection.send(request).await {
        Ok(answer) => {
            let variant = match &*answer.body {
                b"stable\n" => Some("stable"),
                b"canary\n" => Some("canary"),
                _ => None,
            };
            Seen { user, at: Instant::now(), variant, status: answer.status.as_u16() }
        }
        Err(_) => {
            *place = None;
            nothing(Instant::now())
        }
    }
}
