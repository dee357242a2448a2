//! Everything together: two upstream servers, the policy file, and an Envoy between them and the clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::access_log::{self, Entry};
use crate::bootstrap::{Bootstrap, Place};
use crate::client::{Answer, Connection, Protocol};
use crate::envoy::{Envoy, LOG_LEVEL, Launch};
use crate::metrics::Metrics;
use crate::policy_file::PolicyFile;
use crate::upstream::Upstream;
use crate::{tools, wait};

/// Envoy's own counters about the filter's configuration.
const DISCOVERY: &str = "extension_config_discovery.http_filter.coalmine";

const ACCESS_LOG: &str = "access.log";

/// What a [`Lab`] is made of.
#[derive(Debug)]
pub struct LabBuilder {
    envoy: Option<PathBuf>,
    module: Option<PathBuf>,
    workers: u32,
    bootstrap: Bootstrap,
    log_requests: bool,
    servers: Option<[u16; 2]>,
    log_level: &'static str,
    variables: Vec<(String, String)>,
    vm_environment: Option<String>,
    is_mounted: bool,
}

/// A running proxy with all that belongs to it. Dropping it ends and removes everything.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: the proxy before the servers behind it, the folder of its files at last.
    envoy: Envoy,
    upstreams: [Upstream; 2],
    policy: PolicyFile,
    module: PathBuf,
    launch: Launch,
    bootstrap: Bootstrap,
    folder: TempDir,
}

// === impl LabBuilder ===

impl LabBuilder {
    /// This Envoy, rather than the one that the environment names.
    #[must_use]
    pub fn envoy(mut self, binary: &Path) -> Self {
        self.envoy = Some(binary.to_owned());
        self
    }

    /// This module, rather than the one that is shipped. It need not exist.
    #[must_use]
    pub fn module(mut self, path: &Path) -> Self {
        self.module = Some(path.to_owned());
        self
    }

    /// So many worker threads; one unless told otherwise.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// No access log: for tests that send so many requests that it would fill the disk.
    #[must_use]
    pub fn without_access_log(mut self) -> Self {
        self.log_requests = false;
        self
    }

    /// These ports on the loopback interface are stable and canary, rather than the two servers that a lab starts.
    #[must_use]
    pub fn servers(mut self, stable: SocketAddr, canary: SocketAddr) -> Self {
        self.servers = Some([stable.port(), canary.port()]);
        self
    }

    /// Everything that the proxy can log, down to this level.
    #[must_use]
    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }

    /// A variable in the environment of the proxy's process.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `environment_variables` of the filter's `vm_config`, in YAML's flow style.
    #[must_use]
    pub fn vm_environment(mut self, variables: &str) -> Self {
        self.vm_environment = Some(variables.to_owned());
        self
    }

    /// The policy comes from a ConfigMap that is mounted as a volume: its file is a link, and links are swapped.
    #[must_use]
    pub fn mounted(mut self) -> Self {
        self.is_mounted = true;
        self
    }

    /// With a change of the shipped configuration.
    pub fn edit(mut self, edit: impl FnOnce(&mut Bootstrap) -> Result<&mut Bootstrap>) -> Result<Self> {
        edit(&mut self.bootstrap)?;
        Ok(self)
    }

    /// Starts it all with this policy document, good or bad.
    pub async fn start(mut self, document: &str) -> Result<Lab> {
        let binary = self.envoy.map_or_else(tools::envoy, Ok)?;
        let module = self.module.map_or_else(tools::filter, Ok)?;
        let folder = tempfile::Builder::new().prefix("coalmine-").tempdir().context("no temporary folder")?;
        let mut policy = PolicyFile::new(self.bootstrap.folder(), folder.path(), &module)?;
        if let Some(variables) = &self.vm_environment {
            policy.set_environment(variables)?;
        }
        if self.is_mounted {
            policy.mount()?;
        }
        policy.replace(document)?;
        let upstreams = [Upstream::start("stable", 0).await?, Upstream::start("canary", 0).await?];
        let [stable, canary] = self
            .servers
            .unwrap_or_else(|| [&upstreams[0], &upstreams[1]].map(|server| server.address().port()));
        let access_log = folder.path().join(ACCESS_LOG);
        self.bootstrap.place(&Place {
            stable,
            canary,
            policy: policy.path(),
            access_log: if self.log_requests { &access_log } else { Path::new("/dev/null") },
        })?;
        let (workers, log_level, variables) = (self.workers, self.log_level, self.variables);
        let launch = Launch { binary, workers, log_level, variables };
        let envoy = Envoy::start(&launch, self.bootstrap.text(), folder.path()).await?;
        Ok(Lab { envoy, upstreams, policy, module, launch, bootstrap: self.bootstrap, folder })
    }
}

