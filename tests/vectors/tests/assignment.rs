//! From salt and identity to hash, bucket and variant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use coalmine_core::bucketing::{Bucketer, Key};
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use serde::Deserialize;

#[derive(Deserialize)]
struct Assignment {
    coalmine_v1: Vec<CoalmineV1>,
}

#[derive(Deserialize)]
struct CoalmineV1 {
    salt: String,
    identity: String,
    /// In hexadecimal.
    fmix64: String,
    bucket: u32,
    /// In hexadecimal, under [`KEY`].
    siphash24: String,
    siphash24_bucket: u32,
}

/// The key that the file's siphash24 is computed under.
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn vectors() -> Assignment {
    serde_json::from_str(include_str!("../assignment.json")).unwrap()
}

#[test]
fn coalmine_v1_gives_the_bucket_and_the_group() {
    let vectors = vectors().coalmine_v1;
    assert_eq!(vectors.len(), 19);
    for vector in vectors {
        let bucketed = Bucketer::coalmine_v1(&vector.salt).bucket(vector.identity.as_bytes());
        assert_eq!(bucketed.bucket.number(), vector.bucket, "{}:{}", vector.salt, vector.identity);
        let m = u64::from_str_radix(&vector.fmix64, 16).unwrap();
        assert_eq!(u64::from(bucketed.group.number()), m & 15, "{}:{}", vector.salt, vector.identity);
    }
}

#[test]
fn siphash_gives_the_bucket_and_the_group() {
    for vector in vectors().coalmine_v1 {
        let bucketed = Bucketer::siphash_2_4(&vector.salt, Key::from_hex(KEY).unwrap())
            .bucket(vector.identity.as_bytes());
        assert_eq!(bucketed.bucket.number(), vector.siphash24_bucket, "{}:{}", vector.salt, vector.identity);
        let m = u64::from_str_radix(&vector.siphash24, 16).unwrap();
        assert_eq!(u64::from(bucketed.group.number()), m & 15, "{}:{}", vector.salt, vector.identity);
    }
}

/// The canary's weight ends exactly before, and exactly behind, the bucket of each vector.
#[test]
fn a_whole_policy_document_comes_to_the_variant() {
    for vector in vectors().coalmine_v1.iter().filter(|vector| !vector.identity.is_empty()) {
        assert_boundary(vector, vector.bucket, serde_json::json!({}));
        let keyed = serde_json::json!({"algorithm": "siphash-2-4", "key": KEY});
        assert_boundary(vector, vector.siphash24_bucket, keyed);
    }
}

/// The identity is stable when the canary's weight ends before `bucket`, and canary when it ends behind it.
fn assert_boundary(vector: &CoalmineV1, bucket: u32, fields: serde_json::Value) {
    for (ppm, variant) in [(bucket, "stable"), (bucket + 1, "canary")] {
        let mut rollout = serde_json::json!({
            "name": "checkout",
            "salt": vector.salt,
            "identity": [{"header": "x-user-id"}],
            "variants": [{"name": "canary", "weight": f64::from(ppm) / 10_000.0}],
        });
        rollout.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let document = serde_json::json!({"rollouts": [rollout]}).to_string();
        let policy = Policy::from_json(document.as_bytes()).unwrap();
        let request = StaticRequest::new("GET", "checkout", "/").with_header("x-user-id", &vector.identity);
        let outcome = policy.decide(&request, Duration::ZERO);
        assert_eq!(
            outcome.assignment.variant_name(),
            variant,
            "{}:{} at {ppm}",
            vector.salt,
            vector.identity
        );
    }
}
