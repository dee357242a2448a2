//! What is wrong with a route and its headers.

use super::{assert_problem, problems, rollout_with};
use coalmine_core::policy::Policy;

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
                "{place}: \"{}\" is also an identity or a condition of this policy (rollouts[0]), but what clients send under it is removed",
                name.to_lowercase()
            ),
        );
    }
}

#[test]
fn a_policy_manages_at_most_four_headers() {
    let rollouts: Vec<String> = (0..6)
        .map(|n| format!(r#"{{"name": "r{n}", "identity": [{{"cookie": "s"}}], "variants": [{{"name": "c", "weight": 1}}],
            "route": {{"header": "x-{}"}}}}"#, n % 5))
        .collect();
    let document = format!("{{\"rollouts\": [{}]}}", rollouts.join(", "));
    assert_eq!(
        problems(&document),
        [
            "rollouts[4].route.header: \"x-4\" would be managed header number 5, after those of rollouts[0], rollouts[1], rollouts[2], rollouts[3]; a policy has at most 4, rollouts may share one"
        ]
    );
}

/// The problems of the good rollout with this route.
fn problems_of_route(route: &str) -> Vec<String> {
    problems(&rollout_with(r#"{"header": "x-coalmine-variant"}"#, route))
}

#[test]
fn a_route_has_one_form() {
    let clusters = r#""clusterHeader": {"name": "x-cluster", "clusters": {"stable": "s", "canary": "c"}}"#;
    for route in ["{}".to_owned(), format!(r#"{{"header": "x-variant", {clusters}}}"#)] {
        assert_eq!(
            problems_of_route(&route),
            ["rollouts[0].route: needs one way: header, clusterHeader or bucketHeader"]
        );
    }
    assert_eq!(problems_of_route(&format!("{{{clusters}}}")), [""; 0]);
    assert_eq!(
        problems_of_route("\"x-variant\""),
        ["rollouts[0].route: must be a map, not the string \"x-variant\""]
    );
    assert_eq!(
        problems_of_route(r#"{"header": "x-a", "cluster": "x-b"}"#),
        ["rollouts[0].route.cluster: unknown field; known here: header, clusterHeader, bucketHeader"]
    );
}

#[test]
fn a_cluster_header() {
    for (header, place, message) in [
        ("[]", "", "must be a map, not a list"),
        (
            r#"{"clusters": {"stable": "s", "canary": "c"}}"#,
            "",
            "\"name\" is missing: the header that the route takes its cluster from",
        ),
        (r#"{"name": "x-c"}"#, "", "\"clusters\" is missing: a cluster for every variant, stable too"),
        (r#"{"name": "x-c", "clusters": []}"#, ".clusters", "must be a map, not a list"),
        (
            r#"{"name": "x-c", "clusters": {}}"#,
            ".clusters",
            "no cluster for stable, canary; every variant needs one",
        ),
        (
            r#"{"name": "x-c", "clusters": {"canary": "c"}}"#,
            ".clusters",
            "no cluster for stable; every variant needs one",
        ),
        (
            r#"{"name": "x-c", "clusters": {"stable": "s", "canary": "c", "blue": "b"}}"#,
            ".clusters.blue",
            "\"blue\" is not a variant of this rollout; it has: stable, canary",
        ),
        (
            r#"{"name": "x-c", "clusters": {"stable": "s", "canary": ""}}"#,
            ".clusters.canary",
            "\"\" is not a valid cluster name: 1 to 1024 visible characters of ASCII",
        ),
        (
            r#"{"name": "x-c", "clusters": {"stable": "a b", "canary": "c"}}"#,
            ".clusters.stable",
            "\"a b\" is not a valid cluster name: 1 to 1024 visible characters of ASCII",
        ),
        (
            r#"{"name": "x-c", "clusters": {"stable": "s", "canary": 5}}"#,
            ".clusters.canary",
            "must be a string, not the number 5: put it in quotes",
        ),
        (
            r#"{"name": "x-c", "clusters": {"stable": "s", "canary": "c", "canary": "d"}}"#,
            ".clusters.canary",
            "is given twice; keep one",
        ),
        (
            r#"{"name": "X-Request-Id", "clusters": {"stable": "s", "canary": "c"}}"#,
            ".name",
            "\"x-request-id\" belongs to HTTP or the proxy; use a name of your own",
        ),
        (
            r#"{"name": "x-user-id", "clusters": {"stable": "s", "canary": "c"}}"#,
            ".name",
            "\"x-user-id\" is also an identity or a condition of this policy (rollouts[0]), but what clients send under it is removed",
        ),
    ] {
        let expected = format!("rollouts[0].route.clusterHeader{place}: {message}");
        assert_eq!(problems_of_route(&format!(r#"{{"clusterHeader": {header}}}"#)), [expected], "{header}");
    }
}

/// The problems of a rollout whose route keeps the weights.
fn problems_of_bucket(header: &str, fields: &str) -> Vec<String> {
    problems(&format!(
        r#"{{"rollouts": [{{"name": "r", "identity": [{{"cookie": "s"}}], {fields} "route": {{"bucketHeader": {header}}}}}]}}"#
    ))
}

#[test]
fn a_bucket_header() {
    for more in ["", r#", "canary": "first""#, r#", "canary": "last""#] {
        let header = format!(r#"{{"name": "x-bucket", "total": 1000000{more}}}"#);
        assert_eq!(problems_of_bucket(&header, ""), [""; 0]);
    }
    for (header, place, message) in [
        ("1", "", "must be a map, not the number 1"),
        (r#"{"total": 100}"#, "", "\"name\" is missing: the header_name of the route's weighted_clusters"),
        (
            r#"{"name": "x-bucket"}"#,
            "",
            "\"total\" is missing: the sum of the route's weights, 100 in a VirtualService",
        ),
        (r#"{"name": "x-bucket", "total": 0}"#, ".total", "must be a whole number from 1 to 1000000, not 0"),
        (
            r#"{"name": "x-bucket", "total": 1000001}"#,
            ".total",
            "must be a whole number from 1 to 1000000, not 1000001",
        ),
        (
            r#"{"name": "x-bucket", "total": 99.5}"#,
            ".total",
            "must be a whole number from 1 to 1000000, not 99.5",
        ),
        (
            r#"{"name": "x-bucket", "total": "100"}"#,
            ".total",
            "must be a number, not the string \"100\": write it without quotes",
        ),
        (
            r#"{"name": "te", "total": 100}"#,
            ".name",
            "\"te\" belongs to HTTP or the proxy; use a name of your own",
        ),
    ] {
        let expected = format!("rollouts[0].route.bucketHeader{place}: {message}");
        assert_eq!(problems_of_bucket(header, ""), [expected], "{header}");
    }
}

#[test]
fn a_bucket_header_leaves_the_weights_to_the_route() {
    for (field, name) in [
        (r#""variants": [{"name": "canary", "weight": 5}],"#, "variants"),
        (r#""ranges": [[1000000, "stable"]],"#, "ranges"),
    ] {
        assert_eq!(
            problems_of_bucket(r#"{"name": "x-bucket", "total": 100}"#, field),
            [format!(
                "rollouts[0].{name}: the weights stay in the route where it has a bucketHeader; leave this out"
            )]
        );
    }
}

/// The four may be of any kind.
#[test]
fn names_of_every_kind_count_towards_the_four() {
    let rollout = |name: &str, route: &str, variants: &str| {
        format!(r#"{{"name": "{name}", "identity": [{{"header": "x-user"}}], {variants} "route": {route}}}"#)
    };
    let canary = r#""variants": [{"name": "canary", "weight": 1}],"#;
    let clusters = |name: &str| {
        format!(r#"{{"clusterHeader": {{"name": "{name}", "clusters": {{"stable": "s", "canary": "c"}}}}}}"#)
    };
    let bucket = |name: &str| format!(r#"{{"bucketHeader": {{"name": "{name}", "total": 100}}}}"#);
    let four = [
        rollout("a", r#"{"header": "x-1"}"#, canary),
        rollout("b", &clusters("x-2"), canary),
        rollout("c", &bucket("x-3"), ""),
        rollout("d", &bucket("x-4"), ""),
    ]
    .join(", ");
    let more = |rollouts: &str| problems(&format!("{{\"rollouts\": [{four}, {rollouts}]}}"));
    assert_eq!(more(&rollout("e", &bucket("X-1"), "")), [""; 0], "shared with another kind");
    assert_eq!(
        more(&rollout("e", &clusters("x-5"), canary)),
        [
            "rollouts[4].route.clusterHeader.name: \"x-5\" would be managed header number 5, after those of rollouts[0], rollouts[1], rollouts[2], rollouts[3]; a policy has at most 4, rollouts may share one"
        ]
    );
}

/// A name that is one too many does not hide what is wrong with the next.
#[test]
fn a_fifth_name_hides_nothing() {
    let rollouts: Vec<String> = ["x-1", "x-2", "x-3", "x-4", "x-5", "x-user"]
        .iter()
        .map(|name| {
            format!(
                r#"{{"name": "r{name}", "identity": [{{"header": "x-user"}}],
                    "route": {{"bucketHeader": {{"name": "{name}", "total": 100}}}}}}"#
            )
        })
        .collect();
    assert_eq!(
        problems(&format!("{{\"rollouts\": [{}]}}", rollouts.join(", "))),
        [
            "rollouts[4].route.bucketHeader.name: \"x-5\" would be managed header number 5, after those of rollouts[0], rollouts[1], rollouts[2], rollouts[3]; a policy has at most 4, rollouts may share one",
            "rollouts[5].route.bucketHeader.name: \"x-user\" is also an identity or a condition of this policy (rollouts[0]), but what clients send under it is removed",
            "rollouts[5].route.bucketHeader.name: \"x-user\" would be managed header number 6, after those of rollouts[0], rollouts[1], rollouts[2], rollouts[3]; a policy has at most 4, rollouts may share one",
        ]
    );
}

#[test]
fn a_policy_manages_at_most_four_cookies() {
    let rollout = |n: u32| {
        format!(
            r#"{{"name": "r{n}", "identity": [{{"header": "x-u"}}], "variants": [{{"name": "c", "weight": 1}}],
                "override": {{"cookie": "c{}", "secret": {{"env": "SECRET"}}}}}}"#,
            n % 6
        )
    };
    let document =
        |count| format!("{{\"rollouts\": [{}]}}", (0..count).map(rollout).collect::<Vec<_>>().join(", "));
    assert!(Policy::from_json(document(4).as_bytes()).is_ok());
    let problems = Policy::from_json(document(8).as_bytes()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "rollouts[4].override.cookie: \"c4\" would be managed cookie number 5, after those of rollouts[0], rollouts[1], \
         rollouts[2], rollouts[3]; a policy has at most 4, rollouts may share one\n\
         rollouts[5].override.cookie: \"c5\" would be managed cookie number 6, after those of rollouts[0], rollouts[1], \
         rollouts[2], rollouts[3]; a policy has at most 4, rollouts may share one"
    );
}
