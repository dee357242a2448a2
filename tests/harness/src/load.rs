//! Many requests on a few connections that stay open.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use tokio::task::JoinSet;

use crate::client::{Answer, Connection, Protocol};
use crate::wait;

/// Sends the requests `0..count`, as fast as `connections` connections over HTTP/1.1 can, and returns what `keep`
/// makes of each answer, in order. The first request that fails ends it all.
pub async fn send_all<T: Send + 'static>(
    address: SocketAddr,
    connections: usize,
    count: usize,
    request: impl Fn(usize) -> Result<Request<Empty<Bytes>>> + Send + Sync + 'static,
    keep: impl Fn(usize, Answer) -> T + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let next = Arc::new(AtomicUsize::new(0));
    let (request, keep) = (Arc::new(request), Arc::new(keep));
    let mut lanes = JoinSet::new();
    for _ in 0..connections {
        let (next, request, keep) = (Arc::clone(&next), Arc::clone(&request), Arc::clone(&keep));
        lanes.spawn(async move {
            let mut connection = Connection::open(address, Protocol::Http1).await?;
            let mut kept = Vec::with_capacity(count / connections + 1);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(kept);
                }
                let answer =
                    connection.send(request(index)?).await.with_context(|| format!("request {index}"))?;
                kept.push((index, keep(index, answer)));
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        all.extend(lane??);
    }
    all.sort_unstable_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, kept)| kept).collect())
}

/// A load that goes on until it is stopped: each lane sends one request, waits for the answer, pauses, and goes on
/// with the next user.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    users: usize,
    /// What every lane has seen so far.
    visits: Arc<[Lane]>,
    lanes: JoinSet<Result<()>>,
}

/// The visits of one lane, in order.
type Lane = Mutex<Vec<Visit>>;

/// How a [`Load`] is spread.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Connections over HTTP/1.1, one lane each.
    pub http1: usize,
    /// Connections over HTTP/2.
    pub http2: usize,
    /// Lanes that share one HTTP/2 connection.
    pub streams: usize,
    /// How long a lane rests after each request: what makes the load constant, and leaves the machine some air.
    pub pause: Duration,
}

/// One request of a [`Load`], and what became of it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Which user.
    pub user: usize,
    /// When the request was sent.
    pub sent: SystemTime,
    /// The variant that answered; `None` when the request failed.
    pub variant: Option<&'static str>,
    /// The id that the access log has too.
    pub request_id: Option<String>,
    /// What failed, when something did.
    pub failure: Option<String>,
}

// === impl Load ===

impl Load {
    /// Starts the load on these many users: `request` says what a user sends.
    pub async fn start(
        address: SocketAddr,
        shape: Shape,
        users: usize,
        request: impl Fn(usize) -> Result<Request<Empty<Bytes>>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..shape.http1 {
            connections.push(Connection::open(address, Protocol::Http1).await?);
        }
        for _ in 0..shape.http2 {
            let connection = Connection::open(address, Protocol::Http2).await?;
            connections.extend((1..shape.streams).filter_map(|_| connection.share()));
            connections.push(connection);
        }
        let lane_count = connections.len();
        let stop = Arc::new(AtomicBool::new(false));
        let visits: Arc<[Lane]> = std::iter::repeat_with(Lane::default).take(lane_count).collect();
        let request = Arc::new(request);
        let mut lanes = JoinSet::new();
        for (lane, mut connection) in connections.into_iter().enumerate() {
            let (stop, visits, request) = (Arc::clone(&stop), Arc::clone(&visits), Arc::clone(&request));
            lanes.spawn(async move {
                // The lanes begin at different users and go round, so each user is seen by many connections.
                let mut user = lane * users / lane_count;
                while !stop.load(Ordering::Relaxed) {
                    let sent = SystemTime::now();
                    let answer = connection.send(request(user)?).await;
                    if let Some(visits) = visits.get(lane) {
                        of(visits, |visits| visits.push(Visit::of(user, sent, answer)));
                    }
                    user = (user + 1) % users;
                    tokio::time::sleep(shape.pause).await;
                }
                Ok(())
            });
        }
        Ok(Self { stop, users, visits, lanes })
    }

    /// Waits until so many more requests were answered, well or not.
    pub async fn go_on(&self, more: usize) -> Result<()> {
        let answered = || self.visits.iter().map(|lane| of(lane, |visits| visits.len())).sum::<usize>();
        let enough = answered() + more;
        let what = format!("{more} more answers");
        wait::until(&what, || std::future::ready((answered() >= enough).then_some(()))).await
    }

    /// Waits until every lane has asked for every user once more.
    pub async fn go_round(&self) -> Result<()> {
        let now: Vec<usize> = self.visits.iter().map(|lane| of(lane, |visits| visits.len())).collect();
        for (lane, now) in self.visits.iter().zip(now) {
            // A request that is on its way was sent before.
            let round = || of(lane, |visits| visits.len() > now + self.users);
            wait::until("another round", || std::future::ready(round().then_some(()))).await?;
        }
        Ok(())
    }

    /// Waits until this holds of the visits of every lane, one lane after the other.
    pub async fn until_every_lane(&self, what: &str, holds: impl Fn(&[Visit]) -> bool) -> Result<()> {
        for lane in self.visits.iter() {
            wait::until(what, || std::future::ready(of(lane, |visits| holds(visits)).then_some(()))).await?;
        }
        Ok(())
    }

    /// Lets the requests in flight end, and tells about all that were sent.
    pub async fn stop(mut self) -> Result<Vec<Visit>> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(lane) = self.lanes.join_next().await {
            lane??;
        }
        Ok(self.visits.iter().flat_map(|lane| of(lane, std::mem::take)).collect())
    }
}

/// Nothing panics while a lane is locked.
fn of<T>(lane: &Lane, look: impl FnOnce(&mut Vec<Visit>) -> T) -> T {
    look(&mut lane.lock().unwrap_or_else(PoisonError::into_inner))
}

// === impl Visit ===

impl Visit {
    fn of(user: usize, sent: SystemTime, answer: Result<Answer>) -> Self {
        match answer {
            Err(error) => {
                Self { user, sent, variant: None, request_id: None, failure: Some(format!("{error:#}")) }
            }
            Ok(answer) => {
                let variant = answer.variant();
                let failure = variant.is_none().then(|| {
                    format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body).trim_end())
                });
                Self { user, sent, variant, request_id: answer.request_id().map(str::to_owned), failure }
            }
        }
    }
}
