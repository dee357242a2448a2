//! Where the command writes: answers to standard output, remarks and progress to standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;

/// Standard output for many lines without colours.
pub(crate) fn lines() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Prints a text that has colours in it: with them on a terminal, unless `NO_COLOR` is set, otherwise without.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = anstream::AutoStream::auto(io::stdout().lock());
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

/// Prints a text as it is.
pub(crate) fn print_plain(text: &str) -> Result<(), Failure> {
    let mut output = lines();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

/// Writes a file.
pub(crate) fn save(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Save(path.to_owned(), error))
}

/// Writes what a command can draw to this file, where a picture is asked for.
pub(crate) fn picture(path: Option<&Path>, draw: impl FnOnce() -> String) -> Result<(), Failure> {
    path.map_or(Ok(()), |path| save(path, &draw()))
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut output = lines();
    serde_json::to_writer_pretty(&mut output, value).map_err(io::Error::from)?;
    output.write_all(b"\n")?;
    output.flush()?;
    Ok(())
}

/// Writes a remark to standard error. It is no failure where standard error is closed.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::AutoStream::auto(io::stderr().lock()), "{text}");
}

/// A bar for long work, on a terminal's standard error only; `length` where it is known.
pub(crate) fn progress(length: Option<u64>, what: &'static str) -> indicatif::ProgressBar {
    if !io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = match length {
        Some(length) => indicatif::ProgressBar::new(length),
        None => indicatif::ProgressBar::new_spinner(),
    };
    let template = match length {
        Some(_) => "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left",
        None => "{spinner} {msg} {human_pos}",
    };
    let style = indicatif::ProgressStyle::with_template(template);
    bar.with_message(what).with_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()))
}

/// The text with what a terminal would act on made visible.
pub(crate) fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    let mut shown = String::new();
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown.into()
}
