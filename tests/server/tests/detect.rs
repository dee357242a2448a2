//! From a fault of the canary to the last request that it gets, on real traffic; and what is no fault of the canary.

use std::time::{Duration, Instant};

use coalmine_harness::fleet::{Fleet, FleetParts, Seen, Traffic};
use coalmine_harness::{Relay, tools};
use serde_json::Value;

use crate::release::{self, API, was_rolled_back_for};
use crate::story::{all_follow, done, parts, started};

/// Its steps do not end by themselves.
const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [5, 25]
  dwell: 1h
  warmUp: 0s
  guards:
    errors: {}
    latency: {slowerThan: 25ms}
";
/// Users, and how many of them come at the same time.
const USERS: usize = 4_000;
const LANES: usize = 32;
/// Failures of a healthy version, and of a broken one, in a thousand.
const HEALTHY: u32 = 2;
const BROKEN: u32 = 20;
/// Requests of the canary, healthy and judged, before the fault.
const BEFORE: u64 = 200;

/// Evidence takes its time: several times what the worst of many runs took.
const PATIENCE: Duration = Duration::from_secs(300);

/// What goes wrong with the canary.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// 2 % of its requests fail, instead of 0.2 %.
    Errors,
    /// Its requests take 30 % longer: 24.6 % of them more than 25 ms, instead of 10 %.
    Slow,
}

/// One run: the time from the fault to the last request at the canary, and how many of its users' requests came in it.
#[derive(Clone, Copy, Debug)]
struct Found {
    time: Duration,
    requests: usize,
}

/// A fleet with a release at 5 %, and users.
async fn at_work(seed: u64) -> (Fleet, Traffic) {
    let fleet = started(FleetParts { seed, ..parts() }).await;
    fleet.write("checkout.yaml", ROLLOUT).unwrap();
    for version in [fleet.stable(), fleet.canary()] {
        version.takes(100);
        version.fails(HEALTHY);
    }
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let traffic = fleet.traffic(USERS, LANES);
    (fleet, traffic)
}

async fn status(fleet: &Fleet) -> Value {
    fleet.get(API).await.unwrap()
}

async fn until(fleet: &Fleet, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    release::until(fleet, PATIENCE, what, holds).await
}

/// Begins a release and waits until so many requests of its canary were judged.
async fn begin(fleet: &Fleet, requests: u64) {
    done(fleet, "start shop/checkout --new-users").await;
    until(fleet, "the canary is judged", |it| {
        it["weight"] == 5.0 && it["requests"].as_u64() >= Some(requests)
    })
    .await;
}

/// One release that becomes bad.
async fn find(fleet: &Fleet, traffic: &Traffic, fault: Fault) -> Found {
    begin(fleet, BEFORE).await;
    let began = Instant::now();
    match fault {
        Fault::Errors => fleet.canary().fails(BROKEN),
        Fault::Slow => fleet.canary().takes(130),
    }
    until(fleet, "it is rolled back", |it| it["phase"] == "RolledBack").await;
    let guard = match fault {
        Fault::Errors => "errors: the canary has",
        Fault::Slow => "latency: the canary has",
    };
    was_rolled_back_for(fleet, guard).await;
    fleet.canary().fails(HEALTHY);
    fleet.canary().takes(100);
    let end = Instant::now();
    let everybody =
        |seen: &[Seen]| seen.len() > LANES * 4 && seen.iter().all(|it| it.variant == Some("stable"));
    traffic.until("everybody on stable", end, everybody).await.unwrap();
    let seen = traffic.seen();
    let hurt = seen.iter().filter(|visit| visit.variant == Some("canary") && visit.at >= began);
    let time = hurt.clone().map(|visit| visit.at.duration_since(began)).max().unwrap_or_default();
    Found { time, requests: hurt.count() }
}

