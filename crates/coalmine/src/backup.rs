//! `coalmine backup`: a copy of a server's store.

use std::path::PathBuf;

use clap::Args;
use coalmine_control::store::back_up;

use crate::failure::Failure;
use crate::output;

const AFTER: &str = "\
Examples:
  coalmine backup coalmine-2026-11-26.db
  coalmine backup --store /var/lib/coalmine/coalmine.db /backup/coalmine.db

The server goes on meanwhile. The copy is whole, of one moment, and a store itself: to put it back, stop the server and give it
the copy as its store. PostgreSQL has tools of its own, as pg_dump.";

/// Copy the SQLite store of a server, while it runs
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Backup {
    /// The copy: a file that is not there yet
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// The store, as the server's configuration has it
    #[arg(long, value_name = "FILE", default_value = "coalmine.db")]
    store: PathBuf,
}

// === impl Backup ===

impl Backup {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        back_up(&self.store, &self.to).map_err(|why| {
            Failure::usage(
                why.to_string(),
                "--store is the file that \"store\" names in the server's configuration",
            )
        })?;
        output::note(&format!("{} is a copy of {}", self.to.display(), self.store.display()));
        Ok(())
    }
}
