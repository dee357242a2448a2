//! A server of several fleets.

use std::collections::BTreeMap;

use super::*;
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

#[tokio::test]
async fn a_policy_is_of_a_fleet() {
    let world = two().await;
    let publication = Publication {
        fleet: "shop".to_owned(),
        revision: 7,
        at: 1,
        document: "{\"revision\":7}".to_owned(),
        filter: String::new(),
        parts: BTreeMap::new(),
        held: BTreeMap::new(),
        refused: None,
    };
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
