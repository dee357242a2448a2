//! Agreement with the flag systems whose buckets Coalmine repeats: flagd, GrowthBook and Unleash.
//!
//! Each vector is run on the hash function and through a whole policy document, to a variant. Agreement with the flag
//! system holds for two arms with the canary first, so a vector with more arms is run once for every boundary between
//! them: a user who lies before it is canary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use coalmine_core::bucketing::{BUCKETS, Bucketer};
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    flagd_v2: Vec<Flagd>,
    growthbook_v2: Vec<Growthbook>,
    growthbook_non_ascii: Vec<GrowthbookNonAscii>,
    unleash: Vec<Unleash>,
}

#[derive(Deserialize)]
struct Flagd {
    /// Salt and identity without anything between them: where the salt ends makes no difference.
    hash_input: String,
    murmur3_x86_32: u32,
    /// Of as many buckets as the weights add up to.
    bucket: u64,
    distribution: Vec<(String, u32)>,
    expected: String,
}

#[derive(Deserialize)]
struct Growthbook {
    seed: String,
    value: String,
    version: u32,
    /// The bucket as a fraction.
    expected: f64,
}

#[derive(Deserialize)]
struct GrowthbookNonAscii {
    seed: String,
    value: String,
    version: u32,
    /// What GrowthBook's JavaScript says, and so Coalmine.
    js_utf16_code_units: f64,
}

#[derive(Deserialize)]
struct Unleash {
    group: String,
    identifier: String,
    /// 1 to 100: at most this rollout, and the flag is on.
    value: u32,
    rollout: Option<u32>,
    enabled: Option<bool>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../assignment.json")).unwrap()
}

fn bucket(bucketer: &Bucketer, identity: &str) -> u32 {
    bucketer.bucket(identity.as_bytes()).bucket.number()
}

/// The variant that a policy gives to this identity, by the header that it is to come in.
fn variant(document: &serde_json::Value, identity: &str) -> String {
    let policy =
        Policy::from_json(document.to_string().as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    let request = StaticRequest::new("GET", "checkout", "/").with_header("x-user-id", identity);
    policy.decide(&request, Duration::ZERO).assignment.variant_name().to_owned()
}

/// Whether a canary of so many parts per million gets this identity.
fn is_canary(algorithm: &str, salt: &str, canary_ppm: u32, identity: &str) -> bool {
    let document = serde_json::json!({"rollouts": [{
        "name": "checkout",
        "algorithm": algorithm,
        "salt": salt,
        "identity": [{"header": "x-user-id"}],
        "variants": [{"name": "canary", "weight": f64::from(canary_ppm) / 10_000.0}],
    }]});
    match variant(&document, identity).as_str() {
        "canary" => true,
        "stable" => false,
        other => panic!("{other}"),
    }
}

/// Salt and identity, wherever the one ends and the other begins.
fn cuts(input: &str) -> impl Iterator<Item = (&str, &str)> {
    (1..input.len()).filter(|&at| input.is_char_boundary(at)).map(|at| input.split_at(at))
}

#[test]
fn flagd_on_the_hash() {
    let vectors = vectors().flagd_v2;
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let hash = u64::from(vector.murmur3_x86_32);
        let total: u32 = vector.distribution.iter().map(|(_, weight)| weight).sum();
        assert_eq!((hash * u64::from(total)) >> 32, vector.bucket, "{}", vector.hash_input);
        let expected = (hash * u64::from(BUCKETS)) >> 32;
        for (salt, identity) in cuts(&vector.hash_input) {
            let bucket = bucket(&Bucketer::flagd_v2(salt), identity);
            assert_eq!(u64::from(bucket), expected, "{salt} {identity}");
        }
    }
}

