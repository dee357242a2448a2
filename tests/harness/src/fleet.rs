//! Several Envoys that follow a real `coalmine serve`, two versions of an application behind them, and users.
//!
//! It runs the files of `envoy/fleet/`, with ports and paths replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::Empty;
use hyper::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::client::{Connection, Protocol, get};
use crate::envoy::{Envoy, LOG_LEVEL, Launch, end_with_us};
use crate::{Bootstrap, Port, Relay, Version, tools, wait};

/// The host that users visit.
const HOST: &str = "checkout.example";
/// The header that names them.
const USER: &str = "x-user-id";
/// The file with a proxy's listeners.
const LISTENERS: &str = "listeners.yaml";
/// How long two proxies may differ after a change: one has it, the other will have it.
const APART: Duration = Duration::from_secs(2);
/// How long a user's lane rests between two requests.
const REST: Duration = Duration::from_millis(2);

/// A rollout with a fast plan.
pub const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [5, 25, 50]
  dwell: 2s
  warmUp: 0s
  minRequests: 40
  onInconclusive: promote
";

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub struct FleetParts {
    /// The command.
    pub command: PathBuf,
    /// The Envoy.
    pub envoy: PathBuf,
    /// The filter's module.
    pub module: PathBuf,
    /// How many proxies.
    pub proxies: usize,
    /// Variables of the proxies' environments: the number of the proxy, from 1, the name and the value.
    pub variables: Vec<(usize, String, String)>,
    /// The server's store: a path, from the folder of the run.
    pub store: String,
    /// Where the dice of the application begin.
    pub seed: u64,
}

/// A fleet. Dropping it ends and removes everything.
#[derive(Debug)]
pub struct Fleet {
    // Dropped in this order: the server first, the folder of all files at last.
    server: Option<Running>,
    proxies: Vec<Envoy>,
    versions: [Version; 2],
    relays: Vec<Relay>,
    admins: Vec<Relay>,
    listen: Port,
    admin: Port,
    parts: FleetParts,
    evidence: Option<String>,
    folder: TempDir,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
struct Running(Child);

/// What a run of the command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it remarked.
    pub stderr: String,
}

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

// === impl FleetParts ===

impl FleetParts {
    /// Two proxies, with nothing special about them, and a server whose store lies in the folder of the run.
    pub fn new(command: PathBuf, envoy: PathBuf, module: PathBuf) -> Self {
        let (variables, store) = (Vec::new(), "coalmine.db".to_owned());
        Self { command, envoy, module, proxies: 2, variables, store, seed: 1 }
    }

    /// The same of what `make` has built and fetched.
    pub fn built() -> Result<Self> {
        Ok(Self::new(tools::command()?, tools::envoy()?, tools::filter()?))
    }

    fn launch(&self, proxy: usize) -> Launch {
        Launch {
            binary: self.envoy.clone(),
            workers: 2,
            log_level: LOG_LEVEL,
            variables: self.variables_of(proxy),
        }
    }

    fn variables_of(&self, proxy: usize) -> Vec<(String, String)> {
        let its = self.variables.iter().filter(|(number, ..)| *number == proxy);
        its.map(|(_, name, value)| (name.clone(), value.clone())).collect()
    }
}

// === impl Fleet ===

impl Fleet {
    /// Starts the proxies, which have no server yet, and then the server.
    pub async fn start(parts: FleetParts) -> Result<Self> {
        let mut fleet = Self::without_server(parts).await?;
        fleet.start_server().await?;
        Ok(fleet)
    }

