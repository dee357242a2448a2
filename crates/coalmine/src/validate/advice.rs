//! What a policy that is right may still not mean.

use coalmine_core::draw::Algorithm;
use coalmine_core::policy::{Policy, Rollout, Source as Identity};

use crate::finding::{Code, Finding};
use crate::found::{Found, Place};
use crate::text::{Span, Tree, Value};

/// The warnings about a policy that is right.
pub(super) fn advice(found: &Found, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rollouts = found.tree.get("rollouts").map_or(&[][..], Tree::items);
    for (rollout, by) in policy.shadowed() {
        let message = format!(
            "never matches: {:?} before it takes every request that it speaks of; put the more specific one first",
            by.name()
        );
        if let Some(tree) = rollouts.get(rollout.index()) {
            let place = Place::of(&["rollouts"]).item(rollout.index());
            findings.push(warning(found, Code::NeverMatches, tree.span.clone(), &place, message));
        }
    }
    for (rollout, tree) in policy.rollouts().iter().zip(rollouts) {
        let at = Place::of(&["rollouts"]).item(rollout.index());
        let mut tell = |code: Code, way: &[&str], message: String| {
            let span = span_of(tree, way);
            let place = way.iter().fold(at.clone(), |place, name| place.field(name));
            findings.push(warning(found, code, span, &place, message));
        };
        pins(rollout, &mut tell);
        if rollout.issues_cookie() && rollout.algorithm() != Algorithm::Siphash24 {
            let message = "with a public salt a client can try cookies until one lands in the canary; use \
                           \"algorithm: siphash-2-4\" and a key";
            tell(Code::CookieWithoutKey, &["onMissingIdentity"], message.to_owned());
        }
        steps_back(tree, &mut tell);
        secrets(tree, &mut tell);
    }
    findings
}

fn pins(rollout: &Rollout, tell: &mut impl FnMut(Code, &[&str], String)) {
    let count = rollout.pins().count();
    if count == 0 {
        return;
    }
    if !rollout.is_enabled() {
        let message = "have no effect while the rollout is switched off (enabled: false)".to_owned();
        tell(Code::PinsShadowed, &["pins"], message);
    }
    let only_issued = rollout.sources().iter().all(|source| matches!(source, Identity::IssuedCookie(_)));
    let is_issued = |identity: &[u8]| {
        identity.len() == 32 && identity.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let (true, Some((identity, _))) =
        (only_issued, rollout.pins().find(|(identity, _)| !is_issued(identity)))
    {
        let identity = String::from_utf8_lossy(identity).into_owned();
        let message = format!(
            "{identity:?} can never come: the only identities are issued cookies, 32 hexadecimal digits"
        );
        tell(Code::PinsShadowed, &["pins"], message);
    }
}

fn steps_back(rollout: &Tree, tell: &mut impl FnMut(Code, &[&str], String)) {
    let weights: Vec<f64> = rollout
        .path(&["ramp", "steps"])
        .map_or(&[][..], Tree::items)
        .iter()
        .filter_map(|step| match step.get("weight")?.value {
            Value::Number(weight) => Some(weight),
            _ => None,
        })
        .collect();
    if let Some((from, to)) = weights.iter().zip(weights.iter().skip(1)).find(|(from, to)| to < from) {
        let message = format!(
            "a step goes back from {from} % to {to} %: users return to stable, and some leave it again later"
        );
        tell(Code::StepBack, &["ramp", "steps"], message);
    }
}

fn secrets(rollout: &Tree, tell: &mut impl FnMut(Code, &[&str], String)) {
    for way in [&["key"][..], &["override", "secret"]] {
        let in_clear = rollout.path(way).is_some_and(|secret| {
            secret.text().is_some() || secret.items().iter().any(|item| item.text().is_some())
        });
        if in_clear {
            let message = "a secret in clear: whoever reads the document has it; use {env: NAME}".to_owned();
            tell(Code::SecretInClear, way, message);
        }
    }
}

/// The key at the end of this way, or the value where it has none.
fn span_of(tree: &Tree, way: &[&str]) -> Span {
    let Some((last, before)) = way.split_last() else { return tree.span.clone() };
    let parent = tree.path(before).unwrap_or(tree);
    let entry = parent.entries().iter().find(|entry| entry.key == *last);
    entry.map_or_else(|| parent.span.clone(), |entry| entry.span.clone())
}

fn warning(found: &Found, code: Code, span: Span, place: &Place, message: impl Into<String>) -> Finding {
    Finding::warning(code, span, &found.place.join(place).to_string(), message)
}