#[test]
fn flagd_through_a_policy() {
    for vector in vectors().flagd_v2 {
        let total: u32 = vector.distribution.iter().map(|(_, weight)| weight).sum();
        let place = vector.distribution.iter().position(|(name, _)| *name == vector.expected).unwrap();
        let mut end = 0;
        let mut table = Vec::new();
        for (index, (name, weight)) in vector.distribution.iter().enumerate() {
            end += weight * (BUCKETS / total);
            table.push((end, name));
            for (salt, identity) in cuts(&vector.hash_input) {
                assert_eq!(
                    is_canary("flagd-v2", salt, end, identity),
                    place <= index,
                    "{salt} {identity} at {end}"
                );
            }
        }
        // All arms at once, in flagd's order: not promised, but a table in its order comes to the same.
        let document = serde_json::json!({"rollouts": [{
            "name": "checkout",
            "algorithm": "flagd-v2",
            "salt": &vector.hash_input[..5],
            "identity": [{"header": "x-user-id"}],
            "variants": vector.distribution.iter().map(|(name, _)| serde_json::json!({"name": name})).collect::<Vec<_>>(),
            "ranges": table,
        }]});
        if let identity @ [_, ..] = &vector.hash_input.as_bytes()[5..] {
            let identity = std::str::from_utf8(identity).unwrap();
            assert_eq!(variant(&document, identity), vector.expected, "{}", vector.hash_input);
        }
    }
}

/// The buckets as GrowthBook computes them, with salt and identity.
fn growthbook() -> Vec<(String, String, u32)> {
    let vectors = vectors();
    let ascii = vectors.growthbook_v2.into_iter().map(|vector| {
        assert_eq!(vector.version, 2);
        (vector.seed, vector.value, vector.expected)
    });
    let other = vectors
        .growthbook_non_ascii
        .into_iter()
        .filter(|vector| vector.version == 2)
        .map(|vector| (vector.seed, vector.value, vector.js_utf16_code_units));
    let parts = |fraction: f64| (fraction * f64::from(BUCKETS)).round() as u32;
    ascii.chain(other).map(|(salt, identity, fraction)| (salt, identity, parts(fraction))).collect()
}

#[test]
fn growthbook_on_the_hash() {
    let vectors = growthbook();
    assert_eq!(vectors.len(), 14);
    for (salt, identity, expected) in vectors {
        assert_eq!(bucket(&Bucketer::growthbook_v2(&salt), &identity), expected, "{salt} {identity}");
    }
}

/// GrowthBook takes a user in when the fraction lies below the coverage: not at it, but at the next step.
#[test]
fn growthbook_through_a_policy() {
    for (salt, identity, expected) in growthbook() {
        for (ppm, canary) in [(0, false), (expected, false), (expected + 100, true), (BUCKETS, true)] {
            assert_eq!(
                is_canary("growthbook-v2", &salt, ppm, &identity),
                canary,
                "{salt} {identity} at {ppm}"
            );
        }
    }
}

#[test]
fn unleash_on_the_hash() {
    let vectors = vectors().unleash;
    assert_eq!(vectors.len(), 10);
    for vector in vectors {
        let bucket = bucket(&Bucketer::unleash(&vector.group), &vector.identifier);
        assert_eq!(bucket, (vector.value - 1) * 10_000, "{}:{}", vector.group, vector.identifier);
    }
}

/// What Unleash's own specification says is enabled, and the two rollouts on either side of each value.
#[test]
fn unleash_through_a_policy() {
    let vectors = vectors().unleash;
    assert_eq!(vectors.iter().filter(|vector| vector.rollout.is_some()).count(), 7);
    for vector in vectors {
        let specified = vector.rollout.zip(vector.enabled);
        let around = [(vector.value - 1, false), (vector.value, true)];
        for (rollout, enabled) in specified.into_iter().chain(around) {
            let canary = is_canary("unleash", &vector.group, rollout * 10_000, &vector.identifier);
            assert_eq!(canary, enabled, "{}:{} at {rollout}", vector.group, vector.identifier);
        }
    }
}
