//! What the filter counts of responses is what happened, to the last one: the truth is Envoy's access log.
//!
//! `COALMINE_REQUESTS` says how many requests, `COALMINE_SEED` which ones.

mod client;
mod kinds;
mod proxy;
mod revision;
mod service;
mod truth;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use coalmine_envoy_tests::{compile, rollout};
use coalmine_harness::{Lab, Metrics, tools, wait};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use client::Client;
use coalmine_envoy_tests::random::Random;
use kinds::{Kind, THRESHOLDS, kinds};
use service::Meetings;
use truth::Truth;
use users::{PINNED, User, Users};

const HOST: &str = "evidence.test";
const ROLLOUT: &str = "evidence";
const WEIGHT: f64 = 30.0;
const OVERRIDE: &str = "x-coalmine-override";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const REQUESTS: u64 = 2_000;
const SEED: u64 = 20_261_126;
/// How many clients there are: most of them wait.
const CLIENTS: usize = 128;
/// How many requests, of a hundred, the access log may leave undecided at a threshold.
const UNDECIDED: u64 = 10;

/// Everything that a client needs to choose a request.
struct Plan {
    requests: u64,
    seed: u64,
    kinds: Vec<Kind>,
    users: Users,
    next: AtomicU64,
}

/// The policy, which changes on the way without changing the rollout.
fn policy(revision: u64) -> String {
    let mut observed: Value = rollout(ROLLOUT, HOST, WEIGHT);
    observed["observe"] = json!(true);
    observed["since"] = json!(1);
    observed["pins"] = PINNED.iter().map(|(user, variant)| (*variant, json!([user]))).collect();
    observed["override"] = json!({"header": OVERRIDE, "secret": SECRET});
    let [by_group, whole] = THRESHOLDS.map(|threshold| format!("{threshold}ms"));
    let slow = json!([{"at": by_group, "groups": true}, whole]);
    json!({"revision": revision, "rollouts": [observed],
        "observe": {"responses": true, "slow": slow, "histogram": true, "accessLog": true}})
    .to_string()
}

// === impl Plan ===

impl Plan {
    /// The request of this number: every kind comes once, then any.
    fn request(&self, number: u64) -> (&Kind, User) {
        let mut random = Random::of(self.seed, [number, 0]);
        let user = self.users.pick(&mut random);
        let any = random.below(self.kinds.len());
        let kind = usize::try_from(number).ok().filter(|place| *place < self.kinds.len()).unwrap_or(any);
        (&self.kinds[kind], user)
    }
}

/// Sends requests until all are sent. A new policy comes into force after each third of them.
async fn send(plan: Arc<Plan>, lab: Arc<Lab>, meetings: Arc<Meetings>) -> anyhow::Result<()> {
    let mut client = Client::new(lab.address(), meetings);
    loop {
        let number = plan.next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.requests {
            return Ok(());
        }
        if number > 0 && number.is_multiple_of(plan.requests / 3) {
            lab.accept_policy(&policy(1 + number / (plan.requests / 3))).await?;
        }
        let (kind, user) = plan.request(number);
        client.ask(kind, &user, number).await?;
    }
}

/// A proxy in front of the service, with two workers and this policy, and what holds a port on which nobody listens.
async fn start(document: &str, meetings: &Arc<Meetings>) -> (Lab, TcpSocket) {
    let service = service::start(Arc::clone(meetings)).await;
    let refused = TcpSocket::new_v4().unwrap();
    refused.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nobody = refused.local_addr().unwrap();
    let lab = Lab::example(proxy::EXAMPLE).unwrap().servers(service, service).workers(2);
    let lab = lab.edit(|bootstrap| proxy::edit(bootstrap, nobody)).unwrap();
    (lab.start(document).await.unwrap(), refused)
}

/// Looks at the metrics for two more seconds of the proxy, in which every worker hands its counts over, and returns the
/// last of them.
async fn go_on(lab: &Lab, holds: impl Fn(&Metrics)) -> Metrics {
    let uptime = || lab.envoy().stat("server.uptime");
    // The first of these seconds may be short.
    let end = uptime().await.unwrap() + 3;
    let last = wait::until("two more seconds of the proxy", || async {
        let now = uptime().await.ok()?;
        let metrics = lab.envoy().metrics().await.ok()?;
        holds(&metrics);
        (now >= end).then_some(metrics)
    });
    last.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_the_truth_to_the_last_request() {
    let requests = tools::number("COALMINE_REQUESTS", REQUESTS).unwrap();
    let seed = tools::number("COALMINE_SEED", SEED).unwrap();
    println!("COALMINE_SEED={seed} COALMINE_REQUESTS={requests}");
    let meetings = Arc::new(Meetings::default());
    let (lab, _refused) = start(&policy(1), &meetings).await;
    let lab = Arc::new(lab);
    let before = lab.envoy().metrics().await.unwrap();
    assert_eq!(before.sum("coalmine_all_total", &[]), Some(0.0), "there before the first request");
    assert_eq!(before.labels("coalmine_all_total"), ["group", "rollout", "variant"]);

    let begin = Instant::now();
    let users = Users::new(ROLLOUT);
    let plan = Arc::new(Plan { requests, seed, kinds: kinds(), users, next: AtomicU64::new(0) });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(send(Arc::clone(&plan), Arc::clone(&lab), Arc::clone(&meetings))))
        .collect();
    for client in clients {
        client.await.unwrap().unwrap();
    }
    println!("{} kinds, sent in {:.1} s", plan.kinds.len(), begin.elapsed().as_secs_f64());

    let passes = (0..requests).map(|number| plan.request(number).0.passes).sum();
    let log = lab.access_log();
    let found = wait::until("every request in the access log", || async { truth::lines(&log, passes) });
    let lines = found.await.unwrap();
    assert_eq!(lines.len(), passes, "a line for every pass");
    let truth = Truth::of(&lines, &plan.kinds, &compile(&policy(1)).unwrap()).unwrap();
    println!("{}", truth.summary());

    let all = |metrics: &Metrics| truth.differences(metrics).is_empty();
    if lab.metrics_when("the truth in the metrics", all).await.is_err() {
        let differences = truth.differences(&lab.envoy().metrics().await.unwrap());
        panic!("COALMINE_SEED={seed}, {} differences:\n{}", differences.len(), differences.join("\n"));
    }
    // Nothing counts later.
    let metrics = go_on(&lab, |_| {}).await;
    assert_eq!(truth.differences(&metrics), [""; 0]);
    assert_eq!(metrics.sum("coalmine_late_total", &[]), None, "no change of the rollout");
    let most = truth.requests * UNDECIDED / 100;
    assert!(
        truth.undecided.iter().all(|count| *count <= most),
        "{:?} of {}",
        truth.undecided,
        truth.requests
    );
}
