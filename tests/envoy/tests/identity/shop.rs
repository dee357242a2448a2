//! A proxy that issues identities, before two applications that tell what they were sent.

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::compile;
use coalmine_harness::{Answer, Lab, LabBuilder, Server};
use serde_json::{Value, json};

/// A proxy before a stable application and a canary.
pub(super) struct Shop {
    pub(super) lab: Lab,
    pub(super) policy: Policy,
    _servers: [Server; 2],
}

/// An answer, seen from both sides.
pub(super) struct Seen {
    pub(super) answer: Answer,
    pub(super) variant: String,
    /// Each `cookie` header that the application got.
    pub(super) cookies: Vec<String>,
}

/// A rollout for the host `NAME.test` that issues an identity to who has none, and sends half of the users to the canary.
pub(super) fn issuing(name: &str) -> Value {
    json!({
        "name": name,
        "match": {"hosts": [format!("{name}.test")]},
        "identity": [{"cookie": "sid"}],
        "onMissingIdentity": "issueCookie",
        "algorithm": "siphash-2-4",
        "key": "000102030405060708090a0b0c0d0e0f",
        "variants": [{"name": "canary", "weight": 50}],
    })
}

// === impl Shop ===

impl Shop {
    pub(super) async fn start(document: &str, edit: impl FnOnce(LabBuilder) -> LabBuilder) -> Self {
        let servers = [Server::start("stable", 0).await.unwrap(), Server::start("canary", 0).await.unwrap()];
        let [stable, canary] = &servers;
        let lab = edit(Lab::builder().unwrap().servers(stable.address(), canary.address()));
        let lab = lab.start(document).await.unwrap();
        Self { lab, policy: compile(document).unwrap(), _servers: servers }
    }
}

// === impl Seen ===

impl Seen {
    /// What an application's echo tells.
    pub(super) fn of(answer: Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let told: Vec<(String, String)> = serde_json::from_slice(&answer.body).unwrap();
        let of = |name: &str| -> Vec<String> {
            told.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
        };
        Self { variant: of("name").remove(0), cookies: of("cookie"), answer }
    }
}
