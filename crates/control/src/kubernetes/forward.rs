//! The API of a server in a cluster, by a port-forward through the cluster's own API: `coalmine --kubeconfig`.
//!
//! A pod says how: by a container port that is called `https` or `http`. One that says neither speaks without TLS, on the usual
//! port of its loopback. Whose pod it is, the cluster's API answers for, and it encrypts.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::io::DuplexStream;

use super::{Trouble, within};

/// The label of the server's pods.
const LABEL: &str = "app.kubernetes.io/name=coalmine";
/// Where the API listens unless the pod says otherwise.
const PORT: u16 = 8470;
/// How long a connection that has ended may take to say why.
const SAYS_WITHIN: Duration = Duration::from_secs(1);

/// The server in a cluster.
#[derive(Clone)]
pub struct Forward {
    client: Client,
    namespace: String,
}

/// A connection to its API.
pub struct Forwarded {
    /// What goes to the server, and what comes from it.
    pub stream: DuplexStream,
    /// What the node says where it cannot reach the port.
    trouble: Option<Pin<Box<dyn Future<Output = Option<String>> + Send + Sync>>>,
}

/// Why there is no connection: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotForwarded {
    /// It may be there in a moment.
    Yet(String),
    /// It will be the same the next time.
    Ever(String),
}

/// A pod of the server that is ready.
struct Ready {
    name: String,
    port: u16,
    is_tls: bool,
}

// === impl Forward ===

impl Forward {
    /// The server in this namespace. Nothing is asked yet.
    pub fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    /// Whether the server speaks TLS.
    ///
    /// # Errors
    /// No pod of it is ready, or the API of the cluster does not say so.
    pub async fn is_tls(&self) -> Result<bool, NotForwarded> {
        Ok(self.ready().await?.first().is_some_and(|pod| pod.is_tls))
    }

    /// Opens a connection to any pod that is ready.
    ///
    /// # Errors
    /// There is none, or none can be reached.
    pub async fn open(&self) -> Result<Forwarded, NotForwarded> {
        let mut refused = self.none();
        for Ready { name, port, .. } in self.ready().await? {
            match within(self.pods().portforward(&name, &[port])).await {
                Ok(mut forwarder) => {
                    let lost = || NotForwarded::Yet(format!("the port-forward to {name} is lost"));
                    let stream = forwarder.take_stream(port).ok_or_else(lost)?;
                    let trouble = forwarder.take_error(port).ok_or_else(lost)?;
                    return Ok(Forwarded { stream, trouble: Some(Box::pin(trouble)) });
                }
                Err(trouble) => refused = told(&trouble),
            }
            if let NotForwarded::Ever(_) = refused {
                break;
            }
        }
        Err(refused)
    }

    /// The pods that are ready: one at least.
    async fn ready(&self) -> Result<Vec<Ready>, NotForwarded> {
        let pods = within(self.pods().list(&ListParams::default().labels(LABEL))).await;
        let pods = pods.map_err(|trouble| told(&trouble))?.items;
        let ready: Vec<Ready> = pods.iter().filter(|pod| is_ready(pod)).map(Ready::of).collect();
        if !ready.is_empty() {
            return Ok(ready);
        }
        if pods.is_empty() {
            return Err(self.absent().await);
        }
        let how = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            format!("{} is {}", pod.name_any(), phase.unwrap_or_else(|| "not there yet".to_owned()))
        };
        let pods: Vec<String> = pods.iter().map(how).collect();
        let namespace = &self.namespace;
        Err(NotForwarded::Yet(format!("no pod of the server is ready in {namespace}: {}", pods.join(", "))))
    }

    /// Why the namespace has no pod of the server.
    async fn absent(&self) -> NotForwarded {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        // Who may not ask for the namespace is told that it has no such pod.
        match within(namespaces.get_metadata_opt(&self.namespace)).await {
            Ok(None) => NotForwarded::Ever(format!("there is no namespace {}", self.namespace)),
            _ => self.none(),
        }
    }

    fn none(&self) -> NotForwarded {
        NotForwarded::Yet(format!(
            "there is no pod of the server in {}, with the label {LABEL}",
            self.namespace
        ))
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

fn told(trouble: &Trouble) -> NotForwarded {
    match trouble {
        Trouble::Said(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
            NotForwarded::Ever(trouble.to_string())
        }
        Trouble::Said(kube::Error::Auth(_)) => NotForwarded::Ever(trouble.to_string()),
        trouble => NotForwarded::Yet(trouble.to_string()),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let holds = conditions.is_some_and(|all| all.iter().any(|it| it.type_ == "Ready" && it.status == "True"));
    holds && pod.metadata.deletion_timestamp.is_none()
}

// === impl Ready ===

impl Ready {
    fn of(pod: &Pod) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let ports: Vec<_> = containers.flat_map(|container| container.ports.iter().flatten()).collect();
        let called = |name: &str| {
            let port = ports.iter().find(|port| port.name.as_deref() == Some(name))?;
            u16::try_from(port.container_port).ok()
        };
        let (port, is_tls) = match (called("https"), called("http")) {
            (Some(port), _) => (port, true),
            (None, port) => (port.unwrap_or(PORT), false),
        };
        Self { name: pod.name_any(), port, is_tls }
    }
}

// === impl Forwarded ===

impl Forwarded {
    /// Why it has ended, where that is known.
    pub async fn trouble(&mut self) -> Option<String> {
        tokio::time::timeout(SAYS_WITHIN, self.trouble.take()?).await.ok().flatten()
    }
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarded").finish_non_exhaustive()
    }
}

// === impl NotForwarded ===

impl fmt::Display for NotForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Yet(why) | Self::Ever(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for NotForwarded {}
