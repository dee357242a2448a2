//! What a policy leaves behind when another one has replaced it: nothing that costs.

use std::time::Duration;

use coalmine_envoy_tests::rollout;
use coalmine_harness::{Lab, wait};
use serde_json::json;

const CHANGES: u64 = 1_000;
/// How long two proxies are watched that have nothing to do.
pub(crate) const WATCHED: Duration = Duration::from_secs(2);
/// An idle proxy spends some 2 ms of a second, and the difference between two of them is noise. A timer of every policy
/// that there was would make it some seven times as much.
pub(crate) const AT_MOST: f64 = 3.0;

fn policy(revision: u64) -> String {
    json!({"revision": revision, "rollouts": [rollout("replaced", "replaced.test", 5.0)]}).to_string()
}

/// What a proxy spends while it has nothing to do.
pub(crate) async fn idle(lab: &Lab) -> Duration {
    let before = lab.envoy().process().cpu_time().unwrap();
    tokio::time::sleep(WATCHED).await;
    lab.envoy().process().cpu_time().unwrap() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_leave_an_idle_proxy_idle() {
    let fresh = Lab::builder().unwrap().start(&policy(1)).await.unwrap();
    let changed = Lab::builder().unwrap().start(&policy(1)).await.unwrap();
    let before = changed.reloads().await.unwrap();
    for change in 1..=CHANGES {
        // Envoy may take two changes for one, so each is awaited.
        changed.replace_policy(&policy(change + 1)).unwrap();
        wait::until("the change", || async {
            (changed.reloads().await.ok()? >= before + change).then_some(())
        })
        .await
        .unwrap();
    }
    let (fresh, changed) = tokio::join!(idle(&fresh), idle(&changed));
    let ratio = changed.as_secs_f64() / fresh.as_secs_f64();
    println!("idle for {WATCHED:?}: {fresh:?} fresh, {changed:?} after {CHANGES} changes, {ratio:.1} times");
    assert!(ratio <= AT_MOST, "{ratio:.1} times what a fresh proxy spends");
}
