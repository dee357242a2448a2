use std::collections::BTreeMap;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{Credentials, Pem};
use crate::evidence::Servers;

fn series(name: &str, labels: &Value, values: &[(f64, &str)]) -> Value {
    let mut metric = json!({"__name__": name, "instance": "10.0.0.1:9901", "job": "envoy"});
    for (label, value) in labels.as_object().unwrap() {
        metric[label] = value.clone();
    }
    json!({"metric": metric, "values": values})
}

fn all(variant: &str, values: &[(f64, &str)]) -> Value {
    series(
        "coalmine_all_total",
        &json!({"rollout": "shop/checkout", "variant": variant, "group": "3"}),
        values,
    )
}

fn answer(series: &[Value]) -> String {
    json!({"status": "success", "data": {"resultType": "matrix", "result": series}}).to_string()
}

/// A proxy's facts at a time.
fn facts(at: f64) -> [Value; 2] {
    [
        series("coalmine_build_info", &json!({"version": "1", "node": "edge-1"}), &[(at, "1")]),
        series("coalmine_policy_revision", &json!({}), &[(at, "7")]),
    ]
}

#[test]
fn the_samples_of_the_latest_scrape_are_a_page() {
    let mut found = facts(115.0).to_vec();
    found.push(all("canary", &[(100.0, "5"), (115.0, "9")]));
    // It ended with the scrape before.
    found.push(all("gone", &[(100.0, "5")]));
    let pages = pages::read(answer(&found).as_bytes(), None).unwrap();
    assert_eq!(pages.len(), 1);
    assert_eq!((pages[0].address.as_str(), pages[0].at), ("instance=10.0.0.1:9901 job=envoy", 115));
    let mut table = Table::default();
    table.take(100, vec![Page { at: 100, totals: Default::default(), ..pages[0].clone() }], &Forms::new());
    let first = table.take(120, pages.clone(), &Forms::new()).remove(0);
    assert_eq!((first.name.as_str(), first.seen, first.revision), ("edge-1", 115, Some(7)));
    let mut found = facts(130.0).to_vec();
    found.push(all("canary", &[(100.0, "5"), (130.0, "29")]));
    let later = pages::read(answer(&found).as_bytes(), None).unwrap();
    let second = table.take(135, later.clone(), &Forms::new()).remove(0).counted.unwrap();
    assert_eq!((second.from, second.until), (115, 130), "by the clock of Prometheus");
    assert_eq!(second.rollouts[&"shop/checkout".parse().unwrap()]["canary"].all[3], 20);
    assert_eq!(table.take(140, later, &Forms::new()).remove(0).counted, None, "no scrape since");
}

#[test]
fn what_versions_served_is_of_the_same_target() {
    let mut found = facts(115.0).to_vec();
    let envoy = json!({"envoy_cluster_name": "checkout-canary"});
    found.push(series("envoy_cluster_upstream_rq_total", &envoy, &[(115.0, "9")]));
    let istio = json!({
        "reporter": "source", "source_workload": "front", "destination_service_name": "checkout",
        "destination_service_namespace": "shop", "destination_version": "canary", "response_code": "200",
        "request_protocol": "http", "connection_security_policy": "unknown", "grpc_response_status": "0",
    });
    found.push(series("istio_requests_total", &istio, &[(115.0, "7")]));
    let bucket = json!({"envoy_cluster_name": "checkout-canary", "le": "250.0"});
    found.push(series("envoy_cluster_upstream_rq_time_bucket", &bucket, &[(115.0, "6")]));
    let class = json!({"envoy_cluster_name": "checkout-canary", "envoy_response_code_class": "5"});
    found.push(series("envoy_cluster_upstream_rq_xx", &class, &[(115.0, "2")]));
    let name = "shop/checkout".parse().unwrap();
    let cluster = Servers::Cluster("{name}-{variant}".parse().unwrap());
    let version =
        Servers::Istio { service: "{name}".parse().unwrap(), version: "{variant}".parse().unwrap() };
    for (servers, guards, expected) in [
        (cluster.clone(), None, [9, 0, 0]),
        (cluster, Some(vec![250]), [9, 2, 2]),
        (version.clone(), None, [7, 7, 0]),
        (version, Some(vec![250]), [7, 7, 0]),
    ] {
        let by = ServedBy { servers, guards };
        let pages = pages::read(answer(&found).as_bytes(), Some(&by)).unwrap();
        assert_eq!(pages.len(), 1, "{pages:?}");
        let answered = pages[0].totals.served.since(None).remove(&by.key(&name, "canary")).unwrap();
        assert_eq!([answered.sent, answered.all, answered.bad], expected);
        let query = query(&BTreeMap::new(), Some(&by));
        assert!(by.metrics().iter().all(|metric| query.contains(metric)), "{query}");
        assert_eq!(query.contains("le=~\"|(250)"), by.guards.is_some(), "{query}");
    }
}

