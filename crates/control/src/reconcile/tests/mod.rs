//! The loop on a real store, with proxies that a test makes up and a clock that it moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use coalmine_steer::{Outcome, Request, Verb};
use serde_json::Value;
use sqlx::any::install_default_drivers;
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::publish::Publisher;
use super::tick;
use super::{Gates, Hooks};
use crate::evidence::{Counted, Forms, ProxyReading, Queries, Reading, Source, VariantCounts};
use crate::fleets::{FLEET, Fleets};
use crate::notify::Notifiers;
use crate::operations::{self, Asked};
use crate::publish::Publication;
use crate::rollout::{Name, Operator, Record};
use crate::server::Server;
use crate::store::scripted::Scripted;
use crate::store::{Address, Sql, StoreError};

mod away;
mod fleets;
mod judging;
mod others;
mod refusals;
mod refused;
mod releases;
mod replayed;
mod workloads;

const ROLLOUT: &str = "
policy:
  match: {hosts: [checkout.example]}
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {steps: [5, 25], dwell: 15s, warmUp: 0s, minRequests: 50, onInconclusive: promote}
";

const ASKED: Asked<'static> =
    Asked { by: "alice", expected: None, release: None, dry_run: false, answer: None };

/// A server with one made-up proxy.
struct World {
    server: Arc<Server>,
    store: Arc<Scripted>,
    clock: Arc<AtomicU64>,
    proxy: MadeUp,
    hooks: Hooks,
    publisher: Mutex<Publisher>,
    bad: BTreeMap<String, u64>,
    folder: TempDir,
}

/// A proxy that follows at once, and counts as it is told.
#[derive(Clone, Debug, Default)]
struct MadeUp {
    revision: Option<u64>,
    since: Vec<(u64, u64)>,
    read: Option<u64>,
    /// Requests of each variant in a tick, and how many of them are bad.
    counts: BTreeMap<Name, [(u64, u64); 2]>,
    is_away: bool,
}

#[async_trait]
impl Source for MadeUp {
    async fn read(&mut self, now: u64, _: &Forms) -> Reading {
        if self.is_away {
            return Reading { away: Some("nobody answers".to_owned()), ..Reading::default() };
        }
        let counts = |(all, bad): (u64, u64)| {
            let mut counts = VariantCounts { came: all, ..VariantCounts::default() };
            // Spread over all groups: harm that one group carries is not believed.
            counts.all = [all / 16; 16];
            counts.bad = [bad / 16; 16];
            counts
        };
        let rollouts = self.counts.iter().map(|(name, [stable, canary])| {
            let variants = [("stable".to_owned(), counts(*stable)), ("canary".to_owned(), counts(*canary))];
            (name.clone(), BTreeMap::from(variants))
        });
        let counted = self.read.map(|from| Counted {
            from,
            until: now,
            rollouts: rollouts.collect(),
            ..Counted::default()
        });
        self.read = Some(now);
        if let Some(revision) = self.revision
            && self.since.last().is_none_or(|(last, _)| *last != revision)
        {
            self.since.push((revision, now));
        }
        let proxy = ProxyReading {
            name: "edge-1".to_owned(),
            filter: None,
            revision: self.revision,
            seen: now,
            disabled: Vec::new(),
            since: self.since.clone(),
            counted,
        };
        Reading { proxies: vec![proxy], ..Reading::default() }
    }

    fn forget(&mut self) {
        self.read = None;
        self.since.clear();
    }
}

impl World {
    async fn new() -> Self {
        Self::of(|server| server).await
    }

    /// With a server that is made of a usual one.
    async fn of(make: impl FnOnce(Server) -> Server) -> Self {
        crate::tls::choose_provider();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let (server, store) = build(&folder, &clock, Fleets::default()).await;
        let server = Arc::new(make(server));
        let hooks = no_hooks();
        let (proxy, publisher) = (MadeUp::default(), Mutex::default());
        Self { server, store, clock, proxy, hooks, publisher, bad: BTreeMap::new(), folder }
    }

    async fn write(&self, name: &str, text: &str) {
        operations::write(&self.server, &name.parse().unwrap(), text, &ASKED).await.unwrap();
        self.publish().await;
    }

