//! Users to try a policy on. A list has one identity per line: it is read as bytes, and never held as a whole.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;

use crate::failure::Failure;
use crate::input;
use crate::output;

/// How many users pass between two looks at the progress bar.
const TICK: u64 = 1 << 14;

/// A list of users.
pub(crate) struct Users {
    path: PathBuf,
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    seen: u64,
    bar: ProgressBar,
    carriage_return: bool,
}

/// Users to try a policy on: those of a list, or any number of made-up ones.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct UsersArguments {
    /// One identity per line, raw bytes; - for standard input
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// As many users, called user-1, user-2 and so on
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

// === impl Users ===

impl Users {
    /// Opens a list; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = input::open(path).map_err(Failure::read(path))?;
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        let bar = output::progress(None, "users");
        Ok(Self { path: path.to_owned(), input, line: Vec::new(), seen: 0, bar, carriage_return: false })
    }

    /// Shows each user in turn: the bytes of its line without the line's end.
    pub(crate) fn each(mut self, mut show: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<u64, Failure> {
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line).map_err(Failure::read(&self.path))? == 0 {
                self.bar.finish_and_clear();
                if self.carriage_return {
                    output::note(
                        "note: lines end with CR LF; the CR is a part of the identity. If it is not: tr -d '\\r'",
                    );
                }
                return Ok(self.seen);
            }
            let user = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            self.carriage_return |= user.ends_with(b"\r");
            show(user)?;
            self.seen += 1;
            if self.seen.is_multiple_of(TICK) {
                self.bar.set_position(self.seen);
            }
        }
    }
}

// === impl UsersArguments ===

impl UsersArguments {
    /// Shows each user in turn; returns their number.
    pub(crate) fn each(&self, mut show: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<u64, Failure> {
        if let Some(path) = &self.users {
            return Users::open(path)?.each(show);
        }
        let count = self.count.unwrap_or_default();
        let bar = output::progress(Some(count), "users");
        for number in 1..=count {
            show(format!("user-{number}").as_bytes())?;
            if number.is_multiple_of(TICK) {
                bar.set_position(number);
            }
        }
        bar.finish_and_clear();
        Ok(count)
    }
}
