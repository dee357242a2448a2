//! Proxies with certificates: which fleet each of them is of.

use std::path::Path;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_client::ExtensionConfigDiscoveryServiceClient;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::*;

const TOKEN: &str = "Bearer admin-0123456789";

/// Who signs the certificates of the server and of proxies.
struct Authority(CertifiedIssuer<'static, KeyPair>);

// === impl Authority ===

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn certify(&self, host: &str, uri: Option<&str>) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// The configuration of a server with a certificate of this authority, which asks for others of it.
    fn config(&self, folder: &Path) -> Config {
        let (certificate, key) = self.certify("localhost", None);
        let files = [
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
            ("ca.crt", self.0.pem()),
            ("coalmine.db", String::new()),
        ];
        let [certificate, key, authority, store] = files.map(|(name, text)| {
            let path = folder.join(name);
            if !text.is_empty() {
                std::fs::write(&path, text).unwrap();
            }
            path.display().to_string()
        });
        config(&format!(
            "
listen: 127.0.0.1:0
admin: 127.0.0.1:0
store: {store}
tls: {{certificate: {certificate}, key: {key}, clientCa: {authority}}}
tokens: [{{name: proxies, value: {{env: X}}, may: read}}]
fleets:
  edge: {{spiffe: [spiffe://local/ns/edge/*], rollouts: [edge/*], evidence: {{proxies: ['127.0.0.1:1']}}}}
  pay: {{spiffe: [spiffe://local/ns/pay/sa/till], rollouts: [pay/*], evidence: {{proxies: ['127.0.0.1:2']}}}}
  rest: {{clusters: ['*'], rollouts: ['*'], evidence: {{proxies: ['127.0.0.1:3']}}}}
"
        ))
    }

    /// A connection with a certificate for this URI, or with none of the kind.
    async fn connect(&self, port: u16, uri: Option<&str>) -> Channel {
        let (certificate, key) = self.certify("proxy", uri);
        self.channel(port, certificate, key).await.unwrap()
    }

    /// A connection with this certificate to a server that has one of this authority.
    async fn channel(
        &self,
        port: u16,
        certificate: rcgen::Certificate,
        key: KeyPair,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(client));
        let connect = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let socket = TcpStream::connect(("127.0.0.1", port)).await?;
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Ok::<_, io::Error>(TokioIo::new(connector.connect(name, socket).await?))
            }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connect).await
    }
}

/// A server, and somebody who may ask it who is connected.
struct Lab {
    authority: Authority,
    port: u16,
    client: reqwest::Client,
}

// === impl Lab ===

impl Lab {
    fn new(authority: Authority, port: u16) -> Self {
        let (certificate, key) = authority.certify("operator", None);
        let identity = format!("{}{}", certificate.pem(), key.serialize_pem());
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority.0.pem().as_bytes()).unwrap()])
            .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
            .no_proxy()
            .build();
        Self { authority, port, client: client.unwrap() }
    }

    /// The fleet that a proxy gets into which says that it is of this cluster, or why it gets into none.
    async fn fleet(&self, cluster: &str, uri: Option<&str>) -> Result<String, Status> {
        self.fleet_by(self.authority.connect(self.port, uri).await, cluster).await
    }

    async fn fleet_by(&self, channel: Channel, cluster: &str) -> Result<String, Status> {
        let node = Node { id: format!("{cluster}-1"), cluster: cluster.to_owned(), ..Node::default() };
        let first = DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".to_owned(),
            resource_names_subscribe: vec!["coalmine".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        let mut request = Request::new(tokio_stream::iter([first]).chain(tokio_stream::pending()));
        request.metadata_mut().insert("authorization", MetadataValue::from_static(TOKEN));
        let mut client = ExtensionConfigDiscoveryServiceClient::new(channel);
        let mut responses = client.delta_extension_configs(request).await?.into_inner();
        let refused = async {
            match responses.message().await {
                Err(status) => status,
                Ok(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            status = refused => Err(status),
            fleet = self.shown(&node.id) => Ok(fleet),
        }
    }

    /// The fleet of a proxy, as soon as it is connected.
    async fn shown(&self, id: &str) -> String {
        let url = format!("https://localhost:{}/v1/proxies", self.port);
        loop {
            let answer = self.client.get(&url).header("authorization", TOKEN).send().await.unwrap();
            let known: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            let mut rows = known["proxies"].as_array().unwrap().iter();
            if let Some(row) = rows.find(|row| row["name"] == id) {
                return row["fleet"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_decides_which_policy_a_proxy_gets() {
    tls::choose_provider();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ready = Ready::new(authority.config(folder.path())).await.unwrap();
    let lab = Lab::new(authority, ready.address().unwrap().port());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(ready.run(async {
        let _ = stopped.await;
    }));
    let of = async |cluster: &str, uri: Option<&str>| lab.fleet(cluster, uri).await.map_err(|it| it.code());
    assert_eq!(of("one", Some("spiffe://local/ns/edge/sa/front")).await, Ok("edge".to_owned()));
    assert_eq!(of("two", Some("spiffe://local/ns/pay/sa/till")).await, Ok("pay".to_owned()));
    assert_eq!(of("three", Some("spiffe://local/ns/pay/sa/other")).await, Ok("rest".to_owned()));
    assert_eq!(of("four", None).await, Ok("rest".to_owned()));
    // It is free to say what it wants, and gets nothing by it.
    assert_eq!(of("edge", None).await, Err(Code::PermissionDenied));
    let refused = lab.fleet("pay", Some("spiffe://elsewhere/ns/pay/sa/till")).await.unwrap_err();
    assert!(refused.message().contains("proxies of the fleet pay have a certificate"), "{refused}");
    assert_eq!(of("pay", Some("spiffe://local/ns/edge/sa/front")).await, Ok("edge".to_owned()));
    // Of an authority that the server does not know. A client of TLS 1.3 learns that with its first answer.
    let stranger = Authority::new();
    let (certificate, key) = stranger.certify("proxy", Some("spiffe://local/ns/edge/sa/front"));
    let channel = lab.authority.channel(lab.port, certificate, key).await.unwrap();
    assert!(lab.fleet_by(channel, "five").await.is_err());
    drop(stop);
    running.await.unwrap();
}
