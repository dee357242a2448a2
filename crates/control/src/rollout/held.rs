//! What a proxy refused is held: its bytes are never sent again, until somebody changes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Name;
use super::place::{Before, Documents, Place};

/// A rollout's form that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// SHA-256 of its text in the document.
    pub digest: String,
    /// Digest of its policy part, where that was new: no other weight makes it good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What the proxy said.
    pub why: String,
}

/// What is held now: what was held and has not changed since, and what is new in a document that was just refused.
pub(super) fn held(places: &[Place<'_>], good: &Documents, before: Before<'_>) -> BTreeMap<Name, Held> {
    let mut held = BTreeMap::new();
    let refused = before.latest.filter(|latest| latest.refused.is_some());
    let sent = Documents::of(refused);
    for place in places {
        let name = place.name();
        let digest = place.digest();
        let earlier = before.latest.and_then(|latest| latest.held.get(name));
        if let Some(earlier) = earlier
            && (place.candidate.said.is_none()
                || earlier.digest == digest
                || earlier.policy.as_deref() == Some(&place.form.policy))
        {
            held.insert(name.clone(), earlier.clone());
            continue;
        }
        let Some(why) = refused.and_then(|latest| latest.refused.clone()) else { continue };
        let was_sent =
            sent.node(name).is_some_and(|sent| place.node.as_ref().is_some_and(|node| node.is_same(sent)));
        let was_good =
            good.node(name).is_some_and(|good| sent.node(name).is_some_and(|sent| good.is_same(sent)));
        if was_sent && !was_good {
            let known =
                before.good.and_then(|good| good.parts.get(name)).map(|part| part.form.policy.as_str());
            let policy = (known != Some(place.form.policy.as_str())).then(|| place.form.policy.clone());
            held.insert(name.clone(), Held { digest, policy, why });
        }
    }
    held
}
