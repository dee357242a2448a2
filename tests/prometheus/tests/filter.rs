//! The judge on the counters of the real filter: an Envoy that serves observed traffic, and a Prometheus that scrapes it.
//!
//! `COALMINE_RECORD` names a folder into which the counts go that the filter shows after each burst of requests, as
//! evidence for `coalmine judge`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::{USER, compile, expected, rollout, user};
use coalmine_harness::{Bootstrap, Lab, Metrics, Upstream, get, load};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::prometheus::{Prometheus, rfc3339};

const WEIGHT: f64 = 30.0;
/// A threshold, and the delay of a request that is slower.
const THRESHOLD: &str = "250ms";
const DELAY: &str = "400";
/// Bursts of requests, and how many each has for a rollout.
const BURSTS: usize = 8;
const BURST: usize = 500;
const CONNECTIONS: usize = 16;
/// How long is between two looks of the judge, in seconds.
const STEP: u64 = 2;
/// What has a request fail.
const FAIL: &str = "x-fail";
const COUNTERS: [(&str, &str); 3] =
    [("all", "coalmine_all_total"), ("errors", "coalmine_bad_total"), (THRESHOLD, "coalmine_slow_total")];

/// A rollout, named by its host, and how many of its canary's requests fail, of a hundred.
#[derive(Clone, Copy)]
struct Case {
    host: &'static str,
    failures: usize,
    verdict_is_rollback: bool,
}

/// The failures of stable, of a hundred.
const USUAL: usize = 1;
const CASES: [Case; 2] = [
    Case { host: "checkout", failures: 10, verdict_is_rollback: true },
    Case { host: "basket", failures: USUAL, verdict_is_rollback: false },
];

/// Counts of an arm by name, and by group.
type Arm = Vec<(&'static str, Vec<u64>)>;

fn policy() -> String {
    let rollouts = CASES.map(|case| {
        let mut observed = rollout(case.host, case.host, WEIGHT);
        observed["observe"] = json!(true);
        observed
    });
    let slow = json!([{"at": THRESHOLD, "groups": true}]);
    json!({"revision": 1, "rollouts": rollouts, "observe": {"responses": true, "slow": slow}}).to_string()
}

/// Behind the filter, Envoy delays requests that ask for it.
fn delaying(bootstrap: &mut Bootstrap) -> anyhow::Result<&mut Bootstrap> {
    let router = "          - name: envoy.filters.http.router\n";
    let fault = json!({
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"header_delay": {}, "percentage": {"numerator": 100}},
        },
    });
    bootstrap.replace(router, &format!("          - {fault}\n{router}"))
}

async fn upstream() -> Upstream {
    let answering = Upstream::answering(0, |request| {
        let mut response = Response::new(Empty::new().boxed_unsync());
        if request.headers().contains_key(FAIL) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(response)
    });
    answering.await.unwrap()
}

/// Whether this request of a rollout fails, and whether it is slow: by its number, so that both arms and all groups have
/// some.
fn fate(case: Case, variant: &str, number: usize) -> (bool, bool) {
    let failures = if variant == "canary" { case.failures } else { USUAL };
    // The numbers of the users of an arm are as random as their draw.
    (number % 100 < failures, number % 20 == 7)
}

/// Requests of each arm, failed ones and slow ones, in the numbers up to here.
fn sent(case: Case, policy: &Policy, until: usize) -> [[u64; 3]; 2] {
    let mut sent = [[0; 3]; 2];
    for number in 0..until {
        let variant = expected(policy, case.host, &user(number)).unwrap();
        let (fails, slow) = fate(case, variant, number);
        let arm = &mut sent[usize::from(variant == "canary")];
        arm[0] += 1;
        arm[1] += u64::from(fails);
        arm[2] += u64::from(slow);
    }
    sent
}

async fn burst(lab: &Lab, case: Case, policy: &str, first: usize) {
    let policy = compile(policy).unwrap();
    let request = move |index: usize| {
        let user = user(first + index);
        let variant = expected(&policy, case.host, &user)?;
        let (fails, slow) = fate(case, variant, first + index);
        let mut request = get(case.host).header(USER, user);
        if fails {
            request = request.header(FAIL, "1");
        }
        if slow {
            request = request.header("x-envoy-fault-delay-request", DELAY);
        }
        Ok(request.body(Empty::new())?)
    };
    load::send_all(lab.address(), CONNECTIONS, BURST, request, |_, _| ()).await.unwrap();
}

