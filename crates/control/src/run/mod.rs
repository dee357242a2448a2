//! A server from its configuration to its end.

mod gate;
mod not_ready;
mod reload;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::service::Routes;

use crate::access::Tokens;
use crate::api::{self, App};
use crate::config::{self, Config, ModuleFile, StoreAddress};
use crate::dashboard;
use crate::ending::{Ending, ending};
use crate::evidence::{Queries, Source};
use crate::kubernetes::{self, ApiAddress, Kubernetes, Reviews};
use crate::listen;
use crate::notify::Notifiers;
use crate::open_files;
use crate::publish::istio;
use crate::publish::xds::{Filter, Fleet, Module, ProxyTable, Settings, Xds};
use crate::reconcile::{self, Gates, Hooks};
use crate::rollout::Operator;
use crate::server::{Delivery, Server};
use crate::store::{self, Address, Sql, Store};
use crate::tls::{self, Certificates};
use gate::ByProof;
use reload::Listening;
use source::{source, within};

pub use not_ready::NotReady;
pub use reload::Handle;

/// How many refusals wait to be written down.
const REFUSALS: usize = 1_000;
/// How often it is seen whether a certificate is another one.
const RELOAD: Duration = Duration::from_secs(10);
/// How long streams of proxies may take to end.
const STREAMS_WITHIN: Duration = Duration::from_secs(2);
/// How long all of it may take to end: open requests have ten seconds of that.
const ENDS_WITHIN: Duration = Duration::from_secs(12);

/// A server that listens, and does nothing yet.
pub struct Ready {
    config: Config,
    server: Arc<Server>,
    /// The store, where it is in a cluster.
    rollouts: Option<Arc<store::Kubernetes>>,
    /// By fleet.
    filters: BTreeMap<String, Filter>,
    /// The proxies that are connected.
    table: Arc<ProxyTable>,
    hooks: Hooks,
    /// By fleet.
    sources: BTreeMap<String, Box<dyn Source>>,
    queries: Queries,
    /// The cluster that is followed, and a client of its own for Events.
    cluster: Option<(Arc<Kubernetes>, kube::Client)>,
    certificates: Option<Arc<Certificates>>,
    listener: TcpListener,
    admin: TcpListener,
    tokens: Tokens,
}

/// Serves until the process is told to end, by SIGTERM or SIGINT. At SIGHUP the configuration is loaded again: tokens and
/// what the operator says are exchanged, and a bad one changes nothing; what is wrong with it, a text, goes to the log.
/// `told` is called with both addresses once it listens.
///
/// # Errors
/// It cannot be done: a sentence.
pub fn serve(
    config: Config,
    load: impl Fn() -> Result<Config, String>,
    told: impl FnOnce(SocketAddr, SocketAddr),
) -> Result<(), NotReady> {
    open_files::take(config.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut reloads = signal(SignalKind::hangup())?;
        let mut terminates = signal(SignalKind::terminate())?;
        let mut interrupts = signal(SignalKind::interrupt())?;
        let ready = Ready::new(config).await?;
        told(ready.address()?, ready.admin_address()?);
        let handle = ready.handle();
        let stop = async {
            loop {
                tokio::select! {
                    _ = reloads.recv() => handle.reload(load()),
                    _ = terminates.recv() => return,
                    _ = interrupts.recv() => return,
                }
            }
        };
        ready.run(stop).await;
        Ok(())
    })
}

// === impl Ready ===

