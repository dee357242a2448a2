//! The store in the Kubernetes API: a rollout is a [`CanaryRollout`], whose spec is written by people or by Git, and whose
//! status this server writes. The version of a record is the object's `resourceVersion`.
//!
//! | file | what is in it |
//! |---|---|
//! | `object` | what an object holds: record, history, releases, answers |
//! | `conditions` | what tools see of it |
//! | `writes` | a record is written, removed, or cleared of what is old |
//! | `policies` | publications: ConfigMaps of the server's own namespace |
//! | `settings` | the freeze and reserved idempotency keys, ConfigMaps too, and the lease |
//! | `intents` | specs that are not accepted yet |
//! | `published` | whether the policy of the proxies has a rollout as it should |
//! | `cache`, `table` | what watches bring, and what this server has just written |
//!
//! Reads come from what watches brought, writes go to the API at the version that was read. A write that comes back is seen
//! at once. The API keeps objects, no transaction over several: the version in each is what makes the compare-and-set
//! of one record, and the order of reading and writing what makes that of a publication.

mod cache;
mod conditions;
mod intents;
mod object;
mod policies;
mod published;
mod settings;
mod table;
mod writes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams};
use kube::runtime::watcher::watcher;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{Answer, Change, Entry, Head, Publications, Recorded, Store, StoreError, Stored, Versions};
use crate::kubernetes::{ApiAddress, CanaryRollout, Connection, MANAGER, Trouble, watching, within};
use crate::publish::Publication;
use crate::rollout::{Name, ReleaseRecord};

use cache::{Cache, STANDS, follow};

pub use intents::Intent;
pub use published::Unpublished;

/// The label of what this server keeps, and its values.
const HOLDS: &str = "coalmine.dev/holds";
/// Of what is watched: the freeze, and the list of publications of a fleet.
const STATE: &str = "state";
/// How long it may take until everything has been read once.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is seen whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The store.
pub struct Kubernetes {
    inner: Arc<Inner>,
    /// End with the store.
    _watches: JoinSet<()>,
}

struct Inner {
    connection: Connection,
    /// The only namespace whose rollouts are kept; all where none is given.
    only: Option<String>,
    cache: Arc<Cache>,
    /// One record is written at a time, so that what a caller left alone comes to its end before the next begins.
    writing: Mutex<()>,
    bodies: policies::Bodies,
}

// === impl Kubernetes ===

