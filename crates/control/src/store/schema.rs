//! The tables: the same statements for SQLite and PostgreSQL.
//!
//! A release only adds tables and columns that may be empty, so that the release before it still works on what it made: one
//! up and one down. What is older is brought up by [`STATEMENTS`], what is newer by more than one is refused as it is.

use sqlx::Row;

use super::StoreError;
use super::session::{Database, Session};

/// Version of the tables.
pub(super) const VERSION: i64 = 1;

/// Says which version the tables have; may be run again.
const FIRST: &str = "CREATE TABLE IF NOT EXISTS coalmine_schema (version BIGINT NOT NULL PRIMARY KEY)";

/// Makes what is missing; each may be run again.
const STATEMENTS: [&str; 12] = [
    // One row that every writer takes first. It puts them in a row, on PostgreSQL as well as in SQLite, and tells readers
    // that something changed.
    "CREATE TABLE IF NOT EXISTS coalmine_changes (id BIGINT NOT NULL PRIMARY KEY, counted BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_records (
        name TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_history (
        name TEXT NOT NULL, number BIGINT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, number))",
    // The decision behind a line is large: what shows history leaves it alone.
    "CREATE TABLE IF NOT EXISTS coalmine_decisions (
        name TEXT NOT NULL, number BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, number))",
    // For what is forgotten.
    "CREATE INDEX IF NOT EXISTS coalmine_history_at ON coalmine_history (at)",
    // The order of the lines of all rollouts, for who follows them.
    "CREATE TABLE IF NOT EXISTS coalmine_lines (
        position BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, number BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_releases (
        name TEXT NOT NULL, number BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, number))",
    "CREATE TABLE IF NOT EXISTS coalmine_publications (
        fleet TEXT NOT NULL, revision BIGINT NOT NULL, body TEXT NOT NULL, refused TEXT, PRIMARY KEY (fleet, revision))",
    "CREATE TABLE IF NOT EXISTS coalmine_answers (
        request_key TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_leases (
        name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT NULL)",
    "INSERT INTO coalmine_changes (id, counted) VALUES (1, 0) ON CONFLICT DO NOTHING",
];

/// Makes or brings up the tables, or nothing.
///
/// # Errors
/// They are of a release that is newer by more than one.
pub(super) async fn make(database: &Database) -> Result<(), StoreError> {
    let mut session = database.begin().await?;
    let made = make_in(&mut session).await;
    session.end(made).await
}

async fn make_in(session: &mut Session<'_>) -> Result<(), StoreError> {
    if !session.address().is_file() {
        // On PostgreSQL, `IF NOT EXISTS` does not wait for who is just making it. The number is ours: "coalmine".
        session.plain("SELECT 1 FROM pg_advisory_xact_lock(7165052650489736805)").await?;
    }
    session.plain(FIRST).await?;
    let row = session.one(sqlx::query("SELECT MAX(version) FROM coalmine_schema")).await?;
    let found: Option<i64> = row.try_get(0).map_err(|error| session.address().told(error))?;
    let found = found.unwrap_or_default();
    if found > VERSION + 1 {
        return Err(StoreError::Unreadable(format!(
            "{:?} was written by a release that is newer by more than one (tables of version {found}, this release reads \
             up to {}); run that release, or restore a backup",
            session.address(),
            VERSION + 1
        )));
    }
    for statement in STATEMENTS {
        session.plain(statement).await?;
    }
    let insert = sqlx::query("INSERT INTO coalmine_schema (version) VALUES ($1) ON CONFLICT DO NOTHING");
    session.run(insert.bind(VERSION)).await.map(drop)
}
