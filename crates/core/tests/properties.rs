//! Properties that hold for every user, any salt and any weight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use coalmine_core::Edit;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const NOW: Duration = Duration::ZERO;

/// The variant of each user under two variants of these weights, in parts per million.
fn assignments(salt: &str, canary: u32, baseline: u32, users: &[Vec<u8>]) -> Vec<String> {
    let percent = |ppm: u32| f64::from(ppm) / 10_000.0;
    let document = format!(
        r#"{{"rollouts": [{{"name": "r", "salt": "{salt}", "identity": [{{"cookie": "s"}}], "variants": [
            {{"name": "canary", "weight": {}}}, {{"name": "baseline", "weight": {}}}]}}]}}"#,
        percent(canary),
        percent(baseline)
    );
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    let rollout = &policy.rollouts()[0];
    users.iter().map(|user| rollout.assign(Some(user), NOW).variant_name().to_owned()).collect()
}

fn users() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..200)
}

/// The same cases in every run: what fails, fails again.
fn reproducible() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(reproducible())]

    #[test]
    fn sticky_and_monotone(
        salt in "[A-Za-z0-9._-]{1,64}",
        users in users(),
        (low, high, baseline) in (0..=1_000_000_u32).prop_flat_map(|high| (0..=high, Just(high), 0..=1_000_000 - high)),
    ) {
        let before = assignments(&salt, low, baseline, &users);
        let after = assignments(&salt, high, baseline, &users);
        prop_assert_eq!(&before, &assignments(&salt, low, baseline, &users));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || before == "stable" && after == "canary", "{} became {}", before, after);
        }
    }

    #[test]
    fn nobody_at_0_and_everybody_at_100(salt in "[A-Za-z0-9._-]{1,64}", users in users()) {
        prop_assert!(assignments(&salt, 0, 0, &users).iter().all(|variant| variant == "stable"));
        prop_assert!(assignments(&salt, 1_000_000, 0, &users).iter().all(|variant| variant == "canary"));
        prop_assert!(assignments(&salt, 0, 1_000_000, &users).iter().all(|variant| variant == "baseline"));
    }

    #[test]
    fn no_document_makes_the_reader_stumble(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::from_json(text.as_bytes());
        let _ = Policy::from_json(&bytes);
    }
}

proptest! {
    #![proptest_config(reproducible())]

    /// What the route does with the header: the canary, its first cluster, takes the values below its weight.
    #[test]
    fn a_bucket_header_is_the_floor(identity in proptest::collection::vec(any::<u8>(), 1..40), total in 1..=1_000_000_u32, weight in any::<proptest::sample::Index>()) {
        let document = format!(
            r#"{{"rollouts": [{{"name": "r", "identity": [{{"header": "x-user"}}],
                "route": {{"bucketHeader": {{"name": "x-bucket", "total": {total}}}}}}}]}}"#
        );
        let policy = Policy::from_json(document.as_bytes()).unwrap();
        let outcome = policy.decide(&StaticRequest::default().with_header("x-user", &identity), NOW);
        let bucket = f64::from(outcome.assignment.bucketed.unwrap().bucket.number());
        let [Edit::Set("x-bucket", value)] = &outcome.edits[..] else { panic!("{:?}", outcome.edits) };
        let value: u32 = std::str::from_utf8(value).unwrap().parse().unwrap();
        // Both products are below 2^53, so the doubles are exact.
        prop_assert_eq!(f64::from(value), (bucket * f64::from(total) / 1e6).floor());
        prop_assert!(value < total);
        let weight = weight.index(total as usize + 1) as u32;
        prop_assert_eq!(value < weight, bucket * f64::from(total) < f64::from(weight) * 1e6, "canary at {} of {}", weight, total);
    }
}

/// Neighbouring identities, a tenth of them canaries: each fifth of the list holds its share, which raw FNV-1a fails.
#[test]
fn neighbours_do_not_fall_together() {
    let users: Vec<Vec<u8>> = (0..100_000).map(|n| format!("user-{n:06}").into_bytes()).collect();
    let variants = assignments("checkout-7", 100_000, 0, &users);
    for fifth in variants.chunks(20_000) {
        let canary = fifth.iter().filter(|variant| *variant == "canary").count();
        // Five standard deviations of a binomial of 20,000 at 0.1 are 212.
        assert!(canary.abs_diff(2_000) < 212, "{canary} of 20000");
    }
}

/// The canaries of two rollouts of the same weight: whether each of 200,000 users is one, and their correlation.
fn correlation(fields: [&str; 2], percent: u32, user: impl Fn(u32) -> String) -> f64 {
    const USERS: u32 = 200_000;
    let rollout = |name: &str, fields: &str| {
        format!(
            r#"{{"name": "{name}", "identity": [{{"cookie": "s"}}], {fields}, "variants": [{{"name": "canary", "weight": {percent}}}]}}"#
        )
    };
    let document =
        format!("{{\"rollouts\": [{}, {}]}}", rollout("one", fields[0]), rollout("two", fields[1]));
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    let is_canary = |rollout: usize, user: &str| {
        policy.rollouts()[rollout].assign(Some(user.as_bytes()), NOW).variant_name() == "canary"
    };
    let (mut one, mut two, mut both) = (0_u32, 0_u32, 0_u32);
    for user in (0..USERS).map(user) {
        let (in_one, in_two) = (is_canary(0, &user), is_canary(1, &user));
        one += u32::from(in_one);
        two += u32::from(in_two);
        both += u32::from(in_one && in_two);
    }
    // Pearson's coefficient of two yes-or-no variables.
    let share = |count: u32| f64::from(count) / f64::from(USERS);
    let (one, two, both) = (share(one), share(two), share(both));
    (both - one * two) / (one * (1.0 - one) * two * (1.0 - two)).sqrt()
}

/// Salts that differ in one character, counted users, small and large canaries: nobody is first in every rollout.
#[test]
fn two_salts_are_independent() {
    let keyed = r#""algorithm": "siphash-2-4", "key": "000102030405060708090a0b0c0d0e0f""#;
    for (one, two) in [
        (r#""salt": "checkout-1""#.to_owned(), r#""salt": "checkout-2""#.to_owned()),
        (r#""salt": "a""#.to_owned(), r#""salt": "b""#.to_owned()),
        (format!(r#"{keyed}, "salt": "checkout-1""#), format!(r#"{keyed}, "salt": "checkout-2""#)),
        (format!(r#"{keyed}, "salt": "checkout-1""#), r#""salt": "checkout-1""#.to_owned()),
    ] {
        for percent in [1, 10, 50] {
            let measured = correlation([&one, &two], percent, |number| format!("user-{number:06}"));
            println!("{one} and {two} at {percent} %: {measured:.5}");
            assert!(measured.abs() <= 0.01, "{measured} at {percent} %: {one}, {two}");
        }
    }
    let addresses = |number: u32| format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    let measured = correlation([r#""salt": "checkout-1""#, r#""salt": "checkout-2""#], 10, addresses);
    assert!(measured.abs() <= 0.01, "{measured}");
}

/// One salt for two services: the same users go together.
#[test]
fn a_shared_salt_gives_the_same_users() {
    for percent in [1, 10, 50] {
        let measured = correlation([r#""salt": "shop""#; 2], percent, |number| format!("user-{number:06}"));
        assert!((measured - 1.0).abs() < 1e-12, "{measured}");
    }
}
