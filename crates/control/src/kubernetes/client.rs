//! The way to the API of a cluster, and what the API says in our words. No credential is ever shown.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::sentence;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Where the API of the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiAddress {
    /// The server's own namespace; without it the one that it runs in, or that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// A kubeconfig file, for a server outside the cluster.
    pub kubeconfig: Option<PathBuf>,
}

/// A way to the API.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The server's own namespace.
    pub namespace: String,
}

/// Why there is no way to the API: a sentence.
#[derive(Debug)]
pub struct NotConnected(String);

/// Waits for one request. One that takes too long is given up: a sentence.
pub(crate) async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(WITHIN, request).await {
        Ok(done) => done.map_err(Trouble::Said),
        Err(_) => Err(Trouble::Slow),
    }
}

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The client's words, or those of the API.
    Said(kube::Error),
    /// It took too long.
    Slow,
}

// === impl ApiAddress ===

impl ApiAddress {
    /// A way to the API. Nothing is asked yet.
    ///
    /// # Errors
    /// There is no such kubeconfig, or this process is in no cluster.
    pub async fn connect(&self) -> Result<Connection, NotConnected> {
        crate::tls::choose_provider();
        let mut config = match &self.kubeconfig {
            Some(path) => {
                let told = |error| NotConnected(format!("{}: {}", path.display(), unusable(&error)));
                let kubeconfig = Kubeconfig::read_from(path).map_err(told)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(told)?
            }
            None => Config::incluster().map_err(|error| {
                NotConnected(format!("the server runs in no cluster, so say \"kubeconfig\": {error}"))
            })?,
        };
        config.connect_timeout = Some(CONNECT_WITHIN);
        // What is refused is tried again by those who know whether that makes sense.
        config.default_retry = false;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| NotConnected(sentence(&error)))?;
        Ok(Connection { client, namespace })
    }
}

/// What is wrong with a kubeconfig, without what is written in it.
fn unusable(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(cause, _) => format!("cannot be read: {cause}"),
        KubeconfigError::Parse(_) => "is no kubeconfig".to_owned(),
        error => format!("cannot be used: {error}"),
    }
}

// === impl Trouble ===

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(error) => f.write_str(&sentence(error)),
            Self::Slow => write!(f, "the Kubernetes API does not answer within {} s", WITHIN.as_secs()),
        }
    }
}

// === impl Connection ===

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

// === impl NotConnected ===

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotConnected {}
