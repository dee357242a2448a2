//! A plan may say that users go back to stable by themselves where proxies hear nothing more of the server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coalmine_harness::fleet::{ROLLOUT, Seen, went_back};

use crate::release;
use crate::story::{all_follow, done, fleet};

/// What the plan says.
const AFTER: Duration = Duration::from_secs(10);
/// A proxy looks at its clock twice a second, times in a policy are whole seconds, and machines are busy.
const LATEST: Duration = Duration::from_secs(18);
const PATIENCE: Duration = Duration::from_secs(60);

fn is_canary(seen: &Seen) -> bool {
    seen.variant == Some("canary")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_go_back_by_themselves_and_return_with_the_server() {
    let mut fleet = fleet().await;
    let away = "plan:\n  onServerAway: {after: 10s, weight: 0}\n";
    let text = ROLLOUT.replace("dwell: 2s", "dwell: 1h").replace("plan:\n", away);
    assert!(text.contains("onServerAway"), "{text}");
    fleet.write("checkout.yaml", &text).unwrap();
    for words in ["apply checkout.yaml", "start shop/checkout", "advance shop/checkout"] {
        done(&fleet, words).await;
    }
    all_follow(&fleet).await;
    let begun = release::until(&fleet, PATIENCE, "users are on the canary", |it| it["weight"] != 0.0).await;
    let traffic = fleet.traffic(400, 6);

    // Longer than the time that the plan names: what is renewed does not fall.
    let since = Instant::now();
    let first = fleet.get("/v1/policy").await.unwrap()["revision"].clone();
    let is_long = |seen: &[Seen]| {
        let last = seen.iter().rev().find(|it| is_canary(it));
        last.is_some_and(|last| last.at.duration_since(since) > AFTER + Duration::from_secs(2))
    };
    traffic.until("the canary keeps its users", since, is_long).await.unwrap();
    let kept = traffic.seen();
    let users = |seen: &[Seen]| {
        let on_canary = seen.iter().filter(|it| is_canary(it));
        on_canary.map(|it| it.user).collect::<BTreeSet<_>>()
    };
    assert_ne!(fleet.get("/v1/policy").await.unwrap()["revision"], first, "it was renewed");
    assert!(went_back(&kept).is_empty());

    fleet.kill_server();
    let killed = Instant::now();
    let is_over = |seen: &[Seen]| {
        let recent = seen.iter().filter(|it| it.at.elapsed() < Duration::from_secs(2)).count();
        recent > 100 && !seen.iter().any(|it| is_canary(it) && it.at.elapsed() < Duration::from_secs(2))
    };
    traffic.until("everybody is on stable", killed, is_over).await.unwrap();
    let last = traffic.seen().iter().filter(|it| is_canary(it)).map(|it| it.at).max().unwrap();
    assert!(last.duration_since(killed) < LATEST, "{:?}", last.duration_since(killed));

    fleet.start_server().await.unwrap();
    let back = Instant::now();
    let is_back = |seen: &[Seen]| seen.iter().filter(|it| is_canary(it)).count() > 100;
    traffic.until("the canary has its users again", back, is_back).await.unwrap();
    let after =
        release::until(&fleet, PATIENCE, "the rollout is where it was", |it| it["weight"] != 0.0).await;
    assert_eq!((&after["weight"], &after["phase"]), (&begun["weight"], &begun["phase"]), "{after}");
    let seen = traffic.stop().await;
    let since_back: Vec<Seen> = seen.iter().filter(|it| it.at >= back).cloned().collect();
    assert!(users(&since_back).is_subset(&users(&kept)), "the same users");
    assert!(seen.iter().all(|it| it.status == 200), "a request has failed");
}
