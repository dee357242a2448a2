//! A management server for Envoy: it hands the filter with its policy to every proxy that asks for the resource `coalmine`
//! (ECDS over gRPC, incremental and state of the world).
//!
//! | file | what is in it |
//! |---|---|
//! | `resource` | a publication as Envoy takes it: the filter, its module, its policy |
//! | `session` | one stream's state: what was sent, taken and refused; no I/O |
//! | `variant` | both forms of the protocol, read and written |
//! | `stream` | a stream, from its first request to its end |
//! | `proxies` | [`ProxyTable`]: which proxies are connected |
//!
//! It never tells a proxy that the resource is removed: a starting proxy would wait for ever, and a running one would drop
//! the filter. Until there is a policy it says nothing, and the proxy's `default_config` carries it.

mod proxies;
mod resource;
mod session;
mod stream;
mod variant;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::HeaderMap;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server::{
    ExtensionConfigDiscoveryService, ExtensionConfigDiscoveryServiceServer,
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::ending::Ending;
use crate::listen::Peer;
use crate::server::Server;

pub use proxies::{Connected, ProxyTable};
pub use resource::{Module, RESOURCE};

/// What a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The revision that it was sent.
    pub revision: u64,
    /// Its name: Envoy's `node.id`.
    pub proxy: String,
    /// What it said.
    pub why: String,
}

/// Says whether a stream with these headers may read the policy.
pub type Door = dyn Fn(&HeaderMap) -> bool + Send + Sync;

/// The service.
pub struct Xds {
    server: Arc<Server>,
    module: Module,
    /// Variables of the proxies' environment that the filter gets beside those that the policy names.
    environment: Vec<String>,
    door: Box<Door>,
    table: Arc<ProxyTable>,
    refusals: mpsc::Sender<Refusal>,
    ending: Ending,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

// === impl Xds ===

impl Xds {
    /// A service that hands out what this server publishes. Refusals are told to `refusals`.
    pub fn new(
        server: Arc<Server>,
        module: Module,
        environment: Vec<String>,
        door: Box<Door>,
        refusals: mpsc::Sender<Refusal>,
        ending: Ending,
    ) -> Self {
        let table = Arc::new(ProxyTable::default());
        Self { server, module, environment, door, table, refusals, ending }
    }

    /// The proxies that are connected.
    pub fn table(&self) -> Arc<ProxyTable> {
        self.table.clone()
    }

    /// As a gRPC service.
    pub fn into_service(self) -> ExtensionConfigDiscoveryServiceServer<Self> {
        ExtensionConfigDiscoveryServiceServer::new(self)
    }

    fn open<V: variant::Variant + 'static>(
        &self,
        request: Request<Streaming<V::Request>>,
    ) -> Result<Response<Answers<V::Response>>, Status> {
        if !(self.door)(request.metadata().as_ref()) {
            return Err(Status::unauthenticated(
                "a token that may read every rollout is needed, as a bearer token",
            ));
        }
        let address = request.extensions().get::<Peer>().map(|peer| peer.0);
        let row = self.table.open(address, self.server.now())?;
        let stream = stream::Open {
            server: self.server.clone(),
            module: self.module.clone(),
            environment: self.environment.clone(),
            suffix: resource::suffix(&self.module, &self.environment),
            refusals: self.refusals.clone(),
            ending: self.ending.clone(),
            row,
        };
        Ok(Response::new(Box::pin(stream.run::<V>(request.into_inner()))))
    }
}

impl fmt::Debug for Xds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xds")
            .field("module", &self.module)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl ExtensionConfigDiscoveryService for Xds {
    type StreamExtensionConfigsStream = Answers<DiscoveryResponse>;
    type DeltaExtensionConfigsStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_extension_configs(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamExtensionConfigsStream>, Status> {
        self.open::<variant::Whole>(request)
    }

    async fn delta_extension_configs(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaExtensionConfigsStream>, Status> {
        self.open::<variant::Delta>(request)
    }

    async fn fetch_extension_configs(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("subscribe by a stream: api_type GRPC or DELTA_GRPC"))
    }
}
