//! The tables: the same statements for SQLite and PostgreSQL.
//!
//! A release only adds tables and columns that may be empty, so that the release before it still works on what it made: one
//! up and one down. What is older is brought up by [`STATEMENTS`], what is newer by more than one is refused.

/// Version of the tables.
pub(super) const VERSION: i64 = 1;

/// Makes what is missing; each may be run again.
pub(super) const STATEMENTS: [&str; 9] = [
    "CREATE TABLE IF NOT EXISTS coalmine_schema (version BIGINT NOT NULL PRIMARY KEY)",
    // One row that every writer takes first. It puts them in a row, on PostgreSQL as well as in SQLite, and tells readers
    // that something changed.
    "CREATE TABLE IF NOT EXISTS coalmine_changes (id BIGINT NOT NULL PRIMARY KEY, counted BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_records (
        name TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_history (
        name TEXT NOT NULL, number BIGINT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, number))",
    "CREATE TABLE IF NOT EXISTS coalmine_releases (
        name TEXT NOT NULL, number BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (name, number))",
    "CREATE TABLE IF NOT EXISTS coalmine_publications (
        fleet TEXT NOT NULL, revision BIGINT NOT NULL, body TEXT NOT NULL, refused TEXT, PRIMARY KEY (fleet, revision))",
    "CREATE TABLE IF NOT EXISTS coalmine_answers (
        request_key TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS coalmine_leases (
        name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT NULL)",
];
