//! Several Envoys that follow a real `coalmine serve`, two versions of an application behind them, and users.
//!
//! It runs the files of `envoy/fleet/`, with ports and paths replaced.
//!
//! | file | what is in it |
//! |---|---|
//! | `parts` | what a fleet is made of, and the shipped files with ports and paths of a run |
//! | `serving` | one `coalmine serve` |
//! | `traffic` | users who come again and again |

mod parts;
mod serving;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::envoy::Envoy;
use crate::{Port, Relay, Version};
use parts::{LISTENERS, bootstrap, place};

pub use parts::{FleetParts, ROLLOUT, Served};
pub use serving::Serving;
pub use traffic::{Seen, Traffic, went_back};

/// A fleet. Dropping it ends and removes everything.
#[derive(Debug)]
pub struct Fleet {
    // Dropped in this order: the servers first, the folder of all files at last.
    server: Serving,
    /// Those beside the first.
    others: Vec<Serving>,
    proxies: Vec<Envoy>,
    versions: [Version; 2],
    relays: Vec<Relay>,
    admins: Vec<Relay>,
    /// Where the admin interface of each proxy is at its own address; nothing listens on this one.
    own_port: Option<Port>,
    parts: FleetParts,
    served: Option<Served>,
    folder: TempDir,
}

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

// === impl Fleet ===

impl Fleet {
    /// Starts the proxies, which have no server yet, and then the servers.
    pub async fn start(parts: FleetParts) -> Result<Self> {
        let mut fleet = Self::without_server(parts).await?;
        fleet.start_server().await?;
        Ok(fleet)
    }

    /// Starts the proxies.
    pub async fn without_server(parts: FleetParts) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("coalmine-fleet-").tempdir().context("no temporary folder")?;
        let server = Serving::new(folder.path(), 1)?;
        let others: Vec<_> =
            (2..=parts.servers).map(|number| Serving::new(folder.path(), number)).collect::<Result<_>>()?;
        let versions =
            [Version::start("stable", parts.seed).await?, Version::start("canary", !parts.seed).await?];
        let own_port = if parts.has_own_addresses { Some(Port::hold()?) } else { None };
        let count = parts.proxies;
        let mut fleet = Self {
            server,
            others,
            proxies: Vec::new(),
            versions,
            relays: Vec::new(),
            admins: Vec::new(),
            own_port,
            parts,
            served: None,
            folder,
        };
        for _ in 0..count {
            fleet.add_proxy().await?;
        }
        Ok(fleet)
    }

    /// Starts one more proxy, which has the next number.
    pub async fn add_proxy(&mut self) -> Result<()> {
        let number = self.proxies.len() + 1;
        let place = place(self.folder.path(), number);
        std::fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let mut servers: Vec<SocketAddr> = self.servers().map(Serving::address).collect();
        if self.own_port.is_none() {
            for server in &mut servers {
                let relay = Relay::start(*server).await?;
                *server = relay.address();
                self.relays.push(relay);
            }
        }
        let bootstrap = bootstrap(number, &place, &servers, &self.versions, self.admin_port())?;
        let proxy = Envoy::start(&self.parts.launch(number), &bootstrap, &place).await?;
        self.admins.push(Relay::start(proxy.admin_address()).await?);
        self.proxies.push(proxy);
        Ok(())
    }

    /// Kills the proxy with the highest number; it says nobody good-bye.
    pub fn end_proxy(&mut self) {
        self.proxies.pop();
        self.admins.truncate(self.proxies.len());
        self.relays.truncate(self.proxies.len() * self.servers().count());
    }

    /// The port of every proxy's admin interface, where each has an address of its own.
    pub fn admin_port(&self) -> Option<u16> {
        self.own_port.as_ref().map(|port| port.address().port())
    }

    /// From the next start of the server on, its configuration says this.
    pub fn serve(&mut self, served: Served) {
        self.served = Some(served);
    }

    /// Starts each server that does not run, on the store that there is, and waits until it is ready.
    pub async fn start_server(&mut self) -> Result<()> {
        let proxies: Vec<SocketAddr> = self.admins.iter().map(Relay::address).collect();
        for server in std::iter::once(&mut self.server).chain(&mut self.others) {
            if server.process().is_none() {
                let (listen, admin) = (server.address(), server.admin_address());
                let config = self.parts.config(listen, admin, self.served.as_ref(), &proxies)?;
                server.start(&self.parts.command, &config).await?;
            }
        }
        Ok(())
    }

    /// Kills the server; it says nobody good-bye.
    pub fn kill_server(&mut self) {
        self.server.kill();
    }

    /// The first server, which is asked by [`Fleet::get`] and by the command.
    pub fn server(&self) -> &Serving {
        &self.server
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = &Serving> {
        std::iter::once(&self.server).chain(&self.others)
    }

    /// The same, to kill one.
    pub fn servers_mut(&mut self) -> impl Iterator<Item = &mut Serving> {
        std::iter::once(&mut self.server).chain(&mut self.others)
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
        self.server.log()
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

    /// Between each proxy and each server, those of the first proxy first; none where proxies have addresses of their own.
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
        self.server.get(path).await
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
        self.server.say(path, headers)
    }

    /// Ends a proxy, by its number from 1, and starts it again with the configuration that it had: at another address.
    pub async fn restart_proxy(&mut self, number: usize) -> Result<()> {
        let place = place(self.folder.path(), number);
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
    pub fn change_listeners(&self, number: usize, change: impl FnOnce(&str) -> Option<String>) -> Result<()> {
        let path = place(self.folder.path(), number).join(LISTENERS);
        let text = std::fs::read_to_string(&path)?;
        let changed = change(&text).filter(|changed| *changed != text);
        let changed = changed.with_context(|| format!("nothing to change in {}", path.display()))?;
        let next = path.with_extension("next");
        std::fs::write(&next, changed)?;
        std::fs::rename(next, path).context("cannot replace the listeners")
    }

    /// Runs the command against the server of this fleet.
    pub async fn run(&self, words: &str) -> Result<Ran> {
        let mut command = Command::new(&self.parts.command);
        command.args(words.split_ascii_whitespace()).current_dir(self.folder.path());
        command.env("COALMINE_SERVER", format!("http://{}", self.server.address())).stdin(Stdio::null());
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
        Traffic::start(&proxies, users, lanes)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in self.servers() {
                let log = server.log().unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(60).collect();
                eprintln!("the log of the server at {} ends with", server.address());
                lines.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}
