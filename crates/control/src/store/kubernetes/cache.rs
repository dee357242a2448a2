//! What this server knows of the cluster: all rollouts, and its own ConfigMaps.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::runtime::watcher::{self, Event};
use tokio::time::timeout;

use super::object::{Kept, version_of};
use super::table::Table;
use crate::kubernetes::CanaryRollout;
use crate::rollout::Name;

/// How long a watch that broke off rests.
const REST: Duration = Duration::from_secs(1);
/// How long nothing may fail until a watch that the API refused stands again. It says so only with the next change, and the
/// API has less time than this to refuse it again.
pub(super) const STANDS: Duration = Duration::from_secs(12);

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
}

/// What a watch brings.
pub(super) trait Watched: Debug + Send + Sized + 'static {
    /// Takes it, where it is there or gone, or where the list begins or ends.
    fn take(known: &mut Known, event: Event<Self>) -> bool;

    /// Why its watch does not get through.
    fn away(known: &mut Known) -> &mut Option<String>;
}

/// Follows a watch for ever. Where its connection broke, it begins anew with a list, which says when everything is known again;
/// where the API refused it, it stands again after nothing has failed for so long.
pub(super) async fn follow<K: Watched, S: Stream<Item = watcher::Result<Event<K>>>>(
    cache: Arc<Cache>,
    begin: impl Fn() -> S,
    stands: Duration,
) {
    let mut events = pin!(begin());
    loop {
        let is_away = K::away(&mut cache.known()).is_some();
        let event = match is_away {
            false => events.next().await,
            true => match timeout(stands, events.next()).await {
                Ok(event) => event,
                Err(_) => {
                    *K::away(&mut cache.known()) = None;
                    continue;
                }
            },
        };
        match event {
            Some(Ok(event)) => {
                let mut known = cache.known();
                // That a list begins says only that it will be asked for.
                if !matches!(event, Event::Init) {
                    *K::away(&mut known) = None;
                }
                if K::take(&mut known, event) {
                    known.counted += 1;
                }
            }
            Some(Err(error)) => {
                *K::away(&mut cache.known()) = Some(told(&error));
                tokio::time::sleep(REST).await;
                if is_broken(&error) {
                    events.set(begin());
                }
            }
            None => return,
        }
    }
}

/// Whether a connection broke or the API is busy with itself, and has not said that this server may not watch.
fn is_broken(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            !matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
        }
        watcher::Error::WatchError(_) => true,
        _ => false,
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

// === impl Known ===

impl Known {
    /// Why what is known may be old, where that is so: a watch does not get through.
    pub(super) fn away(&self) -> Option<String> {
        self.rollouts.away.clone().or_else(|| self.maps.away.clone())
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
    fn away(known: &mut Known) -> &mut Option<String> {
        &mut known.rollouts.away
    }

    fn take(known: &mut Known, event: Event<Self>) -> bool {
        match event {
            Event::Init => {
                known.rollouts.begin();
                false
            }
            Event::InitDone => known.rollouts.end(),
            Event::Apply(object) | Event::InitApply(object) => {
                let Some(name) = Kept::name_of(&object) else {
                    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                    tracing::warn!(namespace, name, "ignored a CanaryRollout whose name no rollout may have");
                    return false;
                };
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
    fn away(known: &mut Known) -> &mut Option<String> {
        &mut known.maps.away
    }

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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::stream;
    use kube::core::Status;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    fn forbidden() -> watcher::Error {
        let status = Status::failure("the server may not watch this", "Forbidden").with_code(403);
        watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
    }

    fn broken() -> watcher::Error {
        watcher::Error::WatchStartFailed(kube::Error::Service("it does not answer".into()))
    }

    /// What a watch says, and then nothing.
    fn says<K: Watched>(
        events: Vec<watcher::Result<Event<K>>>,
    ) -> impl Stream<Item = watcher::Result<Event<K>>> {
        stream::iter(events).chain(stream::pending())
    }

    /// Follows a watch that lists, and then fails like this, once.
    async fn fails<K: Watched>(cache: Arc<Cache>, how: impl Fn() -> watcher::Error, stands: Duration) {
        let has_failed = AtomicBool::new(false);
        let begin = || {
            let mut events = vec![Ok(Event::Init), Ok(Event::InitDone)];
            if !has_failed.swap(true, Ordering::Relaxed) {
                events.push(Err(how()));
            }
            says::<K>(events)
        };
        follow(cache, begin, stands).await;
    }

    async fn until(cache: &Cache, is_away: bool) {
        while cache.known().away().is_some() != is_away {
            tokio::time::sleep(SOON / 10).await;
        }
    }

    #[tokio::test]
    async fn a_watch_that_fails_is_told_whatever_the_other_says() {
        let cache: Arc<Cache> = Arc::default();
        let failing = tokio::spawn(fails::<CanaryRollout>(cache.clone(), forbidden, STANDS));
        until(&cache, true).await;
        let goes =
            || says(vec![Ok(Event::Init), Ok(Event::InitDone), Ok(Event::Apply(ConfigMap::default()))]);
        assert!(timeout(REST + SOON, follow(cache.clone(), goes, STANDS)).await.is_err());
        assert_eq!(cache.known().away().as_deref(), Some("the server may not watch this"));
        failing.abort();
    }

    #[tokio::test]
    async fn a_watch_that_comes_back_without_a_word_stands_again() {
        let cache: Arc<Cache> = Arc::default();
        let following = tokio::spawn(fails::<ConfigMap>(cache.clone(), forbidden, SOON));
        until(&cache, true).await;
        until(&cache, false).await;
        following.abort();
    }

    #[tokio::test]
    async fn a_watch_whose_connection_broke_lists_anew() {
        let cache: Arc<Cache> = Arc::default();
        let following = tokio::spawn(fails::<ConfigMap>(cache.clone(), broken, Duration::MAX));
        until(&cache, true).await;
        timeout(10 * STANDS, until(&cache, false)).await.unwrap();
        following.abort();
    }
}
