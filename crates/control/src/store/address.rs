//! Where the store is, and what a database says in our words. A password is never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::error::DatabaseError;

use super::StoreError;

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A file for SQLite; it is made where it is missing.
    File(PathBuf),
    /// `postgres://user:password@host/database`.
    Postgres(String),
}

// === impl Address ===

/// A password is never shown: of an URL only what is surely host, port and database.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => write!(f, "postgres://{}", shown(url).unwrap_or_default()),
        }
    }
}

impl Address {
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// What a driver takes.
    pub(super) fn url(&self) -> Result<String, StoreError> {
        match self {
            Self::Postgres(url) => Ok(url.clone()),
            Self::File(path) => {
                let path = std::path::absolute(path).map_err(|error| self.away(error))?;
                let Some(path) = path.to_str() else {
                    return Err(self.away("the path of a store must be UTF-8"));
                };
                // A name may have any character; in a URL these mean something.
                let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
                Ok(format!("sqlite://{path}?mode=rwc"))
            }
        }
    }

    /// It has not answered within this time.
    pub(super) fn slow(&self, within: Duration) -> StoreError {
        self.away(format_args!("no answer within {} s", within.as_secs()))
    }

    /// The error in our words; what a driver says may hold its URL, but no password.
    pub(super) fn told(&self, error: sqlx::Error) -> StoreError {
        match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => self.unreadable(error),
            sqlx::Error::Database(database) if database.is_unique_violation() => StoreError::Moved,
            sqlx::Error::Database(database) => self.coded(database.as_ref()),
            _ => self.away(error),
        }
    }

    fn coded(&self, error: &dyn DatabaseError) -> StoreError {
        let code = error.code().unwrap_or_default();
        // SQLite's codes are numbers; what is above the low byte says more closely where.
        let sqlite = if self.is_file() { code.parse::<u32>().map_or(0, |code| code & 0xff) } else { 0 };
        match (sqlite, code.as_ref()) {
            (13, _) | (_, "53100") => StoreError::Full(format!("{self:?}: the disk is full")),
            (26, _) => StoreError::Unreadable(format!("{self:?} is no SQLite database")),
            (11, _) => self.unreadable(error),
            // PostgreSQL: two transactions stood in each other's way.
            (_, "40001" | "40P01") => StoreError::Moved,
            _ => self.away(error),
        }
    }

    fn unreadable(&self, error: impl fmt::Display) -> StoreError {
        StoreError::Unreadable(format!("{self:?}: {error}"))
    }

    fn away(&self, error: impl fmt::Display) -> StoreError {
        StoreError::Away(format!("{self:?}: {error}"))
    }
}

/// Host, port and database of a URL; nothing where a password might be in them.
fn shown(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at_checked(end)?;
    // A password with one of these characters as it is, or in the query.
    if behind.contains('@') {
        return None;
    }
    let begin = authority.rfind('@').map_or(0, |at| at + 1);
    let host = authority.get(begin..)?;
    // `user:password` of a URL without a host looks like this too.
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    if !host.ends_with(']') && !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let database = behind.find(['?', '#']).unwrap_or(behind.len());
    rest.get(begin..end + database)
}
