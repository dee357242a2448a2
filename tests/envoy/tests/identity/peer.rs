//! The workload that calls, by the certificate that it shows.

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::compile;
use coalmine_harness::certificates::{Authority, Certificate};
use coalmine_harness::{Connection, Lab, PolicyFile, Protocol, get};
use http_body_util::Empty;
use serde_json::json;
use tempfile::TempDir;

use super::{document, drawn, only};

const EXAMPLE: &str = "envoy/mtls";
const HOST: &str = "shop.example";

/// The example, with certificates that exist.
struct Mutual {
    lab: Lab,
    authority: Authority,
    _folder: TempDir,
}

impl Mutual {
    async fn start(document: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let files = authority.write(HOST, folder.path()).unwrap();
        let path = |path: &std::path::Path| path.display().to_string();
        let lab = Lab::example(EXAMPLE).unwrap().edit(|bootstrap| {
            bootstrap
                .replace("/etc/envoy/tls/authority.pem", &path(&files.authority))?
                .replace("/etc/envoy/tls/certificate.pem", &path(&files.certificate))?
                .replace("/etc/envoy/tls/key.pem", &path(&files.key))
        });
        let lab = lab.unwrap().start(document).await.unwrap();
        Self { lab, authority, _folder: folder }
    }

    /// The variant that answers a caller who shows this.
    async fn variant(&self, host: &str, shown: Option<&Certificate>) -> Option<&'static str> {
        let socket = self.authority.connect(self.lab.address(), HOST, shown).await.unwrap();
        let mut connection = Connection::over(socket, Protocol::Http1).await.unwrap();
        let request = get(host).body(Empty::new()).unwrap();
        connection.send(request).await.unwrap().variant()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_routes_by_the_certificate_of_the_caller() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let policy = compile(&document).unwrap();
    let mutual = Mutual::start(&document).await;
    let callers: Vec<String> =
        (0..20).map(|index| format!("spiffe://cluster.local/ns/shop/sa/caller-{index}")).collect();
    let mut variants = Vec::new();
    for caller in &callers {
        let certificate = mutual.authority.certify(None, &[caller]).unwrap();
        let expected = drawn(&policy, "checkout", Some(caller.as_bytes()));
        assert_eq!(mutual.variant(HOST, Some(&certificate)).await, Some(expected), "{caller}");
        variants.push(expected);
    }
    assert!(variants.contains(&"stable") && variants.contains(&"canary"), "both were seen");
    decided(&mutual.lab, callers.len()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_name_is_nobody() {
    const ALICE: &str = "spiffe://cluster.local/ns/shop/sa/alice";
    let mutual = Mutual::start(&document(&[only("alice", json!({"peer": true}), ALICE)])).await;
    let certify = |uris: &[&str]| mutual.authority.certify(None, uris).unwrap();
    let long = format!("spiffe://cluster.local/{}", "a".repeat(6000));
    for (what, certificate, expected) in [
        ("her certificate", Some(certify(&[ALICE])), "canary"),
        ("no certificate", None, "stable"),
        ("one without a URI", Some(certify(&[])), "stable"),
        (
            "one with a host only",
            Some(mutual.authority.certify(Some("alice.example"), &[]).unwrap()),
            "stable",
        ),
        ("one with another URI", Some(certify(&["https://shop.example/"])), "stable"),
        ("one with a very long URI", Some(certify(&[&long])), "stable"),
        ("one with an empty URI", Some(certify(&[""])), "stable"),
        ("two URIs, hers first", Some(certify(&[ALICE, "spiffe://cluster.local/b"])), "canary"),
        ("two URIs, hers last", Some(certify(&["spiffe://cluster.local/b", ALICE])), "stable"),
    ] {
        assert_eq!(mutual.variant("alice.test", certificate.as_ref()).await, Some(expected), "{what}");
    }
    let metrics = decided(&mutual.lab, 9).await.unwrap();
    assert_eq!(by_reason(&metrics, "alice", "noIdentity"), 4);
    assert_eq!(by_reason(&metrics, "alice", "pinned"), 2);
}

/// What another authority has signed does not even get a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_a_forged_name_is_refused() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let mutual = Mutual::start(&document).await;
    let forged =
        Authority::new().unwrap().certify(None, &["spiffe://cluster.local/ns/shop/sa/alice"]).unwrap();
    let refused = async {
        let socket = mutual.authority.connect(mutual.lab.address(), HOST, Some(&forged)).await?;
        Connection::over(socket, Protocol::Http1).await?.send(get(HOST).body(Empty::new())?).await
    };
    assert!(refused.await.is_err());
    assert_eq!(mutual.variant(HOST, None).await, Some("stable"), "the proxy goes on");
    decided(&mutual.lab, 1).await.unwrap();
}
