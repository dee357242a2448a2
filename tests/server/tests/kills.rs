//! A server that is killed at any moment, also between the writes of one move: the record, its publication, and what
//! proxies are sent.
//!
//! What the store itself does when its process is killed is held by `make proof-store`; here it is the whole server.

use std::time::Duration;

use coalmine_control::store::{Address, Sql, Store as _};
use coalmine_envoy_tests::random::Random;
use coalmine_harness::fleet::Fleet;
use coalmine_harness::tools;
use sqlx::{AnyConnection, Connection as _};

use crate::orderly::{Trial, Verb, fast, word};
use crate::story::{all_follow, done, fleet};

/// The longest life of a server before it is killed: some ticks of a second.
const LIFE_MILLIS: usize = 2_500;
/// The longest time from a verb to the kill: about the double of what its writes take.
const VERB_MICROS: usize = 30_000;
/// How long a move is waited for, and how often it is seen whether there is one.
const MOVES_WITHIN: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(10);

/// Lets the store take records and no publications, or both again.
async fn hold_publications(fleet: &Fleet, is_held: bool) {
    let statement = if is_held {
        "CREATE TRIGGER held BEFORE INSERT ON coalmine_publications BEGIN SELECT RAISE(FAIL, 'held by a test'); END"
    } else {
        "DROP TRIGGER IF EXISTS held"
    };
    let url = format!("sqlite://{}", fleet.store().display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Whether the store has a weight that is not published.
async fn is_between(store: &Sql) -> bool {
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
    let store = Sql::open(Address::File(fleet.store())).await.unwrap();
    let (mut trial, mut between) = (Trial::start(&fleet), 0);
    for kill in 0..kills {
        let verb = Verb { number: kill, word: word(&mut random, fleet.server()).await };
        let answer = match kill % 8 {
            0 => {
                let answer = verb.say(fleet.server()).await;
                tokio::time::sleep(Duration::from_millis(random.below(LIFE_MILLIS) as u64)).await;
                fleet.kill_server();
                answer
            }
            4 => {
                let answer = tokio::spawn(verb.say(fleet.server()));
                tokio::time::sleep(Duration::from_micros(random.below(VERB_MICROS) as u64)).await;
                fleet.kill_server();
                answer.await.unwrap()
            }
            // Once a move is recorded, by the verb or by a tick, and before it is published.
            _ => {
                hold_publications(&fleet, true).await;
                let answer = tokio::spawn(verb.say(fleet.server()));
                let moves = async {
                    while !is_between(&store).await {
                        tokio::time::sleep(LOOK).await;
                    }
                };
                // There may be none, as where a person has paused it.
                let _ = tokio::time::timeout(MOVES_WITHIN, moves).await;
                fleet.kill_server();
                hold_publications(&fleet, false).await;
                answer.await.unwrap()
            }
        };
        between += usize::from(is_between(&store).await);
        fleet.start_server().await.unwrap();
        trial.hear(&verb, answer, fleet.server()).await;
    }
    all_follow(&fleet).await;
    let ended = trial.end(&fleet).await;
    println!("{kills} kills, {between} of them between a record and its publication; {ended}");
    assert!(between * 3 >= kills, "too few kills were in the middle of a move to show anything");
}
