use std::sync::Arc;

use coalmine_steer::{Inputs, Moment, State, What};

use super::*;
use crate::rollout::Record;
use crate::store::schema::VERSION;
use crate::store::{Decision, contract};

async fn opened(folder: &tempfile::TempDir) -> Sql {
    Sql::open(Address::File(folder.path().join("a b?#%.db"))).await.unwrap()
}

fn change(name: &str) -> Change {
    let record = Record::new(name.parse().unwrap(), "x".to_owned(), 1);
    Change { record, expected: 0, history: Vec::new(), release: None, answer: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_does_what_every_store_must() {
    let folder = tempfile::tempdir().unwrap();
    contract::holds(Arc::new(opened(&folder).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_that_race_wins() {
    let folder = tempfile::tempdir().unwrap();
    let servers = contract::servers(&Address::File(folder.path().join("raced.db"))).await;
    contract::races(&servers, contract::how_often()).await;
}

#[tokio::test]
async fn what_is_written_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let version = opened(&folder).await.commit(change("shop/checkout")).await.unwrap();
    let again = opened(&folder).await;
    assert_eq!(again.records().await.unwrap()[0].version, version);
}

#[tokio::test]
async fn a_store_of_a_much_newer_release_is_refused_and_of_the_next_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder).await;
    for (version, is_read) in [(VERSION + 1, true), (VERSION + 2, false)] {
        let insert = sqlx::query("INSERT INTO coalmine_schema (version) VALUES ($1)").bind(version);
        store.database.session().await.unwrap().run(insert).await.unwrap();
        let opened = Sql::open(store.database.address().clone()).await;
        assert_eq!(opened.is_ok(), is_read, "{opened:?}");
        assert!(is_read || opened.unwrap_err().to_string().contains("newer by more than one"));
    }
}

#[tokio::test]
async fn a_line_is_written_also_where_its_decision_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder).await;
    let decision = |written: &str| Decision {
        written: written.to_owned(),
        state: State::default(),
        moment: Moment { inputs: Inputs::default(), request: None },
    };
    let mut large = change("shop/checkout");
    let line = |why: &str, written: &str| Entry {
        number: 0,
        logged: Logged { at: 1, what: What::RollsBack, weight: 0, by: None, why: why.to_owned() },
        decision: Some(decision(written)),
    };
    large.history = vec![line("too large", &"x".repeat(5 << 20)), line("usual", "x")];
    store.commit(large).await.unwrap();
    let name = "shop/checkout".parse().unwrap();
    let history = store.history(&name, None, 9).await.unwrap();
    let whys: Vec<_> = history.iter().map(|line| line.logged.why.as_str()).collect();
    assert_eq!(whys, ["usual", "too large"]);
    let kept = async || {
        let rows = store.all(sqlx::query("SELECT number FROM coalmine_decisions")).await.unwrap();
        rows.iter().map(|row| store.number(row, 0).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(kept().await, [2]);
    let stored = store.record(&name).await.unwrap().unwrap();
    let mut later = change("shop/checkout");
    later.expected = stored.version;
    later.history = vec![Entry { logged: Logged { at: 1_000, ..line("later", "").logged }, ..line("", "y") }];
    store.commit(later).await.unwrap();
    store.forget(500, 500).await.unwrap();
    assert_eq!(kept().await, [3], "a decision goes with its line");
}

#[tokio::test]
async fn what_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "no database ".repeat(1_000)).unwrap();
    let error = Sql::open(Address::File(path)).await.unwrap_err().to_string();
    assert!(error.contains("text.db is no SQLite database"), "{error}");
    let error = Sql::open(Address::File(folder.path().join("none/x.db"))).await.unwrap_err().to_string();
    assert!(error.contains("none/x.db"), "{error}");
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let address = Address::Postgres("postgres://coalmine:geheim@127.0.0.1:1/db?sslmode=disable".to_owned());
    assert_eq!(format!("{address:?}"), "postgres://127.0.0.1:1/db");
    let error = Sql::open(address).await.unwrap_err();
    assert!(matches!(error, StoreError::Away(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
}

#[tokio::test]
async fn of_a_url_only_host_and_database_are_shown() {
    for (url, shown) in [
        ("postgres://user:geheim@host:5432/db?sslmode=require", "host:5432/db"),
        ("postgres://user:ge@heim@host/db", "host/db"),
        ("postgres://user:geheim@[::1]:5432/db", "[::1]:5432/db"),
        ("postgres://host/db?user=u&password=ge@heim", ""),
        ("postgres://user:ge/heim@host/db", ""),
        ("postgres://user:a@geheim/x@host/db", ""),
        ("postgres://user:ge?heim@host/db", ""),
        ("postgres://user:ge#heim@host/db", ""),
        ("postgres://user:geheim", ""),
        ("postgres://host", "host"),
        ("geheim", ""),
    ] {
        let address = Address::Postgres(url.to_owned());
        assert_eq!(format!("{address:?}"), format!("postgres://{shown}"), "{url}");
    }
    // Those that no driver takes.
    for url in
        ["postgres://user:ge/heim@host/db", "postgres://user:ge?heim@host/db", "postgres://user:geheim"]
    {
        let error = Sql::open(Address::Postgres(url.to_owned())).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("heim"), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_may_open_a_new_file_together() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::File(folder.path().join("x.db"));
        let opened: Vec<_> = (0..8).map(|_| tokio::spawn(Sql::open(address.clone()))).collect();
        for opened in opened {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_it_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder).await;
    // SQLite says of this what it says of a disk without room; it holds for one connection, and there may be several.
    let limit = |pages| format!("PRAGMA max_page_count = {pages}");
    let set = async |pages: u32| {
        let mut sessions = Vec::new();
        while sessions.len() < store.database.connections().max(1) {
            let mut session = store.database.session().await.unwrap();
            session.first(sqlx::query(sqlx::AssertSqlSafe(limit(pages)))).await.unwrap();
            sessions.push(session);
        }
        for session in sessions {
            session.back().await;
        }
    };
    set(64).await;
    let mut written = 0;
    let error = loop {
        let mut change = change(&format!("shop/full-{written}"));
        change.record.written = "x".repeat(20_000);
        match store.commit(change).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100);
    };
    assert!(matches!(&error, StoreError::Full(why) if why.contains("the disk is full")), "{error:?}");
    assert_eq!(store.records().await.unwrap().len(), written);
    set(1_000_000).await;
    store.commit(change("shop/room")).await.unwrap();
    assert_eq!(store.records().await.unwrap().len(), written + 1);
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder).await;
    for number in 0..200 {
        store.commit(change(&format!("shop/damaged-{number}"))).await.unwrap();
    }
    let copy = folder.path().join("damaged.db");
    store.backup(&copy).await.unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[4_096..].fill(0xa5);
    std::fs::write(&copy, bytes).unwrap();
    let error = Sql::open(Address::File(copy)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreadable(why) if why.contains("damaged.db")), "{error:?}");
}
