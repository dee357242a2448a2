//! The store is away, and the tasks that run until the server ends.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::*;
use crate::ending::ending;
use crate::reconcile::{Clearing, publish_always, tick_always, told};

/// More than anything here takes on a busy machine.
pub(super) const LATE: Duration = Duration::from_secs(20);

/// Waits until this is so.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = poll_fn(|context| match is_so() {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    tokio::time::timeout(LATE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(super) fn revision(world: &World) -> u64 {
    world.server.published(FLEET).map_or(0, |publication| publication.revision)
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_it_goes_on_later() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.requests("shop/checkout", 0);
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    world.tick().await;
    let (sent, at) = (revision(&world), world.server.view().at);
    world.store.set_away(true);
    world.clock.fetch_add(15, Ordering::Relaxed);
    let ticked = ticks(&world.server, &mut world.proxy, "one").await;
    assert!(told(&world.server, ticked).is_none());
    let view = world.server.view();
    assert!(view.store_away.as_deref().unwrap().contains("the store does not answer"), "{view:?}");
    assert_eq!((view.at, revision(&world)), (at, sent), "proxies keep what they have");
    assert!(world.publisher.lock().await.publish(&world.server).await.is_err());
    world.store.set_away(false);
    world.clock.fetch_add(15, Ordering::Relaxed);
    let ticked = ticks(&world.server, &mut world.proxy, "one").await;
    assert!(told(&world.server, ticked).is_some());
    assert_eq!(world.server.view().store_away, None);
    for _ in 0..10 {
        world.tick().await;
    }
    assert!(world.published("shop/checkout").await > Some(5.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_is_published_at_once_and_written_to_a_file() {
    let world = World::new().await;
    let path = world.folder.path().join("policy.json");
    let files = BTreeMap::from([(FLEET.to_owned(), path.clone())]);
    let (end, ending) = ending();
    let task = tokio::spawn(publish_always(world.server.clone(), files, ending));
    let name: Name = "shop/checkout".parse().unwrap();
    operations::write(&world.server, &name, ROLLOUT, &ASKED).await.unwrap();
    until("published", || revision(&world) > 0 && path.exists()).await;
    let first = revision(&world);
    world.store.set_away(true);
    world.server.wake();
    until("told", || world.server.view().store_away.is_some()).await;
    world.store.set_away(false);
    operations::write(&world.server, &name, &ROLLOUT.replace("x-user-id", "x-account"), &ASKED)
        .await
        .unwrap();
    // Steering takes the other policy part at a tick.
    ticks(&world.server, &mut MadeUp::default(), "one").await.unwrap();
    let holds =
        |path: &std::path::Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("x-account"));
    until("published again", || revision(&world) > first && holds(&path)).await;
    assert_eq!(world.server.view().store_away, None);
    end.now();
    tokio::time::timeout(LATE, task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_lets_another_server_tick_at_once() {
    let world = World::new().await;
    let (end, ending) = ending();
    let proxy: Box<dyn Source> = Box::new(MadeUp::default());
    let sources = BTreeMap::from([(FLEET.to_owned(), proxy)]);
    let (server, hooks) = (world.server.clone(), world.hooks.clone());
    let task =
        tokio::spawn(tick_always(server, sources, Queries::default(), hooks, "one".to_owned(), ending));
    until("a tick", || world.server.view().at > 0).await;
    let (second, _) = serve(&world.folder, &world.clock).await;
    let tick = async || ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    tick().await;
    assert!(!second.view().leads);
    end.now();
    tokio::time::timeout(LATE, task).await.unwrap().unwrap();
    tick().await;
    assert!(second.view().leads);
}

/// A proxy that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Source for Silent {
    async fn read(&mut self, _: u64, _: &Forms) -> Reading {
        std::future::pending().await
    }

    fn forget(&mut self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_waits_for_no_tick() {
    let world = World::new().await;
    let (end, ending) = ending();
    let sources = BTreeMap::from([(FLEET.to_owned(), Box::new(Silent) as Box<dyn Source>)]);
    let (server, hooks) = (world.server.clone(), world.hooks.clone());
    let task =
        tokio::spawn(tick_always(server, sources, Queries::default(), hooks, "one".to_owned(), ending));
    until("a tick has begun", || world.server.view().leads).await;
    end.now();
    tokio::time::timeout(LATE, task).await.expect("the tick goes on").unwrap();
    let (second, _) = serve(&world.folder, &world.clock).await;
    ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    assert!(second.view().leads, "the lease was given back");
}

#[tokio::test]
async fn an_end_does_not_wait_for_a_store_that_says_nothing() {
    let world = World::new().await;
    world.store.keep_the_lease();
    let (end, ending) = ending();
    let (server, hooks) = (world.server.clone(), world.hooks.clone());
    let ticking = tick_always(server, BTreeMap::new(), Queries::default(), hooks, "one".to_owned(), ending);
    end.now();
    tokio::time::timeout(LATE, ticking).await.expect("it waits for the lease");
}

#[tokio::test]
async fn what_is_old_is_removed_once_a_day_and_after_a_failure_an_hour_later() {
    let world = World::new().await;
    let mut clearing = Clearing::default();
    let mut after = async |seconds| {
        world.clock.fetch_add(seconds, Ordering::Relaxed);
        clearing.come(&world.server).await;
        world.store.forgot()
    };
    world.store.set_away(true);
    assert_eq!((after(0).await, after(1).await, after(3_598).await), (1, 1, 1));
    world.store.set_away(false);
    assert_eq!((after(1).await, after(3_600).await, after(82_799).await, after(1).await), (2, 2, 2, 3));
}
