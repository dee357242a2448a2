//! Files, read once and whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use coalmine_document::{MAX_BYTES, SourceText};

use crate::failure::{Failure, Refused, name_of};

/// The most bytes that a file may have: a policy is at most 1 MiB, what is around it may be more.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The most files that a folder may have.
const MAX_FILES: usize = 1000;

/// Reads a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<SourceText, Refused> {
    let name = name_of(path);
    if path.as_os_str() == "-" {
        return from_reader(&name, io::stdin().lock());
    }
    from_reader(&name, open(path).map_err(Refused::Read)?)
}

/// Opens a file; a folder is an error at once.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    }
}

/// The files that these arguments mean: of a folder its files of YAML and JSON by name, as `kubectl -f` takes them. What
/// is hidden and what is in a folder below is left out.
pub(crate) fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in arguments {
        match path.is_dir() {
            true => files.extend(files_in(path)?),
            false => files.push(path.clone()),
        }
    }
    Ok(files)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_document = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        !is_hidden && (extension == "yaml" || extension == "yml" || extension == "json") && path.is_file()
    };
    let entries = std::fs::read_dir(folder).map_err(Failure::read(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    let mut files: Vec<PathBuf> = paths.map_err(Failure::read(folder))?;
    files.retain(is_document);
    files.sort();
    let name = folder.display();
    match files.len() {
        0 => Err(Failure::usage(
            format!("{name} has no file that ends in .yaml, .yml or .json"),
            "folders below it are not looked into; give one of them, or files",
        )),
        count if count > MAX_FILES => {
            Err(Failure::usage(format!("{name} has {count} files; at most {MAX_FILES}"), "give some of them"))
        }
        _ => Ok(files),
    }
}

fn from_reader(name: &str, reader: impl Read) -> Result<SourceText, Refused> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Refused::Read)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Refused::Unfit(format!(
            "larger than {MAX_FILE_BYTES} bytes; a policy document may have at most {MAX_BYTES}"
        )));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Refused::Unfit("UTF-16 text; save it as UTF-8".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Refused::Unfit(format!("not UTF-8 text (byte {at}); JSON or YAML was expected"))
    })?;
    Ok(SourceText::new(name, text))
}