/// What the filter shows of both arms, stable first.
fn shown(metrics: &Metrics, case: Case) -> [Arm; 2] {
    ["stable", "canary"].map(|variant| {
        let groups = |metric: &str| {
            let group = |group: usize| {
                let labels = [("rollout", case.host), ("variant", variant), ("group", &*group.to_string())];
                metrics.sum(metric, &labels).unwrap_or_default() as u64
            };
            (0..16).map(group).collect()
        };
        COUNTERS.iter().map(|(name, metric)| (*name, groups(metric))).collect()
    })
}

/// What was counted between two moments, as a line of evidence.
fn line(before: &[Arm; 2], after: &[Arm; 2]) -> Value {
    let arm = |place: usize| -> Value {
        let pairs = before[place].iter().zip(&after[place]);
        let differences = pairs.map(|((name, before), (_, after))| {
            let groups: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
            ((*name).to_owned(), json!(groups))
        });
        differences.collect::<serde_json::Map<_, _>>().into()
    };
    json!({"weight": WEIGHT, "stable": arm(0), "canary": arm(1)})
}

fn record(folder: &str, case: Case, moments: &[[Arm; 2]]) {
    let lines: String = moments.windows(2).map(|pair| format!("{}\n", line(&pair[0], &pair[1]))).collect();
    let name = if case.verdict_is_rollback { "harmful" } else { "harmless" };
    std::fs::write(Path::new(folder).join(format!("{name}.jsonl")), lines).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counters_of_the_filter_are_judged_to_the_last_request() {
    let document = policy();
    let servers = [upstream().await, upstream().await];
    let lab = Lab::builder().unwrap().servers(servers[0].address(), servers[1].address()).workers(2);
    let lab = lab.edit(delaying).unwrap().without_access_log().start(&document).await.unwrap();
    let prometheus = Prometheus::start(&[lab.envoy().admin_address()]);
    // Every counter was seen at 0.
    prometheus.until("count(coalmine_all_total)", (CASES.len() * 2 * 16) as f64).await;
    let begin = now().as_secs();

    let mut moments = CASES.map(|case| vec![shown(&Metrics::default(), case)]);
    for number in 0..BURSTS {
        for case in CASES {
            burst(&lab, case, &document, number * BURST).await;
        }
        let all = (CASES.len() * (number + 1) * BURST) as f64;
        prometheus.until("sum(coalmine_all_total)", all).await;
        let metrics = lab.envoy().metrics().await.unwrap();
        for (case, moments) in CASES.into_iter().zip(&mut moments) {
            moments.push(shown(&metrics, case));
        }
    }
    // The first look behind everything.
    let end = begin + (now().as_secs() + 1 - begin).next_multiple_of(STEP);

    for (case, moments) in CASES.into_iter().zip(&moments) {
        if let Ok(folder) = std::env::var("COALMINE_RECORD") {
            record(&folder, case, moments);
        }
        let run = Command::new(std::env::var("COALMINE_COMMAND").unwrap())
            .args(["judge", "--prometheus", &prometheus.url, "--rollout", case.host, "--format", "json"])
            .args(["--weight", &WEIGHT.to_string(), "--guard", "errors", "--guard", THRESHOLD])
            .args([
                "--from",
                &rfc3339(Duration::from_secs(begin)),
                "--to",
                &rfc3339(Duration::from_secs(end)),
            ])
            .args(["--step", &format!("{STEP}s")])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&run.stderr);
        let looks: Vec<Value> =
            serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
        let last = looks.last().unwrap();

        let sent = sent(case, &compile(&document).unwrap(), BURSTS * BURST);
        for (place, arm) in ["stable", "canary"].into_iter().enumerate() {
            let [all, failed, slow] = sent[place];
            let counted =
                |guard: usize| ["all", "bad"].map(|count| last["guards"][guard][arm][count].as_u64());
            assert_eq!(counted(0), [Some(all), Some(failed)], "{} {arm}: {last}", case.host);
            // On a busy machine others may be slow as well: then the filter says so.
            let shown: u64 = moments.last().unwrap()[place][2].1.iter().sum();
            assert_eq!(counted(1), [Some(all), Some(shown)], "{} {arm}: {last}", case.host);
            assert!(shown >= slow);
        }
        let rolled_back = looks.iter().any(|look| look["verdict"] == "rollback");
        assert_eq!(rolled_back, case.verdict_is_rollback, "{}: {looks:?}", case.host);
        assert_eq!(run.status.code(), Some(i32::from(case.verdict_is_rollback)), "{errors}");
        println!("{}: {} looks, {} after {sent:?}", case.host, looks.len(), last["verdict"]);
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}
