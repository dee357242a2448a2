//! Policies of several plugins: whether a user gets one variant, whichever proxy the request passes.

use coalmine_core::policy::Rollout;
use coalmine_document::{Node, OwnedPath, quoted};

use super::Valid;
use crate::args::now;
use crate::diagnostic::{Code, Diagnostic};

/// Sources that a caller's sidecar has not: a gateway may ask them first, and hand the user on as a header.
const AT_THE_EDGE: [&str; 3] = ["jwtClaim", "peer", "sourceIp"];
/// What says who gets which bucket.
const SHARES: [&str; 3] = ["variants", "ranges", "ramp"];

/// The diagnostics about plugins that disagree, each with the place of its file.
pub(super) fn diagnostics(policies: &[Valid]) -> Vec<(usize, Diagnostic)> {
    let plugins: Vec<&Valid> = policies.iter().filter(|valid| valid.embedded.variables.is_some()).collect();
    let mut found = Vec::new();
    for (place, later) in plugins.iter().enumerate() {
        let earlier = plugins.iter().take(place);
        let differs = |other: &Valid| pair(other, later);
        let disagreement = earlier.map(|other| differs(other)).find(|diagnostics| !diagnostics.is_empty());
        found.extend(disagreement.into_iter().flatten().map(|diagnostic| (later.file, diagnostic)));
    }
    found
}

fn pair(one: &Valid, other: &Valid) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let title = one.embedded.title();
    for rollout in other.policy.rollouts() {
        let same = one.policy.rollouts().iter().find(|first| first.name() == rollout.name());
        if let Some((first, first_node, node)) =
            same.and_then(|first| Some((first, written(one, first)?, written(other, rollout)?)))
            && let Some((field, what)) = difference((first, first_node), (rollout, node))
        {
            let path = OwnedPath::of(&["rollouts"]).item(rollout.index());
            let (path, span) = match node.entry(field) {
                Some(entry) => (path.field(field), entry.span),
                None => (path, node.head()),
            };
            let message = format!(
                "{title} has the rollout {} too, with {what}: a user can get one version through it and another through \
                 this one",
                quoted(rollout.name())
            );
            let place = other.embedded.path.join(&path).to_string();
            found.push(Diagnostic::warning(Code::PoliciesDiffer, span, &place, message));
        }
    }
    let revision = other.policy.revision().filter(|revision| one.policy.revision() == Some(*revision));
    if let Some(revision) = revision
        && !one.embedded.node.is_same(&other.embedded.node)
    {
        let span = other.embedded.node.entry("revision").map_or(other.embedded.node.span, |entry| entry.span);
        let place = other.embedded.path.field("revision").to_string();
        let message =
            format!("{title} has revision {revision} too, with another policy: a revision names one policy");
        found.push(Diagnostic::warning(Code::PoliciesDiffer, span, &place, message));
    }
    found
}

/// A rollout as it is written.
fn written<'v>(valid: &'v Valid, rollout: &Rollout) -> Option<&'v Node> {
    valid.embedded.node.get("rollouts")?.items().get(rollout.index())
}

/// The first field in which two rollouts draw differently, and what the first one has in all of them.
fn difference(
    (first, first_node): (&Rollout, &Node),
    (other, node): (&Rollout, &Node),
) -> Option<(&'static str, String)> {
    let differs = |name: &str| match (first_node.get(name), node.get(name)) {
        (Some(first), Some(other)) => !first.is_same(other),
        (first, other) => first.is_some() != other.is_some(),
    };
    let mut found = Vec::new();
    if first.is_enabled() != other.is_enabled() {
        found.push(("enabled", format!("enabled: {}", first.is_enabled())));
    }
    if first.salt() != other.salt() {
        found.push(("salt", format!("the salt {}", quoted(first.salt()))));
    }
    if first.algorithm() != other.algorithm() {
        found.push(("algorithm", format!("the algorithm {}", first.algorithm().name())));
    }
    if differs("key") {
        found.push(("key", "another key".to_owned()));
    }
    if !are_same(&sources(first_node), &sources(node)) {
        found.push(("identity", "other identities".to_owned()));
    }
    let now = now();
    let same_now = first.named_ranges(now) == other.named_ranges(now);
    if let Some(shares) = SHARES.into_iter().find(|name| differs(name) && (*name == "ramp" || !same_now)) {
        let shown = first.shares(now);
        let weights: Vec<String> = shown.iter().map(|(name, weight)| format!("{name} {weight} %")).collect();
        found.push((shares, weights.join(", ")));
    }
    let (field, _) = found.first()?;
    let what: Vec<&str> = found.iter().map(|(_, what)| what.as_str()).collect();
    Some((field, what.join(", ")))
}

/// The identity sources that every proxy can have.
fn sources(rollout: &Node) -> Vec<&Node> {
    let items = rollout.get("identity").map_or(&[][..], Node::items);
    items.iter().filter(|item| !AT_THE_EDGE.iter().any(|field| item.get(field).is_some())).collect()
}

fn are_same(ours: &[&Node], theirs: &[&Node]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| ours.is_same(theirs))
}
