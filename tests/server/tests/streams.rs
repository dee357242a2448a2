//! Thousands of proxies follow one server: how soon all have a new policy, what a stream costs, and what becomes of those that
//! stand still.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coalmine_harness::fleet::{Fleet, FleetParts, Serving};
use coalmine_harness::{Process, tools, wait};
use coalmine_server_tests::crowd::Crowd;
use hyper::StatusCode;

use crate::story::{done, parts};

/// Rollouts of the policy.
const ROLLOUTS: usize = 100;
/// How many pushes are measured.
const PUSHES: usize = 10;
/// The longest that a policy may take to the last of all proxies, in the median.
const AT_MOST: Duration = Duration::from_secs(2);
/// Longer than from a tick to what is published of it.
const STILL: Duration = Duration::from_secs(2);
/// A stream is asked after 30 s without a word, and given up 10 s later.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// One rollout, whose first step does not end by itself.
fn rollout(number: usize) -> String {
    format!(
        "name: shop/service-{number}\npolicy:\n  match: {{hosts: [service-{number}.example]}}\n  identity: [{{header: x-user-id}}]\n  variants: \
         [{{name: canary}}]\nplan: {{steps: [5, 25, 50], dwell: 1h}}\n"
    )
}

/// So many streams are open, as the server counts them.
async fn connected(server: &Serving, streams: usize) {
    let is_so = wait::within(GIVEN_UP, "streams", || async {
        let open = server.metrics().await.ok()?.sum("coalmine_server_proxies_connected", &[])?;
        (open == streams as f64).then_some(())
    });
    is_so.await.unwrap();
}

async fn revision(fleet: &Fleet) -> u64 {
    fleet.get("/v1/proxies").await.unwrap()["fleets"][0]["revision"].as_u64().unwrap()
}

/// Waits until those that have begun are at their first step, and nothing moves by itself any more.
async fn settled(fleet: &Fleet, begun: usize) {
    let is_so = wait::until("the first steps", || async {
        let rollouts = fleet.get("/v1/rollouts").await.ok()?;
        let at_work = rollouts.as_array()?.iter().filter(|it| it["weight"] == 5.0).count();
        let newest = revision(fleet).await;
        tokio::time::sleep(STILL).await;
        (at_work == begun && newest == revision(fleet).await).then_some(())
    });
    is_so.await.unwrap();
}

/// What pushes took, and what they cost the server.
struct Pushed {
    /// From the verb to the last proxy's answer, the shortest first.
    times: Vec<Duration>,
    /// Processor time of the server, of one push.
    processor: Duration,
}

/// Moves these rollouts, one after another.
async fn push(fleet: &Fleet, crowds: &mut [&mut Crowd], rollouts: std::ops::Range<usize>) -> Pushed {
    let process = process(fleet);
    let before = process.cpu_time().unwrap();
    let count = rollouts.len() as u32;
    let mut times = Vec::new();
    for number in rollouts {
        let newest = revision(fleet).await;
        let began = Instant::now();
        let said = fleet.say(&format!("/v1/rollouts/shop/service-{number}/advance"), &[]).unwrap().await;
        let (status, body) = said.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        let mut last = began;
        for crowd in &mut *crowds {
            last = last.max(crowd.all_have(newest + 1).await.unwrap());
        }
        times.push(last - began);
    }
    times.sort_unstable();
    Pushed { times, processor: (process.cpu_time().unwrap() - before) / count }
}

fn process(fleet: &Fleet) -> Process {
    fleet.server().process().unwrap()
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

// === impl Pushed ===

impl Pushed {
    fn median(&self) -> Duration {
        self.times[self.times.len() / 2]
    }

    fn worst(&self) -> Duration {
        self.times[self.times.len() - 1]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_policy_reaches_all_whatever_some_of_them_do() {
    let streams: usize = tools::number("COALMINE_STREAMS", 100).unwrap();
    let frozen = streams / 10;
    let mut fleet = Fleet::start(FleetParts { proxies: 0, is_inline: false, ..parts() }).await.unwrap();
    let all: Vec<String> = (0..ROLLOUTS).map(rollout).collect();
    fleet.write("all.yaml", &all.join("---\n")).unwrap();
    done(&fleet, "apply all.yaml").await;
    for number in 0..3 * PUSHES {
        done(&fleet, &format!("start shop/service-{number}")).await;
    }
    settled(&fleet, 3 * PUSHES).await;
    let before = process(&fleet).memory().unwrap();

    let server: SocketAddr = fleet.server().address();
    let newest = revision(&fleet).await;
    let began = Instant::now();
    let mut lively = Crowd::start(server, frozen..streams).unwrap();
    let mut sleepy = Crowd::start(server, 0..frozen).unwrap();
    let last = lively.all_have(newest).await.unwrap().max(sleepy.all_have(newest).await.unwrap());
    let arrived = last - began;
    connected(fleet.server(), streams).await;
    let pushed = push(&fleet, &mut [&mut lively, &mut sleepy], 0..PUSHES).await;
    let per_stream = process(&fleet).memory().unwrap().saturating_sub(before) / streams as u64;
    println!(
        "{streams} streams: all have their first policy {arrived:?} after they began; of {PUSHES} pushes the last answer came \
         after {:?} in the median, {:?} at worst, for {:?} of the server's processor time; {} KiB of its memory a stream",
        pushed.median(),
        pushed.worst(),
        pushed.processor,
        per_stream / 1024
    );
    assert!(pushed.median() < AT_MOST, "{:?}", pushed.times);

    let began = Instant::now();
    let still = sleepy.freeze().unwrap();
    let pushed = push(&fleet, &mut [&mut lively], PUSHES..2 * PUSHES).await;
    connected(fleet.server(), streams - frozen).await;
    println!(
        "{frozen} stand still: the others' last answer came after {:?} in the median, {:?} at worst; those were given up after \
         {:?}; the server has {:.1} MiB",
        pushed.median(),
        pushed.worst(),
        began.elapsed(),
        megabytes(process(&fleet).memory().unwrap())
    );
    assert!(pushed.median() < AT_MOST, "{:?}", pushed.times);
    drop(still);
    let newest = revision(&fleet).await;
    sleepy.all_have(newest).await.unwrap();
    connected(fleet.server(), streams).await;

    fleet.kill_server();
    fleet.start_server().await.unwrap();
    let began = Instant::now();
    connected(fleet.server(), streams).await;
    let back = began.elapsed();
    let pushed = push(&fleet, &mut [&mut lively, &mut sleepy], 2 * PUSHES..3 * PUSHES).await;
    println!(
        "killed: all were back {back:?} after the new server was ready; their last answer came after {:?} in the median, {:?} \
         at worst; the server has {:.1} MiB",
        pushed.median(),
        pushed.worst(),
        megabytes(process(&fleet).memory().unwrap())
    );
    assert!(pushed.median() < AT_MOST, "{:?}", pushed.times);
}
