//! Room that is kept for sending users back: a file beside SQLite's own, which is given up when the disk is full.
//!
//! A full disk must not keep users on a broken version. PostgreSQL has a disk of its own, which is its operator's business.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::address::Address;

/// What SQLite's log grows to before it begins anew, and as much again for its file.
const BYTES: usize = 8 << 20;
const PART: usize = 64 << 10;

/// The file, where there is one.
#[derive(Debug)]
pub(super) struct Reserve {
    path: Option<PathBuf>,
    /// Whether it was given up, and not made again since.
    is_used: AtomicBool,
}

// === impl Reserve ===

impl Reserve {
    pub(super) fn beside(address: &Address) -> Self {
        let beside = |path: &PathBuf| {
            let mut name = path.clone().into_os_string();
            name.push("-reserve");
            name.into()
        };
        let path = match address {
            Address::File(path) => Some(beside(path)),
            Address::Postgres(_) => None,
        };
        Self { path, is_used: AtomicBool::new(false) }
    }

    /// Makes the file where it is missing and there is room for it.
    pub(super) async fn keep(&self) {
        let Some(path) = self.path.clone() else { return };
        let kept = tokio::task::spawn_blocking(move || keep(&path)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!("no room on the store's disk is kept for rollbacks: {error}");
        }
    }

    /// Removes the file; whether there was one.
    pub(super) async fn give_up(&self) -> bool {
        let Some(path) = self.path.clone() else { return false };
        let removed = tokio::task::spawn_blocking(move || fs::remove_file(path).is_ok()).await;
        let is_given_up = matches!(removed, Ok(true));
        if is_given_up {
            self.is_used.store(true, Ordering::Relaxed);
            tracing::error!("the store's disk is full: the room that was kept for rollbacks is used now");
        }
        is_given_up
    }

    /// Whether it was given up and cannot be made again: what room there is now is for rollbacks.
    pub(super) async fn is_missed(&self) -> bool {
        if !self.is_used.load(Ordering::Relaxed) {
            return false;
        }
        self.keep().await;
        let is_missed = !self.path.as_ref().is_some_and(|path| path.exists());
        self.is_used.store(is_missed, Ordering::Relaxed);
        is_missed
    }
}

fn keep(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let part = path.with_added_extension("part");
    let made = fill(&part).and_then(|()| fs::rename(&part, path));
    if made.is_err() {
        // What is half there would take the room that is left.
        let _ = fs::remove_file(&part);
    }
    made
}

fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..BYTES / PART {
        file.write_all(&[1; PART])?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_kept_beside_a_file_and_given_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&Address::File(folder.path().join("coalmine.db")));
        assert!(!reserve.give_up().await);
        reserve.keep().await;
        reserve.keep().await;
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["coalmine.db-reserve"]);
        assert_eq!(fs::metadata(folder.path().join(&names[0])).unwrap().len(), BYTES as u64);
        assert!(!reserve.is_missed().await);
        assert!(reserve.give_up().await && !reserve.give_up().await);
        assert!(!reserve.is_missed().await, "there is room, so it is made again");
        assert!(reserve.give_up().await);
        // As on a disk that is still full.
        fs::create_dir(folder.path().join("coalmine.db-reserve.part")).unwrap();
        assert!(reserve.is_missed().await && reserve.is_missed().await);
        let none = Reserve::beside(&Address::Postgres("postgres://host/db".to_owned()));
        none.keep().await;
        assert!(!none.give_up().await);
    }
}
