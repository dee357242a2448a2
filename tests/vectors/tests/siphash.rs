//! The keyed draw: from key, salt and identity to hash, bucket and variant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use coalmine_core::document::Node;
use coalmine_core::draw::{Draw, Key};
use coalmine_core::policy::{Environment, Policy};
use coalmine_core::request::WrittenRequest;
use serde::Deserialize;
use wasm_bindgen_test::wasm_bindgen_test;

/// The key of all vectors.
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

#[derive(Deserialize)]
struct Assignment {
    coalmine_v1: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    salt: String,
    identity: String,
    /// In hexadecimal.
    siphash24: String,
    siphash24_bucket: u32,
}

fn vectors() -> Vec<Vector> {
    let assignment: Assignment = serde_json::from_str(include_str!("../assignment.json")).unwrap();
    assert_eq!(assignment.coalmine_v1.len(), 19);
    assignment.coalmine_v1
}

#[wasm_bindgen_test(unsupported = test)]
fn siphash_2_4_draws_the_bucket_and_the_group() {
    for vector in vectors() {
        let draw = Draw::siphash_2_4(&vector.salt, Key::from_hex(KEY).unwrap());
        let lot = draw.lot(vector.identity.as_bytes());
        assert_eq!(lot.bucket.number(), vector.siphash24_bucket, "{}:{}", vector.salt, vector.identity);
        // Of the keyed hash too: a group from the public one would tell what the key hides.
        let m = u64::from_str_radix(&vector.siphash24, 16).unwrap();
        assert_eq!(u64::from(lot.group.number()), m & 15, "{}:{}", vector.salt, vector.identity);
    }
}

/// The canary's weight ends exactly before, and exactly behind, the bucket of each vector; the key stands in the
/// document, or in the environment.
#[wasm_bindgen_test(unsupported = test)]
fn a_whole_policy_document_comes_to_the_variant() {
    let environment = |name: &str| (name == "COALMINE_KEY").then(|| KEY.to_uppercase());
    let keys = [serde_json::json!(KEY), serde_json::json!({"env": "COALMINE_KEY"})];
    for vector in vectors().iter().filter(|vector| !vector.identity.is_empty()) {
        for key in &keys {
            for (ppm, variant) in
                [(vector.siphash24_bucket, "stable"), (vector.siphash24_bucket + 1, "canary")]
            {
                let document = serde_json::json!({"rollouts": [{
                    "name": "checkout",
                    "salt": vector.salt,
                    "algorithm": "siphash-2-4",
                    "key": key,
                    "identity": [{"header": "x-user-id"}],
                    "variants": [{"name": "canary", "weight": f64::from(ppm) / 10_000.0}],
                }]});
                let node = Node::from_json(document.to_string().as_bytes()).unwrap();
                let policy = Policy::from_document(&node, Environment::Read(&environment)).unwrap();
                let request =
                    WrittenRequest::new("GET", "checkout", "/").with_header("x-user-id", &vector.identity);
                let decision = policy.decide(&request).decision;
                assert_eq!(
                    decision.variant_name(),
                    variant,
                    "{}:{} at {ppm}",
                    vector.salt,
                    vector.identity
                );
            }
        }
    }
}
