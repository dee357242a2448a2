//! A process that writes to SQLite and is killed, again and again: each acknowledged commit is there, and none in part.
//!
//! This is about a process that ends at any moment. It is not about a machine that loses its power: for that each commit waits
//! for the disk (`synchronous = FULL`), and the disk must keep what it says that it has kept.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::contract;
use super::sql::Sql;
use super::{Address, Store};

/// Set in the process that is killed: the file that it writes to.
const FILE: &str = "COALMINE_TEST_CRASH_FILE";
const WRITTEN: &str = "shop/killed";
const FLEET: &str = "killed";

/// How often: `COALMINE_TEST_KILLS`, or 20.
fn kills() -> u32 {
    std::env::var("COALMINE_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap())
}

/// Not a test, but the process that is killed: this program again.
#[tokio::test]
#[ignore = "is started by the test below"]
async fn writes_until_it_is_killed() {
    let Ok(file) = std::env::var(FILE) else { return };
    let store = Sql::open(Address::File(file.into())).await.unwrap();
    loop {
        contract::step(&store, WRITTEN).await.unwrap();
        println!("\nstep {}", contract::steps(&store, WRITTEN).await);
        contract::publish_next(&store, FLEET).await;
        println!("\nrevision {}", store.publications(FLEET).await.unwrap().latest.unwrap().revision);
    }
}

fn start(file: &Path) -> Child {
    let this = std::env::current_exe().unwrap();
    let test = "store::crash_tests::writes_until_it_is_killed";
    let arguments = ["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"];
    Command::new(this).args(arguments).env(FILE, file).stdout(Stdio::piped()).spawn().unwrap()
}

/// Kills it so long after so many acknowledgements. What it had acknowledged last: a step, a revision.
fn killed(mut child: Child, after: u64, pause: Duration) -> (u32, u64) {
    let mut acknowledged = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (mut step, mut revision) = (0, 0);
    let mut take = |line: String| match line.split_once(' ') {
        Some(("step", number)) => step = number.parse().unwrap(),
        Some(("revision", number)) => revision = number.parse().unwrap(),
        _ => {}
    };
    let mut left = after;
    while left > 0 {
        let line = acknowledged.next().expect("it ended by itself");
        left -= u64::from(line.starts_with("step ") || line.starts_with("revision "));
        take(line);
    }
    std::thread::sleep(pause);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it ended by itself");
    // What it had said before it was killed.
    acknowledged.for_each(take);
    (step, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_stays_when_the_process_is_killed() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let (mut steps, mut unsaid, mut folder) = (0, 0, tempfile::tempdir().unwrap());
    for kill in 0..kills() {
        // The first of each file may be killed while it makes the tables.
        let is_new = kill % 10 == 0;
        if is_new {
            folder = tempfile::tempdir().unwrap();
        }
        let file = folder.path().join("killed.db");
        let (after, pause) = if is_new { (0, next(40_000)) } else { (1 + next(8), next(4_000)) };
        let (step, revision) = killed(start(&file), after, Duration::from_micros(pause));
        let store = Sql::open(Address::File(file)).await.unwrap();
        store.is_sound().await;
        let found = contract::whole(&store, WRITTEN).await;
        let latest = store.publications(FLEET).await.unwrap().latest.map_or(0, |latest| latest.revision);
        assert!(
            found >= step && latest >= revision,
            "{found} of {step} steps, {latest} of {revision} revisions"
        );
        unsaid += u32::from(found > step || latest > revision);
        steps += after;
    }
    println!(
        "{} kills, {steps} commits awaited, {unsaid} times one was written and not yet acknowledged",
        kills()
    );
}
