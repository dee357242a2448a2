//! The store in SQL: SQLite in one file, or PostgreSQL by URL, with the same statements.
//!
//! Every writer first counts up one row, which puts all writers in a row: what a transaction reads after that nobody changes
//! before it is over. That is what makes the compare-and-set of several records safe under the usual isolation of both.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::address::Address;
use super::reserve::Reserve;
use super::schema;
use super::session::{Database, Session, Statement};
use super::writes::signed;
use super::{
    ANSWERS_FOR, Answer, Change, Entry, Head, Publications, Recorded, Store, StoreError, Stored, Versions,
};
use crate::publish::Publication;
use crate::rollout::{Logged, Name, ReleaseRecord};

const FREEZE: &str = "freeze";
const LEASE: &str = "tick";

/// The store.
pub struct Sql {
    database: Database,
    reserve: Reserve,
}

/// Of a line, what happened. A release before this one kept the decision in it, which is large.
#[derive(Deserialize)]
struct Line {
    logged: Logged,
}

// === impl Sql ===

impl Sql {
    /// Opens the store, and makes its tables where they are missing.
    ///
    /// # Errors
    /// It cannot be reached, is no database, or is of a newer release.
    pub async fn open(address: Address) -> Result<Self, StoreError> {
        let reserve = Reserve::beside(&address);
        let database = Database::open(address).await?;
        schema::make(&database).await?;
        reserve.keep().await;
        Ok(Self { database, reserve })
    }

    /// Opens a store in SQLite that is there, of whatever release, and changes nothing in it.
    ///
    /// # Errors
    /// It is not there, or is no database.
    pub(super) async fn existing(path: &Path) -> Result<Self, StoreError> {
        let address = Address::File(path.to_owned());
        if !path.is_file() {
            return Err(StoreError::Away(format!("{address:?}: there is no such file")));
        }
        let reserve = Reserve::beside(&address);
        Ok(Self { database: Database::open(address).await?, reserve })
    }

    pub(super) fn address(&self) -> &Address {
        self.database.address()
    }

    /// SQLite writes a copy into this file, which is empty.
    pub(super) async fn copy(&self, to: &Path, within: Duration) -> Result<(), StoreError> {
        let mut session = self.database.session().await?;
        session.run_within(within, sqlx::query("VACUUM INTO $1").bind(to.to_string_lossy().as_ref())).await?;
        session.give_back();
        Ok(())
    }

