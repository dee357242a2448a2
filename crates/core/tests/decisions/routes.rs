//! Pins, ranges, and the three forms in which the answer reaches the router.

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Edit, Reason};

use crate::NOW;

fn get(user: &str) -> StaticRequest {
    StaticRequest::new("GET", "h", "/").with_header("x-user-id", user)
}

/// A policy of one rollout for the host `h`.
fn policy(fields: &str) -> Policy {
    crate::policy(&[&format!(
        r#"{{"name": "r", "salt": "s", "match": {{"hosts": ["h"]}}, "identity": [{{"header": "x-user-id"}}], {fields}}}"#
    )])
}

/// The variant, the reason and what is set for the router.
fn outcome(policy: &Policy, request: &StaticRequest) -> (String, Reason, Option<String>) {
    let outcome = policy.decide(request, NOW);
    let set = outcome.edits.iter().find_map(|edit| match edit {
        Edit::Set(_, value) => Some(String::from_utf8(value.to_vec()).unwrap()),
        Edit::Remove(_) => None,
    });
    (outcome.assignment.variant_name().to_owned(), outcome.assignment.reason, set)
}

fn is(variant: &str, reason: Reason, set: Option<&str>) -> (String, Reason, Option<String>) {
    (variant.to_owned(), reason, set.map(str::to_owned))
}

#[test]
fn a_pin_comes_before_the_bucket() {
    for (weight, others) in [(0, "stable"), (100, "canary")] {
        let policy = policy(&format!(
            r#""variants": [{{"name": "canary", "weight": {weight}}}, {{"name": "baseline", "weight": 0}}],
               "pins": {{"canary": ["alice"], "stable": ["bob", "0042"], "baseline": ["carol"]}}"#
        ));
        let set = |variant: &'static str| (variant != "stable").then_some(variant);
        for (user, variant) in
            [("alice", "canary"), ("bob", "stable"), ("0042", "stable"), ("carol", "baseline")]
        {
            assert_eq!(outcome(&policy, &get(user)), is(variant, Reason::Pinned, set(variant)), "{user}");
        }
        // Compared as bytes.
        for user in ["Alice", "alice ", " alice", "alice\0", "42", "al", "zoe"] {
            assert_eq!(outcome(&policy, &get(user)), is(others, Reason::Bucket, set(others)), "{user}");
        }
        let pinned = policy.decide(&get("alice"), NOW).assignment.bucketed;
        assert!(pinned.is_some(), "where the user would have fallen is known all the same");
    }
}

/// The kill switch is stronger than a pin, and nobody without an identity has one.
#[test]
fn a_pin_of_a_killed_rollout_is_nothing() {
    let pins = r#""variants": [{"name": "canary", "weight": 5}], "pins": {"canary": ["alice"]}"#;
    let killed = policy(&format!(r#""enabled": false, {pins}"#));
    assert_eq!(outcome(&killed, &get("alice")), is("stable", Reason::Disabled, None));
    assert_eq!(outcome(&policy(pins), &get("")), is("stable", Reason::NoIdentity, None));
}

/// A name may recur in a table; an end belongs to the next range.
#[test]
fn ranges_say_which_variant_a_bucket_gets() {
    let policy = policy(
        r#""variants": [{"name": "canary"}, {"name": "blue"}],
           "ranges": [[100000, "canary"], [300000, "blue"], [900000, "stable"], [950000, "canary"], [1000000, "blue"]]"#,
    );
    let rollout = &policy.rollouts()[0];
    let expected = |bucket: u32| match bucket {
        0..100_000 | 900_000..950_000 => "canary",
        100_000..300_000 | 950_000..1_000_000 => "blue",
        _ => "stable",
    };
    for user in (0..5_000).map(|number| format!("user-{number}")) {
        let assignment = policy.decide(&get(&user), NOW).assignment;
        let bucket = assignment.bucketed.unwrap().bucket;
        assert_eq!(assignment.variant_name(), expected(bucket.number()));
        assert_eq!(assignment.variant, rollout.ranges(NOW).variant(bucket));
    }
    for (number, variant) in [(99_999, "canary"), (100_000, "blue"), (299_999, "blue"), (300_000, "stable")] {
        let bucket = coalmine_core::bucketing::Bucket::new(number).unwrap();
        assert_eq!(rollout.variant_name(rollout.ranges(NOW).variant(bucket)), variant);
    }
}

const CLUSTERS: &str = r#""route": {"clusterHeader": {"name": "x-cluster",
    "clusters": {"canary": "outbound|80|v2|checkout", "stable": "outbound|80|v1|checkout"}}}"#;

