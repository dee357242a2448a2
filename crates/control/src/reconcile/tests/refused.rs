//! The store refuses what concerns one rollout, and the others go on.

use coalmine_steer::Kind;

use super::releases::sql;
use super::*;

/// Two rollouts with harm, of which the first one is of no use to the store from now on.
async fn two() -> World {
    let mut world = World::new().await;
    for (name, host) in [("bank/x", "bank.example"), ("shop/y", "shop.example")] {
        world.write(name, &ROLLOUT.replace("checkout.example", host)).await;
        world.requests(name, 20);
        world.say(name, Verb::Start { new_users: false }).await;
    }
    world.tick().await;
    world.tick().await;
    assert!(world.published("bank/x").await > Some(0.0) && world.published("shop/y").await > Some(0.0));
    world
}

/// The other one is rolled back, and of the first one it is said why it is not.
async fn the_other_one_is_rolled_back(world: &mut World, why: &str) {
    let before = world.published("bank/x").await;
    for _ in 0..10 {
        world.tick().await;
    }
    let release = world.record("shop/y").await.state.release.unwrap();
    assert_eq!(release.outcome, Some(Outcome::RolledBack));
    assert_eq!(world.published("shop/y").await, Some(0.0));
    assert_eq!(world.published("bank/x").await, before, "it stays as it was");
    let view = world.server.view();
    assert_eq!((view.at, view.store_away.clone()), (world.clock.load(Ordering::Relaxed), None));
    let conditions = &view.rollouts[&"bank/x".parse().unwrap()].conditions;
    let said: Vec<_> = conditions.iter().map(|it| (it.kind, it.holds, it.message.as_str())).collect();
    assert!(matches!(said[..], [(Kind::Alarm, true, message)] if message.contains(why)), "{said:?}");
}

#[tokio::test]
async fn a_rollout_that_the_store_refuses_keeps_no_other_from_being_rolled_back() {
    let mut world = two().await;
    world.store.refuse_all_of("bank/x");
    the_other_one_is_rolled_back(&mut world, "a webhook denied the request").await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_being_rolled_back() {
    let mut world = two().await;
    let statements = "UPDATE coalmine_records SET body = '{}', version = version + 1 WHERE name = 'bank/x';
        UPDATE coalmine_changes SET counted = counted + 1";
    sql(&world.folder, statements).await;
    the_other_one_is_rolled_back(&mut world, "rollout bank/x: missing field").await;
    let seen = world.server.view().rollouts[&"bank/x".parse().unwrap()].clone();
    assert!(seen.left_out.unwrap().contains("cannot be read"));
}
