//! A store for tests: it can be away, and somebody else can be faster than the next commit.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::{Answer, Change, Entry, Head, Publications, Recorded, Store, StoreError, Stored, Versions};
use crate::publish::Publication;
use crate::rollout::{Name, ReleaseRecord};

/// A real store, and what a test does to it.
pub(crate) struct Scripted {
    store: Arc<dyn Store>,
    is_away: AtomicBool,
    before_commit: First,
    before_publication: First,
    refused: Mutex<Option<Name>>,
    keeps_lease: AtomicBool,
    forgot: AtomicUsize,
}

/// What is done first, once.
type First = Mutex<Option<BoxFuture<'static, ()>>>;

// === impl Scripted ===

impl Scripted {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let is_away = AtomicBool::new(false);
        let (before_commit, before_publication) = (First::default(), First::default());
        Self {
            store,
            is_away,
            before_commit,
            before_publication,
            refused: Mutex::default(),
            keeps_lease: AtomicBool::new(false),
            forgot: AtomicUsize::new(0),
        }
    }

    /// From now on it never says anything about the lease.
    pub(crate) fn keep_the_lease(&self) {
        self.keeps_lease.store(true, Ordering::Relaxed);
    }

    /// How often it was to forget what is old.
    pub(crate) fn forgot(&self) -> usize {
        self.forgot.load(Ordering::Relaxed)
    }

    /// From now on it takes nothing of this rollout, as a cluster where a webhook denies it.
    pub(crate) fn refuse_all_of(&self, name: &str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = name.parse().ok();
    }

    /// From now on it does not answer, or answers again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Does this once, when the next commit has been decided and is not yet written.
    pub(crate) fn before_next_commit(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.before_commit.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(what));
    }

    /// Does this once, when the next publication has been composed and is not yet written.
    pub(crate) fn before_next_publication(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.before_publication.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(what));
    }

    fn reach(&self) -> Result<&dyn Store, StoreError> {
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(StoreError::Away("db.internal refuses connections".to_owned())),
            false => Ok(self.store.as_ref()),
        }
    }
}

async fn come(first: &First) {
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(first) = first {
        first.await;
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("store", &self.store).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Scripted {
    async fn versions(&self) -> Result<Versions, StoreError> {
        self.reach()?.versions().await
    }

    async fn records(&self) -> Result<Vec<Stored>, StoreError> {
        self.reach()?.records().await
    }

    async fn record(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        self.reach()?.record(name).await
    }

    async fn commit(&self, change: Change) -> Result<u64, StoreError> {
        come(&self.before_commit).await;
        if self.refused.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&change.record.name) {
            return Err(StoreError::Refused("a webhook denied the request".to_owned()));
        }
        self.reach()?.commit(change).await
    }

    async fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError> {
        self.reach()?.remove(name, version).await
    }

    async fn counter(&self) -> Result<u64, StoreError> {
        self.reach()?.counter().await
    }

    async fn history(&self, name: &Name, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.reach()?.history(name, before, limit).await
    }

    async fn lines(&self, after: u64, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        self.reach()?.lines(after, limit).await
    }

    async fn last_line(&self) -> Result<u64, StoreError> {
        self.reach()?.last_line().await
    }

    async fn release(&self, name: &Name, number: u64) -> Result<Option<ReleaseRecord>, StoreError> {
        self.reach()?.release(name, number).await
    }

    async fn latest_release(&self, name: &Name) -> Result<Option<ReleaseRecord>, StoreError> {
        self.reach()?.latest_release(name).await
    }

    async fn forget(&self, history_before: u64, now: u64) -> Result<(), StoreError> {
        self.forgot.fetch_add(1, Ordering::Relaxed);
        self.reach()?.forget(history_before, now).await
    }

    async fn head(&self, fleet: &str) -> Result<Head, StoreError> {
        self.reach()?.head(fleet).await
    }

    async fn publications(&self, fleet: &str) -> Result<Publications, StoreError> {
        self.reach()?.publications(fleet).await
    }

    async fn publication(&self, fleet: &str, revision: u64) -> Result<Option<Publication>, StoreError> {
        self.reach()?.publication(fleet, revision).await
    }

    async fn publish(&self, publication: &Publication, versions: &Versions) -> Result<(), StoreError> {
        come(&self.before_publication).await;
        self.reach()?.publish(publication, versions).await
    }

    async fn refuse(&self, fleet: &str, revision: u64, why: &str) -> Result<(), StoreError> {
        self.reach()?.refuse(fleet, revision, why).await
    }

    async fn frozen(&self) -> Result<Option<String>, StoreError> {
        self.reach()?.frozen().await
    }

    async fn freeze(&self, why: Option<&str>) -> Result<(), StoreError> {
        self.reach()?.freeze(why).await
    }

    async fn answer(&self, key: &str) -> Result<Option<Answer>, StoreError> {
        self.reach()?.answer(key).await
    }

    async fn lease(&self, holder: &str, now: u64, until: u64) -> Result<bool, StoreError> {
        if self.keeps_lease.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.reach()?.lease(holder, now, until).await
    }
}
