//! A server that is killed at any moment, also between the writes of one move: the record, its publication, and what
//! proxies are sent.
//!
//! What the store itself does when its process is killed is held by `make proof-store`; here it is the whole server.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coalmine_control::store::{Address, Sql, Store as _};
use coalmine_envoy_tests::random::Random;
use coalmine_harness::fleet::{Fleet, ROLLOUT};
use coalmine_harness::{Connection, Protocol, tools};
use http_body_util::Empty;
use hyper::{Request, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::story::{all_follow, done, fleet};

const API: &str = "/v1/rollouts/shop/checkout";
/// What is said at random while a release goes on, right or wrong.
const VERBS: [&str; 8] =
    ["advance", "advance", "advance", "advance", "pause", "resume", "rollback", "promote"];
/// The weights of the plan, and the end.
const STEPS: [f64; 4] = [5.0, 25.0, 50.0, 100.0];
/// The longest life of a server before it is killed: some ticks of a second.
const LIFE_MILLIS: usize = 2_500;
/// The longest time from a verb to the kill: about the double of what its writes take.
const VERB_MICROS: usize = 30_000;
/// The longest time from a verb's answer to the kill: about what its publication takes.
const ANSWER_MICROS: usize = 5_000;

/// A verb that was sent.
struct Verb {
    /// Its number, which is its key, and the person who says it.
    number: usize,
    word: &'static str,
}

/// What was answered: whether something was changed.
enum Heard {
    Changed,
    Nothing,
    Refused,
}

// === impl Verb ===

impl Verb {
    /// Sends it; an error is no answer.
    fn say(&self, fleet: &Fleet) -> impl Future<Output = Option<Heard>> + Send + use<> {
        let key = format!("verb-{}", self.number);
        let path = format!("{API}/{}", self.word);
        let answer = fleet.say(&path, &[("idempotency-key", &key), ("coalmine-actor", &key)]).unwrap();
        async move {
            let (status, body) = answer.await.ok()?;
            Some(match (status, &body["changed"]) {
                (StatusCode::CONFLICT, _) => Heard::Refused,
                (status, Value::Bool(true)) if status.is_success() => Heard::Changed,
                (status, Value::Bool(false)) if status.is_success() => Heard::Nothing,
                _ => panic!("{path}: {status} {body}"),
            })
        }
    }
}

/// What is said next.
async fn word(random: &mut Random, fleet: &Fleet) -> &'static str {
    let phase = fleet.get(API).await.unwrap()["phase"].clone();
    match phase.as_str() {
        Some("Idle" | "RolledBack") => "start",
        _ => random.pick(&VERBS),
    }
}

