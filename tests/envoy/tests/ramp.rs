//! A ramp by the clock, under load: two proxies with two workers each change over together, without a push, and
//! nobody moves but those who must.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use coalmine_core::policy::Policy;
use coalmine_envoy_tests::{compile, expected, rollout, user, visit};
use coalmine_harness::access_log::written;
use coalmine_harness::load::{Load, Shape, Visit};
use coalmine_harness::{Lab, access_log, wait};
use serde_json::{Value, json};

const HOST: &str = "ramp.test";
const USERS: usize = 400;
/// How far ahead the step is when its policy is put in place: not by whole ticks of the filter, which begin with it.
const AHEAD: Duration = Duration::from_millis(2_250);
const BEFORE: f64 = 20.0;
const AFTER: f64 = 70.0;
/// The lanes of one proxy.
const LANES: usize = 8;

/// A document whose ramp has these fields.
fn policy(revision: u32, ramp: Value) -> String {
    let mut rollout = rollout("ramp", HOST, 0.0);
    rollout["variants"] = json!([{"name": "canary"}]);
    rollout["ramp"] = ramp;
    json!({"revision": revision, "rollouts": [rollout], "observe": {"accessLog": true}}).to_string()
}

/// What both steps say of everybody, as the core computes it: (before, after).
fn variants(weights: [f64; 2]) -> Vec<(&'static str, &'static str)> {
    let [before, after] = weights.map(|weight| {
        let rollout = rollout("ramp", HOST, weight);
        compile(&json!({"rollouts": [rollout]}).to_string()).unwrap()
    });
    let of = |policy: &Policy, index: usize| expected(policy, HOST, &user(index)).unwrap();
    (0..USERS).map(|index| (of(&before, index), of(&after, index))).collect()
}

/// A request as the proxy logged it: on which connection, when it began and ended, who asked, which variant answered.
struct Logged {
    connection: u64,
    start: SystemTime,
    end: SystemTime,
    user: usize,
    variant: &'static str,
}

async fn lab(policy: &str) -> Lab {
    let builder = Lab::builder().unwrap().workers(2);
    let timed = "start_time: '%START_TIME%'\n                  duration: '%DURATION%'";
    builder.edit(|it| it.replace("start_time: '%START_TIME%'", timed)).unwrap().start(policy).await.unwrap()
}

/// How long each of [`LANES`] lanes has to rest after a request for half of what the two proxies can do on this machine,
/// now; and how many requests it took each to find out.
async fn pause_for_half_load(labs: &[Lab; 2]) -> (Duration, Vec<usize>) {
    let full = Shape { http1: LANES, http2: 0, streams: 0, pause: Duration::ZERO };
    let begin = Instant::now();
    let mut loads = Vec::new();
    for lab in labs {
        loads.push(Load::start(lab.address(), full, USERS, |index| visit(HOST, &user(index))).await.unwrap());
    }
    for load in &loads {
        load.go_on(2_000).await.unwrap();
    }
    let mut sent = Vec::new();
    for load in loads {
        sent.push(load.stop().await.unwrap().len());
    }
    let (elapsed, all) = (begin.elapsed(), sent.iter().sum::<usize>());
    println!("at full load {:.0} requests per second on both", all as f64 / elapsed.as_secs_f64());
    ((elapsed * 2 * LANES as u32 / all as u32).max(Duration::from_millis(1)), sent)
}

/// Reads the access log, with the duration that this test had added to it.
async fn logged(lab: &Lab, visits: &[Visit], before: usize) -> Vec<Logged> {
    let entries = lab.logged_requests(before + visits.len()).await.unwrap();
    let text = std::fs::read_to_string(lab.access_log()).unwrap();
    let durations: HashMap<String, u64> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            (line["request_id"].as_str().unwrap().to_owned(), line["duration"].as_u64().unwrap())
        })
        .collect();
    let entries: HashMap<String, access_log::Entry> =
        entries.into_iter().map(|entry| (entry.request_id.clone(), entry)).collect();
    let all = visits.iter().map(|visit| {
        let id = visit.request_id.as_deref().with_context(|| format!("{visit:?}")).unwrap();
        let entry = &entries[id];
        assert_eq!(entry.variant.as_deref(), visit.variant, "{entry:?}");
        let end = entry.start + Duration::from_millis(durations[id]);
        let (connection, start) = (entry.connection, entry.start);
        Logged { connection, start, end, user: visit.user, variant: visit.variant.unwrap() }
    });
    all.collect()
}

/// The worst of each kind, in milliseconds: who still followed the old step after its time, and who already followed
/// the new one before it.
#[derive(Debug, Default)]
struct Boundary {
    old_after: u128,
    new_before: u128,
    told_old: usize,
    told_new: usize,
}

