//! Weights that stay in the route: their sum, and where the canary stands among them.

use coalmine_core::policy::{BucketScale, CanaryPlace, RouteValue};

use super::Findings;
use super::scene::Scene;
use crate::diagnostic::Code;
use coalmine_control::routes::{Answer, Destination, Reached, Route, Weighted};

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    let RouteValue::Bucket(scale) = scene.rollout.route().value() else { return };
    for request in &scene.requests {
        for value in &scene.values {
            let Answer::Taken { taken, alternative, .. } = scene.with(request, value).answer else {
                continue;
            };
            let all = taken.destinations();
            if !scene.obeys(taken, alternative) || all.len() < 2 {
                continue;
            }
            sum(scene, taken, scale.total(), findings);
            let stable = match scene.host.answer(request).reached(request) {
                Reached::One(stable) => Some(stable),
                _ => None,
            };
            if let Some(canary) = canary(scene, all, stable.as_ref()) {
                order(scene, all, canary, *scale, findings);
            }
        }
    }
}

/// The bucket is scaled to the policy's `total`: another sum of the weights gives users another part of it.
fn sum(scene: &Scene<'_>, route: &Route, total: u32, findings: &mut Findings) {
    let sum: u64 = route.destinations().iter().map(|weighted| weighted.weight).sum();
    if sum != u64::from(total) {
        let message = format!(
            "the weights add up to {sum}, and the policy of {:?} has total: {total}; they must be equal",
            scene.rollout.name()
        );
        findings.error(Code::BucketWeights, &route.place, message);
    }
}

/// The place of the canary among these.
fn canary(scene: &Scene<'_>, all: &[Weighted], stable: Option<&Destination>) -> Option<usize> {
    let named = all.iter().position(|weighted| weighted.destination.is_named("canary"));
    let other = || {
        let is_stable = |weighted: &&Weighted| {
            scene.is_stable(&weighted.destination)
                || stable.is_some_and(|stable| *stable == weighted.destination)
        };
        let [first, second] = all else { return None };
        match (is_stable(&first), is_stable(&second)) {
            (true, false) => Some(1),
            (false, true) => Some(0),
            _ => None,
        }
    };
    named.or_else(other)
}

/// Pins and overrides reach the canary where the policy says that it stands.
fn order(scene: &Scene<'_>, all: &[Weighted], canary: usize, scale: BucketScale, findings: &mut Findings) {
    let rollout = scene.rollout;
    let is_declared = scene.node.descend(&["route", "bucketHeader", "canary"]).is_some();
    let needs_it =
        rollout.pins().count() > 0 || rollout.override_header().or(rollout.override_cookie()).is_some();
    if !is_declared && !needs_it {
        return;
    }
    let (declared, expected, other) = match scale.canary() {
        CanaryPlace::First => ("first", 0, "last"),
        CanaryPlace::Last => ("last", all.len() - 1, "first"),
    };
    if let (false, Some(weighted)) = (canary == expected, all.get(canary)) {
        let message = format!(
            "stands {other} in the route, but the policy of {:?} says \"canary: {declared}\" (the default is first): pins and overrides would \
             reach another version",
            rollout.name()
        );
        findings.error(Code::BucketWeights, &weighted.place, message);
    }
}
