//! Mutual TLS: an authority, the certificates that it signs, and a client that shows one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Whom the proxy (or nobody) believes.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// The three files that a proxy, a server or a client needs.
#[derive(Debug)]
pub struct Files {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// Its own certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// An authority with a new key.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Coalmine's tests");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A certificate for a host, and for these URIs; a SPIFFE id is one.
    pub fn certify(&self, host: Option<&str>, uris: &[&str]) -> Result<Certificate> {
        let mut params = CertificateParams::new(host.map(str::to_owned).into_iter().collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, "somebody");
        for &uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Certificate { certificate, key })
    }

    /// Writes what a proxy at this host needs into `folder`.
    pub fn write(&self, host: &str, folder: &Path) -> Result<Files> {
        self.write_of(&self.certify(Some(host), &[])?, folder)
    }

    /// Writes what the bearer of a certificate needs into `folder`.
    pub fn write_of(&self, shown: &Certificate, folder: &Path) -> Result<Files> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(path)
        };
        Ok(Files {
            authority: write("authority.pem", self.0.pem())?,
            certificate: write("certificate.pem", shown.certificate.pem())?,
            key: write("key.pem", shown.key.serialize_pem())?,
        })
    }

    /// Connects to the proxy at this host, which must have a certificate of this authority, and shows it one or none.
    pub async fn connect(
        &self,
        address: SocketAddr,
        host: &str,
        shown: Option<&Certificate>,
    ) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let client = ClientConfig::builder().with_root_certificates(roots);
        let config = match shown {
            None => client.with_no_client_auth(),
            Some(Certificate { certificate, key }) => {
                let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
                let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
                client.with_client_auth_cert(chain, key)?
            }
        };
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned())?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, socket).await?)
    }
}
