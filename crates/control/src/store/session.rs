//! One connection to the database while a call uses it, and the times within which all must be answered.
//!
//! A connection goes back to the pool only when the call that used it has come to its end. One that does not answer, that
//! failed in the middle of a transaction, or whose caller has gone away is closed, and the database undoes what it began.

use std::time::Duration;

use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, Connection};
use tokio::time::{sleep, timeout};

use super::StoreError;
use super::address::Address;

const CONNECTIONS: u32 = 8;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// What one statement may take: longer than SQLite and PostgreSQL themselves let it wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// What a connection that was not in use may take to show that it lives.
const PING_WITHIN: Duration = Duration::from_secs(1);
/// While another process opens the same new file.
const RETRY: Duration = Duration::from_millis(20);
/// SQLite's word for that.
const BUSY: &str = "5";

/// SQLite: each commit is on the disk before it is acknowledged.
const FILE: [&str; 2] = ["PRAGMA busy_timeout = 5000", "PRAGMA synchronous = FULL"];
/// PostgreSQL: a server that stands still, or whose machine is gone, does not keep the others from writing for longer.
const POSTGRES: [&str; 2] =
    ["SET statement_timeout = '5s'", "SET idle_in_transaction_session_timeout = '5s'"];

pub(super) type Statement<'q> = Query<'q, Any, AnyArguments>;

/// The connections to a database.
pub(super) struct Database {
    pool: AnyPool,
    address: Address,
}

/// A connection while a call uses it.
pub(super) struct Session<'d> {
    connection: PoolConnection<Any>,
    database: &'d Database,
}

// === impl Database ===

impl Database {
    /// # Errors
    /// It cannot be reached, or is no database.
    pub(super) async fn open(address: Address) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = address.url()?.parse().map_err(|error| address.told(error))?;
        // A pool tries again for as long as it may, and then only says that it has waited; one connection says why.
        let first = timeout(CONNECT_WITHIN, first(&options, address.is_file())).await;
        first.map_err(|_| address.slow(CONNECT_WITHIN))?.map_err(|error| address.told(error))?;
        let statements = if address.is_file() { FILE } else { POSTGRES };
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT_WITHIN)
            // Instead of the pool's own test, which may take all the time that there is.
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(lives(connection)))
            .after_connect(move |connection, _| Box::pin(run_all(connection, statements)))
            .connect_lazy_with(options);
        Ok(Self { pool, address })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How many connections there are, in use or not.
    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.pool.size().try_into().unwrap()
    }

    /// A connection for reading.
    pub(super) async fn session(&self) -> Result<Session<'_>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => self.address.slow(CONNECT_WITHIN),
            error => self.address.told(error),
        })?;
        connection.close_on_drop();
        Ok(Session { connection, database: self })
    }

    /// A connection in a transaction. SQLite lets nobody else write until it is over.
    pub(super) async fn begin(&self) -> Result<Session<'_>, StoreError> {
        let mut session = self.session().await?;
        session.plain(if self.address.is_file() { "BEGIN IMMEDIATE" } else { "BEGIN" }).await?;
        Ok(session)
    }
}

// === impl Session ===

impl Session<'_> {
    pub(super) fn address(&self) -> &Address {
        &self.database.address
    }

    /// Runs a statement and says how many rows it changed.
    pub(super) async fn run(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        self.run_within(ANSWER_WITHIN, statement).await
    }

    /// The same for a statement that may take longer.
    pub(super) async fn run_within(
        &mut self,
        time: Duration,
        statement: Statement<'_>,
    ) -> Result<u64, StoreError> {
        let answer = statement.execute(&mut *self.connection);
        Ok(within(time, &self.database.address, answer).await?.rows_affected())
    }

    /// Runs a statement that is not prepared.
    pub(super) async fn plain(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let answer = sqlx::raw_sql(statement).execute(&mut *self.connection);
        within(ANSWER_WITHIN, &self.database.address, answer).await.map(drop)
    }

    pub(super) async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        within(ANSWER_WITHIN, &self.database.address, statement.fetch_all(&mut *self.connection)).await
    }

    pub(super) async fn first(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        within(ANSWER_WITHIN, &self.database.address, statement.fetch_optional(&mut *self.connection)).await
    }

    pub(super) async fn one(&mut self, statement: Statement<'_>) -> Result<AnyRow, StoreError> {
        within(ANSWER_WITHIN, &self.database.address, statement.fetch_one(&mut *self.connection)).await
    }

    /// Ends a transaction: what succeeded stays, what was refused is undone.
    pub(super) async fn end<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Ok(_) => self.plain("COMMIT").await?,
            Err(StoreError::Moved | StoreError::Full(_)) => {
                if self.plain("ROLLBACK").await.is_err() {
                    return result;
                }
            }
            Err(_) => return result,
        }
        self.give_back();
        result
    }

    /// The same, and waits for it: whoever comes next has this connection.
    #[cfg(test)]
    pub(super) async fn back(mut self) {
        self.connection.return_to_pool().await;
    }

    /// Ends without a transaction.
    pub(super) fn give_back(mut self) {
        tokio::spawn(timeout(PING_WITHIN, self.connection.return_to_pool()));
    }
}

async fn within<T>(
    time: Duration,
    address: &Address,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    let answer = timeout(time, answer).await.map_err(|_| address.slow(time))?;
    answer.map_err(|error| address.told(error))
}

async fn lives(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    match timeout(PING_WITHIN, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(late) => Err(sqlx::Error::Io(late.into())),
    }
}

async fn run_all(connection: &mut AnyConnection, statements: [&'static str; 2]) -> Result<(), sqlx::Error> {
    for statement in statements {
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Makes the file where it is missing. WAL is a property of the file; for the change to it SQLite does not wait.
async fn first(options: &AnyConnectOptions, is_file: bool) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect_with(options).await?;
    if is_file {
        while let Err(error) = sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut connection).await {
            match error.as_database_error().and_then(|error| error.code()).as_deref() {
                Some(BUSY) => sleep(RETRY).await,
                _ => return Err(error),
            }
        }
    }
    connection.close().await
}
