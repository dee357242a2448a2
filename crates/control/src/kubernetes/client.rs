//! The way to the API of a cluster, for the server and for people, and what the API says in our words. No credential is ever
//! shown.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{Request, Response, Uri};
use kube::client::middleware::AuthLayer;
use kube::client::{Body, ClientBuilder, ConfigExt as _, DynBody};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::util::{BoxService, MapFutureLayer};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

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

/// The way that a person's kubectl takes to the API of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubectl {
    /// A kubeconfig; without it, the one that kubectl would read.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it, rather than the current one.
    pub context: Option<String>,
}

/// A cluster as a person reaches it.
pub struct Reached {
    /// A client of its API.
    pub client: Client,
    /// The address of its API.
    pub address: String,
    /// What a kubeconfig shows to the API.
    pub credentials: Credentials,
}

/// What a kubeconfig shows to the API.
pub struct Credentials(Option<AuthLayer>);

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
                let told = |error| unusable(Some(path), &error);
                let kubeconfig = Kubeconfig::read_from(path).map_err(told)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(told)?
            }
            None => Config::incluster().map_err(|error| {
                NotConnected(format!("the server runs in no cluster, so say \"kubeconfig\": {error}"))
            })?,
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Connection { client: limited(builder(&mut config)?, WITHIN), namespace })
    }
}

/// What a client is made of.
type Stack = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A client whose requests are given up where an answer does not begin within this time, watches too: on a connection that
/// has broken without a word they would wait for many minutes. An answer that has begun may go on for as long as it does.
fn limited(builder: ClientBuilder<Stack>, limit: Duration) -> Client {
    let layer = MapFutureLayer::new(move |answer| async move {
        let begun = tokio::time::timeout(limit, answer).await;
        begun.unwrap_or_else(|_| Err(format!("it does not answer within {limit:?}").into()))
    });
    builder.with_layer(&layer).build()
}

/// What makes a client of the API.
fn builder(config: &mut Config) -> Result<ClientBuilder<Stack>, NotConnected> {
    config.connect_timeout = Some(CONNECT_WITHIN);
    // What is refused is tried again by those who know whether that makes sense.
    config.default_retry = false;
    ClientBuilder::try_from(config.clone()).map_err(|error| NotConnected(sentence(&error)))
}

/// What is wrong with a kubeconfig, without what is written in it.
fn unusable(path: Option<&Path>, error: &KubeconfigError) -> NotConnected {
    let kubeconfig = path.map_or_else(|| "the kubeconfig".to_owned(), |path| path.display().to_string());
    NotConnected(match error {
        KubeconfigError::ReadConfig(cause, path) => format!("{} cannot be read: {cause}", path.display()),
        KubeconfigError::FindPath => "there is no kubeconfig, as there is no home folder".to_owned(),
        KubeconfigError::Parse(_) => format!("{kubeconfig} is no kubeconfig"),
        KubeconfigError::LoadContext(name) => format!("{kubeconfig} has no context {name:?}"),
        KubeconfigError::CurrentContextNotSet => format!("{kubeconfig} has no current context"),
        error => format!("{kubeconfig} cannot be used: {error}"),
    })
}

/// An address without the password that may stand in it.
fn shown(url: &Uri) -> String {
    let host = url.authority().and_then(|authority| authority.as_str().rsplit('@').next());
    let scheme = url.scheme_str().unwrap_or("https");
    format!("{scheme}://{}{}", host.unwrap_or_default(), url.path().trim_end_matches('/'))
}

// === impl Kubectl ===

impl Kubectl {
    /// A way to the API. Nothing is asked yet.
    ///
    /// # Errors
    /// There is no such kubeconfig, or no such context in it, or its credentials cannot be had.
    pub async fn reach(&self) -> Result<Reached, NotConnected> {
        crate::tls::choose_provider();
        let told = |error| unusable(self.kubeconfig.as_deref(), &error);
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig.map_err(told)?, &options).await.map_err(told)?;
        let client = builder(&mut config)?.build();
        let credentials = config.auth_layer().map_err(|error| NotConnected(sentence(&error)))?;
        Ok(Reached { client, address: shown(&config.cluster_url), credentials: Credentials(credentials) })
    }
}

