//! What a rollout promises to every user, for any salt and any weight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use coalmine_core::policy::Policy;
use proptest::prelude::*;

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
    users.iter().map(|user| rollout.assign(Some(user)).variant_name().to_owned()).collect()
}

fn users() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..200)
}

proptest! {
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

/// Neighbouring identities, a tenth of them drawn: each fifth of the list holds its share, which raw FNV-1a fails.
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
