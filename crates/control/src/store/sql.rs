//! The store in SQL: SQLite in one file, or PostgreSQL by URL, with the same statements.
//!
//! Every writer first counts up one row, which puts all writers in a row: what a transaction reads after that nobody changes
//! before it is over. That is what makes the compare-and-set of several records safe under the usual isolation of both.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::{AnyArguments, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Row, Transaction};

use super::address::{Address, told};
use super::schema::{STATEMENTS, VERSION};
use super::{Answer, Change, Entry, Publications, Store, StoreError, Stored, Versions};
use crate::publish::Publication;
use crate::rollout::{Name, ReleaseRecord};

/// The most bytes of a record, a line of history or an answer.
const MAX_BYTES: usize = 4 << 20;
/// How many publications of a fleet are kept.
const KEPT_PUBLICATIONS: i64 = 100;
const CONNECTIONS: u32 = 8;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const DAY: u64 = 24 * 60 * 60;
const FREEZE: &str = "freeze";
const LEASE: &str = "tick";

/// The store.
pub struct Sql {
    pool: AnyPool,
    address: Address,
}

type Statement<'q> = Query<'q, Any, AnyArguments>;
type Writing = Transaction<'static, Any>;

// === impl Sql ===

impl Sql {
    /// Opens the store, and makes its tables where they are missing.
    ///
    /// # Errors
    /// It cannot be reached, is no database, or is of a newer release.
    pub async fn open(address: Address) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let is_file = matches!(address, Address::File(_));
        // A pool tries again for as long as it may, and then only says that it has waited; one connection says why.
        let url = address.url()?;
        let first = async {
            let mut connection = AnyConnection::connect(&url).await?;
            set_up(&mut connection, is_file).await?;
            connection.close().await
        };
        first.await.map_err(|error| told(&address, error))?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT_WITHIN)
            .after_connect(move |connection, _| Box::pin(set_up(connection, is_file)))
            .connect(&url)
            .await
            .map_err(|error| told(&address, error))?;
        let store = Self { pool, address };
        store.make_tables().await?;
        Ok(store)
    }

    async fn make_tables(&self) -> Result<(), StoreError> {
        for statement in STATEMENTS {
            self.done(sqlx::query(statement).execute(&self.pool).await)?;
        }
        let count = "INSERT INTO coalmine_changes (id, counted) VALUES (1, 0) ON CONFLICT DO NOTHING";
        self.done(sqlx::query(count).execute(&self.pool).await)?;
        let mut writing = self.write().await?;
        let row = sqlx::query("SELECT MAX(version) FROM coalmine_schema").fetch_one(&mut *writing).await;
        let found: Option<i64> = self.done(self.done(row)?.try_get(0))?;
        if let Some(found) = found.filter(|found| *found > VERSION + 1) {
            return Err(StoreError::Unreadable(format!(
                "{:?} was written by a release that is newer by more than one (tables of version {found}, this release \
                 reads up to {}); run that release, or restore a backup",
                self.address,
                VERSION + 1
            )));
        }
        let insert = sqlx::query("INSERT INTO coalmine_schema (version) VALUES ($1) ON CONFLICT DO NOTHING");
        self.done(insert.bind(VERSION).execute(&mut *writing).await)?;
        self.done(writing.commit().await)
    }

    /// Begins to write: nobody else writes until this is over.
    async fn write(&self) -> Result<Writing, StoreError> {
        let mut writing = self.done(self.pool.begin().await)?;
        let count = sqlx::query("UPDATE coalmine_changes SET counted = counted + 1 WHERE id = 1");
        self.done(count.execute(&mut *writing).await)?;
        Ok(writing)
    }

    fn done<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| told(&self.address, error))
    }

    /// Runs a statement and says how many rows it changed.
    async fn run(&self, writing: &mut Writing, statement: Statement<'_>) -> Result<u64, StoreError> {
        Ok(self.done(statement.execute(&mut **writing).await)?.rows_affected())
    }

    async fn first(&self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        self.done(statement.fetch_optional(&self.pool).await)
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

    /// Takes the record at its version; the new version.
    async fn take(&self, writing: &mut Writing, change: &Change) -> Result<u64, StoreError> {
        let name = change.record.name.as_str();
        let body = written(&change.record, "the record of a rollout")?;
        if change.expected > 0 {
            let version = change.expected + 1;
            let update = sqlx::query(
                "UPDATE coalmine_records SET version = $1, body = $2 WHERE name = $3 AND version = $4",
            );
            let update = update.bind(signed(version)).bind(body).bind(name).bind(signed(change.expected));
            return if self.run(writing, update).await? == 1 { Ok(version) } else { Err(StoreError::Moved) };
        }
        // The version of a rollout that comes again is none that it ever had: the count is above all of them.
        let insert = sqlx::query(
            "INSERT INTO coalmine_records (name, version, body)
             SELECT $1, counted, $2 FROM coalmine_changes WHERE id = 1 ON CONFLICT DO NOTHING",
        );
        if self.run(writing, insert.bind(name).bind(body)).await? == 0 {
            return Err(StoreError::Moved);
        }
        let version = sqlx::query("SELECT version FROM coalmine_records WHERE name = $1").bind(name);
        let row = self.done(version.fetch_one(&mut **writing).await)?;
        self.number(&row, 0)
    }

    async fn add_history(&self, writing: &mut Writing, change: &Change) -> Result<(), StoreError> {
        let name = change.record.name.as_str();
        for entry in &change.history {
            let insert = sqlx::query(
                "INSERT INTO coalmine_history (name, number, at, body)
                 SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3 FROM coalmine_history WHERE name = $1",
            );
            let body = written(entry, "a line of history")?;
            self.run(writing, insert.bind(name).bind(signed(entry.logged.at)).bind(body)).await?;
        }
        Ok(())
    }

    /// Keeps the latest publications, and the good one before the newest: that one may still be refused.
    async fn prune_publications(
        &self,
        writing: &mut Writing,
        fleet: &str,
        newest: u64,
    ) -> Result<(), StoreError> {
        let delete = sqlx::query(
            "DELETE FROM coalmine_publications WHERE fleet = $1
             AND revision NOT IN (SELECT revision FROM coalmine_publications WHERE fleet = $1
                 ORDER BY revision DESC LIMIT $2)
             AND revision NOT IN (SELECT MAX(revision) FROM coalmine_publications
                 WHERE fleet = $1 AND refused IS NULL AND revision < $3)",
        );
        self.run(writing, delete.bind(fleet).bind(KEPT_PUBLICATIONS).bind(signed(newest))).await?;
        Ok(())
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").field("address", &self.address).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Sql {
    async fn records(&self) -> Result<Vec<Stored>, StoreError> {
        let select = sqlx::query("SELECT name, version, body FROM coalmine_records ORDER BY name");
        self.done(select.fetch_all(&self.pool).await)?.iter().map(|row| self.stored(row)).collect()
    }

    async fn record(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        let select = sqlx::query("SELECT name, version, body FROM coalmine_records WHERE name = $1");
        self.first(select.bind(name.as_str())).await?.map(|row| self.stored(&row)).transpose()
    }

    async fn commit(&self, change: Change) -> Result<u64, StoreError> {
        let mut writing = self.write().await?;
        let version = self.take(&mut writing, &change).await?;
        self.add_history(&mut writing, &change).await?;
        if let Some(release) = &change.release {
            let insert = sqlx::query(
                "INSERT INTO coalmine_releases (name, number, body) VALUES ($1, $2, $3)
                 ON CONFLICT (name, number) DO UPDATE SET body = excluded.body",
            );
            let insert = insert.bind(change.record.name.as_str()).bind(signed(release.release));
            self.run(&mut writing, insert.bind(written(release, "a release")?)).await?;
        }
        if let Some(answer) = &change.answer {
            let insert = sqlx::query(
                "INSERT INTO coalmine_answers (request_key, at, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            );
            let insert = insert.bind(&answer.key).bind(signed(answer.at)).bind(written(answer, "an answer")?);
            if self.run(&mut writing, insert).await? == 0 {
                return Err(StoreError::Moved);
            }
        }
        self.done(writing.commit().await)?;
        Ok(version)
    }

    async fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        let delete = sqlx::query("DELETE FROM coalmine_records WHERE name = $1 AND version = $2");
        if self.run(&mut writing, delete.bind(name.as_str()).bind(signed(version))).await? == 0 {
            return Err(StoreError::Moved);
        }
        self.done(writing.commit().await)
    }

    async fn counter(&self) -> Result<u64, StoreError> {
        let select = sqlx::query("SELECT counted FROM coalmine_changes WHERE id = 1");
        let row = self.done(select.fetch_one(&self.pool).await)?;
        self.number(&row, 0)
    }

    async fn history(&self, name: &Name, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let select = sqlx::query(
            "SELECT number, body FROM coalmine_history WHERE name = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
        );
        let before = before.map_or(i64::MAX, signed);
        let rows = select.bind(name.as_str()).bind(before).bind(i64::from(limit)).fetch_all(&self.pool).await;
        let read = |row: &AnyRow| {
            let mut entry: Entry = self.body(row, 1, "a line of history")?;
            entry.number = self.number(row, 0)?;
            Ok(entry)
        };
        self.done(rows)?.iter().map(read).collect()
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
        let history = sqlx::query("DELETE FROM coalmine_history WHERE at < $1").bind(signed(history_before));
        self.run(&mut writing, history).await?;
        let answers = sqlx::query("DELETE FROM coalmine_answers WHERE at < $1");
        self.run(&mut writing, answers.bind(signed(now.saturating_sub(DAY)))).await?;
        self.done(writing.commit().await)
    }

    async fn publications(&self, fleet: &str) -> Result<Publications, StoreError> {
        let latest =
            "SELECT body, refused FROM coalmine_publications WHERE fleet = $1 ORDER BY revision DESC LIMIT 1";
        let good = "SELECT body, refused FROM coalmine_publications WHERE fleet = $1 AND refused IS NULL
                    ORDER BY revision DESC LIMIT 1";
        let latest = self.published(self.first(sqlx::query(latest).bind(fleet)).await?)?;
        let good = match latest.as_ref().is_some_and(|latest| latest.refused.is_some()) {
            true => self.published(self.first(sqlx::query(good).bind(fleet)).await?)?,
            false => None,
        };
        Ok(Publications { latest, good })
    }

    async fn publication(&self, fleet: &str, revision: u64) -> Result<Option<Publication>, StoreError> {
        let select =
            sqlx::query("SELECT body, refused FROM coalmine_publications WHERE fleet = $1 AND revision = $2");
        self.published(self.first(select.bind(fleet).bind(signed(revision))).await?)
    }

    async fn publish(&self, publication: &Publication, versions: &Versions) -> Result<(), StoreError> {
        let body = written(publication, "a publication")?;
        let mut writing = self.write().await?;
        let rows = sqlx::query("SELECT name, version FROM coalmine_records").fetch_all(&mut *writing).await;
        let rows = self.done(rows)?;
        if rows.len() != versions.len() {
            return Err(StoreError::Moved);
        }
        for row in &rows {
            let (name, version) = (self.text(row, 0)?, self.number(row, 1)?);
            let is_same = name.parse().is_ok_and(|name: Name| versions.get(&name) == Some(&version));
            if !is_same {
                return Err(StoreError::Moved);
            }
        }
        let highest = sqlx::query("SELECT MAX(revision) FROM coalmine_publications WHERE fleet = $1");
        let row = self.done(highest.bind(&publication.fleet).fetch_one(&mut *writing).await)?;
        let highest: Option<i64> = self.done(row.try_get(0))?;
        if highest.is_some_and(|highest| highest >= signed(publication.revision)) {
            return Err(StoreError::Moved);
        }
        let insert =
            sqlx::query("INSERT INTO coalmine_publications (fleet, revision, body) VALUES ($1, $2, $3)");
        let insert = insert.bind(&publication.fleet).bind(signed(publication.revision)).bind(body);
        self.run(&mut writing, insert).await?;
        self.prune_publications(&mut writing, &publication.fleet, publication.revision).await?;
        self.done(writing.commit().await)
    }

    async fn refuse(&self, fleet: &str, revision: u64, why: &str) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        let update = sqlx::query(
            "UPDATE coalmine_publications SET refused = $1 WHERE fleet = $2 AND revision = $3 AND refused IS NULL",
        );
        self.run(&mut writing, update.bind(why).bind(fleet).bind(signed(revision))).await?;
        self.done(writing.commit().await)
    }

    async fn frozen(&self) -> Result<Option<String>, StoreError> {
        let select = sqlx::query("SELECT value FROM coalmine_settings WHERE name = $1").bind(FREEZE);
        self.first(select).await?.map(|row| self.text(&row, 0)).transpose()
    }

    async fn freeze(&self, why: Option<&str>) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        let delete = sqlx::query("DELETE FROM coalmine_settings WHERE name = $1").bind(FREEZE);
        self.run(&mut writing, delete).await?;
        if let Some(why) = why {
            let insert = sqlx::query("INSERT INTO coalmine_settings (name, value) VALUES ($1, $2)");
            self.run(&mut writing, insert.bind(FREEZE).bind(why)).await?;
        }
        self.done(writing.commit().await)
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
        Ok(self.done(take.execute(&self.pool).await)?.rows_affected() > 0)
    }
}

async fn set_up(connection: &mut AnyConnection, is_file: bool) -> Result<(), sqlx::Error> {
    if is_file {
        for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"] {
            sqlx::query(pragma).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn written<T: Serialize>(value: &T, what: &str) -> Result<String, StoreError> {
    let text = serde_json::to_string(value)
        .map_err(|error| StoreError::Unreadable(format!("{what} cannot be written: {error}")))?;
    if text.len() > MAX_BYTES {
        let (bytes, most) = (text.len(), MAX_BYTES);
        return Err(StoreError::Full(format!("{what} has {bytes} bytes, and at most {most} are kept")));
    }
    Ok(text)
}

fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
