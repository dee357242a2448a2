//! A copy of the store while it runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::address::Address;
use super::sql::Sql;

/// What a copy may take.
const COPY_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Why there is no copy, as a sentence.
#[derive(Debug)]
pub struct NoBackup(String);

/// Copies the SQLite store of a server, which may run, to a file that must not be there.
///
/// # Errors
/// There is no store, or no copy can be written: a sentence.
pub fn back_up(store: &Path, to: &Path) -> Result<(), NoBackup> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| no(to, error))?;
    runtime.block_on(async {
        let store = Sql::existing(store).await.map_err(|error| NoBackup(error.to_string()))?;
        store.backup(to).await
    })
}

// === impl Sql ===

impl Sql {
    /// Writes a copy of a SQLite store, as it is at one moment, to a file that must not be there. It appears there whole, and
    /// is a store that can be opened. Readers and writers go on meanwhile.
    ///
    /// # Errors
    /// The store is not in SQLite; the file is there, or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<(), NoBackup> {
        if let Address::Postgres(_) = self.address() {
            return Err(NoBackup(format!("{:?} is PostgreSQL: copy it with pg_dump", self.address())));
        }
        let path = std::path::absolute(to).map_err(|error| no(to, error))?;
        if path.exists() {
            return Err(NoBackup(format!("{} is there already, and is not written over", to.display())));
        }
        // Beside the place where it goes, so that it can be put there by one step.
        let folder = path.parent().unwrap_or(&path).to_owned();
        let new = blocking(to, move || NamedTempFile::new_in(folder)).await?;
        self.copy(new.path(), COPY_WITHIN).await.map_err(|error| no(to, error))?;
        blocking(to, move || put(new, path)).await
    }
}

/// Puts the file at its place, on the disk.
fn put(new: NamedTempFile, path: PathBuf) -> std::io::Result<()> {
    new.as_file().sync_all()?;
    new.persist_noclobber(&path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    to: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, NoBackup> {
    let done = spawn_blocking(work).await.map_err(|error| no(to, error))?;
    done.map_err(|error| no(to, error))
}

fn no(to: &Path, error: impl fmt::Display) -> NoBackup {
    NoBackup(format!("no copy in {}: {error}", to.display()))
}

// === impl NoBackup ===

impl fmt::Display for NoBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoBackup {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::contract;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_beside_writers_is_a_whole_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sql::open(Address::File(folder.path().join("store.db"))).await.unwrap());
        for _ in 0..10 {
            contract::step(&*store, "shop/copied").await.unwrap();
        }
        let end = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (store, end) = (store.clone(), end.clone());
            async move {
                while !end.load(Ordering::SeqCst) {
                    contract::step(&*store, "shop/copied").await.unwrap();
                }
            }
        });
        let mut least = 10;
        for number in 0..5 {
            let to = folder.path().join(format!("it's copy {number}.db"));
            store.backup(&to).await.unwrap();
            let copy = Sql::open(Address::File(to)).await.unwrap();
            let steps = contract::whole(&copy, "shop/copied").await;
            assert!(steps >= least, "{steps} of {least}");
            least = contract::steps(&*store, "shop/copied").await;
        }
        end.store(true, Ordering::SeqCst);
        writer.await.unwrap();
        assert!(contract::whole(&*store, "shop/copied").await >= least);
    }

    #[tokio::test]
    async fn nothing_is_written_over_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sql::open(Address::File(folder.path().join("store.db"))).await.unwrap();
        let kept = folder.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("copy.db"), "mine").unwrap();
        let error = store.backup(&kept.join("copy.db")).await.unwrap_err().to_string();
        assert!(error.contains("copy.db is there already"), "{error}");
        assert_eq!(std::fs::read(kept.join("copy.db")).unwrap(), b"mine");
        let error = store.backup(&kept.join("none/copy.db")).await.unwrap_err().to_string();
        assert!(error.contains("none/copy.db"), "{error}");
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 1);
    }
}