impl Ready {
    /// Opens the store, reads files, and listens.
    ///
    /// # Errors
    /// One of that is not possible, or would be unsafe.
    pub async fn new(config: Config) -> Result<Self, NotReady> {
        tls::choose_provider();
        if let Some(why) = Listening::of(&config).refuses(config.has_tokens()) {
            return Err(NotReady(why));
        }
        let certificates = config.tls.clone().map(Certificates::load).transpose()?.map(Arc::new);
        let cannot = |why| NotReady(format!("gates and notifiers cannot be asked: {why}"));
        let hooks = Hooks {
            gates: Gates::new(&config.gates).map_err(cannot)?,
            notifiers: Notifiers::new(&config.notifiers, now).map_err(cannot)?,
        };
        let table = Arc::new(ProxyTable::default());
        let (mut filters, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for (name, fleet) in &config.fleets {
            filters.insert(name.clone(), filter(fleet)?);
            sources.insert(name.clone(), source(name, fleet, &table, config.tick).map_err(NotReady)?);
        }
        source::warn_of_others(&config);
        let queries = Queries::new(&config.queries, within(config.tick)).map_err(NotReady)?;
        let (store, rollouts): (Arc<dyn Store>, _) = match &config.store {
            StoreAddress::Sql(address) => (Arc::new(Sql::open(address.clone()).await?), None),
            StoreAddress::Kubernetes(address) => {
                let followed = config.kubernetes.as_ref();
                let kubeconfig = followed.and_then(|followed| followed.kubeconfig.clone());
                let address = ApiAddress {
                    kubeconfig: address.kubeconfig.clone().or(kubeconfig),
                    namespace: address.namespace.clone(),
                };
                let only = followed.and_then(|followed| followed.namespace.as_deref());
                let store = Arc::new(store::Kubernetes::open(&address, only).await?);
                (store.clone(), Some(store))
            }
        };
        let digests = filters.iter().map(|(fleet, filter)| (fleet.clone(), filter.digest())).collect();
        let operator = Operator { filters: digests, ..config.operator.clone() };
        let cluster = match &config.kubernetes {
            Some(settings) => Some(cluster(settings, &config.fleets).await.map_err(NotReady)?),
            None => None,
        };
        let mut server = Server::new(store, operator, config.members(), config.tick, now);
        if let Some((cluster, _)) = &cluster {
            server = server.with_cluster(cluster.clone());
        }
        let server = Arc::new(server);
        let listener = listen::open(config.listen).await?;
        let admin = listen::open(config.admin).await?;
        let mut tokens = Tokens::new(Vec::new());
        tokens.set(config.tokens.clone(), &config.oidc).map_err(NotReady)?;
        let taken = config.kubernetes.as_ref().and_then(|settings| settings.tokens.as_ref());
        if let (Some(taken), Some((_, client))) = (taken, &cluster) {
            tokens = tokens.with_reviewer(Arc::new(Reviews::new(client.clone(), taken.audience.clone())));
        }
        Ok(Self {
            config,
            server,
            filters,
            table,
            hooks,
            sources,
            queries,
            cluster,
            rollouts,
            certificates,
            listener,
            admin,
            tokens,
        })
    }

    /// Where the API and the management server listen.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where health and metrics are.
    ///
    /// # Errors
    /// The system does not say.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// What can be exchanged while it runs.
    pub fn handle(&self) -> Handle {
        let has_reviewer = self.config.kubernetes.as_ref().is_some_and(|it| it.tokens.is_some());
        Handle::new(self.server.clone(), self.tokens.clone(), has_reviewer, Listening::of(&self.config))
    }

    /// Serves until `stop`, and then for as long as open requests take, at most ten seconds and a few for the rest.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (end, ending) = ending();
        let (refusals, refused) = mpsc::channel(REFUSALS);
        let mut filters = self.filters;
        let fleet = |(name, latest): (&str, _)| {
            Some((name.to_owned(), Fleet { filter: filters.remove(name)?, latest }))
        };
        let fleets = self.server.publications().filter_map(fleet).collect();
        let gate = ByProof { tokens: self.tokens.clone(), fleets: self.server.fleets().clone(), clock: now };
        let table = self.table;
        let xds =
            Xds::new(fleets, Arc::new(gate), Settings::default(), Arc::new(now), table.clone(), refusals);
        let tokens = self.tokens.clone();
        let mut over = ending.clone();
        let app = App {
            server: self.server.clone(),
            tokens: self.tokens,
            table: table.clone(),
            public_url: self.config.public_url.clone(),
            has_tls: self.certificates.is_some(),
            ending: ending.clone(),
            counted: api::Counted::default(),
            limits: self.config.limits,
        };
        // What is no method of the service is for the API to answer.
        let grpc: Router = Routes::new(xds.service()).into_axum_router().reset_fallback();
        let mut public = api::router(app.clone()).merge(grpc);
        if self.config.dashboard != config::Dashboard::Off {
            let read_only = self.config.dashboard == config::Dashboard::ReadOnly;
            public = public.merge(dashboard::router(app.clone(), read_only));
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            tokio::select! {
                () = tokens.fetch_keys(now()) => {}
                () = over.comes() => {}
            }
        });
        if let Some(certificates) = self.certificates.clone() {
            tasks.spawn(reload(certificates, ending.clone()));
        }
        let file = |(name, fleet): (&String, &config::Fleet)| Some((name.clone(), fleet.file.clone()?));
        let files = self.config.fleets.iter().filter_map(file).collect();
        tasks.spawn(reconcile::publish_always(self.server.clone(), files, ending.clone()));
        tasks.spawn(reconcile::refuse_always(self.server.clone(), refused, table, ending.clone()));
        // Objects of a cluster are written by whichever client there is.
        let client = self.cluster.as_ref().map(|(_, client)| client.clone());
        let client = client.or_else(|| Some(self.rollouts.as_ref()?.connection().client.clone()));
        for (fleet, it) in &self.config.fleets {
            if let Some(client) = client.clone().filter(|_| !it.plugins.is_empty()) {
                let (fleet, plugins) = (fleet.clone(), it.plugins.clone());
                // Before the first tick: what plugins have is not known yet, and not nothing.
                self.server.look(|view| drop(view.plugins.insert(fleet.clone(), Delivery::default())));
                let server = self.server.clone();
                tasks.spawn(istio::publish_always(server, fleet, client, plugins, ending.clone()));
            }
        }
        if let Some(rollouts) = self.rollouts {
            tasks.spawn(reconcile::adopt_always(self.server.clone(), rollouts, ending.clone()));
        }
        if let Some((cluster, client)) = self.cluster {
            tasks.spawn(cluster.follow(ending.clone()));
            tasks.spawn(kubernetes::record_always(self.server.clone(), client, ending.clone()));
        }
        // A file is of one host, where a server that begins again goes on at once.
        let holder = match self.config.store {
            StoreAddress::Sql(Address::File(_)) => "this host".to_owned(),
            _ => unique_holder(),
        };
        let (server, ending_of_ticks) = (self.server, ending.clone());
        let ticks =
            reconcile::tick_always(server, self.sources, self.queries, self.hooks, holder, ending_of_ticks);
        tasks.spawn(ticks);
        let most = self.config.limits.connections;
        tasks.spawn(listen::serve(self.admin, api::admin_router(app), None, most, ending.clone()));
        tasks.spawn(listen::serve(self.listener, public, self.certificates, most, ending));
        stop.await;
        tracing::info!("ends; proxies go on with the policy that they have");
        end.now();
        // Streams end first: a proxy looks for another server, and its connection can be drained.
        let _ = tokio::time::timeout(STREAMS_WITHIN, xds.shut_down()).await;
        if tokio::time::timeout(ENDS_WITHIN, tasks.join_all()).await.is_err() {
            tracing::warn!("not everything has come to its end; what is recorded is whole");
        }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What this process is called where several may hold a lease. In a cluster it begins with the name of the Pod, for those who look.
fn unique_holder() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
    let host = host.map(|host| format!("{host}-")).unwrap_or_default();
    format!("{host}{}-{}", std::process::id(), now())
}