impl Kubernetes {
    /// Opens the store: reads everything once, and follows it from then on. With `only`, it keeps the rollouts of that
    /// namespace, and asks for no other.
    ///
    /// # Errors
    /// The API cannot be reached, forbids it, or does not know a [`CanaryRollout`].
    pub async fn open(address: &ApiAddress, only: Option<&str>) -> Result<Self, StoreError> {
        let connection = address.connect().await.map_err(|error| StoreError::Away(error.to_string()))?;
        let inner = Inner {
            connection,
            only: only.map(str::to_owned),
            cache: Arc::default(),
            writing: Mutex::default(),
            bodies: policies::Bodies::default(),
        };
        // What is wrong is told at once, which a watch does not.
        let few = ListParams::default().limit(1);
        within(inner.all_rollouts().list_metadata(&few)).await.map_err(|trouble| match &trouble {
            Trouble::Said(kube::Error::Api(status)) if status.code == 404 => StoreError::Away(
                "the cluster does not know canaryrollouts.coalmine.dev; run: coalmine crd | kubectl apply --server-side -f -"
                    .to_owned(),
            ),
            _ => told(trouble),
        })?;
        let mut watches = JoinSet::new();
        let (cache, api) = (inner.cache.clone(), inner.all_rollouts());
        watches.spawn(follow(cache, move || watcher(api.clone(), watching()), STANDS));
        let (cache, api, state) = (inner.cache.clone(), inner.maps(), format!("{HOLDS}={STATE}"));
        watches.spawn(follow(cache, move || watcher(api.clone(), watching().labels(&state)), STANDS));
        let store = Self { inner: Arc::new(inner), _watches: watches };
        let complete = async {
            while !store.inner.cache.is_complete() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(OPENED_WITHIN, complete).await.is_err() {
            let why = store.inner.cache.known().away();
            return Err(StoreError::Away(
                why.unwrap_or_else(|| "the cluster does not say what it has".to_owned()),
            ));
        }
        Ok(store)
    }

    /// The way to the cluster.
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// Does it to its end, also where who asked goes away.
    async fn whole<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let done = tokio::spawn(work(self.inner.clone())).await;
        done.map_err(|_| StoreError::Away("it was not done to its end".to_owned()))?
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").field("connection", &self.inner.connection).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// On an API in memory, without watches.
    #[cfg(test)]
    fn on(fake: &crate::kubernetes::fake::Fake) -> Self {
        Self {
            connection: Connection { client: fake.client(), namespace: "coalmine".to_owned() },
            only: None,
            cache: Arc::default(),
            writing: Mutex::default(),
            bodies: policies::Bodies::default(),
        }
    }

    fn all_rollouts(&self) -> Api<CanaryRollout> {
        match &self.only {
            Some(namespace) => Api::namespaced(self.connection.client.clone(), namespace),
            None => Api::all(self.connection.client.clone()),
        }
    }

    fn rollouts(&self, name: &Name) -> Api<CanaryRollout> {
        Api::namespaced(self.connection.client.clone(), name.namespace())
    }

    fn maps(&self) -> Api<ConfigMap> {
        self.own()
    }

    /// Deletes a ConfigMap; one that is gone already is as good.
    async fn delete_map(&self, name: &str) -> Result<(), StoreError> {
        match within(self.maps().delete(name, &DeleteParams::default())).await.map_err(told) {
            Ok(_) | Err(StoreError::Moved) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Objects of the server's own namespace.
    fn own<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Serialize + DeserializeOwned,
        K::DynamicType: Default,
    {
        Api::namespaced(self.connection.client.clone(), &self.connection.namespace)
    }
}

/// What the API says, as what became of it.
fn told(trouble: Trouble) -> StoreError {
    let Trouble::Said(kube::Error::Api(status)) = &trouble else {
        return StoreError::Away(trouble.to_string());
    };
    let is_full = ["exceeded quota", "database space exceeded", "request is too large", "limit is"];
    let what = format!("the Kubernetes API: {trouble}");
    // The namespace is what is not there. A message names objects, which may be called anything.
    let is_of_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
    let is_moved = matches!(status.reason.as_str(), "NotFound" | "AlreadyExists" | "Conflict");
    match status.code {
        // Who deletes something that is gone has read it before.
        404 | 409 if is_moved && !is_of_namespace => StoreError::Moved,
        // Nothing of the API has answered, or the cluster does not know this kind any more.
        404 if !is_moved => StoreError::Away(what),
        413 => StoreError::Full(what),
        _ if is_full.iter().any(|words| status.message.contains(words)) => StoreError::Full(what),
        400 | 404 | 409 | 422 => StoreError::Refused(what),
        403 if status.message.contains("denied the request") => StoreError::Refused(what),
        // One that is asked about this object does not answer: all others may be written.
        _ if status.message.contains("failed calling webhook") => StoreError::Refused(what),
        _ => StoreError::Away(what),
    }
}

#[async_trait]
impl Store for Kubernetes {
    async fn versions(&self) -> Result<Versions, StoreError> {
        let known = self.inner.cache.known();
        let accepted = known.rollouts.iter().filter(|(_, kept)| !kept.is_unaccepted());
        Ok(accepted.map(|(name, kept)| (name.clone(), kept.version)).collect())
    }

    async fn records(&self) -> Result<Vec<Stored>, StoreError> {
        let known = self.inner.cache.known();
        known.rollouts.iter().filter_map(|(_, kept)| kept.stored().transpose()).collect()
    }

    async fn record(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        self.inner.cache.rollout(name).map_or(Ok(None), |kept| kept.stored())
    }

    async fn commit(&self, change: Change) -> Result<u64, StoreError> {
        self.whole(async move |inner: Arc<Inner>| inner.commit(&change).await).await
    }

    async fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError> {
        let name = name.clone();
        self.whole(async move |inner: Arc<Inner>| inner.remove(&name, version).await).await
    }

    async fn counter(&self) -> Result<u64, StoreError> {
        let known = self.inner.cache.known();
        known.away().map_or(Ok(known.counted), |why| Err(StoreError::Away(why)))
    }

    async fn history(&self, name: &Name, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let Some(kept) = self.inner.cache.rollout(name) else { return Ok(Vec::new()) };
        let newest_first = kept.lines.iter().rev().map(|line| &line.entry);
        let wanted = newest_first.filter(|entry| before.is_none_or(|before| entry.number < before));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn lines(&self, after: u64, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let known = self.inner.cache.known();
        let forgotten = known.rollouts.iter().map(|(_, kept)| kept.forgotten).max().unwrap_or_default();
        let lines = known.rollouts.iter().flat_map(|(name, kept)| kept.recorded(name));
        let mut lines: Vec<Recorded> = lines.filter(|line| line.position > after).collect();
        lines.sort_by_key(|line| line.position);
        lines.truncate(limit as usize);
        if let Some(first) = lines.first_mut() {
            first.is_after_gap = forgotten > after;
        }
        Ok(lines)
    }

    async fn last_line(&self) -> Result<u64, StoreError> {
        let known = self.inner.cache.known();
        let last = known.rollouts.iter().filter_map(|(_, kept)| kept.lines.last());
        Ok(last.map(|line| line.position).max().unwrap_or_default())
    }

    async fn release(&self, name: &Name, number: u64) -> Result<Option<ReleaseRecord>, StoreError> {
        let kept = self.inner.cache.rollout(name);
        Ok(kept.and_then(|kept| kept.releases.iter().find(|it| it.release == number).cloned()))
    }

    async fn latest_release(&self, name: &Name) -> Result<Option<ReleaseRecord>, StoreError> {
        Ok(self.inner.cache.rollout(name).and_then(|kept| kept.releases.last().cloned()))
    }

    async fn forget(&self, history_before: u64, now: u64) -> Result<(), StoreError> {
        self.whole(async move |inner: Arc<Inner>| inner.forget(history_before, now).await).await
    }

    async fn head(&self, fleet: &str) -> Result<Head, StoreError> {
        self.inner.head(fleet)
    }

    async fn publications(&self, fleet: &str) -> Result<Publications, StoreError> {
        self.inner.publications(fleet).await
    }

    async fn publication(&self, fleet: &str, revision: u64) -> Result<Option<Publication>, StoreError> {
        self.inner.publication(fleet, revision).await
    }

    async fn publish(&self, publication: &Publication, versions: &Versions) -> Result<(), StoreError> {
        let (publication, versions) = (publication.clone(), versions.clone());
        self.whole(async move |inner: Arc<Inner>| inner.publish(&publication, &versions).await).await
    }

    async fn refuse(&self, fleet: &str, revision: u64, why: &str) -> Result<(), StoreError> {
        let (fleet, why) = (fleet.to_owned(), why.to_owned());
        self.whole(async move |inner: Arc<Inner>| inner.refuse(&fleet, revision, &why).await).await
    }

    async fn frozen(&self) -> Result<Option<String>, StoreError> {
        Ok(self.inner.frozen())
    }

    async fn freeze(&self, why: Option<&str>) -> Result<(), StoreError> {
        let why = why.map(str::to_owned);
        self.whole(async move |inner: Arc<Inner>| inner.freeze(why.as_deref()).await).await
    }

    async fn answer(&self, key: &str) -> Result<Option<Answer>, StoreError> {
        let known = self.inner.cache.known();
        let mut answers = known.rollouts.iter().flat_map(|(_, kept)| &kept.answers);
        Ok(answers.find(|answer| answer.key == key).cloned())
    }

    async fn lease(&self, holder: &str, now: u64, until: u64) -> Result<bool, StoreError> {
        self.inner.lease(holder, now, until).await
    }
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
