//! A route that does not lead the canary's users to the canary: nothing is proved by them, and the rollout says what is wrong.

use std::time::Duration;

use coalmine_harness::fleet::{Fleet, ROLLOUT, Served};
use serde_json::Value;

use crate::release::{take_listeners, until};
use crate::story::{done, parts};

const PATIENCE: Duration = Duration::from_secs(90);
const RIGHT: &str = "route: {cluster: canary}";
const WRONG: &str = "route: {cluster: stable} # not canary";

fn lead_astray(listeners: &str) -> Option<String> {
    listeners.contains(RIGHT).then(|| listeners.replace(RIGHT, WRONG))
}

fn lead_back(listeners: &str) -> Option<String> {
    listeners.contains(WRONG).then(|| listeners.replace(WRONG, RIGHT))
}

fn says_it_leaks(rollout: &Value) -> bool {
    let conditions = rollout["conditions"].as_array();
    let says = |it: &Value| {
        it["message"].as_str().is_some_and(|it| it.contains("were assigned to the canary and it served"))
    };
    conditions.is_some_and(|all| all.iter().any(says))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_does_not_serve_its_users_is_held_until_it_does() {
    let mut fleet = Fleet::without_server(parts()).await.unwrap();
    let admins: Vec<String> = fleet.evidence().iter().map(|it| format!("'{}'", it.address())).collect();
    let served = "served: {cluster: '{variant}'}";
    fleet.serve(Served::Evidence(format!("{{proxies: [{}], {served}}}", admins.join(", "))));
    fleet.start_server().await.unwrap();
    // Three looks in a row say that it leaks: a look is a second here.
    fleet.write("checkout.yaml", &ROLLOUT.replace("dwell: 2s", "dwell: 8s")).unwrap();
    for number in [1, 2] {
        take_listeners(&fleet, number, lead_astray).await;
    }
    let traffic = fleet.traffic(400, 6);
    done(&fleet, "apply checkout.yaml").await;
    done(&fleet, "start shop/checkout").await;
    let held = until(&fleet, PATIENCE, "the leak is seen", says_it_leaks).await;
    assert_eq!((&held["weight"], &held["phase"]), (&5.0.into(), &"Progressing".into()), "{held}");
    for number in [1, 2] {
        take_listeners(&fleet, number, lead_back).await;
    }
    let on = until(&fleet, PATIENCE, "the release goes on", |it| it["weight"] != 5.0).await;
    assert!(on["weight"].as_f64() > Some(5.0) && !says_it_leaks(&on), "{on}");
    let seen = traffic.stop().await;
    assert!(seen.iter().all(|visit| visit.status == 200), "a request has failed");
}