async fn reload(certificates: Arc<Certificates>, mut ending: Ending) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RELOAD) => {}
            () = ending.comes() => return,
        }
        match certificates.reload() {
            Ok(true) => tracing::info!("new connections get the new certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!("the certificate before stays in force: {error}"),
        }
    }
}

/// Seconds since 1970: the only clock of the server.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A cluster that is to be followed, and a client of it.
async fn cluster(
    settings: &config::Kubernetes,
    fleets: &BTreeMap<String, config::Fleet>,
) -> Result<(Arc<Kubernetes>, kube::Client), String> {
    let address = ApiAddress { kubeconfig: settings.kubeconfig.clone(), namespace: None };
    let client = address.connect().await.map_err(|error| error.to_string())?.client;
    let usual = kubernetes::Settings::default();
    let has_plugins = |(_, fleet): &(&String, &config::Fleet)| !fleet.plugins.is_empty();
    let plugins = |(name, fleet): (&String, &config::Fleet)| (name.clone(), fleet.plugins.clone());
    let followed = kubernetes::Settings {
        namespace: settings.namespace.clone(),
        root_namespace: settings.root_namespace.clone().unwrap_or(usual.root_namespace),
        plugins: fleets.iter().filter(has_plugins).map(plugins).collect(),
    };
    Ok((Kubernetes::new(client.clone(), followed), client))
}

/// What a fleet's proxies get beside its policy.
fn filter(fleet: &config::Fleet) -> Result<Filter, NotReady> {
    let module = match &fleet.module {
        ModuleFile::OnProxy(path) => Module::Path(path.clone()),
        ModuleFile::Here(path) => {
            let read = std::fs::read(path);
            Module::Inline(read.map_err(|error| NotReady(format!("{}: {error}", path.display())))?.into())
        }
    };
    Ok(Filter { module, environment: fleet.environment.iter().cloned().collect() })
}

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod tests;
