//! The server of a command that talks to one: its address, and what is shown to it.

use std::path::{Path, PathBuf};

use clap::Args;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::client::Client;
use super::cluster::ClusterArguments;
use super::token::Token;
use super::tunnel::Tunnel;
use super::variable;
use crate::args::Format;
use crate::failure::Failure;

/// Where a server listens unless told otherwise.
const SERVER: &str = "http://127.0.0.1:8470";

/// The server of a command that talks to one, and how to print what it says.
#[derive(Args)]
pub(crate) struct ServerArguments {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    address: AddressArguments,
    /// A file with the token; without it, the variable COALMINE_TOKEN, or the kubeconfig's token
    #[arg(long, env = "COALMINE_TOKEN_FILE", value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// Certificates in PEM to trust, rather than those of this system; for --server
    #[arg(long, env = "COALMINE_CA", value_name = "FILE", help_heading = "Server")]
    ca: Option<PathBuf>,
    /// A certificate in PEM to show, for a server with clientCa
    #[arg(
        long,
        env = "COALMINE_CERTIFICATE",
        value_name = "FILE",
        requires = "key",
        help_heading = "Server"
    )]
    certificate: Option<PathBuf>,
    /// The key of that, in PEM
    #[arg(long, env = "COALMINE_CERTIFICATE_KEY", value_name = "FILE", help_heading = "Server")]
    key: Option<PathBuf>,
    /// Send the token without TLS to another host
    #[arg(long, help_heading = "Server")]
    insecure: bool,
}

/// Where the server is: at a URL, or in a cluster.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AddressArguments {
    /// The server; also the variable COALMINE_SERVER; without both, http://127.0.0.1:8470
    #[arg(long, value_name = "URL", conflicts_with = "cluster", help_heading = "Server")]
    server: Option<String>,
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Where the server is.
enum Address<'a> {
    Url(String),
    Cluster(&'a ClusterArguments),
}

// === impl AddressArguments ===

impl AddressArguments {
    #[cfg(test)]
    pub(super) fn at(url: &str) -> Self {
        Self { server: Some(url.to_owned()), ..Self::default() }
    }

    /// Whether an argument says where the server is.
    pub(crate) fn is_given(&self) -> bool {
        self.server.is_some() || self.cluster.is_given()
    }

    /// What is given; otherwise what the environment says.
    fn address(&self) -> Result<Address<'_>, Failure> {
        if let Some(url) = &self.server {
            return Ok(Address::Url(url.clone()));
        }
        if self.cluster.is_given() {
            return Ok(Address::Cluster(&self.cluster));
        }
        match (variable("COALMINE_SERVER"), variable("COALMINE_KUBECONFIG")) {
            (Some(_), Some(_)) => Err(Failure::usage(
                "COALMINE_SERVER and COALMINE_KUBECONFIG both say where the server is",
                "unset one of them, or say --server or --kubeconfig",
            )),
            (None, Some(_)) => Ok(Address::Cluster(&self.cluster)),
            (url, None) => Ok(Address::Url(url.unwrap_or_else(|| SERVER.to_owned()))),
        }
    }
}

// === impl ServerArguments ===

impl ServerArguments {
    /// The server there, with everything else as usual.
    pub(crate) fn of(address: AddressArguments, format: Format) -> Self {
        let file = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        Self {
            format,
            address,
            token_file: file("COALMINE_TOKEN_FILE"),
            ca: file("COALMINE_CA"),
            certificate: file("COALMINE_CERTIFICATE"),
            key: file("COALMINE_CERTIFICATE_KEY"),
            insecure: false,
        }
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        match self.address.address()? {
            Address::Url(url) => self.client_at(&url),
            Address::Cluster(cluster) => self.client_in(cluster),
        }
    }

    fn client_in(&self, cluster: &ClusterArguments) -> Result<Client, Failure> {
        let tunnel = Tunnel::open(cluster)?;
        let token = Token::find(self.token_file.as_ref(), Some(&tunnel))?;
        // The cluster's API says whose pod it is and encrypts, and no certificate is for a pod's loopback.
        let tls = TlsConfig::builder().disable_verification(true).client_cert(self.shown()?);
        let called = format!("the server in {}", cluster.server_namespace());
        Ok(Client::through(tunnel, called, token, tls.build()))
    }

    fn client_at(&self, url: &str) -> Result<Client, Failure> {
        let url = url.trim_end_matches('/').to_owned();
        let is_plain = url.starts_with("http://");
        if !is_plain && !url.starts_with("https://") {
            return Err(Failure::usage(
                format!("{url:?} is no URL of a server"),
                format!("write it as {SERVER}"),
            ));
        }
        let token = Token::find(self.token_file.as_ref(), None)?;
        if token.is_some() && is_plain && !self.insecure && !is_loopback(&url) {
            return Err(Failure::usage(
                format!("{url} would get the token without TLS"),
                "use https://, or --insecure where something else encrypts",
            ));
        }
        let roots = match &self.ca {
            Some(path) => RootCerts::new_with_certs(&certificates(path)?),
            None => RootCerts::PlatformVerifier,
        };
        let tls = TlsConfig::builder().root_certs(roots).client_cert(self.shown()?);
        Ok(Client::new(url, token, tls.build()))
    }

    /// The certificate that is shown to the server.
    fn shown(&self) -> Result<Option<ClientCert>, Failure> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        Ok(Some(ClientCert::new_with_certs(&certificates(certificate)?, private_key(key)?)))
    }
}

fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let text = std::fs::read(path).map_err(Failure::read(path))?;
    let found = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Failure::Unfit(path.to_owned(), "holds no certificate in PEM".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, Failure> {
    let text = std::fs::read(path).map_err(Failure::read(path))?;
    // What is wrong with it is not said: the text is a secret.
    PrivateKey::from_pem(&text).map_err(|_| Failure::Unfit(path.to_owned(), "holds no key in PEM".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    #[test]
    fn only_this_host_is_loopback() {
        for url in ["http://127.0.0.1:8470", "http://localhost", "http://[::1]:8470/x", "http://127.8.8.8"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://[::2]:1",
            "http://",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    /// What a server is sent as `authorization`, by request; it answers each with an empty object.
    fn asked() -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let lines = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let header = lines.filter(|line| line.to_lowercase().starts_with("authorization")).last();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                stream.get_mut().write_all(answer).unwrap();
                if sender.send(header.unwrap_or_default()).is_err() {
                    return;
                }
            }
        });
        (url, asked)
    }

    #[test]
    fn a_token_may_be_exchanged_in_its_file_while_somebody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let (server, asked) = asked();
        let arguments = ServerArguments {
            format: Format::Json,
            address: AddressArguments::at(&server),
            token_file: Some(path.clone()),
            ca: None,
            certificate: None,
            key: None,
            insecure: false,
        };
        let client = arguments.client().unwrap();
        let ask = || {
            client.get::<serde_json::Value>("/v1/rollouts").unwrap();
            asked.recv_timeout(PATIENCE).unwrap()
        };
        assert!(ask().ends_with("Bearer first"));
        std::fs::write(&path, "second\n").unwrap();
        assert!(ask().ends_with("Bearer second"));
        for unfinished in ["", "\n", "two words", "\u{1b}"] {
            std::fs::write(&path, unfinished).unwrap();
            assert!(ask().ends_with("Bearer second"), "{unfinished:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(ask().ends_with("Bearer second"));
    }
}