    /// Starts the proxies.
    pub async fn without_server(parts: FleetParts) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("coalmine-fleet-").tempdir().context("no temporary folder")?;
        let [listen, admin] = [Port::hold()?, Port::hold()?];
        let versions =
            [Version::start("stable", parts.seed).await?, Version::start("canary", !parts.seed).await?];
        let (mut proxies, mut relays, mut admins) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=parts.proxies {
            let place = place(&folder, number);
            std::fs::create_dir(&place).with_context(|| format!("cannot make {}", place.display()))?;
            let relay = Relay::start(listen.address()).await?;
            let bootstrap = bootstrap(number, &place, relay.address(), &versions)?;
            relays.push(relay);
            let launch = parts.launch(number);
            let proxy = Envoy::start(&launch, &bootstrap, &place).await?;
            admins.push(Relay::start(proxy.admin_address()).await?);
            proxies.push(proxy);
        }
        let evidence = None;
        Ok(Self { server: None, proxies, versions, relays, admins, listen, admin, parts, evidence, folder })
    }

    /// From the next start of the server on, it reads evidence as this field of the configuration says, instead of from
    /// the proxies.
    pub fn read_evidence(&mut self, field: &str) {
        self.evidence = Some(field.to_owned());
    }

    /// Starts the server, on the store that there is, and waits until it is ready.
    pub async fn start_server(&mut self) -> Result<()> {
        let config = self.folder.path().join("server.yaml");
        std::fs::write(&config, self.config()?).context("cannot write server.yaml")?;
        let log = File::options().create(true).append(true).open(self.server_log())?;
        let mut command = Command::new(&self.parts.command);
        command.arg("serve").arg("--config").arg(&config).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        end_with_us(&mut command);
        let mut server = Running(command.spawn().context("cannot run coalmine serve")?);
        let admin = self.admin.address();
        let is_ready = wait::until("the server", || {
            let ended = matches!(server.0.try_wait(), Ok(Some(_)));
            async move { if ended { Some(false) } else { ready(admin).await.then_some(true) } }
        });
        ensure!(is_ready.await?, "the server has ended:\n{}", std::fs::read_to_string(self.server_log())?);
        self.server = Some(server);
        Ok(())
    }

    /// The shipped configuration, with ports and paths of this run, and ticks of a second.
    fn config(&self) -> Result<String> {
        let shipped = crate::tools::root().join("envoy/fleet/server.yaml");
        let text = std::fs::read_to_string(&shipped)
            .with_context(|| format!("cannot read {}", shipped.display()))?;
        let admins: Vec<String> =
            self.admins.iter().map(|relay| format!("\"{}\"", relay.address())).collect();
        let proxies = format!("{{proxies: [{}]}}", admins.join(", "));
        let replaced = [
            ("127.0.0.1:8470", self.listen.address().to_string()),
            ("127.0.0.1:8471", self.admin.address().to_string()),
            ("target/filter/coalmine.wasm", self.parts.module.display().to_string()),
            ("store: coalmine.db", format!("store: {}", self.parts.store)),
            ("{proxies: [\"127.0.0.1:9901\", \"127.0.0.1:9902\"]}", self.evidence.clone().unwrap_or(proxies)),
            // What one in ten requests of the application exceeds.
            ("slow: [250ms, 1s]", "slow: [25ms, 250ms, 1s]".to_owned()),
        ];
        let mut text = text;
        for (old, new) in replaced {
            ensure!(text.matches(old).count() == 1, "`{old}` does not occur once in server.yaml");
            text = text.replacen(old, &new, 1);
        }
        Ok(format!("{text}\ntick: 1s\n"))
    }

    fn server_log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Kills the server; it says nobody good-bye.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// Removes the store of a server that does not run.
    pub fn lose_store(&self) -> Result<()> {
        for end in ["", "-wal", "-shm"] {
            let path = self.folder.path().join(format!("{}{end}", self.parts.store));
            if path.exists() {
                std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// What the server has logged.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.server_log())?)
    }

    /// From now on, so many of a hundred requests fail at the canary.
    pub fn canary_fails(&self, percent: u32) {
        self.canary().fails(percent * 10);
    }

    /// The version that most users have.
    pub fn stable(&self) -> &Version {
        &self.versions[0]
    }

    /// The new version.
    pub fn canary(&self) -> &Version {
        &self.versions[1]
    }

    /// Between each proxy and the server.
    pub fn relays(&self) -> &[Relay] {
        &self.relays
    }

    /// Between the server and each proxy's admin interface, where it reads what the proxy counts.
    pub fn evidence(&self) -> &[Relay] {
        &self.admins
    }

    /// From the next start of the server on, it has this module of the filter.
    pub fn change_module(&mut self, module: &Path) {
        self.parts.module = module.to_owned();
    }

    /// Reads from the server's API.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = hyper::Request::get(path).header("host", "server").body(Empty::new())?;
        let answer = Connection::open(self.listen.address(), Protocol::Http1).await?.send(request).await?;
        ensure!(answer.status.is_success(), "{path}: {}", answer.status);
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// The proxies.
    pub fn proxies(&self) -> &[Envoy] {
        &self.proxies
    }

    /// A file in the folder of this run.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Where the server keeps its rollouts.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join(&self.parts.store)
    }

    /// Sends a verb, and does not wait: an answer may come after the fleet was changed.
    pub fn say(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<impl Future<Output = Result<(StatusCode, Value)>> + Send + use<>> {
        let mut request = hyper::Request::post(path).header("host", "server");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (listen, request) = (self.listen.address(), request.body(Empty::new())?);
        Ok(async move {
            let answer = Connection::open(listen, Protocol::Http1).await?.send(request).await?;
            Ok((answer.status, serde_json::from_slice(&answer.body)?))
        })
    }

    /// Ends a proxy, by its number from 1, and starts it again with the configuration that it had: at another address.
    pub async fn restart_proxy(&mut self, number: usize) -> Result<()> {
        let place = place(&self.folder, number);
        let bootstrap = std::fs::read_to_string(place.join("bootstrap.yaml"))?;
        let index = number.wrapping_sub(1);
        let (Some(proxy), Some(admin)) = (self.proxies.get_mut(index), self.admins.get(index)) else {
            bail!("there is no proxy {number}");
        };
        *proxy = Envoy::start(&self.parts.launch(number), &bootstrap, &place).await?;
        admin.lead_to(proxy.admin_address());
        Ok(())
    }

    /// Changes something in a proxy's listeners, which it takes while it runs.
    pub fn change_listener(&self, number: usize, old: &str, new: &str) -> Result<()> {
        let path = place(&self.folder, number).join(LISTENERS);
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(old), "`{old}` does not occur in {}", path.display());
        let next = path.with_extension("next");
        std::fs::write(&next, text.replace(old, new))?;
        std::fs::rename(next, path).context("cannot replace the listeners")
    }

    /// Runs the command against the server of this fleet.
    pub async fn run(&self, words: &str) -> Result<Ran> {
        let mut command = Command::new(&self.parts.command);
        command.args(words.split_ascii_whitespace()).current_dir(self.folder.path());
        command.env("COALMINE_SERVER", format!("http://{}", self.listen.address())).stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output()).await?;
        let Output { status, stdout, stderr } = ran.context("cannot run the command")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) })
    }

    /// The same, where it does what it should.
    pub async fn done(&self, words: &str) -> Result<Ran> {
        let ran = self.run(words).await?;
        ensure!(ran.code == 0, "coalmine {words} ended with {}:\n{}{}", ran.code, ran.stdout, ran.stderr);
        Ok(ran)
    }

    /// Lets so many users come again and again, from so many lanes.
    pub fn traffic(&self, users: usize, lanes: usize) -> Traffic {
        let proxies: Vec<SocketAddr> = self.proxies.iter().map(Envoy::address).collect();
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let next = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..lanes.max(1) {
            set.spawn(lane(proxies.clone(), users, next.clone(), seen.clone(), is_over.clone()));
        }
        Traffic { lanes: set, seen, is_over }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log().unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("the server's log ends with");
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
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

async fn ready(admin: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(admin, Protocol::Http1).await else { return false };
    let Ok(request) = hyper::Request::get("/readyz").header("host", "admin").body(Empty::new()) else {
        return false;
    };
    connection.send(request).await.is_ok_and(|answer| answer.status == StatusCode::OK)
}

fn place(folder: &TempDir, number: usize) -> PathBuf {
    folder.path().join(format!("edge-{number}"))
}

fn bootstrap(number: usize, place: &Path, server: SocketAddr, versions: &[Version; 2]) -> Result<String> {
    let mut bootstrap = Bootstrap::read("envoy/fleet")?;
    let port = |port: u16| format!("port_value: {port}");
    let [stable, canary] = versions.each_ref().map(|version| port(version.port()));
    bootstrap
        .replace("id: edge-1", &format!("id: edge-{number}"))?
        .replace("port_value: 9901", "port_value: 0")?
        .replace("port_value: 10000", "port_value: 0")?
        .replace("port_value: 8081", &stable)?
        .replace("port_value: 8082", &canary)?
        .replace("port_value: 8470", &port(server.port()))?
        .replace("path: /dev/stdout", &format!("path: {}", place.join("access.log").display()))?;
    let (head, rest) = bootstrap.text().split_once("  listeners:\n").context("no listeners")?;
    let (listeners, clusters) = rest.split_once("  clusters:\n").context("no clusters")?;
    // The same listeners in a file of their own: they can be changed while the proxy runs.
    let kind = "  - \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n    name: public\n";
    ensure!(listeners.starts_with("  - name: public\n"), "the first listener is not `public`");
    let path = place.join(LISTENERS);
    let text = format!("resources:\n{}", listeners.replacen("  - name: public\n", kind, 1));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let source = format!("{{path: {}, watched_directory: {{path: {}}}}}", path.display(), place.display());
    let discovery = format!("dynamic_resources: {{lds_config: {{path_config_source: {source}}}}}\n\n");
    Ok(format!("{discovery}{head}  clusters:\n{clusters}"))
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
    if place.is_none() {
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

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Traffic ===

impl Traffic {
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
