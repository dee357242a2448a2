//! A server of several fleets.

use std::collections::BTreeMap;

use super::*;
use crate::evidence::{ProxyReading, Reading};
use crate::fleets::Members;
use crate::publish::Publication;

async fn two() -> World {
    let members = |name: &str| Members {
        clusters: vec![name.parse().unwrap()],
        spiffe: Vec::new(),
        rollouts: vec![format!("{name}/*").parse().unwrap()],
    };
    let fleets = ["bank", "shop"].map(|name| (name.to_owned(), members(name)));
    World::of(Fleets::new(BTreeMap::from(fleets))).await
}

fn publication(revision: u64) -> Publication {
    Publication {
        fleet: "shop".to_owned(),
        revision,
        at: 1,
        document: format!("{{\"revision\":{revision}}}"),
        filter: String::new(),
        parts: BTreeMap::new(),
        held: BTreeMap::new(),
        refused: None,
    }
}

#[tokio::test]
async fn a_policy_is_of_a_fleet() {
    let world = two().await;
    let publication = publication(7);
    world.store.publish(&publication, &BTreeMap::new()).await.unwrap();
    world.app.server.send(publication);
    for (path, status, told) in [
        ("/v1/policy", 400, "say which fleet, as ?fleet=NAME: bank, shop"),
        ("/v1/policy/7", 400, "say which fleet"),
        ("/v1/policy?fleet=edge", 404, "there is no such fleet; there is: bank, shop"),
        ("/v1/policy?fleet=bank", 404, "nothing has been published yet"),
        ("/v1/policy/7?fleet=bank", 404, "there is no revision 7 any more"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body["detail"].as_str().unwrap().starts_with(told), "{path}: {}", answer.body);
    }
    for path in ["/v1/policy?fleet=shop", "/v1/policy/7?fleet=shop"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.body), (200, json!({"revision": 7})), "{path}");
    }
    let fleets = json!([{"name": "bank"}, {"name": "shop", "revision": 7}]);
    assert_eq!(world.get("/v1/proxies").await.body["fleets"], fleets);
}

#[tokio::test]
async fn a_rollout_of_no_fleet_is_refused_with_the_reason() {
    let world = two().await;
    assert_eq!(world.put(ROLLOUT).await.status, 201);
    let other = world.ask(ADMIN, Method::PUT, "/v1/rollouts/other/checkout", &[], ROLLOUT).await;
    assert_eq!(other.status, 422, "{}", other.body);
    let problem = &other.body["problems"][0];
    assert_eq!(problem["path"], "name");
    assert!(problem["message"].as_str().unwrap().contains("other/checkout is of no fleet"), "{problem}");
}

/// The proxies that are shown as from another history.
async fn of_another_history(world: &World) -> Vec<String> {
    let known = world.get("/v1/proxies").await.body;
    let rows = known["proxies"].as_array().unwrap().iter().filter(|row| row["otherHistory"] == true);
    rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_proxy_with_a_newer_revision_than_the_store_knows_is_from_another_history() {
    let world = two().await;
    let running =
        |name: &str, revision| ProxyReading { name: name.to_owned(), revision, ..Default::default() };
    let proxies = vec![running("runs-7", Some(7)), running("runs-9", Some(9)), running("runs-none", None)];
    world.app.server.look(|view| {
        view.readings.insert("shop".to_owned(), Reading { proxies, ..Reading::default() });
    });
    let clock = || Arc::new(|| 1_000_000);
    let table = &world.app.table;
    let _of_shop = table.pretend(clock(), ("shop", "reports-8"), "10.0.0.1:1", Some(8));
    let _of_bank = table.pretend(clock(), ("bank", "of-bank"), "10.0.0.2:1", None);
    assert_eq!(of_another_history(&world).await, ["reports-8", "runs-7", "runs-9"], "nothing is published");
    // As another server on the same store does: this one has not read it yet.
    world.store.publish(&publication(7), &BTreeMap::new()).await.unwrap();
    assert_eq!(of_another_history(&world).await, ["reports-8", "runs-9"]);
    world.app.server.send(publication(7));
    assert_eq!(of_another_history(&world).await, ["reports-8", "runs-9"]);
    world.store.set_away(true);
    assert_eq!(of_another_history(&world).await, <[&str; 0]>::default(), "nobody knows what the store has");
    world.store.set_away(false);
    world.store.publish(&publication(10), &BTreeMap::new()).await.unwrap();
    assert_eq!(of_another_history(&world).await, <[&str; 0]>::default(), "the next revision is higher");
}