    /// Begins to write: nobody else writes until this is over.
    async fn write(&self) -> Result<Session<'_>, StoreError> {
        let mut writing = self.database.begin().await?;
        let count = "UPDATE coalmine_changes SET counted = counted + 1 WHERE id = 1";
        match writing.run(sqlx::query(count)).await {
            Ok(_) => Ok(writing),
            Err(error) => writing.end(Err(error)).await,
        }
    }

    async fn commit_once(&self, change: &Change) -> Result<u64, StoreError> {
        let mut writing = self.write().await?;
        let version = writing.commit(change).await;
        writing.end(version).await
    }

    async fn publish_once(&self, publication: &Publication, versions: &Versions) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        let published = writing.publish(publication, versions).await;
        writing.end(published).await
    }

    async fn first(&self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        let mut reading = self.database.session().await?;
        let row = reading.first(statement).await?;
        reading.give_back();
        Ok(row)
    }

    async fn all(&self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        let mut reading = self.database.session().await?;
        let rows = reading.all(statement).await?;
        reading.give_back();
        Ok(rows)
    }

    /// As a server that stops in the middle of a commit.
    #[cfg(test)]
    pub(super) async fn begin_and_hang(&self) -> impl Sized {
        self.write().await.unwrap()
    }

    /// Whether SQLite finds its file in order.
    #[cfg(test)]
    pub(super) async fn is_sound(&self) {
        let row = self.first(sqlx::query("PRAGMA integrity_check")).await.unwrap().unwrap();
        assert_eq!(self.text(&row, 0).unwrap(), "ok");
    }

    fn done<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| self.address().told(error))
    }

    fn text(&self, row: &AnyRow, place: usize) -> Result<String, StoreError> {
        self.done(row.try_get(place))
    }

    fn number(&self, row: &AnyRow, place: usize) -> Result<u64, StoreError> {
        let number: i64 = self.done(row.try_get(place))?;
        Ok(number.try_into().unwrap_or_default())
    }

    fn body<T: DeserializeOwned>(&self, row: &AnyRow, place: usize, what: &str) -> Result<T, StoreError> {
        let text = self.text(row, place)?;
        serde_json::from_str(&text).map_err(|error| StoreError::Unreadable(format!("{what}: {error}")))
    }

    fn stored(&self, row: &AnyRow) -> Result<Stored, StoreError> {
        let name = self.text(row, 0)?;
        Ok(Stored { version: self.number(row, 1)?, record: self.body(row, 2, &format!("rollout {name}"))? })
    }

    fn published(&self, row: Option<AnyRow>) -> Result<Option<Publication>, StoreError> {
        let Some(row) = row else { return Ok(None) };
        let mut publication: Publication = self.body(&row, 0, "a publication")?;
        publication.refused = self.done(row.try_get(1))?;
        Ok(Some(publication))
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("address", self.address()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Sql {
    async fn versions(&self) -> Result<Versions, StoreError> {
        let mut reading = self.database.session().await?;
        let versions = reading.versions().await?;
        reading.give_back();
        Ok(versions)
    }

    async fn records(&self) -> Result<Vec<Stored>, StoreError> {
        let select = sqlx::query("SELECT name, version, body FROM coalmine_records ORDER BY name");
        self.all(select).await?.iter().map(|row| self.stored(row)).collect()
    }

    async fn record(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        let select = sqlx::query("SELECT name, version, body FROM coalmine_records WHERE name = $1");
        self.first(select.bind(name.as_str())).await?.map(|row| self.stored(&row)).transpose()
    }

    async fn commit(&self, change: Change) -> Result<u64, StoreError> {
        if !change.is_urgent() && self.reserve.is_missed().await {
            let what = "the disk is full: what is left is kept for rollbacks; make room on it";
            return Err(StoreError::Full(what.to_owned()));
        }
        match self.commit_once(&change).await {
            Err(StoreError::Full(_)) if change.is_urgent() && self.reserve.give_up().await => {
                self.commit_once(&change).await
            }
            done => done,
        }
    }

    async fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        let removed = writing.remove(name, version).await;
        writing.end(removed).await
    }

    async fn counter(&self) -> Result<u64, StoreError> {
        let row = self.first(sqlx::query("SELECT counted FROM coalmine_changes WHERE id = 1")).await?;
        row.map_or(Ok(0), |row| self.number(&row, 0))
    }

    async fn history(&self, name: &Name, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let select = sqlx::query(
            "SELECT number, body FROM coalmine_history WHERE name = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
        );
        let before = before.map_or(i64::MAX, signed);
        let read = |row: &AnyRow| {
            let Line { logged } = self.body(row, 1, "a line of history")?;
            Ok(Entry { number: self.number(row, 0)?, logged, decision: None })
        };
        let rows = self.all(select.bind(name.as_str()).bind(before).bind(i64::from(limit))).await?;
        rows.iter().map(read).collect()
    }

    async fn lines(&self, after: u64, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let select = sqlx::query(
            "SELECT line.position, line.name, line.number, kept.body FROM coalmine_lines line
             JOIN coalmine_history kept ON kept.name = line.name AND kept.number = line.number
             WHERE line.position > $1 ORDER BY line.position LIMIT $2",
        );
        let mut before = after;
        let read = |row: &AnyRow| {
            let name = self.text(row, 1)?;
            let rollout = name.parse().map_err(|_| StoreError::Unreadable(format!("a line of {name}")))?;
            let Line { logged } = self.body(row, 3, "a line of history")?;
            let position = self.number(row, 0)?;
            let is_after_gap = position > before.saturating_add(1);
            before = position;
            Ok(Recorded { position, is_after_gap, rollout, number: self.number(row, 2)?, logged })
        };
        let rows = self.all(select.bind(signed(after)).bind(i64::from(limit))).await?;
        rows.iter().map(read).collect()
    }

    async fn last_line(&self) -> Result<u64, StoreError> {
        let select = sqlx::query("SELECT COALESCE(MAX(position), 0) FROM coalmine_lines");
        self.first(select).await?.map_or(Ok(0), |row| self.number(&row, 0))
    }

    async fn release(&self, name: &Name, number: u64) -> Result<Option<ReleaseRecord>, StoreError> {
        let select = sqlx::query("SELECT body FROM coalmine_releases WHERE name = $1 AND number = $2");
        let row = self.first(select.bind(name.as_str()).bind(signed(number))).await?;
        row.map(|row| self.body(&row, 0, "a release")).transpose()
    }

    async fn latest_release(&self, name: &Name) -> Result<Option<ReleaseRecord>, StoreError> {
        let select =
            sqlx::query("SELECT body FROM coalmine_releases WHERE name = $1 ORDER BY number DESC LIMIT 1");
        let row = self.first(select.bind(name.as_str())).await?;
        row.map(|row| self.body(&row, 0, "a release")).transpose()
    }

    async fn forget(&self, history_before: u64, now: u64) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        let forgotten = writing.forget(history_before, now.saturating_sub(ANSWERS_FOR)).await;
        writing.end(forgotten).await?;
        self.reserve.keep().await;
        Ok(())
    }

    async fn head(&self, fleet: &str) -> Result<Head, StoreError> {
        let select = sqlx::query(
            "SELECT (SELECT MAX(revision) FROM coalmine_publications WHERE fleet = $1),
                    (SELECT MAX(revision) FROM coalmine_publications WHERE fleet = $1 AND refused IS NULL)",
        );
        let Some(row) = self.first(select.bind(fleet)).await? else { return Ok(Head::default()) };
        let revision = |place: usize| -> Result<Option<u64>, StoreError> {
            let revision: Option<i64> = self.done(row.try_get(place))?;
            Ok(revision.and_then(|revision| revision.try_into().ok()))
        };
        Ok(Head { latest: revision(0)?, good: revision(1)? })
    }

    async fn publications(&self, fleet: &str) -> Result<Publications, StoreError> {
        // One statement, so that both are of the same time.
        let select = sqlx::query(
            "SELECT body, refused FROM coalmine_publications WHERE fleet = $1 AND revision IN (
                 (SELECT MAX(revision) FROM coalmine_publications WHERE fleet = $1),
                 (SELECT MAX(revision) FROM coalmine_publications WHERE fleet = $1 AND refused IS NULL))
             ORDER BY revision DESC",
        );
        let mut rows = self.all(select.bind(fleet)).await?.into_iter();
        let (latest, good) = (self.published(rows.next())?, self.published(rows.next())?);
        Ok(Publications { latest, good })
    }

    async fn publication(&self, fleet: &str, revision: u64) -> Result<Option<Publication>, StoreError> {
        let select =
            sqlx::query("SELECT body, refused FROM coalmine_publications WHERE fleet = $1 AND revision = $2");
        self.published(self.first(select.bind(fleet).bind(signed(revision))).await?)
    }

    async fn publish(&self, publication: &Publication, versions: &Versions) -> Result<(), StoreError> {
        match self.publish_once(publication, versions).await {
            // It follows what has been committed.
            Err(StoreError::Full(_)) if self.reserve.give_up().await => {
                self.publish_once(publication, versions).await
            }
            done => done,
        }
    }

    async fn refuse(&self, fleet: &str, revision: u64, why: &str) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE coalmine_publications SET refused = $1 WHERE fleet = $2 AND revision = $3 AND refused IS NULL",
        );
        let update = update.bind(plain(why)).bind(fleet).bind(signed(revision));
        let mut writing = self.write().await?;
        let refused = writing.run(update).await.map(drop);
        writing.end(refused).await
    }

    async fn frozen(&self) -> Result<Option<String>, StoreError> {
        let select = sqlx::query("SELECT value FROM coalmine_settings WHERE name = $1").bind(FREEZE);
        self.first(select).await?.map(|row| self.text(&row, 0)).transpose()
    }

    async fn freeze(&self, why: Option<&str>) -> Result<(), StoreError> {
        let statement = match why {
            Some(why) => sqlx::query(
                "INSERT INTO coalmine_settings (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )
            .bind(FREEZE)
            .bind(plain(why)),
            None => sqlx::query("DELETE FROM coalmine_settings WHERE name = $1").bind(FREEZE),
        };
        let mut writing = self.write().await?;
        let frozen = writing.run(statement).await.map(drop);
        writing.end(frozen).await
    }

    async fn answer(&self, key: &str) -> Result<Option<Answer>, StoreError> {
        let select = sqlx::query("SELECT body FROM coalmine_answers WHERE request_key = $1");
        let row = self.first(select.bind(key)).await?;
        row.map(|row| self.body(&row, 0, "an answer")).transpose()
    }

    async fn lease(&self, holder: &str, now: u64, until: u64) -> Result<bool, StoreError> {
        // One statement, and not a change that others have to see: it leaves the count alone.
        let take = sqlx::query(
            "INSERT INTO coalmine_leases (name, holder, until) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE coalmine_leases.holder = excluded.holder OR coalmine_leases.until <= $4",
        );
        let take = take.bind(LEASE).bind(holder).bind(signed(until)).bind(signed(now));
        let mut session = self.database.session().await?;
        let rows = session.run(take).await?;
        session.give_back();
        Ok(rows > 0)
    }
}

/// PostgreSQL takes any text but a zero byte, and a proxy may say one.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
