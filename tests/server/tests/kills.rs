//! A server that is killed at any moment, also between the writes of one move: the record, its publication, and what
//! proxies are sent.
//!
//! What the store itself does when its process is killed is held by `make proof-store`; here it is the whole server.

use std::time::Duration;

use coalmine_control::store::{Address, Sql, Store as _};
use coalmine_envoy_tests::random::Random;
use coalmine_harness::fleet::Fleet;
use coalmine_harness::tools;

use crate::orderly::{Trial, Verb, fast, word};
use crate::story::{all_follow, done, fleet};

/// The longest life of a server before it is killed: some ticks of a second.
const LIFE_MILLIS: usize = 2_500;
/// The longest time from a verb to the kill: about the double of what its writes take.
const VERB_MICROS: usize = 30_000;
/// The longest time from a verb's answer to the kill: about what its publication takes.
const ANSWER_MICROS: usize = 5_000;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_moment_loses_nothing_and_goes_on_in_order() {
    let kills: usize = tools::number("COALMINE_KILLS", 20).unwrap();
    let seed: u64 = tools::number("COALMINE_SEED", 20_261_126).unwrap();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut fleet = fleet().await;
    fleet.write("checkout.yaml", &fast()).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let (mut trial, mut between) = (Trial::start(&fleet), 0);
    for kill in 0..kills {
        let verb = Verb { number: kill, word: word(&mut random, fleet.server()).await };
        let answer = match kill % 4 {
            1 => {
                let answer = tokio::spawn(verb.say(fleet.server()));
                tokio::time::sleep(Duration::from_micros(random.below(VERB_MICROS) as u64)).await;
                fleet.kill_server();
                answer.await.unwrap()
            }
            other => {
                let answer = verb.say(fleet.server()).await;
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
        trial.hear(&verb, answer, fleet.server()).await;
    }
    all_follow(&fleet).await;
    let ended = trial.end(&fleet).await;
    println!("{kills} kills, {between} of them between a record and its publication; {ended}");
}