#[test]
fn labels_that_the_target_has_as_well_are_told_apart() {
    let labels =
        json!({"node": "worker-17", "exported_node": "edge-1", "exported_version": "1", "version": "v2"});
    let mut found = vec![series("coalmine_build_info", &labels, &[(100.0, "1")])];
    found.push(series(
        "coalmine_policy_revision",
        &json!({"node": "worker-17", "version": "v2"}),
        &[(100.0, "7")],
    ));
    let pages = pages::read(answer(&found).as_bytes(), None).unwrap();
    let seen = Table::default().take(100, pages, &Forms::new());
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].name.as_str(), seen[0].revision), ("edge-1", Some(7)));
    assert_eq!(seen[0].filter.as_deref(), Some("1"));
}

#[test]
fn what_makes_no_sense_is_told() {
    let told = |text: &str| pages::read(text.as_bytes(), None).unwrap_err();
    assert!(told("<html>").contains("none of Prometheus"));
    assert_eq!(told("{\"status\": \"error\", \"error\": \"too many samples\"}"), "too many samples");
    assert!(told("{}").contains("no data"));
    assert!(told(&answer(&[all("canary", &[(1.0, "many")])])).contains("many is no number"));
    // One target that makes no sense keeps no other from being read.
    let other = json!({"instance": "10.0.0.2:9901"});
    let mut found = facts(100.0).to_vec();
    found.push(series("coalmine_policy_revision", &other, &[(100.0, "1.5")]));
    assert_eq!(pages::read(answer(&found).as_bytes(), None).unwrap().len(), 1);
}

#[test]
fn one_selector_reads_everything_and_labels_narrow_it() {
    let labels = BTreeMap::from([("job".to_owned(), "en\"voy\\".to_owned())]);
    let asked = query(&labels, None);
    assert!(
        asked.starts_with("{__name__=~\"coalmine_(requests_total|") && asked.ends_with("[2m]"),
        "{asked}"
    );
    assert!(asked.contains(",job=\"en\\\"voy\\\\\"}"), "{asked}");
}

/// Whether a request is there with all of its body: who closes earlier may cut off the answer.
fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// Answers one request with this, and gives what was asked.
async fn answering(answer: String) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !is_whole(&request) {
            let mut part = [0; 4_096];
            let length = stream.read(&mut part).await.unwrap();
            assert!(length > 0, "the request ends after {request}");
            request.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    (url, asked)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn source(url: String, credentials: Option<Credentials>) -> Prometheus {
    crate::tls::choose_provider();
    let address = PrometheusAddress { url, credentials, ..PrometheusAddress::default() };
    Prometheus::new(&address, Duration::from_secs(20), None).unwrap()
}

#[tokio::test]
async fn it_is_asked_with_its_credentials_and_they_are_shown_nowhere() {
    for (credentials, header) in [
        (Credentials::Bearer("s3cret-t0ken".to_owned()), "authorization: Bearer s3cret-t0ken"),
        (
            Credentials::Basic { user: "coal".to_owned(), password: "mine".to_owned() },
            "authorization: Basic Y29hbDptaW5l",
        ),
    ] {
        assert!(
            !format!("{credentials:?}").contains("s3cret") && !format!("{credentials:?}").contains("mine")
        );
        let (url, asked) = answering(ok(&answer(&facts(100.0)))).await;
        let mut source = source(url, Some(credentials));
        assert!(!format!("{source:?}").contains("s3cret"));
        let reading = source.read(105, &Forms::new()).await;
        assert_eq!((reading.away, reading.proxies.len()), (None, 1));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /api/v1/query HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(header) && asked.contains("time=105"), "{asked}");
    }
}

