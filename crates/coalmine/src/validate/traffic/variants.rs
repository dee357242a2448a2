//! Requests with the header: every variant must reach its own destination.

use coalmine_document::OwnedPath;

use super::Findings;
use super::scene::{Outcome, Scene, Value};
use crate::diagnostic::Code;
use coalmine_control::routes::{Answer, Reached, Request, Route, Truth};

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    for value in &scene.values {
        let outcomes: Vec<Outcome<'_>> =
            scene.requests.iter().map(|request| scene.with(request, value)).collect();
        for outcome in &outcomes {
            match outcome.answer {
                Answer::Taken { taken, .. } if scene.decides(outcome) => {
                    to_another(scene, value, outcome, taken, findings);
                }
                Answer::NotFound => not_found(scene, value, outcome, findings),
                Answer::Taken { .. } | Answer::Unknown => {}
            }
        }
        let is_known = outcomes.iter().all(|outcome| !matches!(outcome.answer, Answer::Unknown));
        if is_known
            && !shadowed(scene, value, &outcomes, findings)
            && !outcomes.iter().any(|outcome| scene.decides(outcome))
        {
            not_taken(scene, value, findings);
        }
    }
}

/// The destination of one variant is another's.
fn to_another(
    scene: &Scene<'_>,
    value: &Value,
    outcome: &Outcome<'_>,
    route: &Route,
    findings: &mut Findings,
) {
    let Some(variant) = value.variant.as_deref().filter(|variant| *variant != "stable") else { return };
    match &outcome.reached {
        Reached::One(destination) if !destination.name().contains(variant) => {
            let names = scene.rollout.variants().skip(1).map(|(_, name)| name);
            let other = names.filter(|name| *name != variant).find(|name| destination.is_named(name));
            // The fair control may well be the old version itself.
            let stable = (scene.is_stable(destination) && variant != "baseline").then_some("stable");
            if let Some(other) = other.or(stable) {
                let message = format!(
                    "takes the users of {variant} to {}, which is {other} by its name{}",
                    destination.name(),
                    outcome.example()
                );
                findings.error(Code::WrongVariant, &route.place, message);
            }
        }
        Reached::Random(_) => {
            let message = format!("splits the users of {variant} at random: keep one destination");
            findings.warning(Code::WrongVariant, &route.place, message);
        }
        _ => {}
    }
}

/// A request of a variant that no route takes, although it would be taken without the header.
fn not_found(scene: &Scene<'_>, value: &Value, outcome: &Outcome<'_>, findings: &mut Findings) {
    if let Answer::Taken { .. } = scene.host.answer(outcome.request) {
        let message = format!(
            "no route for a request with {}: {}{}: it gets a 404, while one without the header is taken",
            scene.header(),
            value.text,
            outcome.example()
        );
        findings.error(Code::VariantNotTaken, &scene.host.place, message);
    }
}

/// Routes by this value that never see a request, because one that does not look at the header comes before them.
fn shadowed(scene: &Scene<'_>, value: &Value, outcomes: &[Outcome<'_>], findings: &mut Findings) -> bool {
    let mut any = false;
    let with = |outcome: &Outcome<'_>| outcome.request.with_header(scene.header(), &value.text);
    let sent: Vec<Request> = outcomes.iter().map(with).collect();
    for (index, route) in scene.host.routes.iter().enumerate() {
        let by_header = route.alternatives.iter().enumerate().filter(|(at, _)| scene.obeys(route, *at));
        for (_, alternative) in by_header {
            let mine = outcomes.iter().zip(&sent).filter(|(_, sent)| alternative.holds(sent) == Truth::Yes);
            let earlier = |outcome: &Outcome<'_>| match outcome.answer {
                Answer::Taken { route: earlier, taken, alternative } if earlier < index => {
                    (!scene.obeys(taken, alternative)).then(|| taken.at.clone())
                }
                _ => None,
            };
            let takers: Option<Vec<OwnedPath>> = mine.map(|(outcome, _)| earlier(outcome)).collect();
            if let Some(earlier) = takers.as_deref().and_then(<[OwnedPath]>::first) {
                any = true;
                let message = format!(
                    "takes no request with {}: {}: {} before it takes them all; put the route by the header first",
                    scene.header(),
                    value.text,
                    earlier
                );
                let at = if route.alternatives.len() > 1 { &alternative.place } else { &route.place };
                findings.error(Code::RouteShadowed, at, message);
            }
        }
    }
    any
}

/// A variant that no route asks for: its users get stable.
fn not_taken(scene: &Scene<'_>, value: &Value, findings: &mut Findings) {
    if findings.has(Code::NoVariant) || value.variant.as_deref() == Some("stable") {
        return;
    }
    let who = value
        .variant
        .as_deref()
        .map_or_else(|| "drawn users".to_owned(), |variant| format!("users of {variant}"));
    let message = format!(
        "no route takes a request with {}: {}: the {who} get what stable gets; add a route for them",
        scene.header(),
        value.text
    );
    findings.error(Code::VariantNotTaken, &scene.host.place, message);
}
