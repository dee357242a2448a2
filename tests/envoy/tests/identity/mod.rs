//! Every way to know a user, on a real Envoy: tokens, certificates, addresses, queries, issued cookies.

mod address;
mod issued_cookie;
mod jwt;
mod peer;
mod query;
mod redirects;
mod shop;

use std::time::Duration;

use coalmine_core::policy::Policy;
use serde_json::{Value, json};

/// A rollout for the host `NAME.test` by this source.
fn rollout(name: &str, source: Value, weight: u32) -> Value {
    json!({
        "name": name,
        "match": {"hosts": [format!("{name}.test")]},
        "identity": [source],
        "variants": [{"name": "canary", "weight": weight}],
    })
}

/// A rollout that sends exactly this identity to the canary, and everybody else to stable.
fn only(name: &str, source: Value, identity: &str) -> Value {
    let mut rollout = rollout(name, source, 0);
    rollout["pins"] = json!({"canary": [identity]});
    rollout
}

fn document(rollouts: &[Value]) -> String {
    json!({"revision": 1, "rollouts": rollouts, "observe": {"accessLog": true}}).to_string()
}

/// What a user of this identity gets in a rollout.
pub(crate) fn drawn<'p>(policy: &'p Policy, rollout: &str, identity: Option<&[u8]>) -> &'p str {
    let rollout = policy.rollouts().iter().find(|found| found.name() == rollout).unwrap();
    rollout.assign(identity, Duration::ZERO).variant_name()
}
