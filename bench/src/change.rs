//! How long a change of the policy takes until requests are decided by it, and what it costs the proxy.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use coalmine_harness::wait::PATIENCE;
use coalmine_harness::{Bootstrap, Envoy, Lab};

use crate::contender::{HOST, many};
use crate::load::Load;
use crate::section::{Measured, Subject};

/// The policies that are changed, by how many rollouts they have.
const ROLLOUTS: [usize; 3] = [1, 100, 1_000];
/// How long the proxy is left alone, once without a change and once with one: far longer than a change takes. On a busy
/// machine it may take longer, and then the window is doubled up to the second value.
const WINDOWS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(8)];

pub(crate) const CHANGE: Subject = Subject {
    key: "change",
    title: "A change of the policy in milliseconds: from the rename of its file to the first request that it decides;\n\
            processor time of Envoy's main thread and of its one worker",
    unit: "milliseconds per change",
    columns: &[("in force", "inForce"), ("main thread", "mainThread"), ("worker", "worker")],
};

/// A proxy with the shipped configuration whose policy changes all the time.
struct Changing {
    lab: Lab,
    load: Load,
    request: [Vec<u8>; 1],
    rollouts: usize,
    revision: usize,
    window: Duration,
}

/// Measures so many changes of each policy, on a process each.
pub(crate) async fn changes(envoy: &Path, filter: &Path, changes: usize) -> Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for rollouts in ROLLOUTS {
        let builder = Lab::builder()?.envoy(envoy).module(filter).without_access_log();
        let lab = builder.edit(Bootstrap::answer_directly)?.start(&policy(rollouts, 1)).await?;
        let load = Load::open(lab.address())?;
        let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-user-id: somebody\r\n\r\n").into_bytes();
        let (request, window) = ([request], WINDOWS[0]);
        let mut changing = Changing { lab, load, request, rollouts, revision: 1, window };
        let values = tokio::task::block_in_place(|| changing.measure(changes))
            .with_context(|| format!("a policy with {rollouts} rollouts"))?;
        let row = match rollouts {
            1 => "1 rollout".to_owned(),
            1_000 => "1,000 rollouts".to_owned(),
            _ => format!("{rollouts} rollouts"),
        };
        rows.push(Measured { row, values });
    }
    Ok(rows)
}

/// Every change moves all users.
fn policy(rollouts: usize, revision: usize) -> String {
    many(rollouts, if revision.is_multiple_of(2) { 100 } else { 0 }, revision).to_string()
}

/// What the main thread and the worker have spent.
fn spent(envoy: &Envoy) -> Result<[Duration; 2]> {
    let times = envoy.process().thread_times()?;
    let of = |name: &str| -> Result<Duration> {
        let found = times.iter().find(|(thread, _)| thread == name);
        Ok(found.with_context(|| format!("Envoy has no thread {name}"))?.1)
    };
    Ok([of("envoy")?, of("wrk:worker_0")?])
}

// === impl Changing ===

impl Changing {
    fn measure(&mut self, changes: usize) -> Result<Vec<Vec<f64>>> {
        // The first change is the first time that much of Envoy's code runs.
        self.replace()?;
        self.until_decided()?;
        let mut columns = vec![Vec::new(); CHANGE.columns.len()];
        for _ in 0..changes {
            let in_force = self.time()?;
            let [main, worker] = loop {
                if let Some(cost) = self.cost()? {
                    break cost;
                }
                self.until_decided()?;
                self.window *= 2;
                ensure!(self.window <= WINDOWS[1], "a change takes too long: the machine is too busy");
            };
            for (column, value) in columns.iter_mut().zip([in_force, main, worker]) {
                column.push(value);
            }
        }
        Ok(columns)
    }

    /// Milliseconds from a rename to the first answer by the new policy, while one request follows the other.
    fn time(&mut self) -> Result<f64> {
        let renamed = self.replace()?;
        self.until_decided()?;
        Ok(renamed.elapsed().context("the clock has gone back")?.as_secs_f64() * 1e3)
    }

    /// Milliseconds that the threads spend on a change without requests, more than they spend in the same time idly.
    /// `None` when the change was not in force in time, so that it may have cost more.
    fn cost(&mut self) -> Result<Option<[f64; 2]>> {
        let envoy = self.lab.envoy();
        let begin = spent(envoy)?;
        std::thread::sleep(self.window);
        let idle = spent(envoy)?;
        self.replace()?;
        std::thread::sleep(self.window);
        let end = spent(self.lab.envoy())?;
        if !self.is_decided()? {
            return Ok(None);
        }
        let more = |begin: Duration, idle: Duration, end: Duration| {
            ((end - idle).as_secs_f64() - (idle - begin).as_secs_f64()) * 1e3
        };
        let ([main0, worker0], [main1, worker1], [main2, worker2]) = (begin, idle, end);
        Ok(Some([more(main0, main1, main2), more(worker0, worker1, worker2)]))
    }

    fn replace(&mut self) -> Result<SystemTime> {
        self.revision += 1;
        self.lab.replace_policy(&policy(self.rollouts, self.revision))
    }

    /// Whether a request is decided by the newest policy.
    fn is_decided(&mut self) -> Result<bool> {
        let variant = if self.revision.is_multiple_of(2) { "canary" } else { "stable" };
        Ok(self.load.send(&self.request)?.iter().all(|body| body == variant))
    }

    fn until_decided(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !self.is_decided()? {
            ensure!(begin.elapsed() < PATIENCE, "a change is not in force after {PATIENCE:?}");
        }
        Ok(())
    }
}