#[tokio::test]
async fn what_is_away_or_answers_an_error_is_told() {
    let (url, _asked) =
        answering("HTTP/1.1 422 Wrong\r\ncontent-length: 9\r\n\r\nno\x07 query".to_owned()).await;
    let reading = source(url, None).read(100, &Forms::new()).await;
    assert_eq!(reading.away.unwrap(), "Prometheus: it answers 422 Unprocessable Entity: no query");
    let reading = source("http://127.0.0.1:1".to_owned(), None).read(100, &Forms::new()).await;
    assert!(reading.away.unwrap().starts_with("Prometheus: "));
    assert!(reading.proxies.is_empty());
}

#[tokio::test]
async fn a_replica_that_is_behind_counts_nothing_twice() {
    let page = |at: f64, all: &str| {
        let mut found = facts(at).to_vec();
        found.push(self::all("canary", &[(at, all)]));
        ok(&answer(&found))
    };
    let mut source = source(String::new(), None);
    let mut counted = 0;
    for (at, all) in [(85.0, "900"), (100.0, "1000"), (95.0, "950"), (115.0, "1150")] {
        let (url, _asked) = answering(page(at, all)).await;
        source.api = self::source(url, None).api;
        let reading = source.read(120, &Forms::new()).await;
        assert_eq!(reading.away, None);
        if let Some(found) = &reading.proxies[0].counted {
            counted += found.rollouts[&"shop/checkout".parse().unwrap()]["canary"].all[3];
        }
    }
    assert_eq!(counted, 250);
    source.forget();
    let (url, _asked) = answering(page(130.0, "1300")).await;
    source.api = self::source(url, None).api;
    let reading = source.read(135, &Forms::new()).await;
    assert_eq!(reading.proxies[0].counted, None, "another server may have judged it");
}

/// A certificate for this host of this authority, and its key.
fn certify(authority: &CertifiedIssuer<'_, KeyPair>, host: &str) -> (rcgen::Certificate, KeyPair) {
    let (params, key) =
        (CertificateParams::new(vec![host.to_owned()]).unwrap(), KeyPair::generate().unwrap());
    (params.signed_by(&key, authority).unwrap(), key)
}

#[tokio::test]
async fn a_prometheus_that_asks_for_a_certificate_gets_one() {
    crate::tls::choose_provider();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut known = RootCertStore::empty();
    known.add(authority.der().clone()).unwrap();
    let (certificate, key) = certify(&authority, "localhost");
    let verifier = WebPkiClientVerifier::builder(Arc::new(known)).build().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let (mut request, mut part) = (String::new(), [0; 4_096]);
            while !is_whole(&request) {
                match stream.read(&mut part).await {
                    Ok(length) if length > 0 => {
                        request.push_str(std::str::from_utf8(&part[..length]).unwrap())
                    }
                    _ => break,
                }
            }
            let _ = stream.write_all(ok(&answer(&facts(100.0))).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let (certificate, key) = certify(&authority, "coalmine");
    let identity = Pem(format!("{}\n{}", certificate.pem(), key.serialize_pem()));
    for (identity, is_let_in) in [(Some(identity), true), (None, false)] {
        let ca = Some(authority.pem());
        let address = PrometheusAddress { url: url.clone(), ca, identity, ..PrometheusAddress::default() };
        let mut source = Prometheus::new(&address, Duration::from_secs(20), None).unwrap();
        assert!(!format!("{source:?}").contains("PRIVATE"), "{source:?}");
        let reading = source.read(105, &Forms::new()).await;
        assert_eq!(
            (reading.proxies.len() == 1, reading.away.is_none()),
            (is_let_in, is_let_in),
            "{reading:?}"
        );
    }
}
