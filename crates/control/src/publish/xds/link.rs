//! One stream, from its first request to its end.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::google::protobuf::Any;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::dialect::Dialect;
use super::gate::{Caller, Peer};
use super::proxies::{Refused, Row, shorten};
use super::service::{FIRST_REQUEST, Refusal, Served, Shared, ending, too_slow};
use super::session::{Answer, Asked, Session};
use crate::publish::Publication;

/// How long a proxy may leave a revision unanswered before it gets the next one all the same.
const UNANSWERED: Duration = Duration::from_secs(10);
/// How long a refusal waits for somebody to take it. It is in the table of proxies in any case.
const REPORT: Duration = Duration::from_secs(1);
/// How much of a proxy's reason is kept, in characters.
const MAX_REASON: usize = 1_000;

/// One stream.
pub(super) struct Link<D: Dialect> {
    shared: Arc<Shared>,
    requests: Streaming<D::Request>,
    responses: mpsc::Sender<Result<D::Response, Status>>,
    _place: OwnedSemaphorePermit,
}

/// What a stream waits for.
enum Event<R> {
    Asked(R),
    Published,
    Overdue,
}

// === impl Link ===

impl<D: Dialect> Link<D> {
    /// A stream that was let in, and holds one of the places.
    pub(super) fn new(
        shared: Arc<Shared>,
        requests: Streaming<D::Request>,
        responses: mpsc::Sender<Result<D::Response, Status>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { shared, requests, responses, _place: place }
    }

    /// Serves the stream until the proxy ends it (`Ok`), or this server does.
    pub(super) async fn serve(mut self, metadata: MetadataMap, peer: Peer) -> Result<(), Status> {
        let shared = Arc::clone(&self.shared);
        let mut is_ending = shared.is_ending.subscribe();
        let first = tokio::select! {
            _ = is_ending.wait_for(|it| *it) => return Err(ending()),
            first = timeout(FIRST_REQUEST, self.requests.message()) => first.map_err(too_slow)?,
        };
        // A stream that breaks off is no news: proxies come and go.
        let Ok(Some(first)) = first else { return Ok(()) };
        let node = D::node(&first);
        let caller = Caller { metadata: &metadata, peer: &peer };
        let found = timeout(FIRST_REQUEST, shared.gate.fleet(caller, &node)).await.map_err(too_slow)??;
        drop(metadata);
        let served = found.and_then(|name| Some((shared.fleets.get(&name)?, name)));
        let Some((served, name)) = served else {
            let cluster = shorten(&node.cluster, shared.settings.max_node_text);
            let what =
                format!("node.cluster is {cluster:?}: there is no fleet for it and its certificate here");
            return Err(Status::failed_precondition(what));
        };
        let shown = shared.settings.max_node_text;
        let clock = Arc::clone(&shared.clock);
        let (row, refused) = shared.proxies.open(clock, &name, &node, peer.address, shown);
        let mut stream = Stream {
            fleet: name,
            node: shorten(&node.id, shown),
            session: Session::new(refused),
            row,
            budget: Budget::new(shared.settings.max_requests),
        };
        stream.take(&shared, D::read(first, true)).await?;
        let reported = stream.session.has();
        stream.row.update(|row| (row.reported, row.acked) = (reported, reported));

        let mut latest = served.fleet.latest.clone();
        let mut sent_at = Instant::now();
        loop {
            let is_due = !stream.session.is_waiting() || sent_at.elapsed() >= UNANSWERED;
            if is_due && self.send(&mut stream, served, &mut latest) {
                sent_at = Instant::now();
            }
            let overdue = stream.session.is_waiting().then(|| {
                let due = sent_at + UNANSWERED;
                // Later than that, there is no room for more on its side: look again from time to time.
                due.max(Instant::now() + Duration::from_millis(500))
            });
            let event = tokio::select! {
                biased;
                _ = is_ending.wait_for(|it| *it) => return Err(ending()),
                () = self.responses.closed() => return Ok(()),
                asked = self.requests.message() => match asked {
                    Ok(Some(asked)) => Event::Asked(asked),
                    Ok(None) | Err(_) => return Ok(()),
                },
                changed = latest.changed() => match changed {
                    Ok(()) => Event::Published,
                    // Whoever published is gone.
                    Err(_) => return Err(ending()),
                },
                () = until(overdue) => Event::Overdue,
            };
            if let Event::Asked(asked) = event {
                stream.take(&shared, D::read(asked, false)).await?;
            }
        }
    }

    /// Sends the latest publication, if the proxy is to have it and there is room for it.
    fn send(
        &self,
        stream: &mut Stream,
        served: &Served,
        latest: &mut watch::Receiver<Option<Arc<Publication>>>,
    ) -> bool {
        let publication = latest.borrow_and_update().clone();
        let Some(publication) = publication.filter(|it| stream.session.wants(it)) else { return false };
        // Without room the stream is looked at again when the proxy has answered, or is overdue.
        let Ok(room) = self.responses.try_reserve() else { return false };
        let revision = publication.revision;
        let resource = served.resource(&publication);
        let nonce = stream.session.sent(revision);
        stream.row.update(|row| row.sent = Some(revision));
        room.send(Ok(D::write(revision, nonce, Any::clone(&resource))));
        true
    }
}

/// What a stream is, beside its network.
struct Stream {
    fleet: String,
    node: String,
    session: Session,
    row: Row,
    budget: Budget,
}

// === impl Stream ===

impl Stream {
    /// Takes note of a request.
    async fn take(&mut self, shared: &Shared, asked: Asked) -> Result<(), Status> {
        match self.session.asked(asked) {
            Answer::None => self.budget.spend()?,
            Answer::Taken(revision) => self.row.update(|row| row.acked = Some(revision)),
            Answer::Refused(revision, why) => {
                let why = shorten(&why, MAX_REASON);
                tracing::warn!(
                    fleet = self.fleet,
                    node = self.node,
                    revision,
                    why,
                    "a proxy refuses the policy"
                );
                self.row.refuse(Refused { revision, why: why.clone() });
                let refusal = Refusal { fleet: self.fleet.clone(), revision, node: self.node.clone(), why };
                if shared.refusals.send_timeout(refusal, REPORT).await.is_err() {
                    tracing::error!(fleet = self.fleet, revision, "nobody takes the refusal of a policy");
                }
            }
        }
        Ok(())
    }
}

/// How many more requests a stream may send in this second.
struct Budget {
    each: u32,
    left: u32,
    since: Instant,
}

// === impl Budget ===

impl Budget {
    fn new(each: u32) -> Self {
        Self { each, left: each, since: Instant::now() }
    }

    fn spend(&mut self) -> Result<(), Status> {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Self::new(self.each);
        }
        let exceeded = || Status::resource_exhausted("too many requests on this stream within a second");
        self.left = self.left.checked_sub(1).ok_or_else(exceeded)?;
        Ok(())
    }
}

/// Waits until then; for ever without a time.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
