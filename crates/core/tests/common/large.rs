//! Policies of any size, as a large mesh would have them: every rollout has a host of its own. The salt is one, so that
//! a user costs the same whichever rollout decides.

/// The host of the rollout with this number.
pub(crate) fn host(number: usize) -> String {
    format!("service-{number}.shop.svc.cluster.local")
}

/// A document of so many rollouts with so many pins altogether.
pub(crate) fn document(rollouts: usize, pins: usize) -> String {
    let rollout = |number: usize| {
        let pins: Vec<String> =
            (number..pins).step_by(rollouts).map(|pin| format!("\"tester-{pin}\"")).collect();
        format!(
            r#"{{"name": "rollout-{number}", "match": {{"hosts": ["{}"], "paths": [{{"prefix": "/api/"}}]}}, "salt": "s",
                "identity": [{{"header": "x-user-id"}}, {{"cookie": "sid"}}],
                "variants": [{{"name": "canary", "weight": 5}}, {{"name": "baseline", "weight": 5}}],
                "pins": {{"canary": [{}]}}}}"#,
            host(number),
            pins.join(", ")
        )
    };
    let rollouts: Vec<String> = (0..rollouts).map(rollout).collect();
    format!("{{\"revision\": 1, \"rollouts\": [{}]}}", rollouts.join(", "))
}
