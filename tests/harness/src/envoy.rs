//! One Envoy process: started, asked, and surely ended.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::client::{Connection, Protocol};
use crate::metrics::Metrics;
use crate::process::Process;
use crate::wait;

/// A running Envoy. It is killed when this is dropped; when that is because a test panics, its log is shown.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    log: PathBuf,
    admin: SocketAddr,
    listener: SocketAddr,
}

/// What an Envoy is started with.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub binary: PathBuf,
    /// How many worker threads.
    pub workers: u32,
    /// How much it logs; the filter at least what it says at info.
    pub log_level: &'static str,
    /// Variables of its environment, beside those of this process.
    pub variables: Vec<(String, String)>,
}

/// Has the kernel kill the process when the thread that starts it ends, however that ends: [`Drop`] is not run when
/// somebody kills the tests. Only Linux can do this.
pub fn end_with_us(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        use std::os::unix::process::CommandExt as _;
        // SAFETY: between fork and exec only one system call is made, and nothing is allocated.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// How much an Envoy logs unless told otherwise.
pub const LOG_LEVEL: &str = "warning";
/// How much of Envoy's log a failure shows, in lines.
const SHOWN: usize = 60;

// === impl Envoy ===

impl Envoy {
    /// Starts it with this configuration in `folder`, and waits until it serves.
    pub async fn start(launch: &Launch, bootstrap: &str, folder: &Path) -> Result<Self> {
        let config = folder.join("bootstrap.yaml");
        std::fs::write(&config, bootstrap).with_context(|| format!("cannot write {}", config.display()))?;
        let log = folder.join("envoy.log");
        let admin_file = folder.join("admin.address");
        if admin_file.exists() {
            std::fs::remove_file(&admin_file).context("cannot remove the address of the Envoy before")?;
        }
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&launch.binary);
        command
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &launch.workers.to_string()])
            // Any number of Envoys on one host, without shared memory between an old and a new one.
            .arg("--disable-hot-restart")
            .args(["--file-flush-interval-msec", "50"])
            .args(["--log-level", launch.log_level])
            .envs(launch.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // The log is in a folder that Envoy watches: what it said about that would make it say more.
        let components = if launch.log_level == LOG_LEVEL { "wasm:info" } else { "file:info" };
        command.args(["--component-log-level", components]);
        end_with_us(&mut command);
        let binary = launch.binary.display();
        let process = command.spawn().with_context(|| format!("cannot run {binary}"))?;
        // From here on, whatever fails ends the process.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Self { process, log, admin: nowhere, listener: nowhere };
        match envoy.find(&admin_file).await {
            Ok(()) => Ok(envoy),
            Err(error) => {
                Err(error.context(format!("Envoy does not start; its log ends with\n{}", envoy.log_tail())))
            }
        }
    }

    async fn find(&mut self, admin_file: &Path) -> Result<()> {
        let process = &mut self.process;
        let admin = wait::until("Envoy's admin address", || {
            let ended = matches!(process.try_wait(), Ok(Some(_)));
            let address = std::fs::read_to_string(admin_file).ok().and_then(|text| text.trim().parse().ok());
            std::future::ready(if ended { Some(None) } else { address.map(Some) })
        });
        self.admin = admin.await?.context("it has ended")?;
        let this = &*self;
        self.listener = wait::until("Envoy's listener", || async move {
            let ready = this.admin("/ready").await.is_ok_and(|text| text.trim() == "LIVE");
            if ready { this.first_listener().await.ok() } else { None }
        })
        .await?;
        Ok(())
    }

    async fn first_listener(&self) -> Result<SocketAddr> {
        let first = self.listeners().await?.into_iter().next();
        first.map(|(_, address)| address).context("no listener")
    }

    /// Where the proxy takes requests: each listener's name and address.
    pub async fn listeners(&self) -> Result<Vec<(String, SocketAddr)>> {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json").await?)?;
        let all = listeners.get("listener_statuses").and_then(Value::as_array).context("no listeners")?;
        all.iter()
            .map(|listener| {
                let part = |path: &str| listener.pointer(path);
                let name = part("/name").and_then(Value::as_str).context("a listener without a name")?;
                let ip = part("/local_address/socket_address/address").and_then(Value::as_str);
                let port = part("/local_address/socket_address/port_value").and_then(Value::as_u64);
                let ip = ip.context("a listener without an address")?.parse()?;
                let port = u16::try_from(port.context("a listener without a port")?)?;
                Ok((name.to_owned(), SocketAddr::new(ip, port)))
            })
            .collect()
    }

    /// Where the proxy takes requests.
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Where the proxy tells about itself.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Reads a page of the admin interface.
    pub async fn admin(&self, path: &str) -> Result<String> {
        let mut connection = Connection::open(self.admin, Protocol::Http1).await?;
        let request = hyper::Request::get(path).header("host", "admin").body(http_body_util::Empty::new())?;
        let answer = connection.send(request).await?;
        if !answer.status.is_success() {
            bail!("{path} of the admin interface: {}", answer.status);
        }
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// What the proxy counts.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.admin("/stats/prometheus").await?)
    }

    /// One of Envoy's own numbers; 0 when it has not counted it yet.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let found = self.admin(&format!("/stats?filter=^{}$", name.replace('.', "\\."))).await?;
        match found.trim().rsplit_once(": ") {
            None => Ok(0),
            Some((_, number)) => number.parse().with_context(|| format!("not a number: `{found}`")),
        }
    }

    /// Its process, for what it costs: `envoy` is its main thread, `wrk:worker_0` its first worker.
    pub fn process(&self) -> Process {
        Process(self.process.id())
    }

    /// Everything that the process has written so far, the filter's messages among it.
    pub fn log(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until a line of the log, behind its first `since` bytes, has all of these in it.
    pub async fn logged(&self, since: usize, parts: &[&str]) -> Result<String> {
        let what = format!("a line of Envoy's log with {parts:?}");
        let found = wait::until(&what, || async {
            let log = self.log().ok()?;
            let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
            log.get(since..)?.lines().find(fits).map(str::to_owned)
        });
        found.await.with_context(|| format!("the log ends with\n{}", self.log_tail()))
    }

    fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("Deprecated field")).collect();
        lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the end of Envoy's log ---\n{}", self.log_tail());
        }
    }
}
