//! Many proxies that are nothing but their streams: they follow a server as Envoys do, and serve nobody.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_client::ExtensionConfigDiscoveryServiceClient;
use envoy_types::pb::google::protobuf::Any;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use coalmine_control::publish::xds::NAME;
use coalmine_harness::wait::PATIENCE;

/// How long a proxy waits before it connects again. An Envoy of `envoy/fleet` waits up to two seconds, at random; all of
/// these come back at once.
const RETRY: Duration = Duration::from_millis(200);
/// Requests of a proxy that wait to be sent. An Envoy's is one.
const REQUESTS: usize = 4;

/// Proxies in one thread, each with a connection of its own; they end when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    /// What each has.
    has: Vec<watch::Receiver<Has>>,
    /// Dropped, it ends the thread.
    freezer: Option<mpsc::UnboundedSender<blocking::Receiver<()>>>,
    thread: Option<JoinHandle<()>>,
}

/// A crowd that stands still: it reads nothing, and answers nothing, not even a ping. Dropped, it goes on.
#[derive(Debug)]
pub struct Frozen {
    _thaw: blocking::Sender<()>,
}

/// The latest revision that a proxy has, and when it said so.
#[derive(Clone, Copy, Debug)]
struct Has {
    revision: u64,
    at: Instant,
}

// === impl Crowd ===

impl Crowd {
    /// Starts the proxies of these numbers, which follow this server.
    pub fn start(server: SocketAddr, numbers: Range<usize>) -> Result<Self> {
        let nothing = Has { revision: 0, at: Instant::now() };
        let (told, has): (Vec<_>, Vec<_>) = numbers.clone().map(|_| watch::channel(nothing)).unzip();
        let (freezer, mut freezes) = mpsc::unbounded_channel::<blocking::Receiver<()>>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                for (number, told) in numbers.zip(told) {
                    let id = format!("simulated-{number}");
                    let node = Node { id, cluster: "simulated".to_owned(), ..Node::default() };
                    let takes = move |revision, _: &Any| {
                        told.send_replace(Has { revision, at: Instant::now() });
                    };
                    tokio::spawn(follow(server, node, takes));
                }
                while let Some(thaw) = freezes.recv().await {
                    // With the only thread, everything stands still.
                    let _ = thaw.recv();
                }
            });
        });
        Ok(Self { has, freezer: Some(freezer), thread: Some(thread) })
    }

    /// Waits until each has this revision or a later one. When the last one said so.
    pub async fn all_have(&mut self, revision: u64) -> Result<Instant> {
        let mut last = None;
        for (number, has) in self.has.iter_mut().enumerate() {
            let has = timeout(PATIENCE, has.wait_for(|has| has.revision >= revision)).await;
            let has = has.with_context(|| format!("proxy {number} waits for revision {revision}"))?;
            last = last.max(Some(has.map_err(|_| anyhow!("proxy {number} has ended"))?.at));
        }
        last.context("nobody is there")
    }

    /// Has it stand still.
    pub fn freeze(&self) -> Result<Frozen> {
        let (thaw, thawed) = blocking::channel();
        let freezer = self.freezer.as_ref().context("it has ended")?;
        freezer.send(thawed).map_err(|_| anyhow!("its thread has ended"))?;
        Ok(Frozen { _thaw: thaw })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.freezer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One proxy: it connects, and connects again. `takes` is called with each revision that it takes, and its resource.
pub(crate) async fn follow(server: SocketAddr, node: Node, takes: impl Fn(u64, &Any) + Send + Sync) {
    let mut has = 0;
    loop {
        // How a stream ends is the server's business; the proxy comes back.
        let _ = stream(server, node.clone(), &mut has, &takes).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn stream(
    server: SocketAddr,
    node: Node,
    has: &mut u64,
    takes: &(impl Fn(u64, &Any) + Send + Sync),
) -> Result<()> {
    let mut client = ExtensionConfigDiscoveryServiceClient::connect(format!("http://{server}")).await?;
    let (requests, sent) = mpsc::channel(REQUESTS);
    requests
        .send(DeltaDiscoveryRequest {
            node: Some(node),
            resource_names_subscribe: vec![NAME.to_owned()],
            initial_resource_versions: (*has > 0)
                .then(|| (NAME.to_owned(), has.to_string()))
                .into_iter()
                .collect(),
            ..DeltaDiscoveryRequest::default()
        })
        .await?;
    let mut responses = client.delta_extension_configs(ReceiverStream::new(sent)).await?.into_inner();
    while let Some(response) = responses.message().await? {
        let resource = response.resources.first().context("no resource")?;
        *has = resource.version.parse()?;
        let answer =
            DeltaDiscoveryRequest { response_nonce: response.nonce, ..DeltaDiscoveryRequest::default() };
        requests.send(answer).await?;
        takes(*has, resource.resource.as_ref().context("an empty resource")?);
    }
    Ok(())
}
