//! The weight that another controller holds: Flagger or Argo Rollouts.

use kube::api::DynamicObject;
use serde_json::Value;

/// What is kept of an object of another controller: the canary's weight in parts per million, where it says one.
pub(super) type Weight = Option<u32>;

/// The weight that Flagger says in a `Canary`.
pub(super) fn of_flagger(canary: &DynamicObject) -> Weight {
    parts(canary.data.pointer("/status/canaryWeight")?)
}

/// The weight that Argo Rollouts says in a `Rollout`: what the router has, not what the step asks for.
pub(super) fn of_argo(rollout: &DynamicObject) -> Weight {
    let weights = rollout.data.pointer("/status/canary/weights")?;
    let canary = parts(weights.pointer("/canary/weight")?)?;
    // The router may split 100 or, with `maxTrafficWeight`, another number.
    let stable = weights.pointer("/stable/weight").and_then(parts);
    let whole = u64::from(canary) + u64::from(stable.unwrap_or(1_000_000 - canary.min(1_000_000)));
    let share = (u64::from(canary) * 1_000_000).checked_div(whole)?;
    u32::try_from(share).ok()
}

fn parts(percent: &Value) -> Option<u32> {
    u32::try_from(percent.as_u64()?.checked_mul(10_000)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(status: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "checkout"}, "status": status})).unwrap()
    }

    #[test]
    fn a_weight_is_what_the_other_controller_says() {
        assert_eq!(of_flagger(&object(json!({"canaryWeight": 15}))), Some(150_000));
        assert_eq!(of_flagger(&object(json!({"canaryWeight": 0, "phase": "Initialized"}))), Some(0));
        assert_eq!(of_flagger(&object(json!({}))), None);
        let argo = |canary: u32, stable: u32| {
            of_argo(&object(
                json!({"canary": {"weights": {"canary": {"weight": canary}, "stable": {"weight": stable}}}}),
            ))
        };
        assert_eq!((argo(20, 80), argo(0, 100), argo(20, 180)), (Some(200_000), Some(0), Some(100_000)));
        assert_eq!(argo(0, 0), None);
        assert_eq!(of_argo(&object(json!({"canary": {}}))), None);
    }
}
