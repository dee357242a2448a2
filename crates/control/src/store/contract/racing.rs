//! What holds while many write, publish and go away at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::{change, logged, name, new, publication, step, versions, whole};
use crate::publish::Publication;
use crate::store::sql::Sql;
use crate::store::{Address, Answer, Entry, Store, StoreError, Stored};

pub(super) async fn hold(store: Arc<dyn Store>) {
    races(&std::array::from_fn::<_, 8, _>(|_| store.clone()), 20).await;
    one_key_at_once(store.clone()).await;
    publishing_beside_writers(store.clone()).await;
    callers_that_go_away(&*store).await;
}

/// Four servers on the store at this address.
pub(in crate::store) async fn servers(address: &Address) -> Vec<Arc<dyn Store>> {
    let mut servers: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..4 {
        servers.push(Arc::new(Sql::open(address.clone()).await.unwrap()));
    }
    servers
}

/// How often they race: `COALMINE_TEST_RACES`, or 100.
pub(in crate::store) fn how_often() -> u64 {
    std::env::var("COALMINE_TEST_RACES").map_or(100, |races| races.parse().unwrap())
}

/// Servers that have read the same version of a record write at the same moment, again and again: one of them wins, what
/// it wrote is there, and the others learn that it has moved.
pub(in crate::store) async fn races(servers: &[Arc<dyn Store>], count: u64) {
    const OF: &str = "shop/raced";
    let Some(any) = servers.first() else { return };
    let mut latest = any.commit(new(OF)).await.unwrap();
    let mut won = vec![0; servers.len()];
    for race in 0..count {
        let begin = Arc::new(Barrier::new(servers.len()));
        let racing = servers.iter().enumerate().map(|(server, store)| {
            let (store, begin) = (store.clone(), begin.clone());
            tokio::spawn(async move {
                let stored = read(&*store, latest).await;
                let mut change = change(stored.record, stored.version);
                change.record.state.weight += 1;
                change.history = vec![Entry {
                    number: 0,
                    logged: logged(&format!("server {server}"), race),
                    decision: None,
                }];
                begin.wait().await;
                store.commit(change).await
            })
        });
        let mut winners = Vec::new();
        for (server, raced) in racing.collect::<Vec<_>>().into_iter().enumerate() {
            match raced.await.unwrap() {
                Ok(version) => winners.push((server, version)),
                Err(StoreError::Moved) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let [(winner, version)] = *winners else { panic!("race {race} was won by {winners:?}") };
        assert!(version > latest, "a version comes twice");
        won[winner] += 1;
        latest = version;
        read(&**any, latest).await;
        let line = any.history(&name(OF), None, 1).await.unwrap().remove(0).logged;
        assert_eq!((line.why, line.at), (format!("server {winner}"), race));
    }
    assert_eq!(u64::from(read(&**any, latest).await.record.state.weight), count);
    let newest = any.history(&name(OF), None, 1).await.unwrap().remove(0);
    assert_eq!(newest.number, count);
    eprintln!("{count} races, won by {won:?}");
}

/// The raced record at this version. A server may learn a moment later what another one has written.
async fn read(store: &dyn Store, version: u64) -> Stored {
    let begin = Instant::now();
    loop {
        if let Some(stored) = store.record(&name("shop/raced")).await.unwrap() {
            if stored.version == version {
                return stored;
            }
            assert!(stored.version < version, "a version was written by nobody");
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "it never learns of version {version}");
        tokio::task::yield_now().await;
    }
}

/// Requests with one idempotency key at the same time: one of them is done.
async fn one_key_at_once(store: Arc<dyn Store>) {
    for round in 0..10 {
        let asked = (0..6).map(|request| {
            let store = store.clone();
            let mut made = new(&format!("shop/once-{round}-{request}"));
            made.answer = Some(Answer {
                key: format!("once {round}"),
                at: 100,
                request: "digest".to_owned(),
                status: 202,
                body: request.to_string(),
                location: None,
            });
            tokio::spawn(async move { store.commit(made).await })
        });
        let mut done = Vec::new();
        for (request, asked) in asked.collect::<Vec<_>>().into_iter().enumerate() {
            match asked.await.unwrap() {
                Ok(_) => done.push(request.to_string()),
                Err(StoreError::Moved) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(done, [store.answer(&format!("once {round}")).await.unwrap().unwrap().body]);
        let made = store.records().await.unwrap();
        let prefix = format!("shop/once-{round}-");
        assert_eq!(made.iter().filter(|it| it.record.name.as_str().starts_with(&prefix)).count(), 1);
    }
}

/// Publishers beside writers: nothing is published that had moved before, and revisions and what they hold only go up.
async fn publishing_beside_writers(store: Arc<dyn Store>) {
    const WRITTEN: [&str; 2] = ["shop/beside-0", "shop/beside-1"];
    for written in WRITTEN {
        store.commit(new(written)).await.unwrap();
    }
    // The versions that were acknowledged to their writers.
    let acknowledged = Arc::new(WRITTEN.map(|_| AtomicU64::new(0)));
    let writing = Arc::new(AtomicUsize::new(WRITTEN.len()));
    let writers: Vec<_> = (0..WRITTEN.len())
        .map(|which| {
            let (store, acknowledged, writing) = (store.clone(), acknowledged.clone(), writing.clone());
            tokio::spawn(async move {
                for _ in 0..60 {
                    let stored = store.record(&name(WRITTEN[which])).await.unwrap().unwrap();
                    let mut change = change(stored.record, stored.version);
                    change.record.state.weight += 1;
                    let version = store.commit(change).await.unwrap();
                    acknowledged[which].store(version, Ordering::SeqCst);
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            let (store, acknowledged, writing) = (store.clone(), acknowledged.clone(), writing.clone());
            tokio::spawn(async move {
                let known = || {
                    WRITTEN.iter().zip(&*acknowledged).map(|(of, it)| (name(of), it.load(Ordering::SeqCst)))
                };
                let (mut published, mut refused, mut highest) = (Vec::new(), 0, 0);
                for attempt in 0.. {
                    let ends = writing.load(Ordering::SeqCst) == 0;
                    let seen = versions(&*store).await;
                    let latest = store.publications("beside").await.unwrap().latest;
                    let latest = latest.map_or(0, |latest| latest.revision);
                    assert!(latest >= highest, "the latest revision went down");
                    highest = latest;
                    // Every other time something moves meanwhile, for sure.
                    let moved = || known().find(|(of, version)| seen[of] < *version);
                    while attempt % 2 == 0 && writing.load(Ordering::SeqCst) > 0 && moved().is_none() {
                        tokio::task::yield_now().await;
                    }
                    let moved = moved();
                    let revision = latest + 1 + publisher;
                    let made = Publication { fleet: "beside".to_owned(), ..publication(revision) };
                    match store.publish(&made, &seen).await {
                        Ok(()) => {
                            assert_eq!(moved, None, "revision {revision} was published of {seen:?}");
                            published.push((revision, seen));
                        }
                        Err(StoreError::Moved) => refused += usize::from(moved.is_some()),
                        Err(error) => panic!("{error}"),
                    }
                    if ends {
                        break;
                    }
                }
                (published, refused)
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let (mut all, mut refused) = (Vec::new(), 0);
    for publisher in publishers {
        let (published, moved) = publisher.await.unwrap();
        all.extend(published);
        refused += moved;
    }
    all.sort_by_key(|(revision, _)| *revision);
    assert!(!all.is_empty() && refused > 0, "{} published, {refused} had moved", all.len());
    for pair in all.windows(2) {
        let [(earlier, before), (later, after)] = pair else { unreachable!() };
        assert!(earlier < later, "revision {later} was published twice");
        assert!(
            before.iter().all(|(of, version)| after[of] >= *version),
            "revision {later} holds what is older than revision {earlier}"
        );
    }
}

/// Who asked goes away in the middle: it is written whole or not at all, and nobody is kept from writing.
async fn callers_that_go_away(store: &dyn Store) {
    const OF: &str = "shop/left";
    let (mut acknowledged, mut left) = (0, 0);
    for attempt in 0..100 {
        let asked = step(store, OF);
        let done = match attempt % 4 {
            // At once, however fast the store is: a timer has steps of a millisecond.
            0 => asked.now_or_never(),
            _ => timeout(Duration::from_micros(attempt * 40), asked).await.ok(),
        };
        match done {
            Some(done) => {
                // A commit that was left alone may come to its end only now.
                assert!(matches!(done, Ok(()) | Err(StoreError::Moved)), "{done:?}");
                acknowledged += u32::from(done.is_ok());
            }
            None => left += 1,
        }
    }
    assert!(left > 0, "nobody went away");
    // What goes on by itself has come to its end when somebody else has written after it.
    store.commit(new("shop/last")).await.unwrap();
    assert!(whole(store, OF).await >= acknowledged);
}
