//! The server: what it serves, to whom, within which limits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server::{
    ExtensionConfigDiscoveryService, ExtensionConfigDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::dialect::{Delta, Dialect, World};
use super::gate::{Caller, Gate, Peer};
use super::link::Link;
use super::proxies::ProxyTable;
use super::resource::Filter;
use crate::publish::Publication;

/// Tells the time, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How long a proxy may take for its first request, and the gate for its answer.
pub(super) const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// The largest request, in bytes. The first one of an Envoy names all its extensions, in some 50 KB.
const MAX_REQUEST: usize = 1 << 20;
/// A connection on which nothing moves is asked whether it lives after this time, and is given up after the next.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many streams may be open.
    pub max_streams: usize,
    /// How much of `node.id` and of `node.cluster` is shown, in characters.
    pub max_node_text: usize,
    /// How many requests a stream may send in a second, beside one answer to each response.
    pub max_requests: u32,
}

/// What the proxies of a fleet get.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its filter.
    pub filter: Filter,
    /// The latest publication; nothing while there is none.
    pub latest: watch::Receiver<Option<Arc<Publication>>>,
}

/// A proxy has refused a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The fleet.
    pub fleet: String,
    /// The revision.
    pub revision: u64,
    /// The proxy's `node.id`, shortened.
    pub node: String,
    /// What it said, shortened.
    pub why: String,
}

/// The server. A clone is the same server.
#[derive(Clone)]
pub struct Xds {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) fleets: BTreeMap<String, Served>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) proxies: Arc<ProxyTable>,
    pub(super) refusals: mpsc::Sender<Refusal>,
    streams: Arc<Semaphore>,
    pub(super) is_ending: watch::Sender<bool>,
}

pub(super) struct Served {
    pub(super) fleet: Fleet,
    /// The bytes of the latest revision: written once for all proxies.
    resource: Mutex<Option<(u64, Arc<Any>)>>,
}

/// Sends HTTP/2 pings, so that a proxy whose host is gone is noticed within 40 s, and bounds what a connection may hold.
pub fn keep_alive<E>(server: &mut auto::Builder<E>) {
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(100)
        .max_header_list_size(16 * 1024);
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self { max_streams: 10_000, max_node_text: 256, max_requests: 20 }
    }
}

// === impl Xds ===

impl Xds {
    /// Serves these fleets, by their names, to the proxies that the gate lets in. `proxies` keeps their streams, and `refusals` is
    /// told what they refuse.
    pub fn new(
        fleets: BTreeMap<String, Fleet>,
        gate: Arc<dyn Gate>,
        settings: Settings,
        clock: Clock,
        proxies: Arc<ProxyTable>,
        refusals: mpsc::Sender<Refusal>,
    ) -> Self {
        let serve = |(name, fleet)| (name, Served { fleet, resource: Mutex::new(None) });
        let streams = settings.max_streams.min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            fleets: fleets.into_iter().map(serve).collect(),
            gate,
            settings,
            clock,
            proxies,
            refusals,
            streams: Arc::new(Semaphore::new(streams)),
            is_ending: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The gRPC service, for [`tonic::service::Routes`]: with it, gRPC and HTTP share a port.
    pub fn service(&self) -> ExtensionConfigDiscoveryServiceServer<Self> {
        ExtensionConfigDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST)
    }

    /// Ends every stream with `UNAVAILABLE`, and takes no new one: the proxies go on with what they have, and look for
    /// another server. Returns when all have ended; bound it with a timeout.
    pub async fn shut_down(&self) {
        self.shared.is_ending.send_replace(true);
        while self.shared.proxies.open_streams() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets a caller in, and serves it until one of the two ends it.
    async fn open<D: Dialect>(
        &self,
        request: Request<Streaming<D::Request>>,
    ) -> Result<Response<ReceiverStream<Result<D::Response, Status>>>, Status> {
        if *self.shared.is_ending.borrow() {
            return Err(ending());
        }
        let place = Arc::clone(&self.shared.streams).try_acquire_owned();
        let place = place.map_err(|_| Status::resource_exhausted("too many proxies are connected"))?;
        let (metadata, extensions, requests) = request.into_parts();
        let peer = extensions.get::<Peer>().cloned().unwrap_or_default();
        let caller = Caller { metadata: &metadata, peer: &peer };
        timeout(FIRST_REQUEST, self.shared.gate.enter(caller)).await.map_err(too_slow)??;
        let (responses, stream) = mpsc::channel(1);
        let link = Link::<D>::new(Arc::clone(&self.shared), requests, responses.clone(), place);
        tokio::spawn(async move {
            if let Err(status) = link.serve(metadata, peer).await {
                // Only a proxy that does not read at all has no room for this; it sees the end without the reason.
                let _ = responses.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl fmt::Debug for Xds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fleets: Vec<_> = self.shared.fleets.keys().collect();
        f.debug_struct("Xds").field("fleets", &fleets).finish_non_exhaustive()
    }
}

#[async_trait]
impl ExtensionConfigDiscoveryService for Xds {
    type StreamExtensionConfigsStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaExtensionConfigsStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_extension_configs(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamExtensionConfigsStream>, Status> {
        self.open::<World>(request).await
    }

    async fn delta_extension_configs(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaExtensionConfigsStream>, Status> {
        self.open::<Delta>(request).await
    }

    async fn fetch_extension_configs(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("a proxy subscribes by a stream: api_type DELTA_GRPC or GRPC, not REST"))
    }
}

// === impl Served ===

impl Served {
    /// The bytes of this publication.
    pub(super) fn resource(&self, publication: &Publication) -> Arc<Any> {
        let mut known = self.resource.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((revision, resource)) if *revision == publication.revision => Arc::clone(resource),
            _ => {
                let resource = Arc::new(self.fleet.filter.resource(publication));
                *known = Some((publication.revision, Arc::clone(&resource)));
                resource
            }
        }
    }
}

pub(super) fn ending() -> Status {
    Status::unavailable("this server is ending; the proxy goes on with the policy that it has")
}

pub(super) fn too_slow(_: tokio::time::error::Elapsed) -> Status {
    Status::deadline_exceeded("no first request, or no answer of the gate, within 10 s")
}
