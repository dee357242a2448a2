//! One revision of the policy of a fleet.

use std::collections::BTreeMap;

use coalmine_steer::Form;
use serde::{Deserialize, Serialize};

use crate::rollout::{Held, Name};

/// One revision of the policy of a fleet. It is never changed; only a refusal is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// The fleet: the proxies that have the same policy.
    pub fleet: String,
    /// Its number: higher than all before it in this fleet.
    pub revision: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The policy document, in JSON.
    pub document: String,
    /// Digest of the filter that goes with it.
    #[serde(default)]
    pub filter: String,
    /// What it says of each rollout.
    pub parts: BTreeMap<Name, Part>,
    /// What is not in it as it should be, since a proxy refused it before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<Name, Held>,
    /// Why a proxy refused it, where one did: its bytes are never sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What a publication says of one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// In the words of steering.
    pub form: Form,
    /// The first revision in which the rollout stood as it stands here.
    pub since: u64,
    /// SHA-256 of its text in the document but for `since` and the ramp that falls, in hexadecimal.
    pub digest: String,
    /// When proxies fall back by themselves, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub falls: Option<Falls>,
}

/// When proxies that hear nothing more of the server fall back by themselves, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Falls {
    /// When the server said so last, in seconds since 1970.
    pub from: u64,
    /// Seconds from then.
    pub after: u64,
    /// Canary's weight then, in parts per million.
    pub weight: u32,
}

// === impl Falls ===

impl Falls {
    /// From when on the server says it anew: before half of the time has passed.
    pub fn renewed_from(&self) -> u64 {
        self.from.saturating_add(self.after / 2)
    }

    /// From when on any server says it anew, as the one that ticks has not.
    pub fn overdue_from(&self) -> u64 {
        self.from.saturating_add(self.after / 4 * 3)
    }

    /// Whether a proxy that has heard nothing since has fallen back.
    pub fn has_fallen(&self, now: u64) -> bool {
        now >= self.from.saturating_add(self.after)
    }
}

// === impl Publication ===

impl Publication {
    /// From when on it is to be renewed, so that no proxy falls back.
    pub fn renewed_from(&self) -> Option<u64> {
        self.parts.values().filter_map(|part| part.falls).map(|falls| falls.renewed_from()).min()
    }

    /// Whether it should have been renewed by now.
    pub fn is_overdue(&self, now: u64) -> bool {
        self.parts.values().filter_map(|part| part.falls).any(|falls| falls.overdue_from() <= now)
    }

    /// This rollout's form, in the words of steering.
    pub fn published(&self, name: &Name) -> Option<coalmine_steer::inputs::Published> {
        let part = self.parts.get(name)?;
        Some(coalmine_steer::inputs::Published { form: part.form.clone(), revision: part.since })
    }
}