    async fn say(&self, name: &str, verb: Verb) {
        let request = Request { verb, by: "alice".to_owned(), message: String::new() };
        operations::act(&self.server, &name.parse().unwrap(), &request, &ASKED).await.unwrap();
    }

    async fn publish(&self) {
        self.publisher.lock().await.publish(&self.server).await.unwrap();
    }

    /// A tick, and what follows it: the proxy takes the policy.
    async fn tick(&mut self) {
        for (name, bad) in self.bad.clone() {
            let weight = self.published(&name).await.unwrap_or_default();
            let all = 96_000;
            let canary = (all as f64 * weight / 100.0) as u64;
            let counts = [(all - canary, 0), (canary, canary * bad / 100)];
            self.proxy.counts.insert(name.parse().unwrap(), counts);
        }
        self.clock.fetch_add(15, Ordering::Relaxed);
        ticks(&self.server, &mut self.proxy, "one").await.unwrap();
        self.publish().await;
        self.proxy.revision = Some(self.latest().await.revision);
    }

    async fn latest(&self) -> Publication {
        self.server.store().publications(FLEET).await.unwrap().latest.unwrap()
    }

    async fn record(&self, name: &str) -> Record {
        self.server.store().record(&name.parse().unwrap()).await.unwrap().unwrap().record
    }

    /// Canary's weight in the latest publication; none where the rollout is not in it.
    async fn published(&self, name: &str) -> Option<f64> {
        weight(&self.latest().await, name)
    }

    /// From now on there are requests, split as the latest policy says, and so many of a hundred fail at the canary.
    fn requests(&mut self, name: &str, bad: u64) {
        self.bad.insert(name.to_owned(), bad);
    }
}

/// A way into the store for another program.
async fn database(folder: &TempDir) -> AnyConnection {
    install_default_drivers();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("coalmine.db").display());
    AnyConnection::connect(&url).await.unwrap()
}

async fn serve(folder: &TempDir, clock: &Arc<AtomicU64>) -> (Arc<Server>, Arc<Scripted>) {
    serve_fleets(folder, clock, Fleets::default()).await
}

async fn serve_fleets(
    folder: &TempDir,
    clock: &Arc<AtomicU64>,
    fleets: Fleets,
) -> (Arc<Server>, Arc<Scripted>) {
    let (server, store) = build(folder, clock, fleets).await;
    (Arc::new(server), store)
}

async fn build(folder: &TempDir, clock: &Arc<AtomicU64>, fleets: Fleets) -> (Server, Arc<Scripted>) {
    let store = Sql::open(Address::File(folder.path().join("coalmine.db"))).await.unwrap();
    let store = Arc::new(Scripted::new(Arc::new(store)));
    let clock = clock.clone();
    let clock = move || clock.load(Ordering::Relaxed);
    let server = Server::new(store.clone(), Operator::default(), fleets, 15, clock);
    (server, store)
}

fn no_hooks() -> Hooks {
    Hooks {
        gates: Gates::new(&BTreeMap::new()).unwrap(),
        notifiers: Notifiers::new(&BTreeMap::new(), || 0).unwrap(),
    }
}

/// A tick of this server with this proxy, without hooks.
async fn ticks(server: &Server, proxy: &mut MadeUp, holder: &str) -> Result<(), StoreError> {
    let hooks = no_hooks();
    tick::tick_all(server, vec![(FLEET, proxy)], &mut Queries::default(), &hooks, holder).await
}

fn weight(publication: &Publication, name: &str) -> Option<f64> {
    let document: Value = serde_json::from_str(&publication.document).unwrap();
    let rollout = document["rollouts"].as_array().unwrap().iter().find(|it| it["name"] == name)?.clone();
    rollout["variants"][0]["weight"].as_f64()
}

#[tokio::test]
async fn a_healthy_canary_goes_up_by_its_plan() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.requests("shop/checkout", 0);
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    let mut weights = vec![world.published("shop/checkout").await.unwrap()];
    for _ in 0..20 {
        world.tick().await;
        let weight = world.published("shop/checkout").await.unwrap();
        if weights.last() != Some(&weight) {
            weights.push(weight);
        }
    }
    assert_eq!(weights, [0.0, 5.0, 25.0, 100.0]);
    world.say("shop/checkout", Verb::Promote).await;
    for _ in 0..10 {
        world.tick().await;
    }
    let release = world.record("shop/checkout").await.state.release.unwrap();
    assert_eq!(release.outcome, Some(Outcome::Promoted));
    assert_eq!(world.published("shop/checkout").await, Some(0.0));
}

