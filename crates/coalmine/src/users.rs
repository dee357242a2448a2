//! Lists of users, one identity per line: read as bytes, never held as a whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use crate::failure::Failure;
use crate::terminal;

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

// === impl Users ===

impl Users {
    /// Opens a list; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let input: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(path).map_err(Failure::read(path))?;
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(Failure::usage(
                    format!("{} is a folder", path.display()),
                    "give a file, one identity per line",
                ));
            }
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        let bar = terminal::progress(None, "users");
        Ok(Self { path: path.to_owned(), input, line: Vec::new(), seen: 0, bar, carriage_return: false })
    }

    /// Shows each user in turn: the bytes of its line without the line's end.
    pub(crate) fn each(mut self, mut show: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<u64, Failure> {
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line).map_err(Failure::read(&self.path))? == 0 {
                self.bar.finish_and_clear();
                if self.carriage_return {
                    terminal::note(
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
