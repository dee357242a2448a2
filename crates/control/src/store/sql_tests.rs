use std::sync::Arc;

use super::*;
use crate::rollout::Record;
use crate::store::contract;

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

/// `COALMINE_TEST_POSTGRES` is the URL of an empty database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: make test-postgres"]
async fn postgres_does_what_every_store_must() {
    let url = std::env::var("COALMINE_TEST_POSTGRES").unwrap();
    contract::holds(Arc::new(Sql::open(Address::Postgres(url)).await.unwrap())).await;
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
        insert.execute(&store.pool).await.unwrap();
        let opened = Sql::open(store.address.clone()).await;
        assert_eq!(opened.is_ok(), is_read, "{opened:?}");
        assert!(is_read || opened.unwrap_err().to_string().contains("newer by more than one"));
    }
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
    assert!(matches!(error, StoreError::Away(_)));
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
}
