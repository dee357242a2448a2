//! Weights that fall by themselves where proxies hear nothing more of the server: a ramp of the policy in their place, whose
//! start is renewed while the server is there.

use std::time::{Duration, UNIX_EPOCH};

use coalmine_document::{Node, Value};
use coalmine_steer::plan::OnServerAway;

use super::place::{Place, canary_weight, of_canary, with, with_variants};
use super::policy_part::{unweighted, weighted};
use crate::publish::{Falls, Part};

/// When proxies fall back from this rollout; none where they go on as they are. `before` is its latest publication: as long
/// as less than half of the time has passed, it says the same again.
///
/// Only while the canary is judged: once stable is renewed, nobody is sent back by a clock.
pub(super) fn falls(place: &Place<'_>, before: Option<&Part>, now: u64) -> Option<Falls> {
    let plan = place.candidate.said.as_ref()?.spec.plan.as_ref()?;
    let OnServerAway { after, weight } = plan.on_server_away?;
    let is_above = canary_weight(place.node.as_ref()?).is_some_and(|canary| canary > weight);
    if !is_above || !place.form.observe {
        return None;
    }
    let before = before.and_then(|before| before.falls).filter(|falls| {
        (falls.after, falls.weight) == (after, weight) && (falls.from..falls.renewed_from()).contains(&now)
    });
    Some(before.unwrap_or(Falls { from: now, after, weight }))
}

/// The rollout with a ramp in the place of its weights.
pub(super) fn ramped(node: Node, falls: Falls) -> Node {
    let Some((weight, variants)) = canary_weight(&node).zip(node.get("variants").map(unweighted)) else {
        return node;
    };
    let step = |at: u64, weight: u32| {
        let percent = Value::Number(f64::from(weight) / 10_000.0);
        Node::of_fields([("at", Node::of_text(format!("{at}s"))), ("weight", percent.into())])
    };
    let start = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(falls.from));
    let ramp = Node::of_fields([
        ("start", Node::of_text(start.to_string())),
        ("steps", Node::of_items([step(0, weight), step(falls.after, falls.weight)])),
        ("allowDown", Value::Bool(true).into()),
    ]);
    with(with_variants(node, variants), "ramp", ramp)
}

/// The rollout with the weights that its ramp stands for, where it has one.
pub(super) fn unramped(node: Node) -> Node {
    let first = |ramp: &Node| match ramp.get("steps")?.items().first()?.get("weight")?.value {
        Value::Number(percent) => coalmine_document::parts_per_million(percent).ok(),
        _ => None,
    };
    let Some((weight, variants)) = node.get("ramp").and_then(first).zip(node.get("variants")) else {
        return node;
    };
    let variants = weighted(variants, |name| of_canary(name, weight));
    let mut node = with_variants(node, variants);
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != "ramp");
    }
    node
}