#[tokio::test]
async fn harm_is_taken_back_in_the_next_publication() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.requests("shop/checkout", 20);
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    let mut before = world.latest().await;
    for _ in 0..10 {
        world.tick().await;
        let now = world.latest().await;
        let record = world.record("shop/checkout").await;
        if record.state.rolled_back.is_some()
            || record.state.weight == 0 && weight(&before, "shop/checkout") > Some(0.0)
        {
            assert_eq!(weight(&now, "shop/checkout"), Some(0.0));
            world.tick().await;
            let release = world.server.store().release(&record.name, 1).await.unwrap().unwrap();
            assert_eq!(release.outcome, Some(Outcome::RolledBack));
            return;
        }
        before = now;
    }
    panic!("nothing was taken back");
}

#[tokio::test]
async fn without_evidence_nothing_moves_and_it_is_said() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    world.tick().await;
    world.proxy.is_away = true;
    for _ in 0..10 {
        world.tick().await;
    }
    assert_eq!(world.published("shop/checkout").await, Some(5.0));
    let message = world.record("shop/checkout").await.state.said.message;
    assert!(message.contains("no evidence can be read: nobody answers"), "{message}");
    assert_eq!(world.server.view().away(FLEET), Some("nobody answers"));
}

#[tokio::test]
async fn what_a_proxy_refused_is_held_until_it_is_another_one() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.tick().await;
    let good = world.latest().await;
    let bad = ROLLOUT.replace("checkout.example", "bad.example");
    world.write("bank/payments", &bad).await;
    let refused = world.latest().await;
    assert!(refused.revision > good.revision && weight(&refused, "bank/payments").is_some());
    world.server.store().refuse(FLEET, refused.revision, "it crashes").await.unwrap();
    world.publish().await;
    let after = world.latest().await;
    assert!(after.revision > refused.revision);
    assert_eq!((weight(&after, "bank/payments"), weight(&after, "shop/checkout")), (None, Some(0.0)));
    let view = world.server.view();
    let why = view.rollouts[&"bank/payments".parse().unwrap()].left_out.clone().unwrap();
    assert_eq!(why, "a proxy refused it: it crashes");
    for _ in 0..3 {
        world.tick().await;
    }
    assert_eq!(world.latest().await.revision, after.revision, "it is not tried again");
    world.write("bank/payments", &bad.replace("bad.example", "better.example")).await;
    world.tick().await;
    assert_eq!(world.published("bank/payments").await, Some(0.0));
}

#[tokio::test]
async fn a_deleted_rollout_goes_once_everybody_is_on_stable() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    world.say("shop/checkout", Verb::Advance).await;
    world.tick().await;
    assert!(world.published("shop/checkout").await > Some(0.0));
    operations::remove(&world.server, &"shop/checkout".parse().unwrap(), &ASKED).await.unwrap();
    world.tick().await;
    assert_eq!(world.published("shop/checkout").await, Some(0.0), "not gone yet: proxies are told first");
    for _ in 0..3 {
        world.tick().await;
    }
    assert_eq!(world.published("shop/checkout").await, None);
    let name: Name = "shop/checkout".parse().unwrap();
    assert_eq!(world.server.store().record(&name).await.unwrap(), None);
    let release = world.server.store().release(&name, 1).await.unwrap().unwrap();
    assert_eq!(release.outcome, Some(Outcome::Superseded), "its releases stay");
}

#[tokio::test]
async fn a_file_may_take_the_weights_over() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    world.tick().await;
    let (head, _) = ROLLOUT.split_once("plan:").unwrap();
    world.write("shop/checkout", &format!("{head}weights: {{canary: 30}}\n")).await;
    assert_eq!(world.published("shop/checkout").await, Some(30.0));
    let release = world.server.store().release(&"shop/checkout".parse().unwrap(), 1).await.unwrap().unwrap();
    assert_eq!(release.outcome, Some(Outcome::Superseded));
    let request = Request { verb: Verb::Advance, by: "alice".to_owned(), message: String::new() };
    let refused = operations::act(&world.server, &"shop/checkout".parse().unwrap(), &request, &ASKED).await;
    assert!(refused.unwrap_err().to_string().contains("the file owns the weights"));
}