impl Boundary {
    /// Looks at the users whose variant tells the step; everybody else must have what both steps say.
    fn of(logged: &[Logged], variants: &[(&str, &str)], boundary: SystemTime) -> Self {
        let (mut found, mut first_new) = (Self::default(), HashMap::new());
        let late =
            |time: SystemTime, than: SystemTime| time.duration_since(than).unwrap_or_default().as_millis();
        for request in logged {
            let (before, after) = variants[request.user];
            assert!(
                [before, after].contains(&request.variant),
                "{} had {} on no step",
                user(request.user),
                request.variant
            );
            if before == after {
                continue;
            }
            if request.variant == before {
                found.told_old += 1;
                found.old_after = found.old_after.max(late(request.start, boundary));
            } else {
                found.told_new += 1;
                found.new_before = found.new_before.max(late(boundary, request.end));
                let first = first_new.entry(request.connection).or_insert(request.end);
                *first = request.end.min(*first);
            }
        }
        // What began after the first answer by the new step is answered by it too.
        for request in logged {
            let (before, after) = variants[request.user];
            let back = first_new.get(&request.connection).is_some_and(|first| request.start > *first);
            assert!(
                !back || before == after || request.variant == after,
                "connection {} goes back",
                request.connection
            );
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_change_over_at_the_boundary() {
    let idle = policy(1, json!({"start": "2020-01-01T00:00:00Z", "steps": [{"at": "0s", "weight": BEFORE}]}));
    let labs = [lab(&idle).await, lab(&idle).await];
    let (pause, sent_before) = pause_for_half_load(&labs).await;
    let half = Shape { http1: LANES - 2, http2: 1, streams: 2, pause };
    let mut loads = Vec::new();
    for lab in &labs {
        loads.push(Load::start(lab.address(), half, USERS, |index| visit(HOST, &user(index))).await.unwrap());
    }
    let boundary = SystemTime::now() + AHEAD;
    let start = boundary - Duration::from_secs(60);
    let document = policy(
        2,
        json!({"start": written(start), "steps": [{"at": "0s", "weight": BEFORE}, {"at": "60s", "weight": AFTER}]}),
    );
    for lab in &labs {
        lab.replace_policy(&document).unwrap();
    }
    let variants = variants([BEFORE, AFTER]);
    // Every lane goes on until the new step answers it, and all users after that.
    for load in &loads {
        let follows = |visits: &[Visit]| {
            let tells = |visit: &&Visit| variants[visit.user].0 != variants[visit.user].1;
            let last = visits.iter().rfind(tells);
            last.is_some_and(|visit| visit.variant == Some(variants[visit.user].1))
        };
        load.until_every_lane("the new step", follows).await.unwrap();
        load.go_round().await.unwrap();
    }
    // What is written has lost less than a millisecond; so has what is logged.
    let millisecond = Duration::from_millis(1);
    for ((lab, load), before) in labs.iter().zip(loads).zip(sent_before) {
        let visits = load.stop().await.unwrap();
        assert!(visits.iter().all(|visit| visit.failure.is_none()), "no request failed");
        let logged = logged(lab, &visits, before).await;
        let found = Boundary::of(&logged, &variants, boundary);
        println!(
            "{} requests: the last on the old step began {} ms after the \
             boundary, the first on the new one ended {} ms before it ({} and {} requests tell)",
            logged.len(),
            found.old_after,
            found.new_before,
            found.told_old,
            found.told_new,
        );
        assert!(found.told_old > 50 && found.told_new > 100, "both steps were seen: {found:?}");
        for worker in 0..2 {
            // Envoy names the listener by the port that it was given: 0, any free one.
            let connections = format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total");
            assert!(lab.envoy().stat(&connections).await.unwrap() > 0, "worker {worker} had no part in it");
        }
        // How late a step comes is a number of this machine; that it comes too early is none.
        assert!(found.new_before <= millisecond.as_millis(), "{found:?}");
    }
}

/// How many of all users are in the canary now.
async fn canaries(lab: &Lab) -> usize {
    let mut connection = lab.connect(coalmine_harness::Protocol::Http1).await.unwrap();
    let mut found = 0;
    for index in 0..USERS {
        let answer = connection.send(visit(HOST, &user(index)).unwrap()).await.unwrap();
        found += usize::from(answer.variant() == Some("canary"));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ramp_is_held_let_go_and_taken_down() {
    let share =
        |weight: f64| variants([weight, weight]).iter().filter(|(variant, _)| *variant == "canary").count();
    let past = "2020-01-01T00:00:00Z";
    let steps = json!([{"at": "0s", "weight": 5}, {"at": "1h", "weight": 50}]);
    let lab = Lab::builder()
        .unwrap()
        .workers(2)
        .start(&policy(1, json!({"start": past, "steps": steps})))
        .await
        .unwrap();
    assert_eq!(canaries(&lab).await, share(50.0));
    let future = written(SystemTime::now() + Duration::from_secs(3_600));
    let down = json!([{"at": "0s", "weight": 50}, {"at": "1h", "weight": 5}]);
    for (revision, ramp, weight) in [
        (2, json!({"start": past, "steps": steps, "hold": true, "holdWeight": 12.5}), 12.5),
        (3, json!({"start": future, "steps": steps, "hold": true, "holdWeight": 12.5}), 12.5),
        (4, json!({"start": future, "steps": steps, "hold": false, "holdWeight": 12.5}), 0.0),
        (5, json!({"start": past, "steps": down, "allowDown": true}), 5.0),
    ] {
        lab.accept_policy(&policy(revision, ramp)).await.unwrap();
        assert_eq!(canaries(&lab).await, share(weight), "revision {revision}");
    }
    lab.refuse_policy(&policy(6, json!({"start": past, "steps": down}))).await.unwrap();
    lab.envoy().logged(0, &["rollouts[0].ramp.steps[1].weight: goes down from 50"]).await.unwrap();
    assert_eq!(canaries(&lab).await, share(5.0), "the last good one stays");
    // A step that comes while nobody sends anything is in force for the next request.
    let soon = written(SystemTime::now() + Duration::from_millis(1_500));
    lab.accept_policy(&policy(7, json!({"start": soon, "steps": [{"at": "0s", "weight": 50}]})))
        .await
        .unwrap();
    wait::until("the step", || async { (canaries(&lab).await == share(50.0)).then_some(()) }).await.unwrap();
}
