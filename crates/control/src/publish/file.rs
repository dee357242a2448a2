//! A policy document in a file, for whatever reads one: a proxy on this host, a ConfigMap, somebody's own pipeline.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why a document could not be put in place. The file that was there is untouched.
#[derive(Debug)]
pub struct NotWritten {
    path: PathBuf,
    step: &'static str,
    cause: io::Error,
}

/// Puts the document in place by one rename, so that a reader sees the old bytes or the new ones, never a part. A file
/// that is there keeps its mode; a new one gets 0644. Tells whether anything was written: equal bytes are left alone,
/// since every rename has the proxies read the file again.
///
/// It blocks: the bytes are on the disk before it returns.
pub fn write(path: &Path, document: &str) -> Result<bool, NotWritten> {
    let failed = |step| move |cause| NotWritten { path: path.to_owned(), step, cause };
    let mode = match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "a file is expected, or nothing");
            return Err(failed("replace")(cause));
        }
        // A file of another size need not be read.
        Ok(found) if found.len() == document.len() as u64 => {
            if fs::read(path).map_err(failed("read"))? == document.as_bytes() {
                return Ok(false);
            }
            Some(found.permissions())
        }
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(failed("read")(cause)),
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // In the same folder: a rename is atomic within one file system only. Dropped, it removes itself.
    let mut part = tempfile::Builder::new()
        .prefix(".coalmine-")
        .tempfile_in(folder)
        .map_err(failed("create a temporary file beside"))?;
    part.write_all(document.as_bytes()).map_err(failed("write a temporary file beside"))?;
    if let Some(mode) = mode.or_else(new_mode) {
        part.as_file().set_permissions(mode).map_err(failed("set the mode of"))?;
    }
    part.as_file().sync_all().map_err(failed("write a temporary file beside"))?;
    part.persist(path).map_err(|error| failed("rename a temporary file to")(error.error))?;
    // So that the rename outlives a crash of the host, too. A file system that cannot do this still has the file.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(true)
}

#[cfg(unix)]
fn new_mode() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn new_mode() -> Option<Permissions> {
    None
}

// === impl NotWritten ===

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.step, self.path.display(), self.cause)
    }
}

impl std::error::Error for NotWritten {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_readable_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        assert!(write(&path, "{}").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(names(folder.path()), ["policy.json"]);
    }

    #[test]
    fn equal_bytes_are_left_alone_and_others_renamed_into_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        write(&path, "{\"a\":1}").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        assert!(!write(&path, "{\"a\":1}").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), before, "nothing was renamed");
        assert!(write(&path, "{\"a\":2}").unwrap());
        let after = fs::metadata(&path).unwrap();
        assert_ne!(after.ino(), before, "another file, by a rename");
        assert_eq!(after.permissions().mode() & 0o777, 0o600, "the mode is kept");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":2}");
    }

    #[test]
    fn what_cannot_be_written_says_where_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/policy.json");
        let said = write(&missing, "{}").unwrap_err().to_string();
        assert!(said.contains("missing/policy.json") && said.contains("temporary file"), "{said}");
        let a_folder = folder.path().join("folder");
        fs::create_dir(&a_folder).unwrap();
        let said = write(&a_folder, "{}").unwrap_err().to_string();
        assert!(said.contains("a file is expected"), "{said}");
        assert_eq!(names(folder.path()), ["folder"]);
    }
}
