//! What only a real PostgreSQL shows: `make test-postgres` starts one. Each test has a database of its own in it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection, Row};

use super::contract;
use super::sql::Sql;
use super::{Address, Store, StoreError};

/// The longest that a call may take while the database does not answer: a connection, and one statement.
const AT_MOST: Duration = Duration::from_secs(16);

/// `COALMINE_TEST_POSTGRES` is the URL of the database `postgres`, of a user who may do everything.
fn url(database: &str) -> String {
    std::env::var("COALMINE_TEST_POSTGRES").unwrap().replacen("/postgres?", &format!("/{database}?"), 1)
}

/// A connection beside the store.
async fn beside(database: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(&url(database)).await.unwrap()
}

async fn run(connection: &mut AnyConnection, statement: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

async fn empty(database: &str) -> Address {
    let mut connection = beside("postgres").await;
    run(&mut connection, format!("CREATE DATABASE {database}")).await;
    Address::Postgres(url(database))
}

/// Starts or stops the whole server, as tests/postgres.sh says how.
fn server(how: &str) {
    let command = std::env::var(format!("COALMINE_TEST_POSTGRES_{how}")).unwrap();
    assert!(Command::new("bash").arg("-c").arg(&command).status().unwrap().success(), "{command}");
}

fn signal(which: &str, processes: &[i32]) {
    let done =
        Command::new("kill").arg(which).args(processes.iter().map(ToString::to_string)).status().unwrap();
    assert!(done.success());
}

/// The processes of the server that serve this database's connections, but for the one that asks.
async fn backends(connection: &mut AnyConnection, database: &str) -> Vec<i32> {
    let select =
        sqlx::query("SELECT pid FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()");
    let rows = select.bind(database).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Calls until one succeeds; none may take long, and none may fail in another way than by "away".
async fn until_it_answers(store: &dyn Store) -> u32 {
    for calls in 1..=10 {
        let begin = Instant::now();
        match store.commit(contract::new(&format!("shop/again-{calls}"))).await {
            Ok(_) => return calls,
            Err(StoreError::Away(why)) => eprintln!("after {:?}: {why}", begin.elapsed()),
            Err(error) => panic!("{error:?}"),
        }
        assert!(begin.elapsed() < AT_MOST, "{:?}", begin.elapsed());
    }
    panic!("it does not come back");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn it_does_what_every_store_must() {
    contract::holds(Arc::new(Sql::open(empty("contract").await).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn one_of_several_that_race_wins() {
    let servers = contract::servers(&empty("raced").await).await;
    contract::races(&servers, contract::how_often()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn servers_may_start_together_on_an_empty_database() {
    for round in 0..5 {
        let address = empty(&format!("together_{round}")).await;
        let opened = (0..8).map(|_| tokio::spawn(Sql::open(address.clone())));
        for opened in opened.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }
}

/// The machine of another server is gone in the middle of a commit, so that its connection stays open.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn a_server_that_stops_in_the_middle_does_not_stop_the_others() {
    let address = empty("middle").await;
    let (stopped, other) = (Sql::open(address.clone()).await.unwrap(), Sql::open(address).await.unwrap());
    let begun = stopped.begin_and_hang().await;
    let begin = Instant::now();
    until_it_answers(&other).await;
    assert!(begin.elapsed() > Duration::from_secs(1), "two wrote at the same time");
    drop(begun);
}

/// Its processes stand still, as if the network had swallowed all packets.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn connections_that_do_not_answer_are_exchanged() {
    let store = Arc::new(Sql::open(empty("frozen").await).await.unwrap());
    // As many connections as it takes.
    let reading = (0..32).map(|_| {
        tokio::spawn({
            let store = store.clone();
            async move { store.records().await }
        })
    });
    for reading in reading.collect::<Vec<_>>() {
        reading.await.unwrap().unwrap();
    }
    let mut connection = beside("postgres").await;
    let stopped = backends(&mut connection, "frozen").await;
    assert!(stopped.len() > 1);
    signal("-STOP", &stopped);
    let calls = until_it_answers(&*store).await;
    signal("-CONT", &stopped);
    assert!(calls <= 2, "each of them was waited for");
    eprintln!("{} connections stood still, call {calls} was answered", stopped.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn what_a_proxy_says_is_kept_whatever_it_is() {
    let store = Sql::open(empty("said").await).await.unwrap();
    store.publish(&contract::publication(1), &[].into()).await.unwrap();
    store.refuse(contract::FLEET, 1, "a\0b").await.unwrap();
    let found = store.publications(contract::FLEET).await.unwrap().latest.unwrap();
    assert_eq!(found.refused.as_deref(), Some("a\u{fffd}b"));
    store.freeze(Some("a\0b")).await.unwrap();
    assert_eq!(store.frozen().await.unwrap().as_deref(), Some("a\u{fffd}b"));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn a_copy_is_the_business_of_its_own_tools() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sql::open(empty("copied").await).await.unwrap();
    let error = store.backup(&folder.path().join("copy.db")).await.unwrap_err().to_string();
    assert_eq!(error, "postgres://localhost/copied is PostgreSQL: copy it with pg_dump");
}

/// Every connection is cut, again and again, while many write: what was acknowledged is there, whole.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn what_is_acknowledged_stays_while_connections_are_cut() {
    const CUTS: u32 = 40;
    let store: Arc<dyn Store> = Arc::new(Sql::open(empty("cut").await).await.unwrap());
    let end = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers = (0..4).map(|writer| {
        let (store, end, acknowledged) = (store.clone(), end.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let name = format!("shop/cut-{writer}");
            let (mut written, mut cut) = (0, 0);
            while !end.load(Ordering::Relaxed) {
                match contract::step(&*store, &name).await {
                    Ok(()) => {
                        written += 1;
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(StoreError::Away(_)) => cut += 1,
                    // It had been written, and only the acknowledgement was cut off.
                    Err(StoreError::Moved) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            (name, written, cut)
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut connection = beside("postgres").await;
    for cut in 1..=CUTS {
        let enough = acknowledged.load(Ordering::Relaxed) + 1 + u64::from(cut % 5);
        let begin = Instant::now();
        while acknowledged.load(Ordering::Relaxed) < enough {
            assert!(begin.elapsed() < Duration::from_secs(30), "nothing is written any more");
            tokio::task::yield_now().await;
        }
        let kill = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'cut'";
        run(&mut connection, kill.to_owned()).await;
    }
    end.store(true, Ordering::Relaxed);
    let (mut all, mut cuts) = (0, 0);
    for writer in writers {
        let (name, written, cut) = writer.await.unwrap();
        assert!(contract::whole(&*store, &name).await >= written, "{name}: an acknowledged commit is lost");
        all += written;
        cuts += cut;
    }
    assert!(cuts > 0, "no call was cut off");
    eprintln!("{CUTS} cuts: {all} commits acknowledged, {cuts} calls cut off");
}

/// It takes the server away from all others: these tests run one after the other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn it_recovers_when_the_database_is_back() {
    let store = Sql::open(empty("back").await).await.unwrap();
    contract::step(&store, "shop/back").await.unwrap();
    server("STOP");
    let begin = Instant::now();
    let error = store.records().await.unwrap_err();
    assert!(matches!(error, StoreError::Away(_)), "{error:?}");
    assert!(begin.elapsed() < AT_MOST, "{:?}", begin.elapsed());
    eprintln!("after {:?}: {error}", begin.elapsed());
    let opened = Sql::open(Address::Postgres(url("back"))).await.unwrap_err();
    eprintln!("{opened}");
    server("START");
    contract::step(&store, "shop/back").await.unwrap();
    assert_eq!(contract::whole(&store, "shop/back").await, 2);
}
