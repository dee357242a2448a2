//! What the store holds, read and parsed: what has not changed since the last time is neither read nor parsed again.
//!
//! With thousands of rollouts that are ticked once a second, nearly all of them are as they were. The store's count says
//! whether anything has changed at all, and the versions of the records which of them have.

use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_document::Problems;
use coalmine_steer::inputs::Policy;
use tokio::sync::Mutex;

use crate::fleets::Fleets;
use crate::rollout::{Name, Spec};
use crate::store::{Head, Publications, Store, StoreError, Stored, Versions};

/// Where more than one in so many records have changed, all are read at once; otherwise one by one those that have.
const ONE_IN: usize = 8;

/// What the store held at one count.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The store's count then.
    pub counted: u64,
    /// The rollouts.
    pub rollouts: BTreeMap<Name, Arc<Parsed>>,
    /// The rollouts whose records cannot be read.
    pub unreadable: BTreeMap<Name, Unreadable>,
    /// Why everything is frozen, where it is.
    pub frozen: Option<String>,
    /// By fleet.
    published: BTreeMap<String, (Head, Arc<Publications>)>,
}

/// A record that cannot be read, as somebody has changed it by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its version.
    pub version: u64,
    /// Why, in words.
    pub why: String,
}

/// A record, and what is written in it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The record.
    pub stored: Stored,
    /// What is written; why it cannot be read any more, where that is so.
    pub spec: Result<Arc<Spec>, Arc<Problems>>,
    /// The same with the policy part in force.
    pub in_force: Result<Arc<Spec>, Arc<Problems>>,
    /// What steering knows of the policy part that is written.
    pub policy: Policy,
}

/// The latest snapshot. Whoever asks while it is read anew waits for that.
#[derive(Debug, Default)]
pub struct Snapshots {
    latest: Mutex<Option<Arc<Snapshot>>>,
}

// === impl Parsed ===

impl Parsed {
    /// Parses a record. A document that was parsed `before` is not parsed again: most changes are of the state alone.
    fn later(stored: Stored, before: Option<&Self>) -> Self {
        let is_same = |before: &&Self| {
            let record = &before.stored.record;
            record.written == stored.record.written && record.policy == stored.record.policy
        };
        match before.filter(is_same) {
            Some(before) => Self { stored, ..before.clone() },
            None => Self::new(stored),
        }
    }

    /// Parses a record.
    pub fn new(stored: Stored) -> Self {
        let spec = stored.record.spec().map(Arc::new).map_err(Arc::new);
        let in_force = match &stored.record.policy {
            None => spec.clone(),
            Some(_) => stored.record.spec_in_force().map(Arc::new).map_err(Arc::new),
        };
        let policy = spec.as_ref().map(|spec| spec.policy_inputs()).unwrap_or_default();
        Self { stored, spec, in_force, policy }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The versions of all records.
    pub fn versions(&self) -> Versions {
        let readable = self.rollouts.iter().map(|(name, parsed)| (name, parsed.stored.version));
        let unreadable = self.unreadable.iter().map(|(name, it)| (name, it.version));
        readable.chain(unreadable).map(|(name, version)| (name.clone(), version)).collect()
    }

    /// The publications of a fleet that matter.
    pub fn publications(&self, fleet: &str) -> Arc<Publications> {
        self.published.get(fleet).map(|(_, publications)| publications.clone()).unwrap_or_default()
    }

    /// The same of a later time.
    async fn later(&self, store: &dyn Store, fleets: &Fleets, counted: u64) -> Result<Self, StoreError> {
        let mut rollouts = BTreeMap::new();
        let mut changed = Vec::new();
        let versions = store.versions().await?;
        let all = versions.len();
        for (name, version) in versions {
            match self.rollouts.get(&name).filter(|parsed| parsed.stored.version == version) {
                Some(parsed) => drop(rollouts.insert(name, parsed.clone())),
                None => changed.push((name, version)),
            }
        }
        let mut read = Vec::new();
        let mut unreadable = BTreeMap::new();
        let all_at_once = match changed.len() * ONE_IN <= all {
            true => None,
            false => match store.records().await {
                // One by one it is found which.
                Err(StoreError::Unreadable(_)) => None,
                records => Some(records?),
            },
        };
        match all_at_once {
            Some(mut records) => {
                records.retain(|stored| !rollouts.contains_key(&stored.record.name));
                read = records;
            }
            None => {
                for (name, version) in changed {
                    match store.record(&name).await {
                        Err(error @ StoreError::Unreadable(_)) => {
                            let why = error.to_string();
                            unreadable.insert(name, Unreadable { version, why });
                        }
                        stored => read.extend(stored?),
                    }
                }
            }
        }
        for stored in read {
            let name = stored.record.name.clone();
            let before = self.rollouts.get(&name).map(Arc::as_ref);
            rollouts.insert(name, Arc::new(Parsed::later(stored, before)));
        }
        let mut published = BTreeMap::new();
        for fleet in fleets.names() {
            let head = store.head(fleet).await?;
            let publications = match self.published.get(fleet).filter(|(known, _)| *known == head) {
                Some((_, publications)) => publications.clone(),
                None => Arc::new(store.publications(fleet).await?),
            };
            published.insert(fleet.to_owned(), (head, publications));
        }
        Ok(Self { counted, rollouts, unreadable, frozen: store.frozen().await?, published })
    }
}

// === impl Snapshots ===

impl Snapshots {
    /// What the store holds now.
    ///
    /// # Errors
    /// The store does not say.
    pub async fn now(&self, store: &dyn Store, fleets: &Fleets) -> Result<Arc<Snapshot>, StoreError> {
        let mut latest = self.latest.lock().await;
        // Before anything else is read: what changes meanwhile has a higher count, and is read the next time.
        let counted = store.counter().await?;
        if let Some(known) = latest.as_ref().filter(|known| known.counted == counted) {
            return Ok(known.clone());
        }
        let before = latest.clone().unwrap_or_default();
        let now = Arc::new(before.later(store, fleets, counted).await?);
        *latest = Some(now.clone());
        Ok(now)
    }
}
