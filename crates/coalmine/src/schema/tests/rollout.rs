//! Rollouts of a server.

use coalmine_control::rollout::Spec;
use coalmine_document::{Node, Problems};
use serde_json::{Value, json};

pub(super) fn read(document: &Node) -> Result<(), Problems> {
    Spec::from_document(document, None).map(drop)
}

/// Documents that between them use every field.
pub(super) fn good() -> Vec<Value> {
    let policy = json!({"identity": [{"header": "x-user-id"}], "variants": [{"name": "canary"}]});
    vec![
        json!({"name": "shop/checkout", "policy": policy, "plan": {}}),
        json!({"name": "checkout", "policy": policy, "weights": {"canary": 5.5}}),
        json!({
            "name": "shop/checkout",
            "workloads": {"service": "checkout", "stable": {"deployment": "old"}, "canary": {"deployment": "new"},
                          "heldBy": {"flagger": "checkout"}},
            "policy": {
                "enabled": false, "onMissingIdentity": "issueCookie", "salt": "s", "algorithm": "siphash-2-4", "key": {"env": "K"},
                "match": {"hosts": ["*.a"], "paths": [{"prefix": "/"}, {"exact": "/x"}], "methods": ["GET"],
                          "headers": [{"name": "x-a", "exact": ""}, {"name": "x-b", "prefix": "p"}, {"name": "x-c", "present": true}]},
                "identity": [{"header": "x-user-id"}, {"jwtClaim": {"path": ["a", "b"], "payload": "p"}}, {"cookie": "sid"}],
                "cookie": {"name": "c", "maxAge": "30d", "path": "/", "domain": "a.example", "sameSite": "Lax", "secure": true},
                "pins": {"canary": ["a"], "stable": ["b"]},
                "variants": [{"name": "canary"}, {"name": "baseline"}],
                "response": {"removeHeaders": ["server"]},
            },
            "plan": {
                "start": "onNewVersion", "steps": [0, 1.5, {"weight": 25, "dwell": "30m", "approval": true, "gate": "smoke"}],
                "dwell": "10m", "minRequests": 500, "warmUp": "30s", "alpha": 1, "alphaPer": "release", "beta": 5,
                "guards": {"errors": {"worseThan": {"times": 1.25, "plus": 0.1}, "safeWithin": {"plus": 1}},
                           "latency": {"slowerThan": "250ms"}, "payments": {"query": "payments"}},
                "onInconclusive": "promote", "deadline": "24h", "rollback": {"down": [25, 5, 0], "every": "30s"},
                "promote": "copy", "capacity": "ready", "scaleDownCanary": true, "notify": ["oncall"], "mode": "judge",
            },
        }),
        json!({"name": "shop/checkout", "policy": policy, "plan": {"mode": "judge"},
               "workloads": {"service": "checkout", "heldBy": {"rollout": "checkout"}}}),
        json!({"name": "shop/checkout", "policy": policy, "plan": {"rollback": "atOnce", "start": "manual",
               "onServerAway": {"after": "30m", "weight": 1}}}),
    ]
}
