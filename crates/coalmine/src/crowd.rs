//! Users to try a policy on: those of a list, or as many as one likes.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::terminal;
use crate::users::Users;

/// Users of a list, or made up.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct CrowdArguments {
    /// One identity per line, raw bytes; - for standard input
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// As many users, called user-1, user-2 and so on
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

// === impl CrowdArguments ===

impl CrowdArguments {
    /// Shows each user in turn; how many there were.
    pub(crate) fn each(&self, mut show: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<u64, Failure> {
        if let Some(path) = &self.users {
            return Users::open(path)?.each(show);
        }
        let count = self.count.unwrap_or_default();
        let bar = terminal::progress(Some(count), "users");
        for number in 1..=count {
            show(format!("user-{number}").as_bytes())?;
            if number.is_multiple_of(1 << 14) {
                bar.set_position(number);
            }
        }
        bar.finish_and_clear();
        Ok(count)
    }
}
