//! A server that is killed at any moment of a rollout, again and again, and what must hold whenever it is back.
//!
//! Every second time it is killed while somebody says a verb: between the writes of one move, before or behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use coalmine_envoy_tests::random::Random;

use coalmine_harness::fleet::Fleet;
use coalmine_harness::{Connection, Protocol, get, tools};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::story::{ROLLOUT, all_follow, done, fleet, json};

/// Canary's weights, as [`ROLLOUT`] has them: up step by step, and down the same way once stable is renewed.
const WEIGHTS: [f64; 5] = [0.0, 5.0, 25.0, 50.0, 100.0];
/// The longest that a server lives.
const LIFE: Duration = Duration::from_millis(1_500);
/// The longest from the beginning of a command to the end of its server.
const SAYING: Duration = Duration::from_millis(60);
/// How often the revision of a proxy is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What has been seen of a rollout's history.
#[derive(Default)]
struct Known {
    /// Each line by its number.
    lines: BTreeMap<u64, Value>,
    /// Messages of verbs that the server has acknowledged.
    acknowledged: BTreeSet<String>,
}

// === impl Known ===

impl Known {
    /// Reads what history has now: what was seen before is there as it was, and nothing is missing in between.
    async fn read(&mut self, fleet: &Fleet) {
        let lines = json(fleet, "history shop/checkout --limit 1000").await;
        for line in lines.as_array().unwrap() {
            let number = line["number"].as_u64().unwrap();
            let before = self.lines.insert(number, line.clone());
            assert!(before.is_none_or(|before| before == *line), "line {number} was another one");
        }
        let numbers: Vec<u64> = self.lines.keys().copied().collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<u64>>(), "history has a gap");
    }

    /// Each weight is the one that the plan has behind the one before.
    fn follows_the_plan(&self) {
        let mut weight = 0.0;
        for (number, line) in &self.lines {
            let (what, now) = (line["what"].as_str().unwrap(), line["weight"].as_f64().unwrap());
            let expected = match what {
                "advanced" => WEIGHTS.iter().copied().find(|step| *step > weight),
                "lowered" => WEIGHTS.iter().copied().rfind(|step| *step < weight),
                "rollsBack" => Some(0.0),
                _ => Some(weight),
            };
            assert_eq!(Some(now), expected, "line {number}: {what} from {weight} %: {line}");
            weight = now;
        }
    }

    /// Each verb that was acknowledged is in history, once.
    fn has_all_that_was_acknowledged(&self) {
        for message in &self.acknowledged {
            let marked = format!("({message})");
            let lines = self.lines.values().filter(|line| {
                line["what"] == "verb" && line["why"].as_str().is_some_and(|why| why.contains(&marked))
            });
            assert_eq!(lines.count(), 1, "{message}");
        }
    }
}

/// What a person would say now.
async fn verb(fleet: &Fleet, random: &mut Random) -> &'static str {
    let status = json(fleet, "status shop/checkout").await;
    match status["phase"].as_str().unwrap() {
        "Idle" | "Promoted" | "RolledBack" | "Superseded" => "start",
        "Paused" => "resume",
        "Promoting" => "promote",
        _ => random.pick(&["advance", "advance", "pause", "rollback"]),
    }
}

/// Looks at the revision of a proxy until it is told to end: how often, and whether it ever went back.
fn watched(proxy: SocketAddr, is_over: Arc<AtomicBool>, looks: Arc<AtomicUsize>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connection = Connection::open(proxy, Protocol::Http1).await.unwrap();
        let mut highest = 0;
        while !is_over.load(Ordering::Relaxed) {
            let request = get("admin").uri("/stats?filter=coalmine_policy_revision");
            let answer = connection.send(request.body(Default::default()).unwrap()).await.unwrap();
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            let revision = text.trim().rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            assert!(revision >= highest, "{proxy} went back from revision {highest} to {revision}");
            highest = revision;
            looks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(LOOK).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_moment_loses_nothing_and_takes_nothing_back() {
    let kills: usize = tools::number("COALMINE_KILLS", 20).unwrap();
    let seed: u64 = tools::number("COALMINE_SEED", 20_261_126).unwrap();
    println!("{kills} kills, COALMINE_SEED={seed}");
    let mut random = Random::new(seed);
    let mut fleet = fleet().await;
    fleet.write("checkout.yaml", &ROLLOUT.replace("dwell: 2s", "dwell: 1s")).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let (is_over, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let watchers: Vec<_> = fleet
        .proxies()
        .iter()
        .map(|proxy| watched(proxy.admin_address(), is_over.clone(), looks.clone()))
        .collect();
    let traffic = fleet.traffic(400, 2);
    let mut known = Known::default();
    let mut millis = |most: Duration| Duration::from_millis(random.below(most.as_millis() as usize) as u64);
    let mut choice = Random::new(seed ^ 1);
    for kill in 0..kills {
        let verb = verb(&fleet, &mut choice).await;
        if kill % 2 == 0 || verb == "start" {
            let message = format!("whole-{kill}");
            if verb == "start" {
                done(&fleet, &format!("start shop/checkout --message {message}")).await;
                known.acknowledged.insert(message);
            }
            tokio::time::sleep(millis(LIFE)).await;
            fleet.kill_server();
        } else {
            let message = format!("cut-{kill}");
            let words = format!("{verb} shop/checkout --message {message} --format json");
            let running = fleet.begin(&words);
            tokio::time::sleep(millis(SAYING)).await;
            fleet.kill_server();
            let ran = running.await.unwrap().unwrap();
            let is_changed = |text: &str| serde_json::from_str::<Value>(text).unwrap()["changed"] == true;
            if ran.code == 0 && is_changed(&ran.stdout) {
                known.acknowledged.insert(message);
            }
        }
        fleet.start_server().await.unwrap();
        known.read(&fleet).await;
        known.has_all_that_was_acknowledged();
        known.follows_the_plan();
    }
    all_follow(&fleet).await;
    is_over.store(true, Ordering::Relaxed);
    for watcher in watchers {
        watcher.await.unwrap();
    }
    let seen = traffic.stop().await;
    assert!(seen.iter().all(|visit| visit.status == 200), "a request has failed");
    println!(
        "{} lines of history, {} verbs acknowledged, {} looks at a revision, {} requests",
        known.lines.len(),
        known.acknowledged.len(),
        looks.load(Ordering::Relaxed),
        seen.len()
    );
}
