//! The measured split: of a million users, each weight gets its share within the binomial error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::split::Variant;

const USERS: u32 = 1_000_000;
const WEIGHTS: [f64; 7] = [0.0, 0.01, 1.0, 5.0, 50.0, 99.99, 100.0];
/// Half of what lies outside is above: the quantile of the standard normal distribution at 0.9995.
const QUANTILE: f64 = 3.290_526_7;
const CANARY: Variant = Variant::listed(0);

/// A policy of one rollout per weight, all of one salt.
fn policy(fields: &str) -> Policy {
    let rollout = |weight: f64| {
        let name = weight.to_string().replace('.', "-");
        format!(
            r#"{{"name": "w{name}", "salt": "split", {fields} "identity": [{{"header": "x-user-id"}}],
                "variants": [{{"name": "canary", "weight": {weight}}}]}}"#
        )
    };
    let document = format!("{{\"rollouts\": [{}]}}", WEIGHTS.map(rollout).join(", "));
    Policy::from_json(document.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The canaries of each weight among users who are counted from 0. A user has one bucket, whatever the weight.
fn canaries(policy: &Policy) -> [u32; WEIGHTS.len()] {
    let ranges: Vec<_> = policy.rollouts().iter().map(|rollout| rollout.ranges(Duration::ZERO)).collect();
    let bucketer = policy.rollouts()[0].bucketer().unwrap();
    let mut counts = [0; WEIGHTS.len()];
    let mut identity = String::new();
    for user in 0..USERS {
        identity.clear();
        std::fmt::Write::write_fmt(&mut identity, format_args!("u{user}")).unwrap();
        let bucket = bucketer.bucket(identity.as_bytes()).bucket;
        for (count, ranges) in counts.iter_mut().zip(&ranges) {
            *count += u32::from(ranges.variant(bucket) == CANARY);
        }
    }
    counts
}

fn assert_exact(algorithm: &str, fields: &str) {
    for (weight, count) in WEIGHTS.into_iter().zip(canaries(&policy(fields))) {
        let (users, share) = (f64::from(USERS), weight / 100.0);
        let expected = users * share;
        let most = QUANTILE * (expected * (1.0 - share)).sqrt();
        println!("{algorithm} at {weight} %: {count} of {USERS}, expected {expected:.0} within {most:.1}");
        let off = (f64::from(count) - expected).abs();
        assert!(off <= most, "{algorithm} at {weight} %: {count}, which is {off} off and not within {most}");
    }
}

/// 0 is nobody and 100 is everybody, so there the interval has no width.
#[test]
fn coalmine_v1_splits_a_million_users_within_the_binomial_interval() {
    assert_exact("coalmine-v1", "");
}

#[test]
fn siphash_splits_a_million_users_within_the_binomial_interval() {
    assert_exact("siphash-2-4", r#""algorithm": "siphash-2-4", "key": "000102030405060708090a0b0c0d0e0f","#);
}
