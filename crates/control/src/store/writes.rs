//! What is written in one transaction, in several statements. Each ends with all of it or nothing: see [`Session::end`].

use serde::Serialize;
use sqlx::Row;

use super::session::Session;
use super::{Answer, Change, Decision, Entry, StoreError, Versions};
use crate::publish::Publication;
use crate::rollout::Name;

/// The most bytes of a record, a line of history, an answer or a publication.
const MAX_BYTES: usize = 4 << 20;
/// How many publications of a fleet are kept.
const KEPT_PUBLICATIONS: i64 = 100;

// === impl Session ===

impl Session<'_> {
    /// The new version.
    pub(super) async fn commit(&mut self, change: &Change) -> Result<u64, StoreError> {
        let version = self.put(change).await?;
        self.add_history(change).await?;
        let name = change.record.name.as_str();
        if let Some(release) = &change.release {
            let insert = sqlx::query(
                "INSERT INTO coalmine_releases (name, number, body) VALUES ($1, $2, $3)
                 ON CONFLICT (name, number) DO UPDATE SET body = excluded.body",
            );
            let insert = insert.bind(name).bind(signed(release.release)).bind(written(release, "a release")?);
            self.run(insert).await?;
        }
        if let Some(answer) = &change.answer {
            self.answer(answer).await?;
        }
        Ok(version)
    }

    /// Writes the record at its version.
    async fn put(&mut self, change: &Change) -> Result<u64, StoreError> {
        let name = change.record.name.as_str();
        let body = written(&change.record, "the record of a rollout")?;
        if change.expected > 0 {
            let version = change.expected.saturating_add(1);
            let update = sqlx::query(
                "UPDATE coalmine_records SET version = $1, body = $2 WHERE name = $3 AND version = $4",
            );
            let update = update.bind(signed(version)).bind(body).bind(name).bind(signed(change.expected));
            return if self.run(update).await? == 1 { Ok(version) } else { Err(StoreError::Moved) };
        }
        // The version of a rollout that comes again is none that it ever had: the count is above all of them.
        let insert = sqlx::query(
            "INSERT INTO coalmine_records (name, version, body)
             SELECT $1, counted, $2 FROM coalmine_changes WHERE id = 1 ON CONFLICT DO NOTHING",
        );
        if self.run(insert.bind(name).bind(body)).await? == 0 {
            return Err(StoreError::Moved);
        }
        let version = sqlx::query("SELECT version FROM coalmine_records WHERE name = $1").bind(name);
        let row = self.one(version).await?;
        self.number(row.try_get(0))
    }

    async fn add_history(&mut self, change: &Change) -> Result<(), StoreError> {
        let name = change.record.name.as_str();
        for entry in &change.history {
            let insert = sqlx::query(
                "INSERT INTO coalmine_history (name, number, at, body)
                 SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3 FROM coalmine_history WHERE name = $1",
            );
            let body = written(&Entry { decision: None, ..entry.clone() }, "a line of history")?;
            self.run(insert.bind(name).bind(signed(entry.logged.at)).bind(body)).await?;
            self.add_decision(name, entry.decision.as_ref()).await?;
            let insert = sqlx::query(
                "INSERT INTO coalmine_lines (position, name, number)
                 SELECT COALESCE(MAX(position), 0) + 1, $1, (SELECT MAX(number) FROM coalmine_history WHERE name = $1)
                 FROM coalmine_lines",
            );
            self.run(insert.bind(name)).await?;
        }
        Ok(())
    }

    /// Writes the decision behind the latest line. One of a fleet that is too large for it is left out: a rollback must not
    /// fail by what explains it. One that is there already is of a line that an older release has forgotten alone.
    async fn add_decision(&mut self, name: &str, decision: Option<&Decision>) -> Result<(), StoreError> {
        let Some(decision) = decision else { return Ok(()) };
        let body = match written(decision, "the decision behind a line of history") {
            Err(StoreError::Full(what)) => {
                tracing::warn!(rollout = name, "{what}: it is left out");
                return Ok(());
            }
            body => body?,
        };
        let insert = sqlx::query(
            "INSERT INTO coalmine_decisions (name, number, body)
             SELECT $1, MAX(number), $2 FROM coalmine_history WHERE name = $1
             ON CONFLICT (name, number) DO UPDATE SET body = excluded.body",
        );
        self.run(insert.bind(name).bind(body)).await.map(drop)
    }

    /// The same key at the same time: the second one does nothing.
    async fn answer(&mut self, answer: &Answer) -> Result<(), StoreError> {
        let insert = sqlx::query(
            "INSERT INTO coalmine_answers (request_key, at, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        );
        let insert = insert.bind(&answer.key).bind(signed(answer.at)).bind(written(answer, "an answer")?);
        if self.run(insert).await? == 0 { Err(StoreError::Moved) } else { Ok(()) }
    }

    pub(super) async fn remove(&mut self, name: &Name, version: u64) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM coalmine_records WHERE name = $1 AND version = $2");
        let rows = self.run(delete.bind(name.as_str()).bind(signed(version))).await?;
        if rows == 0 { Err(StoreError::Moved) } else { Ok(()) }
    }

    /// The latest line of a rollout stays, so that no number and no position comes twice.
    pub(super) async fn forget(&mut self, history: u64, answers: u64) -> Result<(), StoreError> {
        let delete = sqlx::query(
            "DELETE FROM coalmine_history WHERE at < $1 AND number < (
                 SELECT MAX(number) FROM coalmine_history newest WHERE newest.name = coalmine_history.name)",
        );
        self.run(delete.bind(signed(history))).await?;
        let delete = sqlx::query(
            "DELETE FROM coalmine_lines WHERE NOT EXISTS (SELECT 1 FROM coalmine_history
                 WHERE coalmine_history.name = coalmine_lines.name AND coalmine_history.number = coalmine_lines.number)",
        );
        self.run(delete).await?;
        let delete = sqlx::query(
            "DELETE FROM coalmine_decisions WHERE NOT EXISTS (SELECT 1 FROM coalmine_history
                 WHERE coalmine_history.name = coalmine_decisions.name
                   AND coalmine_history.number = coalmine_decisions.number)",
        );
        self.run(delete).await?;
        let delete = sqlx::query("DELETE FROM coalmine_answers WHERE at < $1");
        self.run(delete.bind(signed(answers))).await.map(drop)
    }

    pub(super) async fn publish(
        &mut self,
        publication: &Publication,
        versions: &Versions,
    ) -> Result<(), StoreError> {
        if self.versions().await? != *versions {
            return Err(StoreError::Moved);
        }
        let (fleet, revision) = (&publication.fleet, signed(publication.revision));
        let highest = sqlx::query("SELECT MAX(revision) FROM coalmine_publications WHERE fleet = $1");
        let row = self.one(highest.bind(fleet)).await?;
        let highest: Option<i64> = row.try_get(0).map_err(|error| self.address().told(error))?;
        if highest.is_some_and(|highest| highest >= revision) {
            return Err(StoreError::Moved);
        }
        let body = written(publication, "a publication")?;
        let insert =
            sqlx::query("INSERT INTO coalmine_publications (fleet, revision, body) VALUES ($1, $2, $3)");
        self.run(insert.bind(fleet).bind(revision).bind(body)).await?;
        // Beside the latest, the good one before the newest stays: the newest may still be refused.
        let delete = sqlx::query(
            "DELETE FROM coalmine_publications WHERE fleet = $1
             AND revision NOT IN (SELECT revision FROM coalmine_publications WHERE fleet = $1
                 ORDER BY revision DESC LIMIT $2)
             AND revision <> (SELECT COALESCE(MAX(revision), -1) FROM coalmine_publications
                 WHERE fleet = $1 AND refused IS NULL AND revision < $3)",
        );
        self.run(delete.bind(fleet).bind(KEPT_PUBLICATIONS).bind(revision)).await.map(drop)
    }

    /// The versions of all records.
    pub(super) async fn versions(&mut self) -> Result<Versions, StoreError> {
        let rows = self.all(sqlx::query("SELECT name, version FROM coalmine_records")).await?;
        let mut versions = Versions::new();
        for row in &rows {
            let name: String = row.try_get(0).map_err(|error| self.address().told(error))?;
            let name = name
                .parse()
                .map_err(|_| StoreError::Unreadable(format!("{name:?} is no name of a rollout")))?;
            versions.insert(name, self.number(row.try_get(1))?);
        }
        Ok(versions)
    }

    fn number(&self, number: Result<i64, sqlx::Error>) -> Result<u64, StoreError> {
        Ok(number.map_err(|error| self.address().told(error))?.try_into().unwrap_or_default())
    }
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

/// As databases take it.
pub(super) fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
