//! What a release has to show after servers were killed in it: a verb that was acknowledged is there once, weights follow the
//! plan, and no proxy goes back to an older policy.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coalmine_envoy_tests::random::Random;
use coalmine_harness::fleet::{Fleet, ROLLOUT, Serving, Traffic};
use coalmine_harness::{Connection, Protocol};
use http_body_util::Empty;
use hyper::{Request, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::release::API;

/// What is said at random while a release goes on, right or wrong.
const VERBS: [&str; 8] =
    ["advance", "advance", "advance", "advance", "pause", "resume", "rollback", "promote"];
/// The weights of the plan, and the end.
const STEPS: [f64; 4] = [5.0, 25.0, 50.0, 100.0];
/// A verb that was sent.
pub(crate) struct Verb {
    /// Its number, which is its key, and the person who says it.
    pub(crate) number: usize,
    pub(crate) word: &'static str,
}

/// What was answered: whether something was changed.
pub(crate) enum Heard {
    Changed,
    Nothing,
    Refused,
}

// === impl Verb ===

impl Verb {
    /// Sends it to a server; an error is no answer.
    pub(crate) fn say(&self, server: &Serving) -> impl Future<Output = Option<Heard>> + Send + use<> {
        let key = format!("verb-{}", self.number);
        let path = format!("{API}/{}", self.word);
        let answer = server.say(&path, &[("idempotency-key", &key), ("coalmine-actor", &key)]).unwrap();
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
pub(crate) async fn word(random: &mut Random, server: &Serving) -> &'static str {
    let phase = server.get(API).await.unwrap()["phase"].clone();
    match phase.as_str() {
        Some("Idle" | "RolledBack") => "start",
        _ => random.pick(&VERBS),
    }
}

/// A plan that is done within seconds.
pub(crate) fn fast() -> String {
    ROLLOUT.replace("dwell: 2s", "dwell: 1s").replace("minRequests: 40", "minRequests: 1")
}

/// A release in which servers are killed: its users, its proxies, and what was answered to those who said verbs.
pub(crate) struct Trial {
    traffic: Traffic,
    watches: Watches,
    heard: BTreeMap<usize, Heard>,
    unheard: usize,
}

// === impl Trial ===

impl Trial {
    pub(crate) fn start(fleet: &Fleet) -> Self {
        let (traffic, watches) = (fleet.traffic(400, 4), Watches::start(fleet));
        Self { traffic, watches, heard: BTreeMap::new(), unheard: 0 }
    }

    /// Notes what was answered to a verb. Who has no answer asks this server, with the same key.
    pub(crate) async fn hear(&mut self, verb: &Verb, answer: Option<Heard>, again: &Serving) {
        let answer = match answer {
            Some(answer) => answer,
            None => {
                self.unheard += 1;
                verb.say(again).await.unwrap()
            }
        };
        self.heard.insert(verb.number, answer);
    }

    /// Nothing is lost and nothing out of order, and no request has failed. What happened, for people.
    pub(crate) async fn end(self, fleet: &Fleet) -> String {
        let history = history(fleet.server()).await;
        is_whole(&history, &self.heard);
        let rose = self.watches.end().await;
        let seen = self.traffic.stop().await;
        let failed = seen.iter().filter(|visit| visit.status != 200).count();
        assert_eq!(failed, 0, "of {} requests", seen.len());
        let changed = self.heard.values().filter(|heard| matches!(heard, Heard::Changed)).count();
        format!(
            "{} kills before a verb was answered; {changed} verbs changed something, {} lines of history, the proxies took \
             {rose:?} revisions; {} requests, none failed",
            self.unheard,
            history.len(),
            seen.len()
        )
    }
}

/// Looks at every proxy's revision until it is ended.
struct Watches {
    is_over: Arc<AtomicBool>,
    watches: JoinSet<usize>,
}

// === impl Watches ===

impl Watches {
    fn start(fleet: &Fleet) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut watches = JoinSet::new();
        for proxy in fleet.proxies() {
            watches.spawn(watch(proxy.admin_address(), is_over.clone()));
        }
        Self { is_over, watches }
    }

    /// How often each rose; none fell.
    async fn end(self) -> Vec<usize> {
        self.is_over.store(true, Ordering::Relaxed);
        self.watches.join_all().await
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

/// All of it, the oldest first.
async fn history(server: &Serving) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    loop {
        let before = lines.last().map(|line| format!("&before={}", line["number"])).unwrap_or_default();
        let page = server.get(&format!("{API}/history?limit=1000{before}")).await.unwrap();
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