// === impl Credentials ===

impl Credentials {
    /// The bearer token as it is now; none where the API is shown something else, as a client certificate.
    ///
    /// # Errors
    /// A program that makes tokens does not make one.
    pub async fn token(&self) -> Result<Option<String>, NotConnected> {
        let Some(layer) = &self.0 else { return Ok(None) };
        // The header that a request would have: however the token is made, and made anew.
        let header = service_fn(async |request: Request<Body>| {
            Ok::<_, BoxError>(Response::new(request.headers().get(AUTHORIZATION).cloned()))
        });
        let header = layer.layer(header).oneshot(Request::new(Body::empty())).await;
        let header = header.map_err(|_| {
            NotConnected("the kubeconfig's token cannot be had: its program does not make one".to_owned())
        })?;
        let text = header.body().as_ref().and_then(|header| header.to_str().ok());
        Ok(text.and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned))
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

// === impl Reached ===

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reached").field("address", &self.address).finish_non_exhaustive()
    }
}

// === impl Credentials ===

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

// === impl NotConnected ===

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotConnected {}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use kube::Api;
    use kube::api::WatchParams;

    use super::*;

    /// A kubeconfig of this user, whose current context is `prod`.
    fn kubeconfig(user: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
             clusters: [{{name: prod, cluster: {{server: 'https://ada:password@api.example:6443/k8s/'}}}}]\n\
             users: [{{name: ada, user: {user}}}]\n\
             contexts: [{{name: prod, context: {{cluster: prod, user: ada}}}}]\n"
        );
        std::fs::write(file.path(), text).unwrap();
        file
    }

    async fn reached(file: &tempfile::NamedTempFile) -> Result<Reached, String> {
        let kubectl = Kubectl { kubeconfig: Some(file.path().to_owned()), context: None };
        kubectl.reach().await.map_err(|why| why.to_string())
    }

    #[tokio::test]
    async fn the_token_is_that_of_the_kubeconfig_however_it_is_made() {
        let token = async |user: &str| {
            let reached = reached(&kubeconfig(user)).await.unwrap();
            assert_eq!(reached.address, "https://api.example:6443/k8s");
            reached.credentials.token().await.unwrap()
        };
        assert_eq!(token("{token: of-the-file}").await.as_deref(), Some("of-the-file"));
        let made = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "made"}}"#;
        let exec = format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: printf, args: ['{made}'], interactiveMode: Never}}}}"
        );
        assert_eq!(token(&exec).await.as_deref(), Some("made"));
        assert_eq!(token("{username: ada, password: secret}").await, None, "no bearer token");
        assert_eq!(token("{}").await, None);
    }

    #[tokio::test]
    async fn a_watch_of_a_dead_connection_is_given_up() {
        let dead = service_fn(async |_: Request<Body>| std::future::pending().await);
        let client = limited(ClientBuilder::new(BoxService::new(dead), "default"), Duration::from_millis(20));
        let services: Api<Service> = Api::all(client);
        let wanted = WatchParams::default();
        let begun = services.watch(&wanted, "0");
        let why = tokio::time::timeout(Duration::from_secs(5), begun).await.unwrap().err().unwrap();
        assert_eq!(sentence(&why), "the Kubernetes API cannot be asked: it does not answer within 20ms");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_said_without_what_is_in_it() {
        let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo secret; exit 1']}}";
        let why = reached(&kubeconfig(exec)).await.unwrap_err();
        assert!(why.contains("credentials") && !why.contains("secret"), "{why}");
        let file = kubeconfig("{token: secret");
        let why = reached(&file).await.unwrap_err();
        assert_eq!(why, format!("{} is no kubeconfig", file.path().display()));
        let other = kubeconfig("{token: secret}");
        let kubectl =
            Kubectl { kubeconfig: Some(other.path().to_owned()), context: Some("staging".to_owned()) };
        let why = kubectl.reach().await.unwrap_err().to_string();
        assert_eq!(why, format!("{} has no context \"staging\"", other.path().display()));
    }
}
