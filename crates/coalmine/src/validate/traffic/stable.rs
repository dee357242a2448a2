//! Requests without the header: they are stable's, and must get there.

use super::Findings;
use super::scene::{Outcome, Scene};
use crate::diagnostic::Code;
use coalmine_control::routes::{Action, Alternative, Answer, Reached, Request, Route, Subject, Truth};

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    for outcome in scene.without() {
        match outcome.answer {
            Answer::Taken { taken, alternative, .. } => {
                taken_by(scene, &outcome, taken, alternative, findings)
            }
            Answer::NotFound => not_found(scene, &outcome, findings),
            Answer::Unknown => {}
        }
    }
}

fn taken_by(scene: &Scene<'_>, outcome: &Outcome<'_>, route: &Route, by: usize, findings: &mut Findings) {
    let header = scene.header();
    let needs_header = match &route.action {
        Action::ClusterHeader(name) if name == header => Some("get a 404 or a 503"),
        Action::ByHeader(name, _) if name == header => Some("be split at random"),
        _ => None,
    };
    if let Some(otherwise) = needs_header {
        let message = format!(
            "without the filter nothing sets {header}, and requests would {otherwise}; add headers: [{{name: {header}, \
             present_match: true}}]"
        );
        findings.error(Code::HeaderRoute, &route.place, message);
        return;
    }
    match &outcome.reached {
        Reached::One(destination) => {
            if let Some(variant) = scene.owner(destination, route) {
                to_variant(scene, outcome, (route, by), (destination.name(), &variant), findings);
            }
        }
        Reached::Random(destinations) => {
            let owned = destinations.iter().find_map(|it| Some((it.name(), scene.owner(it, route)?)));
            match owned {
                Some((to, _)) => {
                    let message = format!(
                        "splits requests at random, some of them to {to}; a request without {header} is stable{}: \
                         keep stable alone",
                        outcome.example()
                    );
                    findings.error(Code::DefaultNotStable, &route.place, message);
                }
                None => {
                    let message = format!(
                        "splits requests at random; a request without {header} is stable: keep one destination"
                    );
                    findings.warning(Code::DefaultNotStable, &route.place, message);
                }
            }
        }
        Reached::Nowhere | Reached::Reply | Reached::Unknown => {}
    }
}

/// A request without the header comes to the destination of a variant.
fn to_variant(
    scene: &Scene<'_>,
    outcome: &Outcome<'_>,
    (route, by): (&Route, usize),
    (to, variant): (&str, &str),
    findings: &mut Findings,
) {
    let header = scene.header();
    let Some(alternative) = route.alternatives.get(by) else { return };
    if let Some(what) = asked_for(alternative, outcome.request) {
        let message = format!(
            "a request with {what} reaches {to} without being drawn: its user chooses, and {variant} is no longer a \
             random sample"
        );
        findings.warning(Code::NotDrawn, &alternative.place, message);
        return;
    }
    if route.alternatives.iter().any(|other| scene.asks(other)) {
        let message = format!(
            "takes requests without {header} to {to}{}: one item of `match` is enough for a route; put the conditions \
             that must hold together into one item",
            outcome.example()
        );
        findings.error(Code::MatchAlternatives, &alternative.place, message);
        return;
    }
    let message = format!(
        "leads to {to}, but a request without {header} is stable{}: without a filter all users would get {to}",
        outcome.example()
    );
    findings.error(Code::DefaultNotStable, &route.place, message);
}

/// A header or parameter that a request must have for this alternative.
fn asked_for(alternative: &Alternative, request: &Request) -> Option<String> {
    alternative.conditions.iter().find_map(|condition| {
        let is_asked = condition.holds_for(None) == Truth::No;
        match &condition.subject {
            Subject::Header(name) if is_asked && !name.starts_with(':') => {
                Some(format!("{name}: {}", request.get(&condition.subject)?))
            }
            Subject::Query(name) if is_asked => Some(format!("?{name}={}", request.get(&condition.subject)?)),
            _ => None,
        }
    })
}

/// No route takes a request without the header.
fn not_found(scene: &Scene<'_>, outcome: &Outcome<'_>, findings: &mut Findings) {
    let header = scene.header();
    let taken = scene.values.iter().find_map(|value| match scene.with(outcome.request, value).answer {
        Answer::Taken { .. } => Some(&value.text),
        Answer::NotFound | Answer::Unknown => None,
    });
    if let Some(text) = taken {
        let message = format!(
            "no route for a request without {header}{}: it is stable's and gets a 404, while one with {header}: {text} \
             is taken; add a route to stable",
            outcome.example()
        );
        findings.error(Code::DefaultNotStable, &scene.host.place, message);
    }
}
