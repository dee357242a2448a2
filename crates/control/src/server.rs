//! What the rooms of a running server share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use coalmine_steer::Condition;
use tokio::sync::{Notify, watch};

use crate::cluster::{Cluster, Hands};
use crate::evidence::{ProxyReading, Reading};
use crate::fleets::Fleets;
use crate::publish::Publication;
use crate::publish::istio::{NotBrought, Plugin};
use crate::rollout::{Name, Operator};
use crate::snapshot::{Snapshot, Snapshots};
use crate::store::{Store, StoreError};
use crate::timings::Timings;

/// A running server: its store, its clock, what it knows now, and ways to wake it.
pub struct Server {
    store: Arc<dyn Store>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Seconds between two ticks.
    tick: u64,
    operator: RwLock<Arc<Operator>>,
    fleets: Fleets,
    /// Where the workloads are, where they are known.
    cluster: Option<Arc<dyn Cluster>>,
    hands: Hands,
    snapshots: Snapshots,
    view: watch::Sender<Arc<View>>,
    /// By fleet.
    publications: BTreeMap<String, watch::Sender<Option<Arc<Publication>>>>,
    changed: Notify,
    recorded: watch::Sender<()>,
    /// The fleets whose proxies are read at each tick, also where another server ticks.
    asked: Mutex<BTreeSet<String>>,
    timings: Timings,
}

/// What the latest tick and the latest publication saw. It is lost with the process; a tick makes it anew.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// When the latest tick was, of this server or of the one that ticks, in seconds since 1970; 0 before the first.
    pub at: u64,
    /// When this server last judged, in seconds since 1970; 0 before the first time.
    pub judged: u64,
    /// Seconds between two ticks.
    pub tick: u64,
    /// Of each rollout, what held it.
    pub rollouts: BTreeMap<Name, Seen>,
    /// Of each fleet, its proxies as they were read last.
    pub readings: BTreeMap<String, Reading>,
    /// Why the store does not do what it should, where that is so.
    pub store_away: Option<String>,
    /// Whether this server ticks; otherwise another one on the same store does.
    pub leads: bool,
    /// Of each fleet that gets its policy by plugins of Istio, what they have.
    pub plugins: BTreeMap<String, Delivery>,
}

/// What the plugins of a fleet have, as far as this server knows.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The latest policy that all of them have; none before they were seen to have one.
    pub had: Option<Arc<Publication>>,
    /// The revision that was brought last: every plugin without a trouble has it.
    pub brought: Option<u64>,
    /// The plugins that have not got the latest policy.
    pub troubles: BTreeMap<Plugin, NotBrought>,
}

/// What was seen of one rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why it does not move, and what people should know.
    pub conditions: Vec<Condition>,
    /// Why it is not in the policy as it should be, where that is so.
    pub left_out: Option<String>,
}

// === impl View ===

impl View {
    /// The proxies of a fleet.
    pub fn proxies(&self, fleet: &str) -> &[ProxyReading] {
        self.readings.get(fleet).map_or(&[], |reading| &reading.proxies)
    }

    /// Why no evidence of a fleet can be read, where that is so.
    pub fn away(&self, fleet: &str) -> Option<&str> {
        self.readings.get(fleet)?.away.as_deref()
    }
}

// === impl Delivery ===

impl Delivery {
    /// Why the latest policy is not in all plugins, where that is so: a sentence.
    pub fn trouble(&self) -> Option<String> {
        let (plugin, trouble) = self.troubles.first_key_value()?;
        Some(format!("{plugin} has not got the policy: {trouble}"))
    }

    /// Whether the plugins that have not got the latest policy are not there at all, so that their proxies have no filter.
    pub fn is_missing(&self) -> bool {
        !self.troubles.is_empty() && self.troubles.values().all(|trouble| trouble.is_missing)
    }

    /// Whether no proxy can get a rollout any more: the latest policy is without it, and every plugin that is there has that policy.
    pub fn is_without(&self, name: &Name, latest: &Publication) -> bool {
        let has_latest = self.brought == Some(latest.revision);
        let is_there = latest.parts.contains_key(name);
        has_latest && !is_there && self.troubles.values().all(|trouble| trouble.is_missing)
    }
}

// === impl Server ===

