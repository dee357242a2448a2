//! From weights to ranges, and from one table of ranges to the next.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use coalmine_core::policy::{Policy, Rollout};
use coalmine_core::split::{Ranges, Variant, Weight, rebalance};
use serde::Deserialize;
use serde_json::Value;

const NOW: Duration = Duration::ZERO;

#[derive(Deserialize)]
struct Movement {
    two_ended: Vec<TwoEnded>,
    moves: Vec<Move>,
}

/// `(end, variant)`, as a policy writes it.
type Table = Vec<(u32, String)>;

#[derive(Deserialize)]
struct TwoEnded {
    order: Vec<String>,
    weights_ppm: BTreeMap<String, u32>,
    table: Table,
}

#[derive(Deserialize)]
struct Move {
    from: Table,
    order: Vec<String>,
    weights_ppm: BTreeMap<String, u32>,
    to: Table,
    moved_ppm: u32,
}

fn movement() -> Movement {
    serde_json::from_str(include_str!("../movement.json")).unwrap()
}

fn table(ranges: &Ranges, rollout: &Rollout) -> Table {
    ranges.table().iter().map(|&(end, variant)| (end, rollout.variant_name(variant).to_owned())).collect()
}

/// A policy with these variants and this table.
fn policy_with_ranges(order: &[String], ranges: &Table) -> Policy {
    let document = serde_json::json!({"rollouts": [{
        "name": "checkout",
        "identity": [{"cookie": "sid"}],
        "variants": order.iter().map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>(),
        "ranges": ranges,
    }]});
    Policy::from_json(document.to_string().as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn one_or_two_weights_make_the_two_ended_table() {
    let movement = movement();
    assert_eq!(movement.two_ended.len(), 8);
    for vector in movement.two_ended {
        let percent = |name| f64::from(vector.weights_ppm[name]) / 10_000.0;
        let variants: Vec<Value> = vector
            .order
            .iter()
            .map(|name| serde_json::json!({"name": name, "weight": percent(name)}))
            .collect();
        let document = serde_json::json!({"rollouts": [
            {"name": "checkout", "identity": [{"cookie": "sid"}], "variants": variants},
        ]});
        let policy = Policy::from_json(document.to_string().as_bytes()).unwrap();
        let rollout = &policy.rollouts()[0];
        assert_eq!(table(rollout.ranges(NOW), rollout), vector.table, "{:?}", vector.weights_ppm);
    }
}

/// Forwards and back: the table that the rule makes, and what a document with that table says moved.
#[test]
fn every_move_is_the_expected_one() {
    let moves = movement().moves;
    assert_eq!(moves.len(), 24);
    for step in moves {
        let policy = policy_with_ranges(&step.order, &step.from);
        let rollout = &policy.rollouts()[0];
        let variant = |name: &String| {
            let place = step.order.iter().position(|known| known == name).unwrap();
            Variant::listed(place as u16)
        };
        let weights: Vec<(Variant, Weight)> = step
            .order
            .iter()
            .map(|name| (variant(name), Weight::from_ppm(step.weights_ppm[name]).unwrap()))
            .collect();
        let moved = rebalance(rollout.ranges(NOW), &weights).unwrap();
        assert_eq!(table(&moved, rollout), step.to, "{:?} from {:?}", step.weights_ppm, step.from);
        assert_eq!(
            rollout.ranges(NOW).moved(&moved),
            step.moved_ppm,
            "{:?} from {:?}",
            step.weights_ppm,
            step.from
        );
        let next = policy_with_ranges(&step.order, &step.to);
        assert_eq!(*next.rollouts()[0].ranges(NOW), moved, "a document keeps the table as it stands");
    }
}
