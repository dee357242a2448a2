//! Three servers on one PostgreSQL, and proxies that follow any of them: the server that steers is killed, and another goes on.

use std::time::{Duration, Instant};

use coalmine_envoy_tests::random::Random;
use coalmine_harness::fleet::{Fleet, FleetParts, Serving};
use coalmine_harness::{tools, wait};

use crate::orderly::{Trial, Verb, fast, word};
use crate::story::{done, parts, started};

const SERVERS: usize = 3;
/// The longest time from a verb to the kill, in milliseconds: some ticks of a second.
const LIFE_MILLIS: usize = 2_500;
/// The longest time from a verb to the kill where it may not be answered: about the double of what its writes take.
const VERB_MICROS: usize = 8_000;
/// How often the servers are asked which of them steers.
const LOOK: Duration = Duration::from_millis(20);
/// The longest time from a kill to the next tick.
const AT_MOST: Duration = Duration::from_secs(10);

/// The number of the server that steers, from 0, once it has ticked.
async fn steers(fleet: &Fleet) -> usize {
    // What a server told of the latest tick while another one ticked, or when it was asked first.
    let mut before: [Option<f64>; SERVERS] = [None; SERVERS];
    let start = Instant::now();
    while start.elapsed() < wait::PATIENCE {
        for (number, server) in fleet.servers().enumerate() {
            let Ok(metrics) = server.metrics().await else { continue };
            let leads = metrics.sum("coalmine_server_leads", &[]) == Some(1.0);
            let ticked = metrics.sum("coalmine_server_ticked_timestamp_seconds", &[]);
            if !leads || before[number].is_none() {
                before[number] = ticked;
            } else if ticked != before[number] {
                return number;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("no server steers");
}

fn server(fleet: &Fleet, number: usize) -> &Serving {
    fleet.servers().nth(number % SERVERS).unwrap()
}

/// Waits until each proxy runs what was published last, as it says itself.
async fn all_run_the_latest(fleet: &Fleet) {
    let is_so = wait::until("all proxies run the latest policy", || async {
        let latest = fleet.get("/v1/proxies").await.ok()?["fleets"][0]["revision"].as_u64()?;
        for proxy in fleet.proxies() {
            if proxy.metrics().await.ok()?.sum("coalmine_policy_revision", &[]) != Some(latest as f64) {
                return None;
            }
        }
        Some(())
    });
    is_so.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn the_server_that_steers_may_be_killed_at_any_moment() {
    let kills: usize = tools::number("COALMINE_KILLS", 3).unwrap();
    let seed: u64 = tools::number("COALMINE_SEED", 20_261_126).unwrap();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let store = "{env: COALMINE_TEST_POSTGRES}".to_owned();
    let mut fleet = started(FleetParts { servers: SERVERS, store, ..parts() }).await;
    fleet.write("checkout.yaml", &fast()).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    all_run_the_latest(&fleet).await;
    let (mut trial, mut times) = (Trial::start(&fleet), Vec::new());
    let mut steering = steers(&fleet).await;
    for kill in 0..kills {
        let verb = Verb { number: kill, word: word(&mut random, server(&fleet, steering + 1)).await };
        // Every other verb is said to the server that is killed.
        let to = server(&fleet, steering + (kill + 1) % 2);
        let is_soon = kill % 4 == 1;
        let life = match is_soon {
            true => Duration::from_micros(random.below(VERB_MICROS) as u64),
            false => Duration::from_millis(random.below(LIFE_MILLIS) as u64),
        };
        let answer = tokio::spawn(verb.say(to));
        tokio::time::sleep(life).await;
        fleet.servers_mut().nth(steering).unwrap().kill();
        let killed = Instant::now();
        let answer = answer.await.unwrap();
        trial.hear(&verb, answer, server(&fleet, steering + 1)).await;
        steering = steers(&fleet).await;
        times.push(killed.elapsed());
        fleet.start_server().await.unwrap();
    }
    all_run_the_latest(&fleet).await;
    let ended = trial.end(&fleet).await;
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{kills} kills of the server that steers; the next tick of another one came {median:?} later in the median, \
         {worst:?} at worst; {ended}"
    );
    assert!(worst < AT_MOST, "{times:?}");
}
