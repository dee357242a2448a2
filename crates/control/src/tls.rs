//! Certificates, from files that may change while the server runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;

use crate::config::Tls;

/// The protocols that are spoken behind TLS: gRPC needs HTTP/2.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate in force.
#[derive(Debug)]
pub struct Certificates {
    files: Tls,
    loaded: RwLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// When the files were written that it is of.
    written: Vec<Option<SystemTime>>,
}

/// Why a certificate cannot be used.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

/// Takes ring for all TLS of this process. It may be called again.
pub fn choose_provider() {
    // Somebody else may have chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The URIs among the subject alternative names of the certificate that a client has shown, and that was verified.
pub(crate) fn uris(session: &ServerConnection) -> Vec<String> {
    let Some([shown, ..]) = session.peer_certificates() else { return Vec::new() };
    let certificate = EndEntityCert::try_from(shown);
    certificate.map(|it| it.valid_uri_names().map(str::to_owned).collect()).unwrap_or_default()
}

/// Makes a client for HTTP that is sent nowhere else by an answer. One that `is_plain`, whose addresses are all without TLS,
/// needs no certificates of authorities on this host, which a small image may not have.
pub(crate) fn client(is_plain: bool) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if is_plain { builder.tls_certs_only([]) } else { builder }
}

// === impl Certificates ===

impl Certificates {
    /// The certificate of these files.
    ///
    /// # Errors
    /// One of them cannot be read or used.
    pub fn load(files: Tls) -> Result<Self, TlsError> {
        let loaded = Loaded { config: Arc::new(load(&files)?), written: written(&files) };
        Ok(Self { files, loaded: RwLock::new(loaded) })
    }

    /// What new connections get.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Reads the files again where they have changed. Where they cannot be used, the certificate before stays in force.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let now = written(&self.files);
        if self.loaded.read().unwrap_or_else(PoisonError::into_inner).written == now {
            return Ok(false);
        }
        let config = Arc::new(load(&self.files)?);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Loaded { config, written: now };
        Ok(true)
    }
}

fn written(files: &Tls) -> Vec<Option<SystemTime>> {
    let all = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
    all.into_iter().flatten().map(|path| std::fs::metadata(path).and_then(|it| it.modified()).ok()).collect()
}

fn load(files: &Tls) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::of(&files.key, error))?;
    let builder = match &files.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| TlsError::of(path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            ServerConfig::builder()
                .with_client_cert_verifier(verifier.map_err(|error| TlsError::of(path, error))?)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| TlsError::of(&files.certificate, error))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| TlsError::of(path, error))?;
    if all.is_empty() {
        return Err(TlsError::of(path, io::Error::other("there is no certificate in it")));
    }
    Ok(all)
}

// === impl TlsError ===

impl TlsError {
    fn of(path: &Path, why: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(folder: &Path, name: &str) -> Tls {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let files = Tls { certificate: folder.join("tls.crt"), key: folder.join("tls.key"), client_ca: None };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn touch(path: &Path, ahead: u64) {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(ahead)).unwrap();
    }

    #[test]
    fn a_certificate_is_exchanged_and_a_bad_one_is_not_taken() {
        choose_provider();
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), "one.example");
        let certificates = Certificates::load(files.clone()).unwrap();
        let first = certificates.config();
        assert!(!certificates.reload().unwrap(), "nothing has changed");
        write(folder.path(), "two.example");
        touch(&files.certificate, 10);
        assert!(certificates.reload().unwrap());
        let second = certificates.config();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&files.key, "no key").unwrap();
        touch(&files.key, 20);
        let error = certificates.reload().unwrap_err().to_string();
        assert!(error.contains("tls.key"), "{error}");
        assert!(Arc::ptr_eq(&second, &certificates.config()));
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        choose_provider();
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), "one.example");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for (name, wrong) in [
            ("empty.pem", Tls { certificate: empty.clone(), ..files.clone() }),
            ("none.pem", Tls { key: folder.path().join("none.pem"), ..files.clone() }),
            ("empty.pem", Tls { client_ca: Some(empty.clone()), ..files }),
        ] {
            let error = Certificates::load(wrong).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
