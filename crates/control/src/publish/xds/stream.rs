//! A stream, from its first request to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Refusal;
use super::proxies::Row;
use super::resource::{Module, resource, version};
use super::session::Session;
use super::variant::Variant;
use crate::ending::Ending;
use crate::publish::Publication;
use crate::server::Server;

/// How many requests a stream may send in a second: one answers each policy, so that more are a mistake or an attack.
const MAX_REQUESTS: u32 = 100;

/// What a stream needs.
pub(super) struct Open {
    pub(super) server: Arc<Server>,
    pub(super) module: Module,
    pub(super) environment: Vec<String>,
    pub(super) suffix: String,
    pub(super) refusals: mpsc::Sender<Refusal>,
    pub(super) ending: Ending,
    pub(super) row: Row,
}

/// Requests in the second that goes on.
struct Pace {
    began: Instant,
    requests: u32,
}

// === impl Open ===

impl Open {
    /// Answers until the proxy goes, the server ends, or the proxy sends what makes no sense. A proxy that reads slowly gets
    /// the latest policy, not all of them.
    pub(super) fn run<V: Variant>(
        self,
        requests: Streaming<V::Request>,
    ) -> impl Stream<Item = Result<V::Response, Status>> + use<V> {
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            if let Err(status) = self.answer::<V>(requests, &answers).await {
                // The proxy may be gone.
                let _ = answers.send(Err(status)).await;
            }
        });
        ReceiverStream::new(stream)
    }

    async fn answer<V: Variant>(
        mut self,
        mut requests: Streaming<V::Request>,
        answers: &mpsc::Sender<Result<V::Response, Status>>,
    ) -> Result<(), Status> {
        let mut session = Session::default();
        let mut publications = self.server.publication();
        let mut pace = Pace { began: Instant::now(), requests: 0 };
        loop {
            tokio::select! {
                request = requests.next() => match request {
                    None | Some(Err(_)) => return Ok(()),
                    Some(Ok(request)) => {
                        pace.count()?;
                        let (said, node) = V::read(request);
                        if let Some(node) = node {
                            self.row.name(&node);
                        }
                        if let Some((revision, why)) = session.take(said) {
                            let refusal = Refusal { revision, proxy: self.row.node(), why };
                            // Whoever listens has ended, and so does this stream soon.
                            let _ = self.refusals.send(refusal).await;
                        }
                    }
                },
                changed = publications.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = self.ending.comes() => {
                    return Err(Status::unavailable("the server ends; connect again"));
                }
            }
            let latest: Option<Arc<Publication>> = publications.borrow_and_update().clone();
            if let Some(latest) = latest {
                let version = version(latest.revision, &self.suffix);
                if let Some(nonce) = session.next(latest.revision, &version) {
                    let resource = resource(&latest, &self.module, &self.environment);
                    if answers.send(Ok(V::write(resource, version, nonce))).await.is_err() {
                        return Ok(());
                    }
                }
            }
            self.row.show(&session);
        }
    }
}

// === impl Pace ===

impl Pace {
    fn count(&mut self) -> Result<(), Status> {
        if self.began.elapsed() >= Duration::from_secs(1) {
            *self = Self { began: Instant::now(), requests: 0 };
        }
        self.requests += 1;
        if self.requests > MAX_REQUESTS {
            return Err(Status::resource_exhausted(format!("more than {MAX_REQUESTS} requests in a second")));
        }
        Ok(())
    }
}
