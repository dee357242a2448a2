//! What is wrong with a route and its headers.

use super::{assert_problem, problems};

#[test]
fn a_route() {
    let place = "rollouts[0].route.header";
    for name in [
        "host",
        "cookie",
        "authorization",
        "connection",
        "content-type",
        "transfer-encoding",
        "te",
        "upgrade",
        "x-envoy-peer",
        "x-forwarded-for",
        "x-request-id",
    ] {
        assert_problem(
            "x-coalmine-variant",
            name,
            &format!("{place}: \"{name}\" belongs to HTTP or the proxy; use a name of your own"),
        );
    }
    assert_problem(
        "x-coalmine-variant",
        ":path",
        &format!("{place}: \":path\" is a pseudo-header; name an ordinary header"),
    );
    for name in ["x-user-id", "X-Region"] {
        assert_problem(
            "x-coalmine-variant",
            name,
            &format!(
                "{place}: \"{}\" is also an identity or a condition of this policy, but what clients send under it is removed",
                name.to_lowercase()
            ),
        );
    }
}

#[test]
fn a_policy_owns_at_most_four_headers() {
    let rollouts: Vec<String> = (0..6)
        .map(|n| format!(r#"{{"name": "r{n}", "identity": [{{"cookie": "s"}}], "variants": [{{"name": "c", "weight": 1}}],
            "route": {{"header": "x-{}"}}}}"#, n % 5))
        .collect();
    let document = format!("{{\"rollouts\": [{}]}}", rollouts.join(", "));
    assert_eq!(
        problems(&document),
        [
            "rollouts[4].route.header: \"x-4\" would be the header of Coalmine number 5; a policy has at most 4, rollouts may share one"
        ]
    );
}