impl Server {
    /// A server of these fleets on this store. `clock` tells the seconds since 1970, `tick` how many lie between two ticks.
    pub fn new(
        store: Arc<dyn Store>,
        operator: Operator,
        fleets: Fleets,
        tick: u64,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let unpublished = |fleet: &str| (fleet.to_owned(), watch::Sender::new(None));
        Self {
            store,
            clock: Box::new(clock),
            tick: tick.max(1),
            operator: RwLock::new(Arc::new(operator)),
            publications: fleets.names().map(unpublished).collect(),
            fleets,
            cluster: None,
            hands: Hands::default(),
            snapshots: Snapshots::default(),
            view: watch::Sender::new(Arc::new(View { tick: tick.max(1), ..View::default() })),
            changed: Notify::new(),
            recorded: watch::Sender::new(()),
            asked: Mutex::default(),
            timings: Timings::default(),
        }
    }

    /// The same server, which knows the workloads of this cluster.
    #[must_use]
    pub fn with_cluster(self, cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// Where the workloads are, where they are known.
    pub fn cluster(&self) -> Option<&Arc<dyn Cluster>> {
        self.cluster.as_ref()
    }

    /// What is being done to workloads.
    pub(crate) fn hands(&self) -> &Hands {
        &self.hands
    }

    /// Where everything is kept.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// What the store holds now.
    ///
    /// # Errors
    /// The store does not say.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        self.snapshots.now(self.store.as_ref(), &self.fleets).await
    }

    /// The time, in seconds since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Seconds between two ticks.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// What the operator says.
    pub fn operator(&self) -> Arc<Operator> {
        self.operator.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The operator says something else, from now on.
    pub fn set_operator(&self, operator: Operator) {
        *self.operator.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(operator);
        self.wake();
    }

    /// The fleets.
    pub fn fleets(&self) -> &Fleets {
        &self.fleets
    }

    /// What the latest tick saw.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Changes what is known.
    pub(crate) fn look(&self, change: impl FnOnce(&mut View)) {
        self.view.send_modify(|view| change(Arc::make_mut(view)));
    }

    /// The policy that the proxies of a fleet should have, where there is one yet.
    pub fn published(&self, fleet: &str) -> Option<Arc<Publication>> {
        self.publications.get(fleet)?.borrow().clone()
    }

    /// The policies that proxies should have, by fleet; each changes with each publication.
    pub fn publications(&self) -> impl Iterator<Item = (&str, watch::Receiver<Option<Arc<Publication>>>)> {
        self.publications.iter().map(|(fleet, sender)| (fleet.as_str(), sender.subscribe()))
    }

    /// The policy that the proxies of a fleet should have; it changes with each publication. None of no fleet of this server.
    pub(crate) fn publication(&self, fleet: &str) -> Option<watch::Receiver<Option<Arc<Publication>>>> {
        self.publications.get(fleet).map(watch::Sender::subscribe)
    }

    /// Sends a publication to the proxies of its fleet, unless they have it.
    pub(crate) fn send(&self, publication: Publication) {
        let Some(sender) = self.publications.get(&publication.fleet) else { return };
        sender.send_if_modified(|sent| {
            let is_new = sent.as_ref().is_none_or(|sent| {
                (sent.revision, &sent.refused) != (publication.revision, &publication.refused)
            });
            if is_new {
                *sent = Some(Arc::new(publication));
            }
            is_new
        });
    }

    /// Changes when something may have been recorded, by this server or by another one on the same store.
    pub fn recorded(&self) -> watch::Receiver<()> {
        self.recorded.subscribe()
    }

    /// Tells those who follow history: it may have new lines.
    pub(crate) fn tell(&self) {
        self.recorded.send_replace(());
    }

    /// From now on has the proxies of these fleets read at each tick, also where another server ticks.
    pub(crate) fn ask_for_readings(&self, fleets: BTreeSet<String>) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = fleets;
    }

    /// The fleets for which that is asked.
    pub(crate) fn asked_readings(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long its work takes.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// Something was recorded: the policy is composed anew at once.
    pub fn wake(&self) {
        self.changed.notify_one();
        self.tell();
    }

    /// Waits for the next [`Server::wake`].
    pub(crate) async fn woken(&self) {
        self.changed.notified().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("store", &self.store).field("tick", &self.tick).finish_non_exhaustive()
    }
}
