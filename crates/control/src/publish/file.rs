//! The policy document in a file, for proxies and tools that read one.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Publication;

/// Who may read the file: everybody on the host, as proxies run under users of their own. Secrets are names in it.
const MODE: u32 = 0o644;

/// Writes the document of a publication to this file by one rename, where it has other bytes. Nobody ever reads half of it.
///
/// # Errors
/// The file cannot be written; it is as it was.
pub fn write(publication: &Publication, path: &Path) -> io::Result<()> {
    let document = publication.document.as_bytes();
    if std::fs::read(path).is_ok_and(|before| before == document) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(document)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(MODE))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(document: &str) -> Publication {
        Publication {
            fleet: "default".to_owned(),
            revision: 7,
            at: 1,
            document: document.to_owned(),
            parts: [].into(),
            held: [].into(),
            refused: None,
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_when_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        write(&publication("one"), &path).unwrap();
        let first = std::fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, MODE);
        write(&publication("one"), &path).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), first.ino());
        write(&publication("two"), &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something is left over");
    }

    #[test]
    fn a_file_that_cannot_be_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&publication("one"), &folder.path().join("none/policy.json")).is_err());
    }
}
