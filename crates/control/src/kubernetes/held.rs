//! The weight that another controller holds, and how its release ended: Flagger or Argo Rollouts.

use coalmine_steer::Outcome;
use coalmine_steer::inputs::Holder;
use kube::api::DynamicObject;
use serde_json::Value;

/// All users, in parts per million.
const WHOLE: u32 = 1_000_000;

/// What is kept of an object of another controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The canary's weight in parts per million, where it says one.
    pub(super) weight: Option<u32>,
    /// What it says of its release.
    pub(super) holder: Holder,
}

/// What Flagger says in a `Canary`. The versions are those of the Deployments.
pub(super) fn of_flagger(canary: &DynamicObject) -> Told {
    let phase = text(canary, "/status/phase").unwrap_or_default();
    let said = canary.data.pointer("/status/canaryWeight").and_then(parts);
    let weight = match (said, phase) {
        // Where it waits to promote, and when it promotes after that, its routes keep the last weight.
        (Some(0), "WaitingPromotion" | "Promoting") => last_of_flagger(canary),
        _ => said,
    };
    let ended = match phase {
        "Finalising" | "Succeeded" => Some(Outcome::Promoted),
        "Failed" => Some(Outcome::RolledBack),
        _ => None,
    };
    Told { weight, holder: Holder { ended, version: None } }
}

/// The weight at which Flagger promotes; none where it does not go up by weights.
fn last_of_flagger(canary: &DynamicObject) -> Option<u32> {
    let spec = canary.data.get("spec");
    let analysis = spec.and_then(|spec| spec.get("analysis").or_else(|| spec.get("canaryAnalysis")));
    let number = |field: &str| analysis.and_then(|it| it.get(field)).and_then(parts).filter(|it| *it > 0);
    let steps = analysis.and_then(|it| it.get("stepWeights")).and_then(Value::as_array);
    let last = match (steps.and_then(|steps| steps.last()), number("stepWeight")) {
        (Some(last), _) => parts(last).unwrap_or(WHOLE),
        (None, Some(step)) => number("maxWeight").unwrap_or(WHOLE).div_ceil(step).saturating_mul(step),
        (None, None) => return None,
    };
    Some(last.min(WHOLE))
}

/// What Argo Rollouts says in a `Rollout`: the weight that the router has, not what the step asks for.
pub(super) fn of_argo(rollout: &DynamicObject) -> Told {
    let is_aborted = rollout.data.pointer("/status/abort").and_then(Value::as_bool).unwrap_or_default();
    let stable = text(rollout, "/status/stableRS").filter(|hash| !hash.is_empty());
    let ended = match (is_aborted, stable) {
        (true, _) => Some(Outcome::RolledBack),
        (false, Some(stable)) if text(rollout, "/status/currentPodHash") == Some(stable) => {
            Some(Outcome::Promoted)
        }
        (false, _) => None,
    };
    let version = text(rollout, "/status/currentPodHash").filter(|hash| !hash.is_empty()).map(str::to_owned);
    Told { weight: weight_of_argo(rollout), holder: Holder { ended, version } }
}

fn weight_of_argo(rollout: &DynamicObject) -> Option<u32> {
    let weights = rollout.data.pointer("/status/canary/weights")?;
    let canary = parts(weights.pointer("/canary/weight")?)?;
    // The router may split 100 or, with `maxTrafficWeight`, another number.
    let stable = weights.pointer("/stable/weight").and_then(parts);
    let whole = u64::from(canary) + u64::from(stable.unwrap_or(WHOLE - canary.min(WHOLE)));
    let share = (u64::from(canary) * u64::from(WHOLE)).checked_div(whole)?;
    u32::try_from(share).ok()
}

fn parts(percent: &Value) -> Option<u32> {
    u32::try_from(percent.as_u64()?.checked_mul(10_000)?).ok()
}

fn text<'a>(object: &'a DynamicObject, place: &str) -> Option<&'a str> {
    object.data.pointer(place)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value, status: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "checkout"}, "spec": spec, "status": status}))
            .unwrap()
    }

    #[test]
    fn a_weight_is_what_the_other_controller_says() {
        let flagger = |status: Value| of_flagger(&object(json!({}), status)).weight;
        assert_eq!(flagger(json!({"canaryWeight": 15})), Some(150_000));
        assert_eq!(flagger(json!({"canaryWeight": 0, "phase": "Initialized"})), Some(0));
        assert_eq!(flagger(json!({"canaryWeight": 0, "phase": "Finalising"})), Some(0));
        assert_eq!(flagger(json!({})), None);
        let argo = |weights: Value| of_argo(&object(json!({}), json!({"canary": weights}))).weight;
        let split = |canary: u32, stable: u32| {
            argo(json!({"weights": {"canary": {"weight": canary}, "stable": {"weight": stable}}}))
        };
        assert_eq!((split(20, 80), split(0, 100), split(20, 180)), (Some(200_000), Some(0), Some(100_000)));
        assert_eq!(split(0, 0), None);
        assert_eq!(argo(json!({})), None);
    }

    #[test]
    fn flagger_keeps_its_last_weight_while_its_status_says_none() {
        let at = |analysis: Value, phase: &str, weight: u32| {
            let status = json!({"phase": phase, "canaryWeight": weight});
            of_flagger(&object(json!({"analysis": analysis}), status)).weight
        };
        let steps = json!({"stepWeights": [5, 25, 50]});
        assert_eq!(at(steps.clone(), "WaitingPromotion", 0), Some(500_000));
        assert_eq!(at(steps.clone(), "Promoting", 0), Some(500_000));
        assert_eq!(at(steps.clone(), "Promoting", 30), Some(300_000), "stepWeightPromotion walks back");
        assert_eq!(at(steps, "Progressing", 0), Some(0));
        assert_eq!(at(json!({"stepWeight": 20, "maxWeight": 50}), "WaitingPromotion", 0), Some(600_000));
        assert_eq!(at(json!({"stepWeight": 30}), "WaitingPromotion", 0), Some(WHOLE));
        assert_eq!(at(json!({"iterations": 10}), "WaitingPromotion", 0), None, "blue/green has no weights");
    }

    #[test]
    fn how_a_release_ended_is_what_the_other_controller_says() {
        let flagger = |phase: &str| of_flagger(&object(json!({}), json!({"phase": phase}))).holder.ended;
        assert_eq!(flagger("Finalising"), Some(Outcome::Promoted));
        assert_eq!(flagger("Failed"), Some(Outcome::RolledBack));
        assert_eq!(flagger("Progressing"), None);
        let argo = |stable: &str, abort: bool| {
            let status = json!({"stableRS": stable, "currentPodHash": "new", "abort": abort});
            of_argo(&object(json!({}), status)).holder.ended
        };
        assert_eq!(argo("new", false), Some(Outcome::Promoted));
        assert_eq!((argo("old", false), argo("", false)), (None, None));
        assert_eq!(argo("old", true), Some(Outcome::RolledBack));
    }
}
