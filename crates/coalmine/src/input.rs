//! Files, read once and whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use coalmine_document::{MAX_BYTES, SourceText};

/// The most bytes that a file may have: a policy is at most 1 MiB, what is around it may be more.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The reason why a file could not become a text.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It could not be read.
    Read(io::Error),
    /// It was read, and is not text: a sentence.
    Unfit(String),
}

/// Reads a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<SourceText, Refused> {
    if path.as_os_str() == "-" {
        return from_reader("<stdin>", io::stdin().lock());
    }
    let file = File::open(path).map_err(Refused::Read)?;
    from_reader(&path.display().to_string(), file)
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
