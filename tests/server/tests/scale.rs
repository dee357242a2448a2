//! Thousands of rollouts over several fleets, ticked once a second: what that costs, and that all of them move.

use std::time::{Duration, Instant};

use coalmine_harness::fleet::{Fleet, FleetParts, Served, Serving};
use coalmine_harness::{Process, tools, wait};
use coalmine_server_tests::pretend::Pretended;
use hyper::StatusCode;

use crate::story::{done, parts};

const FLEETS: usize = 5;
/// Rollouts of a file that is applied.
const TOGETHER: usize = 500;
/// For how long it is measured what an idle server costs.
const IDLE: Duration = Duration::from_secs(20);
/// How often metrics are read meanwhile.
const SCRAPE: Duration = Duration::from_secs(5);
/// How long all releases may take.
const WITHIN: Duration = Duration::from_secs(240);

/// Names of so many rollouts, over all fleets in turn.
fn names(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).map(|number| (number % FLEETS, number / FLEETS))
}

fn rollout((fleet, number): (usize, usize)) -> String {
    format!(
        "name: team-{fleet}/s{number}\npolicy:\n  match: {{hosts: [s{number}.t{fleet}]}}\n  identity: [{{header: x-user-id}}]\n  variants: [{{name: canary}}]\n\
         plan: {{steps: [5, 25, 50], dwell: 10s, warmUp: 2s, minRequests: 40, onInconclusive: promote}}\n"
    )
}

/// What the server did in a time.
struct Spent {
    over: Duration,
    processor: Duration,
    ticks: usize,
}

/// Where a measurement begins.
struct Since {
    at: Instant,
    processor: Duration,
    reads: usize,
}

impl Since {
    fn now(process: Process, proxy: &Pretended) -> Self {
        Self { at: Instant::now(), processor: process.cpu_time().unwrap(), reads: proxy.reads() }
    }

    fn spent(&self, process: Process, proxy: &Pretended) -> Spent {
        let processor = process.cpu_time().unwrap() - self.processor;
        Spent { over: self.at.elapsed(), processor, ticks: proxy.reads() - self.reads }
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cores = self.processor.as_secs_f64() / self.over.as_secs_f64();
        write!(f, "{cores:.2} of a core, {} ticks in {:.0} s", self.ticks, self.over.as_secs_f64())
    }
}

async fn phases(server: &Serving, phase: &str) -> usize {
    let metrics = server.metrics().await.unwrap();
    metrics.sum("coalmine_server_phase", &[("phase", phase)]).unwrap_or_default() as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_rollouts_are_ticked_once_a_second() {
    let rollouts: usize = tools::number("COALMINE_ROLLOUTS", 100).unwrap();
    let releases: usize = tools::number("COALMINE_RELEASES", 10).unwrap();
    let mut fleet = Fleet::without_server(FleetParts { proxies: 0, ..parts() }).await.unwrap();
    let server = fleet.servers().next().unwrap().address();
    let (mut proxies, mut fields) = (Vec::new(), Vec::new());
    for number in 0..FLEETS {
        let name = format!("team-{number}");
        let proxy = Pretended::start(&name, server).await.unwrap();
        fields.push(format!(
            "{name}: {{rollouts: [{name}/*], evidence: {{proxies: ['{}']}}}}",
            proxy.address()
        ));
        proxies.push(proxy);
    }
    fleet.serve(Served::Fleets(format!("{{{}}}", fields.join(", "))));
    fleet.start_server().await.unwrap();
    let process = fleet.servers().next().unwrap().process().unwrap();
    let proxy = &proxies[0];

    let began = Instant::now();
    let all: Vec<String> = names(rollouts).map(rollout).collect();
    for part in all.chunks(TOGETHER) {
        fleet.write("part.yaml", &part.join("---\n")).unwrap();
        done(&fleet, "apply part.yaml").await;
    }
    println!("{rollouts} rollouts were written in {:.1?}", began.elapsed());
    let server = fleet.servers().next().unwrap();
    let is_published = wait::within(WITHIN, "all are published", || async {
        (phases(server, "Idle").await == rollouts).then_some(())
    });
    is_published.await.unwrap();

    let since = Since::now(process, proxy);
    tokio::time::sleep(IDLE).await;
    let idle = since.spent(process, proxy);
    println!("nothing moves: {idle}; {} MiB", process.memory().unwrap() >> 20);

    let since = Since::now(process, proxy);
    for (team, number) in names(releases) {
        let start = format!("/v1/rollouts/team-{team}/s{number}/start");
        let (status, body) = fleet.say(&start, &[]).unwrap().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    }
    // A page of metrics of thousands of rollouts costs the server more than a tick does: it is read as a Prometheus would.
    while phases(server, "Promoting").await < releases {
        assert!(since.at.elapsed() < WITHIN, "some release does not go up");
        tokio::time::sleep(SCRAPE).await;
    }
    let moving = since.spent(process, proxy);
    println!("{releases} releases went up: {moving}; {} MiB", process.memory().unwrap() >> 20);

    // On a busy machine a tick may be late, and never so many of them.
    for spent in [idle, moving] {
        assert!(spent.ticks as f64 > 0.5 * spent.over.as_secs_f64(), "{spent}");
    }
}
