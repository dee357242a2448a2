//! Policies.

use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{Node, Problems};
use serde_json::{Value, json};

pub(super) fn read(document: &Node) -> Result<(), Problems> {
    Policy::from_document(document, Environment::Unread).map(drop)
}

/// A rollout that is right, with these fields set.
fn policy(fields: Value) -> Value {
    let mut rollout = json!({
        "name": "r", "identity": [{"header": "x-user-id"}], "variants": [{"name": "canary", "weight": 5}]
    });
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(rollout.as_object_mut().unwrap().remove(name)),
            value => rollout[name] = value.clone(),
        }
    }
    json!({"rollouts": [rollout]})
}

/// Documents that between them use every field.
pub(super) fn good() -> Vec<Value> {
    let secret = "0123456789abcdef0123456789abcdef";
    vec![
        json!({}),
        json!({"version": 1, "revision": 42, "rollouts": [], "observe": {"accessLog": true}}),
        json!({"observe": {"responses": true, "slow": ["250ms", {"at": "1s", "groups": true}, "2m"], "histogram": true}}),
        policy(json!({
            "enabled": false, "onMissingIdentity": "issueCookie", "salt": "s", "algorithm": "siphash-2-4", "key": secret,
            "match": {"hosts": ["*.a"], "paths": [{"prefix": "/"}, {"exact": "/x"}], "methods": ["GET"],
                      "headers": [{"name": "x-a", "exact": ""}, {"name": "x-b", "prefix": "p"}, {"name": "x-c", "present": true}]},
            "identity": [{"header": "x-user-id"}, {"cookie": "sid"}, {"jwtClaim": "sub"},
                         {"jwtClaim": {"path": ["a", "b"], "payload": "p"}}, {"queryParameter": "u"}, {"peer": true}, {"sourceIp": true}],
            "cookie": {"name": "c", "maxAge": "30d", "path": "/", "domain": "a.example", "sameSite": "Lax", "secure": true},
            "pins": {"canary": ["a"], "stable": ["b"]},
            "override": {"header": "x-override", "cookie": "o", "secret": secret},
            "route": {"header": "x-v"}, "since": 41, "observe": true, "response": {"removeHeaders": ["server"]},
        })),
        policy(json!({"variants": [{"name": "canary"}], "ranges": [[50000, "canary"], [1000000, "stable"]]})),
        policy(
            json!({"variants": [{"name": "canary"}], "ramp": {"start": "2026-11-21T09:00:00Z", "hold": true, "holdWeight": 5,
            "allowDown": true, "steps": [{"at": "0s", "weight": 1}]}}),
        ),
        policy(
            json!({"key": {"env": "K"}, "algorithm": "siphash-2-4", "override": {"header": "x-o", "secret": [{"env": "S"}, secret]}}),
        ),
        policy(
            json!({"route": {"clusterHeader": {"name": "x-c", "clusters": {"stable": "a", "canary": "b"}}}}),
        ),
        policy(json!({"variants": null, "route": {"bucketHeader": {"name": "x-b", "total": 100}}})),
        policy(
            json!({"variants": null, "route": {"bucketHeader": {"name": "x-b", "total": 100, "canary": "last"}}}),
        ),
        policy(json!({"variants": [{"name": "a", "weight": 0.0001}, {"name": "b", "weight": 50}]})),
    ]
}
