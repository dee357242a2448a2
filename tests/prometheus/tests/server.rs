//! `coalmine serve` whose evidence is a real Prometheus, with real Envoys and traffic: whole releases, and a Prometheus that
//! goes away.

use std::time::Instant;

use coalmine_harness::fleet::{Fleet, FleetParts, ROLLOUT, Seen, Served};
use coalmine_harness::{Envoy, wait};
use serde_json::Value;

use crate::prometheus::Prometheus;

async fn status(fleet: &Fleet) -> Value {
    let ran = fleet.done("status shop/checkout --format json").await.unwrap();
    serde_json::from_str(&ran.stdout).unwrap()
}

/// A fleet with a Prometheus that scrapes its proxies, and a server whose configuration says `served` of that one's address.
async fn started(seed: u64, served: impl Fn(&str) -> Served, rollout: &str) -> (Fleet, Prometheus) {
    let parts = FleetParts { seed, ..FleetParts::built().unwrap() };
    let mut fleet = Fleet::without_server(parts).await.unwrap();
    let targets: Vec<_> = fleet.proxies().iter().map(Envoy::admin_address).collect();
    let prometheus = Prometheus::start(&targets);
    fleet.serve(served(&prometheus.url));
    fleet.start_server().await.unwrap();
    fleet.write("checkout.yaml", rollout).unwrap();
    fleet.done("apply checkout.yaml").await.unwrap();
    (fleet, prometheus)
}

/// A healthy release goes to its end.
async fn is_promoted(fleet: &Fleet) {
    fleet.done("start shop/checkout --wait-for Promoting --timeout 100s").await.unwrap();
    fleet.done("promote shop/checkout --wait --timeout 50s").await.unwrap();
}

/// A release whose canary fails is taken back for this.
async fn is_rolled_back_for(fleet: &Fleet, reason: &str) {
    fleet.canary_fails(30);
    let ran = fleet.run("start shop/checkout --wait --timeout 100s").await.unwrap();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let history = fleet.done("history shop/checkout").await.unwrap().stdout;
    let why = history.lines().find(|line| line.contains("rolls back")).unwrap();
    assert!(why.contains(reason), "{why}");
}

/// Where the evidence of this fleet's proxies is read.
fn source(url: &str) -> String {
    format!("prometheus: {{url: \"{url}\", labels: {{job: envoy}}}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_judged_from_a_prometheus_and_hold_without_it() {
    let served = |url: &str| Served::Evidence(format!("{{{}}}", source(url)));
    let rollout = ROLLOUT.replace("dwell: 2s", "dwell: 3s");
    let (fleet, prometheus) = started(20_261_126, served, &rollout).await;
    let traffic = fleet.traffic(400, 6);

    is_promoted(&fleet).await;
    assert!(traffic.seen().iter().all(|visit| visit.status == 200), "a request has failed");

    is_rolled_back_for(&fleet, "errors: the canary has").await;
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

/// A guard on what Envoy itself counts of the clusters, instead of on what the filter counts.
const QUERIED: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [25, 50]
  dwell: 3s
  warmUp: 0s
  minRequests: 40
  onInconclusive: promote
  guards: {answers: {query: answers}, haste: {query: haste}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_judged_by_queries_of_the_operator() {
    let of = |metric: &str, more: &str| format!("'{metric}{{envoy_cluster_name=\"$variant\"{more}}}'");
    let queries = |url: &str| {
        format!(
            "queries:
  answers:
    prometheus: {{url: \"{url}\"}}
    all: {}
    bad: {}
  haste:
    prometheus: {{url: \"{url}\"}}
    all: {}
    good: {}
",
            of("envoy_cluster_upstream_rq_completed", ""),
            of("envoy_cluster_upstream_rq_xx", ",envoy_response_code_class=\"5\""),
            of("envoy_cluster_upstream_rq_time_count", ""),
            of("envoy_cluster_upstream_rq_time_bucket", ",le=\"500\""),
        )
    };
    let served = |url: &str| Served::EvidenceAnd(format!("{{{}}}", source(url)), queries(url));
    let (fleet, _prometheus) = started(20_261_127, served, QUERIED).await;
    let traffic = fleet.traffic(400, 6);
    is_promoted(&fleet).await;

    is_rolled_back_for(&fleet, "answers: the canary has").await;
    traffic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_judged_by_what_envoy_counts_of_its_clusters() {
    let counters = "served: {cluster: '{variant}'}, counters: served";
    let served = |url: &str| Served::Evidence(format!("{{{}, {counters}}}", source(url)));
    let rollout = ROLLOUT.replace("dwell: 2s", "dwell: 3s");
    let guards = "  guards: {errors: {}, slow: {slowerThan: 250ms}}\n";
    let (fleet, _prometheus) = started(20_261_128, served, &format!("{rollout}{guards}")).await;
    let traffic = fleet.traffic(400, 6);
    is_promoted(&fleet).await;

    is_rolled_back_for(&fleet, "errors: the canary has").await;
    traffic.stop().await;
}
