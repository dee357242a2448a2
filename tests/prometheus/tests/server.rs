//! `coalmine serve` whose evidence is a real Prometheus, with real Envoys and traffic: whole releases, and a Prometheus that
//! goes away.

use std::time::Instant;

use coalmine_harness::fleet::{Fleet, FleetParts, Seen};
use coalmine_harness::{Envoy, tools, wait};
use serde_json::Value;

use crate::prometheus::Prometheus;

const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [5, 25, 50]
  dwell: 3s
  warmUp: 0s
  minRequests: 40
  onInconclusive: promote
";

async fn status(fleet: &Fleet) -> Value {
    let ran = fleet.done("status shop/checkout --format json").await.unwrap();
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_judged_from_a_prometheus_and_hold_without_it() {
    let parts = FleetParts {
        command: tools::command().unwrap(),
        envoy: tools::envoy().unwrap(),
        module: tools::filter().unwrap(),
        proxies: 2,
        variables: Vec::new(),
        store: "coalmine.db".to_owned(),
        seed: 20_261_126,
    };
    let mut fleet = Fleet::without_server(parts).await.unwrap();
    let targets: Vec<_> = fleet.proxies().iter().map(Envoy::admin_address).collect();
    let prometheus = Prometheus::start(&targets);
    fleet.read_evidence(&format!("{{prometheus: {{url: \"{}\", labels: {{job: envoy}}}}}}", prometheus.url));
    fleet.start_server().await.unwrap();
    fleet.write("checkout.yaml", ROLLOUT).unwrap();
    fleet.done("apply checkout.yaml").await.unwrap();
    let traffic = fleet.traffic(400, 6);

    fleet.done("start shop/checkout --wait-for Promoting --timeout 100s").await.unwrap();
    fleet.done("promote shop/checkout --wait --timeout 50s").await.unwrap();
    assert!(traffic.seen().iter().all(|visit| visit.status == 200), "a request has failed");

    fleet.canary_fails(30);
    let ran = fleet.run("start shop/checkout --wait --timeout 100s").await.unwrap();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let history = fleet.done("history shop/checkout").await.unwrap().stdout;
    let why = history.lines().find(|line| line.contains("rolls back")).unwrap();
    assert!(why.contains("errors: the canary has"), "{why}");
    fleet.canary_fails(0);

    fleet.done("start shop/checkout").await.unwrap();
    let some = |seen: &[Seen]| seen.iter().any(|visit| visit.variant == Some("canary"));
    traffic.until("the canary has users", Instant::now(), some).await.unwrap();
    drop(prometheus);
    let is_told = wait::until("the rollout says why it holds", || async {
        let text = status(&fleet).await.to_string();
        text.contains("no evidence can be read: Prometheus: ").then_some(())
    });
    is_told.await.unwrap();
    let weight = status(&fleet).await["weight"].clone();
    // As long as three steps take.
    let since = Instant::now();
    traffic.until("users go on", since, |seen| seen.len() > 5_000).await.unwrap();
    assert_eq!(status(&fleet).await["weight"], weight);
    traffic.stop().await;
}
