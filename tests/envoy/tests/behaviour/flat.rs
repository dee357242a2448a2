//! Load and changes of the policy, for long: neither the memory nor what an idle proxy spends may grow.

use std::time::{Duration, Instant};

use coalmine_envoy_tests::alive::decided;
use coalmine_envoy_tests::{rollout, visit};
use coalmine_harness::{Bootstrap, Lab, load, tools};
use serde_json::{Value, json};

use super::replaced::{AT_MOST, WATCHED, idle};

/// So many that a policy which stays behind shows in the memory of a process.
const ROLLOUTS: usize = 1_000;
const USERS: usize = 10_000;
const CONNECTIONS: usize = 8;
/// How often a run stops to be measured, beside its beginning.
const SAMPLES: usize = 16;
/// How much more memory a part of a run may hold on average than the part before it.
const GROWTH: f64 = 1.03;

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
struct Plan {
    requests: usize,
    /// Spread evenly over the requests, which go on meanwhile.
    changes: usize,
}

/// What a proxy holds and spends while it has nothing to do.
#[derive(Clone, Copy, Debug)]
struct Sample {
    requests: usize,
    changes: usize,
    /// Resident memory of the process, the filter's VMs among it, in bytes.
    resident: u64,
    /// What Envoy has allocated, without the VMs, in bytes.
    allocated: u64,
}

/// A proxy under load, and where it is.
struct Run {
    lab: Lab,
    plan: Plan,
    requests: usize,
    changes: usize,
}

fn policy(revision: usize) -> String {
    // Every change moves users, so none can be taken for the one before.
    let weight = if revision.is_multiple_of(2) { 25.0 } else { 5.0 };
    let rollouts = (0..ROLLOUTS).map(|index| {
        let mut one = rollout(&format!("flat-{index}"), &format!("flat-{index}.test"), weight);
        if let Value::Object(one) = &mut one {
            one.insert("observe".to_owned(), true.into());
        }
        one
    });
    let observe = json!({"accessLog": true, "responses": true, "slow": ["100ms", "1s"]});
    json!({"revision": revision, "rollouts": rollouts.collect::<Vec<_>>(), "observe": observe}).to_string()
}

/// A proxy that answers by itself, so that a request costs little beside the filter.
async fn start(plan: Plan) -> Run {
    let builder = Lab::builder().unwrap().without_access_log();
    let builder = builder.edit(Bootstrap::answer_directly);
    let lab = builder.unwrap().start(&policy(1)).await.unwrap();
    Run { lab, plan, requests: 0, changes: 0 }
}

// === impl Run ===

impl Run {
    /// One part of so many: its requests and changes.
    async fn go_on(&mut self, part: usize, parts: usize) {
        let changes = self.plan.changes * part / parts;
        while self.changes < changes {
            self.changes += 1;
            let requests = self.plan.requests * self.changes / self.plan.changes;
            let next = policy(self.changes + 1);
            let from = self.requests;
            let visits = load::send_all(
                self.lab.address(),
                CONNECTIONS,
                requests - from,
                move |index| visit("flat-0.test", &format!("user-{}", (from + index) % USERS)),
                |_, answer| answer.variant().is_some(),
            );
            let (visits, accepted) = tokio::join!(visits, self.lab.accept_policy(&next));
            accepted.unwrap();
            assert!(visits.unwrap().iter().all(|is_answered| *is_answered), "a request failed");
            self.requests = requests;
        }
    }

    async fn sample(&self) -> Sample {
        let envoy = self.lab.envoy();
        let memory: Value = serde_json::from_str(&envoy.admin("/memory").await.unwrap()).unwrap();
        let allocated = memory.get("allocated").and_then(Value::as_str).unwrap().parse().unwrap();
        let resident = envoy.process().memory().unwrap();
        Sample { requests: self.requests, changes: self.changes, resident, allocated }
    }
}

// === impl Sample ===

impl Sample {
    fn words(self) -> String {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        format!(
            "{:>9} requests {:>5} changes {:>8.1} MiB resident {:>8.1} MiB allocated",
            self.requests,
            self.changes,
            mebibytes(self.resident),
            mebibytes(self.allocated)
        )
    }
}

fn mean(samples: &[Sample], of: fn(&Sample) -> u64) -> f64 {
    samples.iter().map(of).sum::<u64>() as f64 / samples.len() as f64
}

/// That the last of these parts of a run, 2 halves or 4 quarters, holds no more memory than the one before.
fn assert_flat(samples: &[Sample], parts: usize) {
    let length = samples.len() / parts;
    let (rest, last) = samples.split_at(samples.len() - length);
    let (_, before) = rest.split_at(rest.len() - length);
    for (name, of) in
        [("resident", (|one| one.resident) as fn(&Sample) -> u64), ("allocated", |one| one.allocated)]
    {
        let growth = mean(last, of) / mean(before, of);
        println!("memory that is {name}, the last 1/{parts} to the one before: {growth:.3} times");
        assert!(
            growth <= GROWTH,
            "the memory that is {name} grows {growth:.3} times in 1/{parts} of the run"
        );
    }
}

/// The same in short: what stays behind of a policy with many rollouts shows after few changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_and_changes_leave_the_memory_as_it_is() {
    let mut run = start(Plan { requests: 6_400, changes: 32 }).await;
    let mut samples = Vec::new();
    for part in 1..=SAMPLES {
        run.go_on(part, SAMPLES).await;
        samples.push(run.sample().await);
        println!("{}", run.sample().await.words());
    }
    decided(&run.lab, run.requests).await.unwrap();
    assert_flat(&samples, 2);
}

/// `make proof-flat`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes some ten minutes: `make proof-flat`"]
async fn load_and_changes_for_long_leave_memory_and_idle_processor_time_as_they_are() {
    let requests = tools::number("COALMINE_REQUESTS", 5_000_000).unwrap();
    let changes = tools::number("COALMINE_CHANGES", 2_000).unwrap();
    assert!(
        changes >= SAMPLES && requests >= changes,
        "fewer changes than samples, or requests than changes"
    );
    // What is idle is compared with what is idle at the same time: the machine may be busy.
    let fresh = start(Plan { requests: 0, changes: 0 }).await;
    let mut run = start(Plan { requests, changes }).await;
    let begin = Instant::now();
    let mut samples = Vec::new();
    let mut idles = Vec::new();
    for part in 0..=SAMPLES {
        run.go_on(part, SAMPLES).await;
        let (changed, control) = tokio::join!(idle(&run.lab), idle(&fresh.lab));
        let sample = run.sample().await;
        let per_second = |spent: Duration| 1e3 * spent.as_secs_f64() / WATCHED.as_secs_f64();
        println!(
            "{:>4} s {} {:>5.2} ms/s idle ({:.2} a fresh proxy)",
            begin.elapsed().as_secs(),
            sample.words(),
            per_second(changed),
            per_second(control)
        );
        if part > 0 {
            samples.push(sample);
            idles.push([changed, control]);
        }
    }
    decided(&run.lab, run.requests).await.unwrap();
    println!("every request was decided by the filter and counted once");
    assert_flat(&samples, 4);
    let (_, last) = idles.split_at(idles.len() - SAMPLES / 4);
    let [changed, control] = [0, 1].map(|of| last.iter().map(|pair| pair[of].as_secs_f64()).sum::<f64>());
    let ratio = changed / control;
    println!("idle in the last 1/4: {ratio:.2} times what a fresh proxy spends");
    assert!(ratio <= AT_MOST, "{ratio:.2} times what a fresh proxy spends");
}
