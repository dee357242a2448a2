//! Proxies refuse a policy.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::away::{LATE, revision, until};
use super::*;
use crate::ending::{End, ending};
use crate::publish::xds::Refusal;
use crate::reconcile::refuse_always;

/// What refuses policies to a server.
struct Refusing {
    refusals: mpsc::Sender<Refusal>,
    end: End,
    task: JoinHandle<()>,
}

impl Refusing {
    fn to(server: &Arc<Server>) -> Self {
        let (end, ending) = ending();
        let (refusals, refused) = mpsc::channel(8);
        let task = tokio::spawn(refuse_always(server.clone(), refused, Arc::default(), ending));
        Self { refusals, end, task }
    }

    async fn send(&self, node: &str, revision: u64) {
        let (fleet, node, why) = (FLEET.to_owned(), node.to_owned(), "it crashes".to_owned());
        self.refusals.send(Refusal { fleet, revision, node, why }).await.unwrap();
    }

    async fn end(self) {
        self.end.now();
        tokio::time::timeout(LATE, self.task).await.unwrap().unwrap();
    }
}

impl World {
    /// With a policy that the only proxy runs, and a later one that it has not taken: its revision.
    async fn with_a_later_policy() -> (Self, u64) {
        let mut world = Self::new().await;
        world.write("shop/checkout", ROLLOUT).await;
        world.tick().await;
        world.tick().await;
        world.write("shop/other", &ROLLOUT.replace("checkout.example", "other.example")).await;
        let later = revision(&world);
        (world, later)
    }

    async fn until_refused(&self, revision: u64) {
        let refused = tokio::time::timeout(LATE, async {
            while self.server.store().publication(FLEET, revision).await.unwrap().unwrap().refused.is_none() {
                tokio::task::yield_now().await;
            }
        });
        refused.await.expect("it is not refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_every_proxy_refuses_is_taken_back() {
    let (world, bad) = World::with_a_later_policy().await;
    let good = world.proxy.revision.unwrap();
    let refusing = Refusing::to(&world.server);
    refusing.send("edge-1", bad).await;
    world.until_refused(bad).await;
    world.publish().await;
    let latest = world.latest().await;
    assert!(latest.revision > bad && latest.refused.is_none());
    assert_eq!((weight(&latest, "shop/other"), weight(&latest, "shop/checkout")), (None, Some(0.0)));
    assert!(world.server.store().publication(FLEET, good).await.unwrap().unwrap().refused.is_none());
    refusing.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hundreds_of_proxies_refuse_is_decided_at_once_and_delays_nothing() {
    let (world, bad) = World::with_a_later_policy().await;
    let refusing = Refusing::to(&world.server);
    for number in 1..=600 {
        refusing.send(&format!("edge-{number}"), bad).await;
    }
    world.until_refused(bad).await;
    world.publish().await;
    world.write("shop/third", &ROLLOUT.replace("checkout.example", "third.example")).await;
    let next = revision(&world);
    assert!(next > bad);
    refusing.send("edge-1", next).await;
    world.until_refused(next).await;
    refusing.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_waits_until_the_store_takes_it() {
    let (world, bad) = World::with_a_later_policy().await;
    let refusing = Refusing::to(&world.server);
    world.store.set_away(true);
    refusing.send("edge-1", bad).await;
    until("told", || world.server.view().store_away.is_some()).await;
    world.store.set_away(false);
    world.until_refused(bad).await;
    refusing.end().await;
}

/// Whether a policy is taken back that a proxy refuses to a server that does not tick, where a proxy that follows another
/// server has this revision.
async fn is_taken_back(has: impl Fn(u64) -> u64) -> bool {
    let (world, latest) = World::with_a_later_policy().await;
    let (second, _) = serve(&world.folder, &world.clock).await;
    let mut proxy = MadeUp { revision: Some(has(latest)), ..MadeUp::default() };
    Publisher::default().publish(&second).await.unwrap();
    ticks(&second, &mut proxy, "two").await.unwrap();
    let refusing = Refusing::to(&second);
    refusing.send("edge-3", latest).await;
    let Refusing { refusals, end, task } = refusing;
    drop(refusals);
    // It ends when everything is decided. Meanwhile the clock goes on, for less than the lease of the server that ticks.
    let mut seconds = 0;
    let decided = async {
        while !task.is_finished() {
            seconds += 1;
            world.clock.fetch_add(u64::from(seconds <= 30), Ordering::Relaxed);
            ticks(&second, &mut proxy, "two").await.unwrap();
        }
    };
    tokio::time::timeout(LATE, decided).await.expect("it is not decided");
    assert!(!second.view().leads);
    drop(end);
    world.latest().await.refused.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_follows_another_server_shows_whose_fault_it_is() {
    assert!(!is_taken_back(|latest| latest).await, "the other one has taken it");
    assert!(is_taken_back(|latest| latest - 1).await, "the other one has not taken it");
}
