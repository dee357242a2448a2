//! Values that stand in one place of a text and are read in several: anchors, aliases and merge keys of YAML.

use coalmine_core::policy::Rollout;
use coalmine_document::{Node, OwnedPath, Style};

use crate::scan::{EmbeddedPolicy, Scan};

/// The fields of a rollout that a change of weights writes.
const WRITTEN: [&str; 2] = ["variants", "ranges"];

/// The first of the values that would be changed that is written elsewhere.
pub(super) fn borrowed(embedded: &EmbeddedPolicy, rollout: &Rollout) -> Option<OwnedPath> {
    let policy = &embedded.node;
    let at = OwnedPath::of(&["rollouts"]).item(rollout.index());
    let map = policy.get("rollouts").and_then(|rollouts| rollouts.items().get(rollout.index()));
    let is_alias = |node: &&Node| node.style == Style::Alias;
    let own = map.filter(is_alias).map(|_| at.clone());
    let field = |name: &&str| map?.get(name).filter(|node| has_alias(node)).map(|_| at.field(name));
    let revision = policy.get("revision").filter(is_alias).map(|_| OwnedPath::of(&["revision"]));
    let all = policy.get("rollouts").filter(is_alias).map(|_| OwnedPath::of(&["rollouts"]));
    let found = all.or(own).or_else(|| WRITTEN.iter().find_map(field)).or(revision);
    let whole = Some(policy).filter(is_alias).map(|_| OwnedPath::default());
    whole.or(found).map(|place| embedded.path.join(&place))
}

/// Whether this value, or one in it, is written elsewhere.
fn has_alias(node: &Node) -> bool {
    node.style == Style::Alias
        || node.items().iter().any(has_alias)
        || node.entries().iter().any(|entry| has_alias(&entry.node))
}

/// The first place outside the weights of this rollout that a change has changed too.
pub(super) fn changed(before: &Scan, after: &Scan, rollout: usize) -> Option<OwnedPath> {
    let place = OwnedPath::of(&["rollouts"]).item(rollout);
    let mut written = WRITTEN.map(|field| place.field(field)).to_vec();
    written.push(OwnedPath::of(&["revision"]));
    let values = |node: &Node| node.clone().without_places();
    let inside = before.policies.iter().zip(&after.policies).find_map(|(before, after)| {
        let found = difference(&values(&before.node), &values(&after.node), &OwnedPath::default(), &written)?;
        Some(before.path.join(&found))
    });
    let policies: Vec<OwnedPath> = before.policies.iter().map(|policy| policy.path.clone()).collect();
    inside.or_else(|| {
        before.documents.iter().zip(&after.documents).find_map(|(before, after)| {
            difference(&values(before), &values(after), &OwnedPath::default(), &policies)
        })
    })
}

/// The first place where two values without places differ, but for those that may.
fn difference(before: &Node, after: &Node, at: &OwnedPath, may: &[OwnedPath]) -> Option<OwnedPath> {
    if may.contains(at) || before == after {
        return None;
    }
    let mut entries = before.entries().iter();
    let mut items = before.items().iter().zip(after.items()).enumerate();
    let is_new = |name: &str| before.get(name).is_none() && !may.contains(&at.field(name));
    let found = entries.find_map(|entry| {
        let at = at.field(&entry.key);
        match after.get(&entry.key) {
            Some(after) => difference(&entry.node, after, &at, may),
            None => Some(at).filter(|at| !may.contains(at)),
        }
    });
    let found = found.or_else(|| {
        items.find_map(|(index, (before, after))| difference(before, after, &at.item(index), may))
    });
    let new = after.entries().iter().find(|entry| is_new(&entry.key)).map(|entry| at.field(&entry.key));
    // A policy may be in a document in this text.
    let holds_policy = before.text().is_some() && may.iter().any(|place| place.begins_with(at));
    let differs = !before.is_container() && !holds_policy || before.items().len() != after.items().len();
    found.or(new).or_else(|| differs.then(|| at.clone()))
}
