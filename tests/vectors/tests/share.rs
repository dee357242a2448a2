//! How many of a million users fall into a variant: as many as an exact split would have, give or take what is luck.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use coalmine_core::draw::{Algorithm, Draw, Key};

const USERS: u32 = 1_000_000;
/// A weight in parts per million, and the smallest and the largest count of a million that is luck: what lies between
/// the quantiles 0.0005 and 0.9995 of the binomial distribution, which was added up term by term outside of Rust.
const LUCK: [(u32, u32, u32); 7] = [
    (0, 0, 0),
    (100, 69, 134),
    (10_000, 9_674, 10_329),
    (50_000, 49_284, 50_719),
    (500_000, 498_355, 501_645),
    (999_900, 999_866, 999_931),
    (1_000_000, USERS, USERS),
];
/// The smallest weight that Unleash can tell from none.
const ONE_PERCENT: u32 = 10_000;

fn draw(algorithm: Algorithm) -> Draw {
    match algorithm {
        Algorithm::CoalmineV1 => Draw::coalmine_v1("share"),
        Algorithm::Siphash24 => {
            Draw::siphash_2_4("share", Key::from_hex("000102030405060708090a0b0c0d0e0f").unwrap())
        }
        Algorithm::FlagdV2 => Draw::flagd_v2("share"),
        Algorithm::GrowthbookV2 => Draw::growthbook_v2("share"),
        Algorithm::Unleash => Draw::unleash("share"),
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "the vectors show that this computes the same")]
fn a_million_users_split_as_the_weights_say() {
    for (name, algorithm) in Algorithm::ALL {
        let draw = draw(algorithm);
        let mut canary = [0_u32; LUCK.len()];
        for user in 0..USERS {
            let bucket = draw.lot(format!("user-{user}").as_bytes()).bucket.number();
            for (count, (weight, ..)) in canary.iter_mut().zip(LUCK) {
                *count += u32::from(bucket < weight);
            }
        }
        for (count, (weight, low, high)) in canary.into_iter().zip(LUCK) {
            println!("{name} at {weight} ppm: {count} users, luck allows {low}..={high}");
            if algorithm == Algorithm::Unleash && !weight.is_multiple_of(ONE_PERCENT) {
                continue;
            }
            assert!((low..=high).contains(&count), "{name} at {weight} ppm: {count}, not {low}..={high}");
        }
    }
}