// === impl Lab ===

impl Lab {
    /// A lab with one worker, the shipped configuration and the shipped module, until told otherwise.
    pub fn builder() -> Result<LabBuilder> {
        Self::example("envoy")
    }

    /// The same with the configuration in another folder, named from the root of the repository.
    pub fn example(folder: &str) -> Result<LabBuilder> {
        let bootstrap = Bootstrap::read(folder)?;
        Ok(LabBuilder {
            envoy: None,
            module: None,
            workers: 1,
            bootstrap,
            log_requests: true,
            servers: None,
            log_level: LOG_LEVEL,
            variables: Vec::new(),
            vm_environment: None,
            is_mounted: false,
        })
    }

    /// The proxy.
    pub fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.envoy.address()
    }

    /// The upstream servers: stable and canary.
    pub fn upstreams(&self) -> &[Upstream; 2] {
        &self.upstreams
    }

    /// The file that holds the policy.
    pub fn policy_file(&self) -> &Path {
        self.policy.path()
    }

    /// The file that requests are logged to.
    pub fn access_log(&self) -> PathBuf {
        self.folder.path().join(ACCESS_LOG)
    }

    /// An open connection to the proxy.
    pub async fn connect(&self, protocol: Protocol) -> Result<Connection> {
        Connection::open(self.address(), protocol).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: hyper::http::request::Builder) -> Result<Answer> {
        let request = request.body(http_body_util::Empty::new())?;
        self.connect(Protocol::Http1).await?.send(request).await
    }

    /// Ends the proxy and starts another one, with so many workers. It has another address.
    pub async fn restart(&mut self, workers: u32) -> Result<()> {
        self.launch.workers = workers;
        let next = Envoy::start(&self.launch, self.bootstrap.text(), self.folder.path());
        self.envoy = next.await?;
        Ok(())
    }

    /// Replaces the policy, and does not wait. Tells when.
    pub fn replace_policy(&self, document: &str) -> Result<SystemTime> {
        self.policy.replace(document)
    }

    /// Replaces the policy by a good one, and waits until every worker has it.
    pub async fn accept_policy(&self, document: &str) -> Result<()> {
        let before = self.reloads().await?;
        self.policy.replace(document)?;
        self.reloaded(before).await
    }

    /// Waits until Envoy has put a configuration of the filter in force more often than [`Lab::reloads`] said before.
    pub async fn reloaded(&self, before: u64) -> Result<()> {
        wait::until("the new policy in every worker", || async {
            (self.reloads().await.ok()? > before).then_some(())
        })
        .await
    }

    /// Replaces the policy by a bad one, and waits until it is refused.
    pub async fn refuse_policy(&self, document: &str) -> Result<()> {
        let before = self.refusals().await?;
        self.policy.replace(document)?;
        wait::until("the refusal of the policy", || async {
            (self.refusals().await.ok()? > before).then_some(())
        })
        .await
    }

    /// From the next replacement of the policy on, the filter is loaded from another file.
    pub fn change_module(&mut self, module: &Path) -> Result<()> {
        self.policy.change_module(&self.module, module)?;
        self.module = module.to_owned();
        Ok(())
    }

    /// How often Envoy put a configuration of the filter in force on all workers.
    pub async fn reloads(&self) -> Result<u64> {
        self.envoy.stat(&format!("{DISCOVERY}.config_reload")).await
    }

    /// How often Envoy refused a configuration of the filter.
    pub async fn refusals(&self) -> Result<u64> {
        self.envoy.stat(&format!("{DISCOVERY}.update_rejected")).await
    }

    /// Waits until the metrics are as they should be. The filter adds up on its own and tells the host from time to
    /// time, so they lag behind.
    pub async fn metrics_when(&self, what: &str, fine: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let found = wait::until(what, || async { self.envoy.metrics().await.ok().filter(&fine) }).await;
        match found {
            Ok(metrics) => Ok(metrics),
            Err(error) => {
                let all = self.envoy.admin("/stats/prometheus").await?;
                let ours: Vec<&str> = all.lines().filter(|line| line.starts_with("coalmine_")).collect();
                Err(error.context(format!("the metrics are\n{}", ours.join("\n"))))
            }
        }
    }

    /// Waits until so many requests are logged, and reads them.
    pub async fn logged_requests(&self, count: usize) -> Result<Vec<Entry>> {
        let path = self.access_log();
        wait::until(&format!("{count} requests in the access log"), || async {
            access_log::read(&path).ok().filter(|entries| entries.len() >= count)
        })
        .await
    }
}
