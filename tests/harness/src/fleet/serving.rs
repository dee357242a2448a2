//! One `coalmine serve` of a fleet.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use http_body_util::Empty;
use hyper::StatusCode;
use serde_json::Value;

use crate::client::{Connection, Protocol};
use crate::envoy::end_with_us;
use crate::{Metrics, Port, Process, wait};

/// A server: its ports, which stay its own while it does not run, its files, and its process.
#[derive(Debug)]
pub struct Serving {
    process: Option<Running>,
    listen: Port,
    admin: Port,
    folder: PathBuf,
    number: usize,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
struct Running(Child);

// === impl Serving ===

impl Serving {
    /// One that does not run yet, with its files in this folder.
    pub(super) fn new(folder: &Path, number: usize) -> Result<Self> {
        let (listen, admin) = (Port::hold()?, Port::hold()?);
        Ok(Self { process: None, listen, admin, folder: folder.to_owned(), number })
    }

    /// Starts it with this configuration, and waits until it is ready.
    pub(super) async fn start(&mut self, command: &Path, config: &str) -> Result<()> {
        let path = self.folder.join(format!("server-{}.yaml", self.number));
        std::fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        // Fewer open files than the 1,024 that systems give to who does not ask for more, for fewer proxies.
        let serve = "ulimit -Sn 64 && exec \"$0\" serve --config \"$1\"";
        let program = command;
        let mut command = Command::new("sh");
        command.args(["-c", serve]).arg(program).arg(&path).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        end_with_us(&mut command);
        let mut server = Running(command.spawn().context("cannot run coalmine serve")?);
        let admin = self.admin.address();
        let is_ready = wait::until("the server", || {
            let ended = matches!(server.0.try_wait(), Ok(Some(_)));
            async move { if ended { Some(false) } else { ready(admin).await.then_some(true) } }
        });
        ensure!(is_ready.await?, "the server has ended:\n{}", self.log()?);
        self.process = Some(server);
        Ok(())
    }

    /// Kills it; it says nobody good-bye.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process, where it runs.
    pub fn process(&self) -> Option<Process> {
        self.process.as_ref().map(|process| Process(process.0.id()))
    }

    /// Where its API is, and where proxies connect.
    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    /// Where its health and its metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Reads from its API.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = hyper::Request::get(path).header("host", self.address().to_string());
        let request = request.body(Empty::new())?;
        let answer = Connection::open(self.address(), Protocol::Http1).await?.send(request).await?;
        ensure!(answer.status.is_success(), "{path}: {}", answer.status);
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Sends a verb, and does not wait: an answer may come after the server was killed.
    pub fn say(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<impl Future<Output = Result<(StatusCode, Value)>> + Send + use<>> {
        let mut request = hyper::Request::post(path).header("host", self.address().to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (address, request) = (self.address(), request.body(Empty::new())?);
        Ok(async move {
            let answer = Connection::open(address, Protocol::Http1).await?.send(request).await?;
            Ok((answer.status, serde_json::from_slice(&answer.body)?))
        })
    }

    /// What it counts.
    pub async fn metrics(&self) -> Result<Metrics> {
        let request = hyper::Request::get("/metrics").header("host", "admin").body(Empty::new())?;
        let answer = Connection::open(self.admin_address(), Protocol::Http1).await?.send(request).await?;
        Metrics::parse(&String::from_utf8_lossy(&answer.body))
    }

    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        let path = self.log_path();
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("server-{}.log", self.number))
    }
}

async fn ready(admin: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(admin, Protocol::Http1).await else { return false };
    let Ok(request) = hyper::Request::get("/readyz").header("host", "admin").body(Empty::new()) else {
        return false;
    };
    connection.send(request).await.is_ok_and(|answer| answer.status == StatusCode::OK)
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
