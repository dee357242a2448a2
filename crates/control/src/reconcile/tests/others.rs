//! Somebody else is faster, or works on the same store.

use coalmine_steer::What;

use super::*;
use crate::operations::Refused;
use crate::publish::istio::{NotBrought, Plugin, PluginKind};
use crate::server::Delivery;

impl World {
    /// Says a verb at the moment when the next commit has been decided and is not yet written.
    fn says_first(&self, verb: Verb) {
        let server = self.server.clone();
        self.store.before_next_commit(async move {
            let request = Request { verb, by: "ada".to_owned(), message: "now".to_owned() };
            let name = "shop/checkout".parse().unwrap();
            operations::act(&server, &name, &request, &ASKED).await.unwrap();
        });
    }

    /// A tick that commits something: a step is due.
    async fn progressing(&mut self) {
        self.write("shop/checkout", ROLLOUT).await;
        self.requests("shop/checkout", 0);
        self.say("shop/checkout", Verb::Start { new_users: false }).await;
        self.tick().await;
    }
}

#[tokio::test]
async fn a_verb_between_reading_and_writing_is_not_lost() {
    let mut world = World::new().await;
    world.progressing().await;
    let before = world.record("shop/checkout").await.state.weight;
    world.says_first(Verb::Pause);
    world.tick().await;
    let state = world.record("shop/checkout").await.state;
    assert_eq!(state.paused.map(|hand| hand.by).as_deref(), Some("ada"));
    assert_eq!(state.weight, before, "the tick has seen it");
    let ticked = world.clock.load(Ordering::Relaxed);
    assert_eq!(state.ticked, Some(ticked), "and was not lost either");
}

#[tokio::test]
async fn a_rollback_between_reading_and_writing_is_not_undone() {
    let mut world = World::new().await;
    world.progressing().await;
    world.tick().await;
    assert!(world.published("shop/checkout").await > Some(0.0));
    world.says_first(Verb::Rollback);
    world.tick().await;
    assert_eq!(world.published("shop/checkout").await, Some(0.0), "in the very next publication");
    world.tick().await;
    let release = world.record("shop/checkout").await.state.release.unwrap();
    assert_eq!(release.outcome, Some(Outcome::RolledBack));
    let name: Name = "shop/checkout".parse().unwrap();
    let history = world.server.store().history(&name, None, 100).await.unwrap();
    let sent_back = history.iter().filter(|line| line.logged.what == What::RollsBack);
    assert_eq!(sent_back.count(), 1);
}

#[tokio::test]
async fn what_is_written_while_a_policy_is_composed_is_in_it() {
    let mut world = World::new().await;
    world.progressing().await;
    let before = world.published("shop/checkout").await;
    let server = world.server.clone();
    world.store.before_next_publication(async move {
        let other = ROLLOUT.replace("checkout.example", "other.example");
        operations::write(&server, &"shop/other".parse().unwrap(), &other, &ASKED).await.unwrap();
    });
    world.say("shop/checkout", Verb::Advance).await;
    world.publish().await;
    assert_eq!(world.published("shop/other").await, Some(0.0));
    assert!(world.published("shop/checkout").await > before);
}

#[tokio::test]
async fn a_rollout_that_comes_again_while_it_goes_stays() {
    let mut world = World::new().await;
    world.progressing().await;
    world.tick().await;
    let name: Name = "shop/checkout".parse().unwrap();
    operations::remove(&world.server, &name, &ASKED).await.unwrap();
    let server = world.server.clone();
    world.store.before_next_commit(async move {
        operations::write(&server, &"shop/checkout".parse().unwrap(), ROLLOUT, &ASKED).await.unwrap();
    });
    for _ in 0..4 {
        world.tick().await;
    }
    assert!(!world.record("shop/checkout").await.deleted);
    assert!(world.published("shop/checkout").await.is_some());
}

#[tokio::test]
async fn a_rollout_that_somebody_deletes_a_second_time_is_unknown() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    let name: Name = "shop/checkout".parse().unwrap();
    operations::remove(&world.server, &name, &ASKED).await.unwrap();
    for _ in 0..3 {
        world.tick().await;
    }
    assert_eq!(world.published("shop/checkout").await, None);
    let again = operations::remove(&world.server, &name, &ASKED).await;
    assert!(matches!(again, Err(Refused::Unknown)), "{again:?}");
}