#[tokio::test]
async fn a_policy_that_draws_users_anew_waits_until_none_is_on_the_canary() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    world.say("shop/checkout", Verb::Advance).await;
    world.tick().await;
    world.write("shop/checkout", &ROLLOUT.replace("x-user-id", "x-account")).await;
    world.tick().await;
    let document = world.latest().await.document;
    assert!(document.contains("x-user-id") && !document.contains("x-account"), "{document}");
    world.say("shop/checkout", Verb::Rollback).await;
    for _ in 0..3 {
        world.tick().await;
    }
    let document = world.latest().await.document;
    assert!(document.contains("x-account") && !document.contains("x-user-id"), "{document}");
}

#[tokio::test]
async fn of_two_servers_on_a_store_one_ticks_and_the_other_goes_on_later() {
    let mut world = World::new().await;
    let (second, _) = serve(&world.folder, &world.clock).await;
    world.write("shop/checkout", ROLLOUT).await;
    world.tick().await;
    ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    assert!(world.server.view().leads && !second.view().leads);
    world.clock.fetch_add(100, Ordering::Relaxed);
    ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    assert!(second.view().leads);
}

#[tokio::test]
async fn a_rollout_that_was_created_is_published_once() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    let first = world.latest().await.revision;
    world.tick().await;
    world.tick().await;
    assert_eq!(
        world.latest().await.revision,
        first,
        "a second one would send again what proxies may have refused"
    );
}

#[tokio::test]
async fn a_store_without_a_past_publishes_nothing_until_there_is_something_to_say() {
    let mut world = World::new().await;
    world.proxy.revision = Some(2_000_000);
    world.clock.fetch_add(15, Ordering::Relaxed);
    ticks(&world.server, &mut world.proxy, "one").await.unwrap();
    world.publish().await;
    assert_eq!(world.server.store().publications(FLEET).await.unwrap().latest, None);
    world.write("shop/checkout", ROLLOUT).await;
    assert_eq!(world.latest().await.revision, 2_000_001);
    operations::remove(&world.server, &"shop/checkout".parse().unwrap(), &ASKED).await.unwrap();
    world.tick().await;
    world.tick().await;
    assert_eq!(world.published("shop/checkout").await, None, "with a past, nothing is something to say");
}

#[tokio::test]
async fn a_proxy_of_another_history_is_followed_by_a_higher_revision() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.tick().await;
    let foreign = world.latest().await.revision + 1_000;
    world.proxy.revision = Some(foreign);
    world.clock.fetch_add(15, Ordering::Relaxed);
    ticks(&world.server, &mut world.proxy, "one").await.unwrap();
    world.publish().await;
    assert_eq!(world.latest().await.revision, foreign + 1);
}

#[tokio::test]
async fn the_younger_of_two_that_exclude_each_other_is_left_out() {
    let world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.clock.fetch_add(1, Ordering::Relaxed);
    world.write("bank/checkout", ROLLOUT).await;
    assert_eq!(
        (world.published("shop/checkout").await, world.published("bank/checkout").await),
        (Some(0.0), None)
    );
    let view = world.server.view();
    let why = view.rollouts[&"bank/checkout".parse().unwrap()].left_out.clone().unwrap();
    assert!(why.contains("checkout.example belongs to shop/checkout"), "{why}");
}

#[tokio::test]
async fn a_policy_that_is_refused_for_no_rollouts_sake_is_not_sent_again_and_again() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.tick().await;
    let filters = BTreeMap::from([(FLEET.to_owned(), "a broken module".to_owned())]);
    world.server.set_operator(Operator { filters, ..Operator::default() });
    world.publish().await;
    let broken = world.latest().await;
    assert_eq!(broken.filter, "a broken module");
    world.server.store().refuse(FLEET, broken.revision, "no such module").await.unwrap();
    for _ in 0..3 {
        world.publish().await;
    }
    assert_eq!(world.latest().await.revision, broken.revision);
    let sent = world.server.published(FLEET).unwrap();
    assert_eq!(sent.refused.as_deref(), Some("no such module"), "nobody else gets it");
    world.server.set_operator(Operator::default());
    world.publish().await;
    assert_eq!(world.latest().await.filter, "");
}
