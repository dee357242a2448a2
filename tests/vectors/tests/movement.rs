//! From weights to ranges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use coalmine_core::policy::Policy;
use serde::Deserialize;
use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

#[derive(Deserialize)]
struct Movement {
    two_ended: Vec<TwoEnded>,
}

#[derive(Deserialize)]
struct TwoEnded {
    order: Vec<String>,
    weights_ppm: std::collections::BTreeMap<String, u32>,
    table: Vec<(u32, String)>,
}

#[wasm_bindgen_test(unsupported = test)]
fn one_or_two_weights_make_the_two_ended_table() {
    let movement: Movement = serde_json::from_str(include_str!("../movement.json")).unwrap();
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
        let table: Vec<(u32, String)> = rollout
            .ranges()
            .table()
            .iter()
            .map(|&(end, variant)| (end, rollout.variant_name(variant).to_owned()))
            .collect();
        assert_eq!(table, vector.table, "{:?}", vector.weights_ppm);
    }
}