/// Reads a proxy's revision again and again: it never falls. How often it rose.
async fn watch(admin: SocketAddr, is_over: Arc<AtomicBool>) -> usize {
    let (mut newest, mut rose) = (0, 0);
    let mut connection = Connection::open(admin, Protocol::Http1).await.unwrap();
    while !is_over.load(Ordering::Relaxed) {
        let request = Request::get("/stats?filter=coalmine_policy_revision").header("host", "admin");
        let answer = connection.send(request.body(Empty::new()).unwrap()).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if let Some((_, number)) = text.trim().rsplit_once(": ") {
            let revision: u64 = number.parse().unwrap();
            assert!(revision >= newest, "a proxy went back from revision {newest} to {revision}");
            rose += usize::from(revision > newest);
            newest = revision;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rose
}

/// Whether the store of a killed server has a weight that is not published.
async fn is_between(fleet: &Fleet) -> bool {
    let store = Sql::open(Address::File(fleet.store())).await.unwrap();
    let latest = store.publications(coalmine_control::fleets::FLEET).await.unwrap().latest;
    let records = store.records().await.unwrap();
    records.iter().any(|stored| {
        let record = &stored.record;
        let spec = record.spec().unwrap();
        let published = latest.as_ref().and_then(|latest| latest.parts.get(&record.name));
        published.map(|part| &part.form) != Some(&record.state.form(&spec.plan.unwrap()))
    })
}

/// All of it, the oldest first.
async fn history(fleet: &Fleet) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    loop {
        let before = lines.last().map(|line| format!("&before={}", line["number"])).unwrap_or_default();
        let page = fleet.get(&format!("{API}/history?limit=1000{before}")).await.unwrap();
        let page = page.as_array().unwrap().clone();
        if page.is_empty() {
            lines.reverse();
            return lines;
        }
        lines.extend(page);
    }
}

/// Each verb that was acknowledged is there once, whatever came between; each move goes on where the one before ended.
fn is_whole(history: &[Value], heard: &BTreeMap<usize, Heard>) {
    let numbers: Vec<u64> = history.iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "a line of history is missing");
    let mut said: HashMap<String, usize> = HashMap::new();
    for line in history.iter().filter(|line| line["what"] == "verb") {
        *said.entry(line["by"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for (number, heard) in heard {
        let times = said.get(&format!("anonymous (verb-{number})")).copied().unwrap_or_default();
        match heard {
            Heard::Changed => assert_eq!(times, 1, "verb {number} was acknowledged"),
            Heard::Nothing | Heard::Refused => assert_eq!(times, 0, "verb {number} was refused"),
        }
    }
    let (mut weight, mut is_promoting) = (0.0, false);
    for line in history {
        let now = line["weight"].as_f64().unwrap();
        let what = line["what"].as_str().unwrap();
        match what {
            "advanced" => {
                let next = STEPS.into_iter().find(|step| *step > weight);
                let is_next = Some(now) == next || is_promoting && now == 100.0 && weight < now;
                assert!(is_next, "{line} comes after {weight} %");
                weight = now;
            }
            "promotes" => is_promoting = true,
            "started" | "rollsBack" | "promoted" | "superseded" => (weight, is_promoting) = (0.0, false),
            "rolledBack" => assert_eq!(weight, 0.0, "{line}"),
            "lowered" => {
                assert!(now < weight, "{line} comes after {weight} %");
                weight = now;
            }
            "policyChanged" => assert_eq!(line["number"], 1, "{line}"),
            _ => assert_eq!(what, "verb", "{line}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_moment_loses_nothing_and_goes_on_in_order() {
    let kills: usize = tools::number("COALMINE_KILLS", 20).unwrap();
    let seed: u64 = tools::number("COALMINE_SEED", 20_261_126).unwrap();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut fleet = fleet().await;
    let fast = ROLLOUT.replace("dwell: 2s", "dwell: 1s").replace("minRequests: 40", "minRequests: 1");
    fleet.write("checkout.yaml", &fast).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let traffic = fleet.traffic(400, 4);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut watches = JoinSet::new();
    for proxy in fleet.proxies() {
        watches.spawn(watch(proxy.admin_address(), is_over.clone()));
    }
    let (mut heard, mut between, mut unheard) = (BTreeMap::new(), 0, 0);
    for kill in 0..kills {
        let verb = Verb { number: kill, word: word(&mut random, &fleet).await };
        let answer = match kill % 4 {
            1 => {
                let answer = tokio::spawn(verb.say(&fleet));
                tokio::time::sleep(Duration::from_micros(random.below(VERB_MICROS) as u64)).await;
                fleet.kill_server();
                answer.await.unwrap()
            }
            other => {
                let answer = verb.say(&fleet).await;
                let life = match other {
                    3 => Duration::from_micros(random.below(ANSWER_MICROS) as u64),
                    _ => Duration::from_millis(random.below(LIFE_MILLIS) as u64),
                };
                tokio::time::sleep(life).await;
                fleet.kill_server();
                answer
            }
        };
        between += usize::from(is_between(&fleet).await);
        fleet.start_server().await.unwrap();
        // Who has no answer asks again, with the same key.
        let answer = match answer {
            Some(answer) => answer,
            None => {
                unheard += 1;
                verb.say(&fleet).await.unwrap()
            }
        };
        heard.insert(kill, answer);
    }
    all_follow(&fleet).await;
    let history = history(&fleet).await;
    is_whole(&history, &heard);
    is_over.store(true, Ordering::Relaxed);
    let rose = watches.join_all().await;
    let seen = traffic.stop().await;
    let failed = seen.iter().filter(|visit| visit.status != 200).count();
    assert_eq!(failed, 0, "of {} requests", seen.len());
    let changed = heard.values().filter(|heard| matches!(heard, Heard::Changed)).count();
    println!(
        "{kills} kills, {between} of them between a record and its publication, {unheard} before a verb was answered; \
         {changed} verbs changed something, {} lines of history, the proxies took {rose:?} revisions; {} requests, none \
         failed",
        history.len(),
        seen.len()
    );
}
