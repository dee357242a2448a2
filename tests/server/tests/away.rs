//! The server is away for a minute in the middle of a release: nobody misses it, and what happened meanwhile is not taken for
//! what happens now.

use std::time::{Duration, Instant};

use coalmine_harness::fleet::{Fleet, FleetParts, Seen, went_back};
use serde_json::Value;

use crate::release;
use crate::story::{all_follow, done, parts, started};

/// How long the server is away, and how long before its return the canary is well again.
const AWAY: Duration = Duration::from_secs(60);
const HEALED: Duration = Duration::from_secs(5);
/// Requests of the canary that are judged before.
const BEFORE: u64 = 100;
/// The longest that anything but the absence may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// A release whose first step lasts some time longer than the server is away.
fn rollout(dwell: Duration) -> String {
    format!(
        "
name: shop/checkout
policy:
  identity: [{{header: x-user-id}}]
  variants: [{{name: canary}}]
plan:
  steps: [5, 25]
  dwell: {}s
  warmUp: 0s
  minRequests: 150
  onInconclusive: promote
  guards:
    errors: {{}}
    latency: {{slowerThan: 25ms}}
",
        dwell.as_secs()
    )
}

fn of_canary(seen: &[Seen], from: Instant, to: Instant) -> usize {
    seen.iter().filter(|it| it.variant == Some("canary") && it.at >= from && it.at < to).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_without_the_server_costs_no_request_and_proves_nothing() {
    let mut fleet = started(FleetParts { seed: 20_261_126, ..parts() }).await;
    fleet.write("checkout.yaml", &rollout(AWAY + Duration::from_secs(15))).unwrap();
    for version in [fleet.stable(), fleet.canary()] {
        version.takes(100);
    }
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let traffic = fleet.traffic(4_000, 16);
    done(&fleet, "start shop/checkout").await;
    let until = async |fleet: &Fleet, what: &str, holds: &dyn Fn(&Value) -> bool| {
        release::until(fleet, PATIENCE, what, holds).await
    };
    let before = until(&fleet, "the canary is judged", &|it| {
        it["weight"] == 5.0 && it["requests"].as_u64() >= Some(BEFORE)
    })
    .await;

    // While nobody looks, the canary is far too slow. It is well again before somebody does.
    let began = Instant::now();
    fleet.kill_server();
    fleet.canary().takes(1_000);
    tokio::time::sleep(AWAY - HEALED).await;
    fleet.canary().takes(100);
    tokio::time::sleep(HEALED).await;
    let back = Instant::now();
    fleet.start_server().await.unwrap();
    let first = until(&fleet, "it is judged again", &|it| {
        it["requests"].as_u64() > before["requests"].as_u64() || it["phase"] != "Progressing"
    })
    .await;
    assert_eq!(first["phase"], "Progressing", "{first}");
    let judged = Instant::now();
    let counted = first["requests"].as_u64().unwrap() - before["requests"].as_u64().unwrap();
    let seen = traffic.seen();
    let (meanwhile, since) = (of_canary(&seen, began, back), of_canary(&seen, back, judged));
    let words = format!("{counted} counted, {meanwhile} while it was away, {since} since");
    assert!(meanwhile > 500, "{words}");
    assert!(counted < meanwhile as u64 / 2, "what happened meanwhile is counted: {words}");

    let on = until(&fleet, "the release goes on", &|it| it["weight"] != 5.0).await;
    assert_eq!((&on["weight"], &on["phase"]), (&25.0.into(), &"Progressing".into()), "{on}");
    let seen = traffic.stop().await;
    let failed = seen.iter().filter(|visit| visit.status != 200).count();
    assert_eq!(failed, 0, "of {} requests", seen.len());
    let gone = went_back(&seen);
    assert!(gone.is_empty(), "users are back on stable: {gone:?}");
    let requests = seen.iter().filter(|visit| visit.at >= began && visit.at < back).count();
    println!("{:?} without a server: {requests} requests, none failed; canary: {words}", back - began);
}
