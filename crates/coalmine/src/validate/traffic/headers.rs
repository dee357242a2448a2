//! The headers that routes look at: whether a policy sets them, to such values, and whether the application sees them.

use coalmine_core::policy::Rollout;
use coalmine_document::nearest;

use super::scene::Scene;
use super::{Findings, headers_of, named, rollouts_of};
use crate::diagnostic::Code;
use coalmine_control::routes::{Answer, Condition, Reached, Subject, Test, Truth, VirtualHost};

use super::super::Valid;

/// The beginning of Coalmine's default headers.
const OURS: &str = "x-coalmine-";

pub(super) fn check(host: &VirtualHost, policies: &[&Valid], findings: &mut Findings) {
    let ours = headers_of(policies);
    if ours.is_empty() {
        return;
    }
    let is_obeyed = ours.iter().any(|header| host.reads(header));
    let alternatives = || host.routes.iter().flat_map(|route| &route.alternatives);
    for condition in alternatives().flat_map(|alternative| &alternative.conditions) {
        let Subject::Header(name) = &condition.subject else { continue };
        if ours.contains(name) {
            value(host, name, condition, policies, findings);
            continue;
        }
        let is_variant = |exact: &String| {
            let rollouts = policies.iter().flat_map(|valid| valid.policy.rollouts());
            rollouts.flat_map(named).any(|variant| variant == exact)
        };
        let names_variant = matches!(&condition.test, Test::Exact(exact) if !is_obeyed && is_variant(exact));
        if name.starts_with(OURS) || names_variant {
            let message = format!(
                "the policy sets {}; nothing sets {name}, so no request takes this route",
                ours.join(", ")
            );
            findings.error(Code::HeaderDiffers, &condition.place, message);
        }
    }
}

/// A condition on our header that no variant meets.
fn value(
    host: &VirtualHost,
    header: &str,
    condition: &Condition,
    policies: &[&Valid],
    findings: &mut Findings,
) {
    let variants: Vec<&str> = rollouts_of(policies, header).flat_map(named).collect();
    let accepts = |condition: &Condition, name: &str| condition.holds_for(Some(name)) != Truth::No;
    if variants.is_empty() || condition.is_inverted || variants.iter().any(|name| accepts(condition, name)) {
        return;
    }
    if matches!(condition.test, Test::Present(false)) {
        return;
    }
    if accepts(condition, "stable") {
        let message = format!("the filter sets no {header} for stable, so no request takes this route");
        findings.warning(Code::NoVariant, &condition.place, message);
        return;
    }
    let alternatives = || host.routes.iter().flat_map(|route| &route.alternatives);
    let is_asked = |name: &&str| alternatives().any(|one| one.on(header).any(|other| accepts(other, name)));
    let all_asked = variants.iter().all(is_asked);
    let text = match &condition.test {
        Test::Exact(text) | Test::Prefix(text) => text.as_str(),
        _ => "this",
    };
    let meant = nearest(text, variants.iter().copied());
    let hint = meant.map_or_else(
        || format!("known: {}", variants.join(", ")),
        |meant| format!("did you mean {meant:?}?"),
    );
    let message = format!("{text:?} is no variant of {}; {hint}", names(policies, header));
    if all_asked {
        findings.warning(Code::NoVariant, &condition.place, message);
    } else {
        findings.error(Code::NoVariant, &condition.place, message);
    }
}

fn names(policies: &[&Valid], header: &str) -> String {
    let mut names: Vec<&str> = rollouts_of(policies, header).map(Rollout::name).collect();
    names.dedup();
    names.join(", ")
}

/// A route that hands the header on to the application.
pub(super) fn kept(scene: &Scene<'_>, findings: &mut Findings) {
    let header = scene.header();
    for value in &scene.values {
        for request in &scene.requests {
            let outcome = scene.with(request, value);
            let Answer::Taken { taken, .. } = outcome.answer else { continue };
            if !matches!(outcome.reached, Reached::One(_) | Reached::Random(_)) || taken.removes(header) {
                continue;
            }
            let message = format!(
                "the application gets {header} and can tell its variant by it; remove the header from the request"
            );
            findings.warning(Code::HeaderKept, &taken.place, message);
            // One route as an example: the others are seen then.
            return;
        }
    }
}
