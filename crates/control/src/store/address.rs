//! Where the store is, and what a database says in our words. A password is never shown.

use std::fmt;
use std::path::PathBuf;

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

/// A password is never shown.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => {
                let behind = url.rsplit_once('@').map_or("", |(_, behind)| behind);
                write!(f, "postgres://{}", behind.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl Address {
    /// What a driver takes.
    pub(super) fn url(&self) -> Result<String, StoreError> {
        match self {
            Self::Postgres(url) => Ok(url.clone()),
            Self::File(path) => {
                let path = std::path::absolute(path).map_err(|error| away(self, error))?;
                // A name may have any character; in a URL these mean something.
                let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
                Ok(format!("sqlite://{path}?mode=rwc"))
            }
        }
    }
}

fn away(address: &Address, error: impl fmt::Display) -> StoreError {
    StoreError::Away(format!("{address:?}: {error}"))
}

/// The error in our words; what a driver says may hold its URL, but no password.
pub(super) fn told(address: &Address, error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Database(database) = &error {
        let code = database.code().unwrap_or_default();
        match code.as_ref() {
            // SQLite: the disk is full. PostgreSQL: the same.
            "13" | "53100" => return StoreError::Full(format!("{address:?}: the disk is full")),
            // PostgreSQL: two transactions stood in each other's way.
            "40001" | "40P01" => return StoreError::Moved,
            "26" => return StoreError::Unreadable(format!("{address:?} is no SQLite database")),
            _ if database.is_unique_violation() => return StoreError::Moved,
            _ => {}
        }
    }
    away(address, error)
}
