//! A ramp under constant load: new policies come into force on open connections, and only those move who must.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::{compile, expected, rollout, user, visit};
use coalmine_harness::Lab;
use coalmine_harness::access_log::Entry;
use coalmine_harness::load::{Load, Shape, Visit};
use serde_json::json;

const HOST: &str = "live.test";
const USERS: usize = 240;
const RAMP: [f64; 8] = [0.0, 1.0, 5.0, 25.0, 50.0, 100.0, 50.0, 0.0];
const LOAD: Shape = Shape { http1: 8, http2: 2, streams: 4, pause: Duration::from_millis(1) };

/// The policy of a step. Revisions count from 1.
fn policy(step: usize) -> String {
    let mut rollout = rollout("live", HOST, RAMP[step]);
    rollout["salt"] = json!("live-1");
    json!({"revision": step + 1, "rollouts": [rollout], "observe": {"accessLog": true}}).to_string()
}

/// A request as both sides saw it.
struct Seen {
    visit: Visit,
    entry: Entry,
    /// The step of the ramp that the proxy says it followed.
    step: usize,
}

/// When a step's policy was put in place, and when Envoy had said that every worker has it.
struct Times {
    renamed: SystemTime,
    in_force: SystemTime,
}

/// Runs the ramp. Tells about all requests, and about the times of every step but the first.
async fn run() -> (Vec<Seen>, Vec<Times>) {
    let lab = Lab::builder().unwrap().workers(2).start(&policy(0)).await.unwrap();
    let mut times = Vec::new();
    let load = Load::start(lab.address(), LOAD, USERS, |index| visit(HOST, &user(index))).await.unwrap();
    load.go_round().await.unwrap();
    for step in 1..RAMP.len() {
        let reloads = lab.reloads().await.unwrap();
        let renamed = lab.replace_policy(&policy(step)).unwrap();
        lab.reloaded(reloads).await.unwrap();
        times.push(Times { renamed, in_force: SystemTime::now() });
        // Every connection carries everybody under every policy.
        load.go_round().await.unwrap();
    }
    let visits = load.stop().await.unwrap();
    let failed: Vec<&Visit> = visits.iter().filter(|visit| visit.failure.is_some()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} requests failed, such as {:?}",
        failed.len(),
        visits.len(),
        failed[0]
    );

    let entries = lab.logged_requests(visits.len()).await.unwrap();
    assert_eq!(entries.len(), visits.len(), "as many requests are logged as were sent");
    let mut entries: HashMap<String, Entry> =
        entries.into_iter().map(|entry| (entry.request_id.clone(), entry)).collect();
    let seen = visits.into_iter().map(|visit| {
        let entry = entries.remove(visit.request_id.as_deref().unwrap()).unwrap();
        let revision: usize = entry.revision.as_deref().unwrap().parse().unwrap();
        Seen { visit, entry, step: revision - 1 }
    });
    (seen.collect(), times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_ramp_moves_only_those_who_must() {
    let (seen, times) = run().await;
    everybody_follows(&seen, &times);
    no_connection_goes_back(&seen);
    let steps: Vec<Policy> = (0..RAMP.len()).map(|step| compile(&policy(step)).unwrap()).collect();
    everybody_gets_what_core_says(&seen, &steps);
    nobody_moves_but_those_who_must(&seen, &steps);
}

/// What is sent after Envoy has said that a policy is in force is decided by that policy, or by a later one. How long
/// all this takes is a number of this machine, now: it is printed.
fn everybody_follows(seen: &[Seen], times: &[Times]) {
    for (step, Times { renamed, in_force }) in (1..).zip(times) {
        let late = seen.iter().find(|seen| seen.visit.sent > *in_force && seen.step < step);
        if let Some(late) = late {
            panic!("{:?} follows revision {}, not {}", late.entry, late.step + 1, step + 1);
        }
        let since = |seen: &Seen| seen.entry.start.duration_since(*renamed).unwrap_or_default().as_millis();
        println!(
            "revision {} ({} %): first logged {} ms after the rename, the one before last {} ms after it",
            step + 1,
            RAMP[step],
            seen.iter().filter(|seen| seen.step == step).map(since).min().unwrap(),
            seen.iter().filter(|seen| seen.step < step).map(since).max().unwrap(),
        );
    }
}

/// Requests that began in the same millisecond may be logged in any order; of two others the later one is never
/// behind.
fn no_connection_goes_back(seen: &[Seen]) {
    let mut connections: HashMap<u64, Vec<&Seen>> = HashMap::new();
    for seen in seen {
        connections.entry(seen.entry.connection).or_default().push(seen);
    }
    assert_eq!(connections.len(), LOAD.http1 + LOAD.http2, "no connection was closed and opened again");
    for (connection, mut seen) in connections {
        seen.sort_by_key(|seen| seen.entry.start);
        let mut newest = 0;
        for same_time in seen.chunk_by(|one, other| one.entry.start == other.entry.start) {
            let oldest = same_time.iter().map(|seen| seen.step).min().unwrap();
            assert!(oldest >= newest, "connection {connection} went back from step {newest} to {oldest}");
            newest = same_time.iter().map(|seen| seen.step).max().unwrap();
        }
        assert_eq!(newest, RAMP.len() - 1, "connection {connection} saw the whole ramp");
    }
}

fn everybody_gets_what_core_says(seen: &[Seen], steps: &[Policy]) {
    for seen in seen {
        let user = user(seen.visit.user);
        let expected = expected(&steps[seen.step], HOST, &user).unwrap();
        assert_eq!(seen.visit.variant, Some(expected), "{user} at revision {}", seen.step + 1);
        assert_eq!(seen.entry.variant.as_deref(), Some(expected), "logged for {user}");
    }
}

fn nobody_moves_but_those_who_must(seen: &[Seen], steps: &[Policy]) {
    let mut variants = vec![vec![None; USERS]; RAMP.len()];
    for seen in seen {
        variants[seen.step][seen.visit.user] = seen.visit.variant;
    }
    for step in 1..RAMP.len() {
        let (mut moved, mut must) = (0, 0);
        for (index, (before, after)) in variants[step - 1].iter().zip(&variants[step]).enumerate() {
            let (before, after) = (before.unwrap(), after.unwrap());
            let rising = RAMP[step] > RAMP[step - 1];
            let allowed = if rising { ("stable", "canary") } else { ("canary", "stable") };
            assert!(
                before == after || (before, after) == allowed,
                "{} went from {before} to {after}",
                user(index)
            );
            moved += usize::from(before != after);
            let [was, is] = [step - 1, step].map(|step| expected(&steps[step], HOST, &user(index)).unwrap());
            must += usize::from(was != is);
        }
        println!("{} to {} %: {moved} of {USERS} users moved", RAMP[step - 1], RAMP[step]);
        assert_eq!(moved, must, "from {} to {} %", RAMP[step - 1], RAMP[step]);
    }
    println!("{} requests, none failed", seen.len());
}