#[test]
fn a_cluster_header_names_a_cluster_for_stable_too() {
    let (stable, canary) = ("outbound|80|v1|checkout", "outbound|80|v2|checkout");
    let at = |weight: u32, fields: &str| {
        policy(&format!(r#""variants": [{{"name": "canary", "weight": {weight}}}], {fields} {CLUSTERS}"#))
    };
    assert_eq!(outcome(&at(0, ""), &get("a")), is("stable", Reason::Bucket, Some(stable)));
    assert_eq!(outcome(&at(100, ""), &get("a")), is("canary", Reason::Bucket, Some(canary)));
    assert_eq!(outcome(&at(100, ""), &get("")), is("stable", Reason::NoIdentity, Some(stable)));
    let disabled = r#""enabled": false,"#;
    assert_eq!(outcome(&at(100, disabled), &get("a")), is("stable", Reason::Disabled, Some(stable)));
    let pinned = at(0, r#""pins": {"canary": ["a"]},"#);
    assert_eq!(outcome(&pinned, &get("a")), is("canary", Reason::Pinned, Some(canary)));
}

/// Without a match the header is absent, and what the client sent under it is gone.
#[test]
fn a_cluster_header_is_absent_without_a_match() {
    let policy = policy(&format!(r#""variants": [{{"name": "canary", "weight": 100}}], {CLUSTERS}"#));
    let elsewhere = StaticRequest::new("GET", "elsewhere", "/").with_header("x-user-id", "a");
    assert_eq!(policy.decide(&elsewhere, NOW).edits, []);
    let forged = elsewhere.with_header("X-Cluster", "admin");
    let outcome = policy.decide(&forged, NOW);
    assert_eq!(
        (outcome.assignment.reason, &outcome.edits[..]),
        (Reason::NoMatch, &[Edit::Remove("x-cluster")][..])
    );
    assert!(outcome.forged);
    // With a match it is overwritten.
    let forged = get("a").with_header("x-cluster", "admin");
    let edits = policy.decide(&forged, NOW).edits;
    assert_eq!(edits, [Edit::Set("x-cluster", b"outbound|80|v2|checkout"[..].into())]);
}

/// `scale` is the total, and what may follow it.
fn bucket_policy(scale: &str, fields: &str) -> Policy {
    policy(&format!(r#"{fields} "route": {{"bucketHeader": {{"name": "x-bucket", "total": {scale}}}}}"#))
}

#[test]
fn a_bucket_header_is_the_bucket_in_the_routes_own_steps() {
    for total in [1_u32, 2, 3, 100, 997, 1_000_000] {
        let place = if total % 2 == 0 { r#", "canary": "last""# } else { "" };
        let policy = bucket_policy(&format!("{total}{place}"), "");
        for user in (0..500).map(|number| format!("user-{number}")) {
            let bucket = policy.rollouts()[0].bucketer().unwrap().bucket(user.as_bytes()).bucket.number();
            let value = (u64::from(bucket) * u64::from(total) / 1_000_000).to_string();
            assert_eq!(
                outcome(&policy, &get(&user)),
                is("route", Reason::Bucket, Some(&value)),
                "of {total}"
            );
        }
    }
}

/// Whatever is stable without a draw has no header: the route behind the weights is stable in every order.
#[test]
fn the_absence_of_a_bucket_header_is_stable() {
    for place in ["", r#", "canary": "first""#, r#", "canary": "last""#] {
        for total in ["1", "100", "1000000"] {
            let of = |fields: &str| bucket_policy(&format!("{total}{place}"), fields);
            let policy = of(r#""pins": {"canary": ["alice"], "stable": ["bob"]},"#);
            assert_eq!(outcome(&policy, &get("bob")), is("stable", Reason::Pinned, None));
            assert_eq!(outcome(&policy, &get("")), is("stable", Reason::NoIdentity, None));
            let twice = get("zoe").with_header("x-user-id", "alice");
            assert_eq!(outcome(&policy, &twice), is("stable", Reason::NoIdentity, None), "a guess");
            let killed = of(r#""enabled": false, "pins": {"canary": ["alice"]},"#);
            assert_eq!(outcome(&killed, &get("alice")), is("stable", Reason::Disabled, None));
            let keyless = of(r#""algorithm": "siphash-2-4", "key": {"env": "KEY"},"#);
            assert_eq!(outcome(&keyless, &get("alice")), is("stable", Reason::NoKey, None));
            let forged = get("bob").with_header("x-bucket", "0");
            assert_eq!(policy.decide(&forged, NOW).edits, [Edit::Remove("x-bucket")]);
        }
    }
}

/// A pin to the canary lies in its range at every weight but 0, and the route has the last word.
#[test]
fn a_pin_to_the_canary_lies_where_the_canary_is() {
    for (scale, value) in [
        ("1", "0"),
        ("100", "0"),
        (r#"100, "canary": "first""#, "0"),
        (r#"100, "canary": "last""#, "99"),
        (r#"1, "canary": "last""#, "0"),
        (r#"1000000, "canary": "last""#, "999999"),
    ] {
        let policy = bucket_policy(scale, r#""pins": {"canary": ["alice"]},"#);
        assert_eq!(outcome(&policy, &get("alice")), is("route", Reason::Pinned, Some(value)), "{scale}");
    }
}

#[test]
fn a_bucket_header_is_absent_without_a_match() {
    let policy = bucket_policy("100", "");
    let elsewhere = StaticRequest::new("GET", "elsewhere", "/").with_header("x-user-id", "a");
    assert_eq!(policy.decide(&elsewhere, NOW).edits, []);
    assert_eq!(policy.decide(&elsewhere.with_header("x-bucket", "0"), NOW).edits, [Edit::Remove("x-bucket")]);
    assert!(policy.decide(&get("a").with_header("x-bucket", "0"), NOW).forged);
}

/// The variant that a route chooses has no name here: neither metrics nor logs claim to know it. A pin too may find a
/// canary of weight 0.
#[test]
fn only_the_route_knows() {
    let policy = bucket_policy("100", r#""pins": {"canary": ["alice"]},"#);
    assert_eq!(policy.decide(&get("zoe"), NOW).assignment.variant_name(), "route");
    assert_eq!(policy.decide(&get("alice"), NOW).assignment.variant_name(), "route");
    assert_eq!(policy.decide(&get(""), NOW).assignment.variant_name(), "stable");
}

/// One policy may use all three forms; each match writes its own header and clears the others.
#[test]
fn each_rollout_writes_its_own_header() {
    let rollout = |name: &str, fields: &str| {
        format!(
            r#"{{"name": "{name}", "match": {{"hosts": ["{name}"]}}, "identity": [{{"header": "x-user-id"}}], {fields}}}"#
        )
    };
    let weighted = r#""variants": [{"name": "canary", "weight": 100}]"#;
    let policy = crate::policy(&[
        &rollout("a", &format!(r#"{weighted}, "route": {{"header": "x-variant"}}"#)),
        &rollout("b", &format!("{weighted}, {CLUSTERS}")),
        &rollout(
            "c",
            r#""pins": {"canary": ["u"]}, "route": {"bucketHeader": {"name": "x-bucket", "total": 100}}"#,
        ),
    ]);
    let names = ["x-variant", "x-cluster", "x-bucket"];
    let values = ["canary", "outbound|80|v2|checkout", "0"];
    for (place, host) in ["a", "b", "c", "none"].into_iter().enumerate() {
        let mut request = StaticRequest::new("GET", host, "/").with_header("x-user-id", "u");
        for name in names {
            request = request.with_header(name, "forged");
        }
        let edits = policy.decide(&request, NOW).edits;
        let expected: Vec<Edit<'_>> = names
            .into_iter()
            .enumerate()
            .map(|(other, name)| match other == place {
                true => Edit::Set(name, values[other].as_bytes().into()),
                false => Edit::Remove(name),
            })
            .collect();
        assert_eq!(edits, expected, "{host}");
    }
}
