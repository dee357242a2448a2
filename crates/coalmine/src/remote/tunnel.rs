//! Connections to a server in a cluster, by port-forwards. No port is opened on this host, where others could use it.

use std::fmt;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use coalmine_control::kubernetes::{Credentials, Forward, Forwarded, NotForwarded};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, config::Config};

use super::client::{FIRST_PAUSE, PATIENCE};
use super::cluster::ClusterArguments;
use crate::failure::Failure;

/// The way to a server in a cluster.
pub(super) struct Tunnel {
    runtime: Runtime,
    forward: Forward,
    credentials: Credentials,
    is_tls: bool,
}

/// Makes connections for an agent.
#[derive(Debug)]
struct Through(Arc<Tunnel>);

/// One of them.
#[derive(Debug)]
struct Stream {
    tunnel: Arc<Tunnel>,
    forwarded: Forwarded,
    buffers: LazyBuffers,
}

// === impl Tunnel ===

impl Tunnel {
    /// The way to the server of this cluster, once a pod of it is ready.
    pub(super) fn open(cluster: &ClusterArguments) -> Result<Arc<Self>, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(Failure::Write)?;
        let reached = runtime.block_on(cluster.reach())?;
        let forward = Forward::new(reached.client, cluster.server_namespace());
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let is_tls = loop {
            match runtime.block_on(forward.is_tls()) {
                Ok(is_tls) => break is_tls,
                Err(NotForwarded::Yet(_)) if began.elapsed() + pause < PATIENCE => {}
                Err(why) => return Err(away(&why)),
            }
            sleep(pause);
            pause *= 2;
        };
        Ok(Arc::new(Self { runtime, forward, credentials: reached.credentials, is_tls }))
    }

    /// The server's address at the end of the way: its own loopback.
    pub(super) fn url(&self) -> &'static str {
        if self.is_tls { "https://127.0.0.1" } else { "http://127.0.0.1" }
    }

    /// The kubeconfig's token as it is now, where it has one.
    pub(super) fn token(&self) -> Result<Option<String>, Failure> {
        let token = self.runtime.block_on(self.credentials.token());
        token.map_err(|why| Failure::usage(why.to_string(), "does kubectl work with it?"))
    }

    /// An agent whose connections all go this way.
    pub(super) fn agent(self: Arc<Self>, config: Config) -> Agent {
        Agent::with_parts(
            config,
            Connector::<()>::chain(Through(self), RustlsConnector::default()),
            DefaultResolver::default(),
        )
    }

    /// Does it, for at most as long as there is.
    fn within<T, E: Into<ureq::Error>>(
        &self,
        limit: NextTimeout,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ureq::Error> {
        self.runtime.block_on(async {
            let Some(left) = limit.not_zero() else { return work.await.map_err(Into::into) };
            match timeout(*left, work).await {
                Ok(done) => done.map_err(Into::into),
                Err(_) => Err(ureq::Error::Timeout(limit.reason)),
            }
        })
    }
}

/// What there is to do about it.
pub(super) fn away(why: &NotForwarded) -> Failure {
    let hint = match why {
        NotForwarded::Ever(_) => {
            "--server-namespace names the server's namespace; a port-forward needs list on pods, and get and create on \
             pods/portforward there"
        }
        NotForwarded::Yet(_) => "does the server run? --server-namespace names its namespace",
    };
    Failure::usage(why.to_string(), hint)
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("forward", &self.forward).finish_non_exhaustive()
    }
}

// === impl Through ===

impl Connector for Through {
    type Out = Stream;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Stream>, ureq::Error> {
        let tunnel = self.0.clone();
        let opened = async { tunnel.forward.open().await.map_err(|why| ureq::Error::Other(why.into())) };
        let forwarded = tunnel.within(details.timeout, opened)?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Stream { tunnel, forwarded, buffers: LazyBuffers::new(input, output) }))
    }
}

// === impl Stream ===

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), ureq::Error> {
        let bytes = self.buffers.output().get(..amount).unwrap_or_default();
        self.tunnel.within(limit.for_write(), self.forwarded.stream.write_all(bytes))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, ureq::Error> {
        let read = self.forwarded.stream.read(self.buffers.input_append_buf());
        let amount = self.tunnel.within(limit.for_read(), read)?;
        self.buffers.input_appended(amount);
        if amount == 0
            && let Some(why) = self.tunnel.runtime.block_on(self.forwarded.trouble())
        {
            return Err(ureq::Error::Other(NotForwarded::Yet(why).into()));
        }
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Between two answers nothing comes but the end.
        let Self { tunnel, forwarded, .. } = self;
        tunnel.runtime.block_on(async { timeout(Duration::ZERO, forwarded.stream.read_u8()).await.is_err() })
    }
}
