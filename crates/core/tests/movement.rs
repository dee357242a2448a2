//! From one table of ranges to the next: for any tables and any weights, the unavoidable minimum of users moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use coalmine_core::bucketing::{BUCKETS, Bucket};
use coalmine_core::policy::Policy;
use coalmine_core::split::{Ranges, Variant, Weight, WeightsExceed100, rebalance};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

/// How many variants besides stable.
const VARIANTS: u16 = 6;

/// Stable is 0, the others count from 1.
fn variant(number: u16) -> Variant {
    number.checked_sub(1).map_or(Variant::STABLE, Variant::listed)
}

/// A table as a document has it: it may name a variant often, and equal neighbours are left to it.
fn ranges(table: &[(u32, u16)]) -> Ranges {
    let name = |number: u16| if number == 0 { "stable".to_owned() } else { format!("v{number}") };
    let variants: Vec<String> =
        (1..=VARIANTS).map(|number| format!(r#"{{"name": "{}"}}"#, name(number))).collect();
    let table: Vec<String> =
        table.iter().map(|&(end, number)| format!(r#"[{end}, "{}"]"#, name(number))).collect();
    let document = format!(
        r#"{{"rollouts": [{{"name": "r", "identity": [{{"cookie": "s"}}], "variants": [{}], "ranges": [{}]}}]}}"#,
        variants.join(", "),
        table.join(", ")
    );
    Policy::from_json(document.as_bytes()).unwrap_or_else(|problems| panic!("{problems}")).rollouts()[0]
        .ranges(Duration::ZERO)
        .clone()
}

/// The segments in which neither table changes: where each begins and ends, and what the two say there.
fn segments(one: &Ranges, other: &Ranges) -> Vec<(u32, u32, Variant, Variant)> {
    let mut ends: Vec<u32> = one.table().iter().chain(other.table()).map(|&(end, _)| end).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut start = 0;
    let segment = |end: u32| {
        let from = std::mem::replace(&mut start, end);
        let bucket = Bucket::new(from).unwrap();
        (from, end, one.variant(bucket), other.variant(bucket))
    };
    ends.into_iter().map(segment).collect()
}

/// How many buckets each variant has; the ranges of a table need no walk.
fn sizes(ranges: &Ranges) -> BTreeMap<usize, u32> {
    let mut sizes = BTreeMap::new();
    let mut start = 0;
    for &(end, variant) in ranges.table() {
        *sizes.entry(variant.index()).or_default() += end - start;
        start = end;
    }
    sizes
}

/// Any table. Ends near one another and near the limits are as likely as others.
fn any_table() -> impl Strategy<Value = Vec<(u32, u16)>> {
    let end = prop_oneof![
        1..BUCKETS,
        1..20_u32,
        BUCKETS - 20..BUCKETS,
        (1..100_u32).prop_map(|percent| percent * 10_000)
    ];
    (proptest::collection::btree_set(end, 0..24), proptest::collection::vec(0..=VARIANTS, 25))
        .prop_map(|(ends, owners)| ends.into_iter().chain([BUCKETS]).zip(owners).collect())
}

/// Weights of the listed variants in any order, 100 % together at most; some are left out, some are nothing.
fn any_weights() -> impl Strategy<Value = Vec<(Variant, Weight)>> {
    let cuts = proptest::collection::vec(
        prop_oneof![0..=BUCKETS, Just(0), Just(BUCKETS), Just(50_000)],
        VARIANTS as usize,
    );
    let order = Just((1..=VARIANTS).collect::<Vec<_>>()).prop_shuffle();
    (cuts, order, 0..=VARIANTS as usize).prop_map(|(mut cuts, order, listed)| {
        cuts.sort_unstable();
        let mut start = 0;
        let weights = cuts.into_iter().map(|cut| cut - std::mem::replace(&mut start, cut));
        let listed = order.into_iter().take(listed);
        listed.zip(weights).map(|(number, ppm)| (variant(number), Weight::from_ppm(ppm).unwrap())).collect()
    })
}

/// What each variant is to have, stable too.
fn wanted(weights: &[(Variant, Weight)]) -> BTreeMap<usize, u32> {
    let mut wanted: BTreeMap<usize, u32> =
        weights.iter().map(|(variant, weight)| (variant.index(), weight.ppm())).collect();
    let sum: u32 = wanted.values().sum();
    wanted.insert(0, BUCKETS - sum);
    wanted
}

fn size(sizes: &BTreeMap<usize, u32>, variant: Variant) -> u32 {
    sizes.get(&variant.index()).copied().unwrap_or_default()
}

/// The same cases in every run: what fails, fails again.
fn reproducible() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::with_cases(512)
    }
}

proptest! {
    #![proptest_config(reproducible())]

    #[test]
    fn the_sizes_are_exact_and_the_fewest_move(table in any_table(), weights in any_weights()) {
        let before = ranges(&table);
        let after = rebalance(&before, &weights).unwrap();
        let (had, wanted) = (sizes(&before), wanted(&weights));
        for number in 0..=VARIANTS {
            prop_assert_eq!(size(&sizes(&after), variant(number)), size(&wanted, variant(number)), "{}", number);
        }
        let differences: u32 = (0..=VARIANTS).map(variant).map(|it| size(&had, it).abs_diff(size(&wanted, it))).sum();
        prop_assert_eq!(before.moved(&after), differences / 2);
        prop_assert_eq!(after.moved(&before), differences / 2);
        let counted: u32 = segments(&before, &after).iter().filter(|segment| segment.2 != segment.3).map(|segment| segment.1 - segment.0).sum();
        prop_assert_eq!(before.moved(&after), counted, "counted from scratch");
    }

    /// A variant that shrinks keeps its lowest buckets; one that does not shrink loses nobody; one that does not grow
    /// gains nobody.
    #[test]
    fn only_users_who_must_move_do(table in any_table(), weights in any_weights()) {
        let before = ranges(&table);
        let after = rebalance(&before, &weights).unwrap();
        let (had, has) = (sizes(&before), sizes(&after));
        let mut freed: BTreeMap<usize, u32> = BTreeMap::new();
        for (start, _, from, to) in segments(&before, &after) {
            if from == to {
                prop_assert!(!freed.contains_key(&from.index()), "{:?} keeps {} behind what it gave away", from, start);
                continue;
            }
            prop_assert!(size(&has, from) < size(&had, from), "{:?} loses {} and does not shrink", from, start);
            prop_assert!(size(&has, to) > size(&had, to), "{:?} gains {} and does not grow", to, start);
            freed.insert(from.index(), start);
        }
    }

    /// The growing ones are served in the order of the weights, stable last, from the lowest freed bucket up.
    #[test]
    fn the_freed_are_given_out_in_order(table in any_table(), weights in any_weights()) {
        let before = ranges(&table);
        let after = rebalance(&before, &weights).unwrap();
        let place = |wanted: Variant| weights.iter().position(|&(variant, _)| variant == wanted).unwrap_or(usize::MAX);
        let takers: Vec<usize> = segments(&before, &after).iter().filter(|it| it.2 != it.3).map(|it| place(it.3)).collect();
        prop_assert!(takers.is_sorted(), "{:?}", takers);
    }

    #[test]
    fn a_table_is_as_short_as_it_can_be(table in any_table(), weights in any_weights()) {
        let after = rebalance(&ranges(&table), &weights).unwrap();
        prop_assert_eq!(after.table().last().map(|&(end, _)| end), Some(BUCKETS));
        for pair in after.table().windows(2) {
            prop_assert!(pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1, "{:?}", after);
        }
        prop_assert_eq!(&rebalance(&after, &weights).unwrap(), &after, "the same weights again move nobody");
    }

    /// A rollout of many steps: whatever was before, each step moves the minimum.
    #[test]
    fn many_steps(table in any_table(), steps in proptest::collection::vec(any_weights(), 1..12)) {
        let mut ranges = ranges(&table);
        for weights in steps {
            let next = rebalance(&ranges, &weights).unwrap();
            let (had, has) = (sizes(&ranges), sizes(&next));
            let differences: u32 = (0..=VARIANTS).map(variant).map(|it| size(&had, it).abs_diff(size(&has, it))).sum();
            prop_assert_eq!(ranges.moved(&next), differences / 2);
            ranges = next;
        }
    }

    #[test]
    fn more_than_everybody_is_refused(table in any_table(), parts in proptest::collection::vec(0..=BUCKETS, 2..=VARIANTS as usize)) {
        let sum: u64 = parts.iter().copied().map(u64::from).sum();
        let weights: Vec<(Variant, Weight)> = (1..).map(variant).zip(parts).map(|(it, ppm)| (it, Weight::from_ppm(ppm).unwrap())).collect();
        let moved = rebalance(&ranges(&table), &weights);
        prop_assert_eq!(moved.err(), (sum > u64::from(BUCKETS)).then_some(WeightsExceed100(sum)));
    }

    /// One or two weights: raising one takes users from stable only, lowering it gives the newest back.
    #[test]
    fn two_ended_is_monotone(
        (low, lower, high) in (0..=BUCKETS).prop_flat_map(|low| (Just(low), any::<Index>(), any::<Index>()).prop_map(|(low, lower, high)| {
            (low, lower.index(low as usize + 1) as u32, high.index((BUCKETS - low) as usize + 1) as u32)
        })),
        mirrored in any::<bool>(),
    ) {
        let (one, other) = (variant(1), variant(2));
        let table = |changing: u32| {
            let changing = Some((one, Weight::from_ppm(changing).unwrap()));
            let resting = Some((other, Weight::from_ppm(high).unwrap()));
            if mirrored { Ranges::two_ended(resting, changing) } else { Ranges::two_ended(changing, resting) }
        };
        let (small, large) = (table(lower), table(low));
        prop_assert_eq!(small.moved(&large), low - lower);
        for (start, _, before, after) in segments(&small, &large) {
            prop_assert!(before == after || before == Variant::STABLE && after == one, "{} from {:?} to {:?}", start, before, after);
        }
        // It is what the general rule would do, as far as sizes go.
        prop_assert_eq!(size(&sizes(&large), one), low);
        prop_assert_eq!(size(&sizes(&large), other), high);
        prop_assert_eq!(size(&sizes(&large), Variant::STABLE), BUCKETS - low - high);
    }
}
