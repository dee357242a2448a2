//! `mode: judge`: another controller moves, somebody tells where to, and the server judges.

use coalmine_document::Notation;
use coalmine_steer::{Phase, Verdict};

use super::*;

/// Another controller splits by the bucket, and says where it is.
async fn judging() -> World {
    let world = World::new().await;
    let route = Notation::Yaml.read("bucketHeader: {name: x-bucket, total: 100}").unwrap().remove(0);
    world.server.set_operator(Operator {
        bucket_route: Some(route),
        served: ["default".to_owned()].into(),
        ..Operator::default()
    });
    world.write("shop/checkout", &ROLLOUT.replace("plan: {", "plan: {mode: judge, ")).await;
    world
}

/// The rollout as the proxies have it.
async fn composed(world: &World) -> Value {
    let document: Value = serde_json::from_str(&world.latest().await.document).unwrap();
    document["rollouts"][0].clone()
}

#[tokio::test]
async fn the_other_controller_goes_up_by_the_verdict_and_is_told_of_harm() {
    let mut world = judging().await;
    world.tick().await;
    let said = world.record("shop/checkout").await.state.said;
    assert!(said.message.ends_with("the verb weights tells it"), "{}", said.message);

    world.say("shop/checkout", Verb::Weight(50_000)).await;
    let state = world.record("shop/checkout").await.state;
    assert_eq!((state.weight, state.said.phase), (50_000, Phase::Progressing));
    world.publish().await;
    let rollout = composed(&world).await;
    assert_eq!(rollout["route"]["bucketHeader"]["name"], "x-bucket");
    assert_eq!(rollout["salt"], "shop/checkout-1000015", "each release draws anew");
    assert!(rollout.get("variants").is_none(), "the weight stays with the other controller: {rollout}");
    let revision = world.latest().await.revision;

    let name: Name = "shop/checkout".parse().unwrap();
    world.proxy.counts.insert(name.clone(), [(91_200, 0), (4_800, 0)]);
    until(&mut world, Verdict::Advance).await;
    world.say("shop/checkout", Verb::Weight(250_000)).await;
    world.say("shop/checkout", Verb::Weight(250_000)).await;
    let history = world.server.store().history(&name, None, 100).await.unwrap();
    let told = history.iter().filter(|line| line.logged.why == "weight 25 % by alice");
    assert_eq!(told.count(), 1, "a second time is nothing new");

    world.proxy.counts.insert(name.clone(), [(72_000, 0), (24_000, 6_000)]);
    until(&mut world, Verdict::Rollback).await;
    assert_eq!(world.record("shop/checkout").await.state.weight, 250_000, "nobody moves but the other one");
    assert_eq!(
        world.latest().await.revision,
        revision,
        "a weight that is told is nothing new to the proxies"
    );
    world.say("shop/checkout", Verb::Weight(0)).await;
    let release = world.server.store().release(&name, 1).await.unwrap().unwrap();
    assert_eq!(release.outcome, Some(Outcome::RolledBack));
}

#[tokio::test]
async fn what_was_told_outlives_the_server() {
    let mut world = judging().await;
    world.say("shop/checkout", Verb::Weight(50_000)).await;
    let operator = (*world.server.operator()).clone();
    (world.server, world.store) = serve(&world.folder, &world.clock).await;
    world.server.set_operator(operator);
    let name: Name = "shop/checkout".parse().unwrap();
    world.proxy.counts.insert(name, [(91_200, 0), (4_800, 0)]);
    until(&mut world, Verdict::Advance).await;
    assert_eq!(world.record("shop/checkout").await.state.release.unwrap().number, 1);
}

/// Ticks until the verdict is this one.
async fn until(world: &mut World, verdict: Verdict) {
    for _ in 0..40 {
        world.tick().await;
        if world.record("shop/checkout").await.state.said.verdict == verdict {
            return;
        }
    }
    panic!("never; at last: {:?}", world.record("shop/checkout").await.state.said);
}
