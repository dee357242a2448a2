//! A server in this process, and a real Envoy that subscribes to it; and proxies without an Envoy:
//! [`crowd`] only subscribes, [`pretend`] counts too.

pub mod crowd;
pub mod pretend;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use coalmine_control::publish::Publication;
use coalmine_control::publish::xds::{ByCluster, Filter, Fleet, Module, ProxyTable, Refusal, Settings, Xds};
use coalmine_envoy_tests::{rollout, user, visit};
use coalmine_harness::{Connection, Lab, LabBuilder, Protocol, tools, wait};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// The fleet: what the shipped bootstrap has for `node.cluster`.
const FLEET: &str = "coalmine-example";

/// The host whose users are drawn.
pub const HOST: &str = "checkout.example";

/// The two dialects, as Envoy's configuration calls them.
pub const DIALECTS: [&str; 2] = ["DELTA_GRPC", "GRPC"];

/// A server with one fleet.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
    latest: watch::Sender<Option<Arc<Publication>>>,
    /// What it answers with.
    pub xds: Xds,
    /// Who is connected.
    pub proxies: Arc<ProxyTable>,
    /// What was refused.
    pub refusals: mpsc::Receiver<Refusal>,
}

/// What would be a process of its own: everything that runs in it ends with it. Dropped, it ends soon.
#[derive(Debug)]
struct Process(Option<Runtime>);

/// The shipped filter, where the proxy finds it.
pub fn local_module() -> Result<Module> {
    Ok(Module::Path(tools::filter()?.display().to_string()))
}

/// A policy that sends everybody at [`HOST`] to stable (0) or to the canary (100).
pub fn everybody(revision: u64, weight: f64) -> String {
    json!({"version": 1, "revision": revision, "rollouts": [rollout("checkout", HOST, weight)]}).to_string()
}

// === impl Server ===

impl Server {
    /// Starts it at this address; with port 0, at a free one. A successor's address is that of a [`coalmine_harness::Port`].
    pub async fn start(address: SocketAddr, module: Module) -> Result<Self> {
        let latest = watch::Sender::new(None);
        let filter = Filter { module, environment: Default::default() };
        let fleets = BTreeMap::from([(FLEET.to_owned(), Fleet { filter, latest: latest.subscribe() })]);
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (sender, refusals) = mpsc::channel(16);
        let (gate, settings) = (Arc::new(ByCluster), Settings::default());
        let proxies = Arc::<ProxyTable>::default();
        let xds = Xds::new(fleets, gate, settings, Arc::new(clock), proxies.clone(), sender);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let handle = runtime.handle().clone();
        let process = Process(Some(runtime));
        let router = tonic::service::Routes::new(xds.service()).into_axum_router();
        let serve = async move {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            tokio::spawn(async move { axum::serve(listener, router).await });
            std::io::Result::Ok(address)
        };
        let address = handle.spawn(serve).await?.context("the server does not start")?;
        Ok(Self { process, address, latest, xds, proxies, refusals })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it: when this returns, its connections are gone and its address is free.
    pub async fn kill(mut self) -> Result<()> {
        let runtime = self.process.0.take();
        let end = move || runtime.map(|runtime| runtime.shutdown_timeout(wait::PATIENCE));
        tokio::task::spawn_blocking(end).await?;
        Ok(())
    }

    /// Publishes this document, good or bad.
    pub fn publish(&self, revision: u64, document: String) {
        let fleet = FLEET.to_owned();
        let publication = Publication {
            fleet,
            revision,
            at: 0,
            document,
            filter: String::new(),
            parts: BTreeMap::new(),
            held: BTreeMap::new(),
            refused: None,
        };
        self.latest.send_replace(Some(Arc::new(publication)));
    }
}

// === impl Process ===

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An Envoy with two workers that subscribes to this server, in this dialect.
pub async fn proxy(server: SocketAddr, dialect: &str) -> Result<Lab> {
    subscribed(Lab::builder()?.without_access_log(), server, dialect).await
}

/// The same, with an access log.
pub async fn logging_proxy(server: SocketAddr, dialect: &str) -> Result<Lab> {
    subscribed(Lab::builder()?, server, dialect).await
}

async fn subscribed(builder: LabBuilder, server: SocketAddr, dialect: &str) -> Result<Lab> {
    let builder = builder.workers(2).edit(|bootstrap| bootstrap.subscribe(server, dialect, dialect))?;
    // The file that a lab writes is not read by this proxy.
    builder.start(&everybody(1, 0.0)).await
}

/// Waits until the filter says that this revision is in force.
pub async fn in_force(lab: &Lab, revision: u64) -> Result<()> {
    let what = format!("revision {revision}");
    let is_it = |metrics: &coalmine_harness::Metrics| {
        metrics.sum("coalmine_policy_revision", &[]) == Some(revision as f64)
    };
    lab.metrics_when(&what, is_it).await.map(|_| ())
}

/// So many connections, which the kernel spreads over the workers.
pub async fn connections(lab: &Lab, count: usize) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(lab.connect(Protocol::Http1).await?);
    }
    Ok(connections)
}

/// Which variants answer on these connections; a request that fails is an error.
pub async fn variants(connections: &mut [Connection]) -> Result<Vec<&'static str>> {
    let mut variants = Vec::new();
    for (index, connection) in connections.iter_mut().enumerate() {
        let answer = connection.send(visit(HOST, &user(index))?).await?;
        variants.push(answer.variant().with_context(|| format!("{}", answer.status))?);
    }
    Ok(variants)
}

/// Waits until this variant answers on new connections, all of them.
pub async fn all_get(lab: &Lab, variant: &str) -> Result<()> {
    wait::until(&format!("{variant} on every connection"), || async {
        let mut connections = connections(lab, 8).await.ok()?;
        let found = variants(&mut connections).await.ok()?;
        found.iter().all(|it| *it == variant).then_some(())
    })
    .await
}