#[tokio::test]
async fn a_rollout_whose_weights_the_file_owns_goes_at_once() {
    let world = World::new().await;
    let (head, _) = ROLLOUT.split_once("plan:").unwrap();
    world.write("shop/checkout", &format!("{head}weights: {{canary: 30}}\n")).await;
    assert_eq!(world.published("shop/checkout").await, Some(30.0));
    operations::remove(&world.server, &"shop/checkout".parse().unwrap(), &ASKED).await.unwrap();
    world.publish().await;
    assert_eq!(world.published("shop/checkout").await, None);
    assert!(world.server.store().records().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_rollout_whose_weights_the_file_owns_stays_until_the_plugins_are_without_it() {
    let world = World::new().await;
    world.server.look(|view| drop(view.plugins.insert(FLEET.to_owned(), Delivery::default())));
    let brought = |revision: u64, trouble: Option<NotBrought>| {
        world.server.look(|view| {
            let delivery = view.plugins.get_mut(FLEET).unwrap();
            delivery.brought = Some(revision);
            delivery.troubles = trouble.into_iter().map(|trouble| (plugin(), trouble)).collect();
        });
    };
    let (head, _) = ROLLOUT.split_once("plan:").unwrap();
    let weights = format!("{head}weights: {{canary: 30}}\n");
    let is_there = async || !world.server.store().records().await.unwrap().is_empty();
    let away = NotBrought { why: "the Kubernetes API does not answer".to_owned(), is_missing: false };
    let missing = NotBrought { why: "it is not there".to_owned(), is_missing: true };
    for (trouble, goes) in [(Some(away), false), (Some(missing), true), (None, true)] {
        world.write("shop/checkout", &weights).await;
        brought(world.latest().await.revision, None);
        operations::remove(&world.server, &"shop/checkout".parse().unwrap(), &ASKED).await.unwrap();
        world.publish().await;
        assert_eq!(world.published("shop/checkout").await, None);
        assert!(is_there().await, "the plugin has the policy from before");
        brought(world.latest().await.revision, trouble.clone());
        world.publish().await;
        assert_eq!(is_there().await, !goes, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_rollout_that_is_deleted_before_anything_was_published_goes() {
    let world = World::new().await;
    world.server.look(|view| drop(view.plugins.insert(FLEET.to_owned(), Delivery::default())));
    let (head, _) = ROLLOUT.split_once("plan:").unwrap();
    let (name, weights) = ("shop/checkout".parse().unwrap(), format!("{head}weights: {{canary: 30}}\n"));
    operations::write(&world.server, &name, &weights, &ASKED).await.unwrap();
    operations::remove(&world.server, &name, &ASKED).await.unwrap();
    world.publish().await;
    assert_eq!(world.server.published(FLEET), None);
    assert!(world.server.store().records().await.unwrap().is_empty());
}

fn plugin() -> Plugin {
    Plugin { kind: PluginKind::WasmPlugin, namespace: "istio-system".to_owned(), name: "coalmine".to_owned() }
}

#[tokio::test]
async fn a_server_that_does_not_tick_knows_when_the_other_one_did() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    let (second, _) = serve(&world.folder, &world.clock).await;
    for _ in 0..10 {
        world.tick().await;
        ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    }
    let view = second.view();
    assert_eq!((view.leads, view.at), (false, world.clock.load(Ordering::Relaxed)));
    // The other one takes over, and what the first one saw is not said any more.
    Publisher::default().publish(&second).await.unwrap();
    assert!(!world.server.view().proxies(FLEET).is_empty());
    world.clock.fetch_add(100, Ordering::Relaxed);
    ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    ticks(&world.server, &mut world.proxy, "one").await.unwrap();
    let view = world.server.view();
    assert!(!view.leads && second.view().leads && view.proxies(FLEET).is_empty());
    assert!(view.rollouts.values().all(|seen| seen.conditions.is_empty()));
}

/// What the proxy of this server counted, as the latest tick read it.
fn counted(server: &Server) -> Option<(u64, u64)> {
    let counted = server.view().proxies(FLEET)[0].counted.clone()?;
    Some((counted.from, counted.until))
}

#[tokio::test]
async fn a_server_that_leads_again_counts_nothing_that_another_one_has_judged() {
    let mut world = World::new().await;
    world.progressing().await;
    world.tick().await;
    assert!(counted(&world.server).is_some());
    let (second, _) = serve(&world.folder, &world.clock).await;
    let mut proxy = MadeUp::default();
    world.clock.fetch_add(100, Ordering::Relaxed);
    ticks(&second, &mut proxy, "two").await.unwrap();
    ticks(&world.server, &mut world.proxy, "one").await.unwrap();
    assert!(second.view().leads && !world.server.view().leads);
    // Hours later it has the lease again.
    world.clock.fetch_add(10_000, Ordering::Relaxed);
    world.tick().await;
    assert!(world.server.view().leads);
    assert_eq!(counted(&world.server), None, "the other one has judged that");
    let from = world.clock.load(Ordering::Relaxed);
    world.tick().await;
    assert_eq!(counted(&world.server), Some((from, from + 15)));
}

#[tokio::test]
async fn a_server_that_has_not_seen_another_one_lead_counts_nothing_twice_either() {
    let mut world = World::new().await;
    world.progressing().await;
    world.tick().await;
    let from = world.clock.load(Ordering::Relaxed);
    world.clock.fetch_add(100, Ordering::Relaxed);
    world.tick().await;
    assert_eq!(counted(&world.server), Some((from, from + 115)), "nobody has ticked meanwhile");
    let (second, _) = serve(&world.folder, &world.clock).await;
    let mut proxy = MadeUp { revision: world.proxy.revision, ..MadeUp::default() };
    for _ in 0..3 {
        world.clock.fetch_add(100, Ordering::Relaxed);
        ticks(&second, &mut proxy, "two").await.unwrap();
    }
    let now = world.clock.load(Ordering::Relaxed);
    second.store().lease("two", now, now).await.unwrap();
    world.tick().await;
    assert_eq!(counted(&world.server), None);
}

#[tokio::test]
async fn no_proxy_falls_back_because_the_server_that_ticks_is_gone() {
    let mut world = World::new().await;
    let plan = ROLLOUT.replace("plan: {", "plan: {onServerAway: {after: 100s, weight: 0}, ");
    world.write("shop/checkout", &plan).await;
    world.requests("shop/checkout", 0);
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    while world.published("shop/checkout").await == Some(0.0) {
        world.tick().await;
    }
    let (second, _) = serve(&world.folder, &world.clock).await;
    let mut publisher = Publisher::default();
    let before = world.latest().await.revision;
    world.clock.fetch_add(70, Ordering::Relaxed);
    publisher.publish(&second).await.unwrap();
    assert_eq!(world.latest().await.revision, before, "it is for the one that ticks to renew it");
    world.clock.fetch_add(5, Ordering::Relaxed);
    publisher.publish(&second).await.unwrap();
    assert!(world.latest().await.revision > before);
    assert!(!second.view().leads);
}

#[tokio::test]
async fn two_servers_publish_and_none_undoes_the_other() {
    let mut world = World::new().await;
    world.progressing().await;
    let (second, _) = serve(&world.folder, &world.clock).await;
    Publisher::default().publish(&second).await.unwrap();
    let first = world.latest().await;
    assert_eq!(second.published(FLEET).unwrap().revision, first.revision, "nothing to publish");
    let request = Request { verb: Verb::Advance, by: "ada".to_owned(), message: String::new() };
    operations::act(&second, &"shop/checkout".parse().unwrap(), &request, &ASKED).await.unwrap();
    let mut publishers = [Publisher::default(), Publisher::default()];
    let [first_one, second_one] = &mut publishers;
    let (one, other) = tokio::join!(first_one.publish(&world.server), second_one.publish(&second));
    one.unwrap();
    other.unwrap();
    let latest = world.latest().await;
    assert_eq!(latest.revision, first.revision + 1, "once");
    for server in [&world.server, &second] {
        Publisher::default().publish(server).await.unwrap();
        assert_eq!(server.published(FLEET).unwrap().revision, latest.revision);
    }
}

/// Has each publish again and again, as after each poll, and gives the latest revision.
async fn settled(world: &World, servers: &mut [(&Server, Publisher)]) -> u64 {
    for _ in 0..5 {
        for (server, publisher) in &mut *servers {
            publisher.publish(server).await.unwrap();
        }
    }
    world.latest().await.revision
}

#[tokio::test]
async fn two_servers_with_other_configurations_come_to_rest() {
    let mut world = World::new().await;
    world.progressing().await;
    world.tick().await;
    let (second, _) = serve(&world.folder, &world.clock).await;
    let route = coalmine_document::json::read(br#"{"header": "x-other"}"#).unwrap();
    let other = Operator { access_log: true, route: Some(route), ..Operator::default() };
    second.set_operator(Operator { filters: [(FLEET.to_owned(), "other".to_owned())].into(), ..other });
    ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    assert!(world.server.view().leads && !second.view().leads);
    let first = world.server.clone();
    let mut servers = [(&*first, Publisher::default()), (&*second, Publisher::default())];
    let before = world.latest().await.revision;
    assert_eq!(settled(&world, &mut servers).await, before, "the one that does not tick leaves it");

    // What is recorded it publishes at once, also where the other one does not.
    let request = Request { verb: Verb::Rollback, by: "ada".to_owned(), message: String::new() };
    assert!(world.published("shop/checkout").await > Some(0.0));
    operations::act(&second, &"shop/checkout".parse().unwrap(), &request, &ASKED).await.unwrap();
    servers[1].1.publish(&second).await.unwrap();
    assert_eq!(world.published("shop/checkout").await, Some(0.0));
    assert!(world.latest().await.document.contains("x-other"));
    let rest = settled(&world, &mut servers).await;
    assert!(!world.latest().await.document.contains("x-other"), "the one that ticks has the last word");
    assert_eq!(settled(&world, &mut servers).await, rest);

    // The other one ticks from now on, and its configuration is what holds.
    world.clock.fetch_add(100, Ordering::Relaxed);
    ticks(&second, &mut MadeUp::default(), "two").await.unwrap();
    ticks(&world.server, &mut world.proxy, "one").await.unwrap();
    assert!(second.view().leads && !world.server.view().leads);
    let rest = settled(&world, &mut servers).await;
    assert!(world.latest().await.document.contains("x-other"));
    assert_eq!(settled(&world, &mut servers).await, rest);
}
