//! Why the command could not do its work, in the words and the exit code that its user sees.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use coalmine_core::document::Problems;

/// Why the command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The policy in this file has problems.
    Policy(PathBuf, Problems),
    /// The command was used wrongly.
    Usage(String),
    /// This file could not be read.
    Read(PathBuf, io::Error),
    /// The output could not be written.
    Write(io::Error),
}

impl Failure {
    pub(crate) fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Read(path.to_owned(), error)
    }

    /// Whether the reader of the output has seen enough, as `head` has.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Policy(..) => 1,
            Self::Usage(_) | Self::Read(..) | Self::Write(_) => 2,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(path, problems) => {
                let count = problems.count();
                let plural = if count == 1 { "problem" } else { "problems" };
                write!(f, "{}: {count} {plural}\n{problems}", path.display())
            }
            Self::Usage(message) => f.write_str(message),
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Write(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}
