//! The reason why the command could not do its work, in the words and the exit code that its user sees.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The reason why a file could not become a text.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It could not be read.
    Read(io::Error),
    /// It was read, and is not text: a sentence.
    Unfit(String),
}

/// The reason why the command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There are problems, and they have been reported: nothing is left to say.
    Reported,
    /// A file could not be read, and that has been reported.
    Unread,
    /// There are problems, shown in their lines.
    Problems(String),
    /// This file is no text that could be read.
    Unfit(PathBuf, String),
    /// The command was used wrongly: what is wrong, and what would be right.
    Usage(String, String),
    /// This file could not be read.
    Read(PathBuf, io::Error),
    /// This file could not be written.
    Save(PathBuf, io::Error),
    /// The output could not be written.
    Write(io::Error),
    /// A release that was waited for has not ended as it was meant to.
    Ended(String),
    /// A release that was waited for has not ended in time.
    Late(String),
}

impl Failure {
    pub(crate) fn usage(wrong: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(wrong.into(), hint.into())
    }

    pub(crate) fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Read(path.to_owned(), error)
    }

    /// A file that could not become a text.
    pub(crate) fn refused(path: &Path) -> impl Fn(Refused) -> Self {
        move |refused| match refused {
            Refused::Read(error) => Self::Read(path.to_owned(), error),
            Refused::Unfit(why) => Self::Unfit(path.to_owned(), why),
        }
    }

    /// Whether the reader of the output has seen enough, as `head` has.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 1 where what was asked about has problems, 2 where the asking has; 3 and 4 for who waits for a release.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Reported | Self::Problems(_) | Self::Unfit(..) => 1,
            Self::Unread | Self::Usage(..) | Self::Read(..) | Self::Save(..) | Self::Write(_) => 2,
            Self::Ended(_) => 3,
            Self::Late(_) => 4,
        })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported | Self::Unread => Ok(()),
            Self::Problems(text) => f.write_str(text.trim_end()),
            Self::Unfit(path, why) => write!(f, "{}: {why}", name_of(path)),
            Self::Usage(wrong, hint) if hint.is_empty() => f.write_str(wrong),
            Self::Usage(wrong, hint) => write!(f, "{wrong}\nhint: {hint}"),
            Self::Read(path, error) if error.kind() == io::ErrorKind::IsADirectory => {
                write!(f, "{} is a folder\nhint: give a file", path.display())
            }
            Self::Read(path, error) => write!(f, "cannot read {}: {}", name_of(path), plain(error)),
            Self::Save(path, error) => write!(f, "cannot write {}: {}", path.display(), plain(error)),
            Self::Write(error) => write!(f, "cannot write the output: {}", plain(error)),
            Self::Ended(why) | Self::Late(why) => f.write_str(why),
        }
    }
}

/// What a file is called in messages: `<stdin>` where it is standard input.
pub(crate) fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// The system's words without its number: `No such file or directory`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