/// The median and the worst of all runs of one fault.
async fn measure(fault: Fault) {
    let runs: usize = tools::number("COALMINE_RUNS", 1).unwrap();
    let seed: u64 = tools::number("COALMINE_SEED", 20_261_126).unwrap();
    let (fleet, traffic) = at_work(seed).await;
    let began = Instant::now();
    let mut found = Vec::new();
    for _ in 0..runs.max(1) {
        found.push(find(&fleet, &traffic, fault).await);
    }
    let took = began.elapsed();
    let seen = traffic.stop().await;
    let lost = seen.iter().filter(|visit| visit.variant.is_none()).count();
    assert_eq!(lost, 0, "requests without an answer");
    let rate = seen.len() as f64 / took.as_secs_f64();
    found.sort_by_key(|found| found.time);
    let (median, worst) = (found[found.len() / 2], found[found.len() - 1]);
    println!(
        "{fault:?}, seed {seed}, {runs} runs at {rate:.0} requests a second: from the fault to the last request at the \
         canary {:.1} s in the median ({} requests), {:.1} s at worst ({})",
        median.time.as_secs_f64(),
        median.requests,
        worst.time.as_secs_f64(),
        worst.requests
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_errors_are_found() {
    measure(Fault::Errors).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn longer_waits_are_found() {
    measure(Fault::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_fault_of_the_canary_moves_nothing() {
    let (fleet, traffic) = at_work(1).await;
    begin(&fleet, 100).await;
    // An incident of both: every third request fails, and all take longer.
    for version in [fleet.stable(), fleet.canary()] {
        version.fails(333);
        version.takes(200);
    }
    let requests = status(&fleet).await["requests"].as_u64().unwrap();
    let after = until(&fleet, "an incident is judged", |it| {
        it["requests"].as_u64() > Some(requests + 500) || it["phase"] != "Progressing"
    })
    .await;
    assert_eq!((&after["weight"], &after["phase"]), (&5.0.into(), &"Progressing".into()), "{after}");
    for version in [fleet.stable(), fleet.canary()] {
        version.fails(HEALTHY);
        version.takes(100);
    }

    // A proxy that no longer hears the server goes on with what it has, is left out, is named, and holds the rollout.
    fleet.relays()[1].cut();
    done(&fleet, "advance shop/checkout").await;
    until(&fleet, "the late proxy holds and is named", |it| {
        it["verdict"] == "hold"
            && it["message"].as_str().is_some_and(|why| why.contains("is left out: edge-2"))
    })
    .await;
    let requests = status(&fleet).await["requests"].as_u64().unwrap();
    until(&fleet, "the other proxy is judged", |it| it["requests"].as_u64() > Some(requests + 100)).await;
    fleet.relays()[1].mend();
    all_follow(&fleet).await;

    // What the proxies count cannot be read.
    fleet.evidence().iter().for_each(Relay::cut);
    let blind =
        |it: &Value| it["message"].as_str().is_some_and(|why| why.contains("no evidence can be read"));
    let away = until(&fleet, "evidence is away", blind).await;
    assert_eq!((&away["weight"], &away["verdict"]), (&25.0.into(), &"hold".into()), "{away}");
    fleet.evidence().iter().for_each(Relay::mend);
    let requests = away["requests"].as_u64().unwrap();
    until(&fleet, "evidence is back", |it| !blind(it) && it["requests"].as_u64() > Some(requests)).await;
    let seen = traffic.stop().await;
    assert_eq!(seen.iter().filter(|visit| visit.variant.is_none()).count(), 0, "requests without an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_and_nothing_moves() {
    let fleet = started(parts()).await;
    let hasty = ROLLOUT.replace("dwell: 1h", "dwell: 1s\n  minRequests: 1\n  onInconclusive: promote");
    fleet.write("checkout.yaml", &hasty).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    done(&fleet, "start shop/checkout").await;
    // The time of the step is over long before.
    let waits = until(&fleet, "it waits for requests", |it| {
        it["weight"] == 5.0 && it["message"].as_str().is_some_and(|why| why.contains("0 of 1 requests"))
    })
    .await;
    let began = humantime::parse_rfc3339(waits["since"].as_str().unwrap()).unwrap();
    let later = until(&fleet, "some ticks", |it| {
        it["weight"] != 5.0 || began.elapsed().is_ok_and(|since| since > Duration::from_secs(6))
    })
    .await;
    assert_eq!((&later["weight"], &later["verdict"]), (&5.0.into(), &"hold".into()), "{later}");
    println!("{}", later["message"]);
    fleet.traffic(400, 4).until("users", Instant::now(), |seen| seen.len() > 400).await.unwrap();
    until(&fleet, "it goes on", |it| it["weight"] != 5.0).await;
}
