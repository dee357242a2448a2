//! What this server knows of the cluster: all rollouts, and its own ConfigMaps.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::runtime::watcher::{self, Event};

use super::object::{Kept, version_of};
use super::table::Table;
use crate::kubernetes::CanaryRollout;
use crate::rollout::Name;

/// How long a watch that broke off rests.
const REST: Duration = Duration::from_secs(1);

/// What is known, and a number that moves with it.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) rollouts: Table<Name, Arc<Kept>>,
    pub(super) maps: Table<String, Arc<ConfigMap>>,
    /// Moves with every change.
    pub(super) counted: u64,
    /// Why a watch does not get through, where that is so.
    pub(super) away: Option<String>,
}

/// What a watch brings.
pub(super) trait Watched: Debug + Send + Sized + 'static {
    /// Takes it, where it is there or gone, or where the list begins or ends.
    fn take(known: &mut Known, event: Event<Self>) -> bool;
}

/// Follows a watch for ever.
pub(super) async fn follow<K: Watched>(
    cache: Arc<Cache>,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
) {
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let mut known = cache.known();
                // That a list begins says only that it will be asked for.
                if !matches!(event, Event::Init) {
                    known.away = None;
                }
                if K::take(&mut known, event) {
                    known.counted += 1;
                }
            }
            Err(error) => {
                cache.known().away = Some(told(&error));
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn told(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => crate::kubernetes::sentence(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        error => error.to_string(),
    }
}

// === impl Cache ===

impl Cache {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rollout of this name, accepted or not.
    pub(super) fn rollout(&self, name: &Name) -> Option<Arc<Kept>> {
        self.known().rollouts.get(name).cloned()
    }

    /// Takes what the API answered: an object that this server has read or written.
    pub(super) fn see(&self, object: CanaryRollout) {
        let mut known = self.known();
        if CanaryRollout::take(&mut known, Event::Apply(object)) {
            known.counted += 1;
        }
    }

    /// The same of a ConfigMap.
    pub(super) fn see_map(&self, map: ConfigMap) {
        let mut known = self.known();
        if ConfigMap::take(&mut known, Event::Apply(map)) {
            known.counted += 1;
        }
    }

    /// A rollout is gone since this version.
    pub(super) fn lose(&self, name: &Name, version: u64) {
        let mut known = self.known();
        if known.rollouts.remove(name, version) {
            known.counted += 1;
        }
    }

    /// A ConfigMap is gone.
    pub(super) fn lose_map(&self, name: &str, version: u64) {
        let mut known = self.known();
        if known.maps.remove(&name.to_owned(), version) {
            known.counted += 1;
        }
    }

    /// Whether both watches have listed everything once.
    pub(super) fn is_complete(&self) -> bool {
        let known = self.known();
        known.rollouts.is_complete && known.maps.is_complete
    }
}

impl Watched for CanaryRollout {
    fn take(known: &mut Known, event: Event<Self>) -> bool {
        match event {
            Event::Init => {
                known.rollouts.begin();
                false
            }
            Event::InitDone => known.rollouts.end(),
            Event::Apply(object) | Event::InitApply(object) => {
                let Some(name) = Kept::name_of(&object) else { return false };
                let version = version_of(object.metadata.resource_version.as_deref());
                known
                    .rollouts
                    .put(name, version, |before| Arc::new(Kept::new(object, before.map(Arc::as_ref))))
            }
            Event::Delete(object) => {
                let Some(name) = Kept::name_of(&object) else { return false };
                known.rollouts.remove(&name, version_of(object.metadata.resource_version.as_deref()))
            }
        }
    }
}

impl Watched for ConfigMap {
    fn take(known: &mut Known, event: Event<Self>) -> bool {
        match event {
            Event::Init => {
                known.maps.begin();
                false
            }
            Event::InitDone => known.maps.end(),
            Event::Apply(map) | Event::InitApply(map) => {
                let version = version_of(map.metadata.resource_version.as_deref());
                known.maps.put(map.name_any(), version, |_| Arc::new(map))
            }
            Event::Delete(map) => {
                let version = version_of(map.metadata.resource_version.as_deref());
                known.maps.remove(&map.name_any(), version)
            }
        }
    }
}
