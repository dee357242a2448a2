//! What shows a server who asks.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::failure::Failure;

/// What shows who asks.
pub(super) struct Token {
    text: RefCell<String>,
    /// Where it stands, and may be exchanged: those of jobs and workloads are good for minutes, and a release takes hours.
    file: Option<PathBuf>,
}

// === impl Token ===

impl Token {
    /// The token of this file, or without one that of the variable.
    pub(super) fn find(file: Option<&PathBuf>) -> Result<Option<Self>, Failure> {
        let text = match file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(Failure::read(path))?),
            None => std::env::var("COALMINE_TOKEN").ok(),
        };
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if text.as_ref().is_some_and(|text| is_odd(text)) {
            return Err(Failure::usage(
                "the token has characters that no token has",
                "is it the right file?",
            ));
        }
        Ok(text.map(|text| Self { text: RefCell::new(text), file: file.cloned() }))
    }

    /// The token as it is now; the one before, where whoever writes a new one is in the middle of it.
    pub(super) fn header(&self) -> String {
        let read = self.file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let mut text = self.text.borrow_mut();
        if let Some(newer) = read.as_deref().map(str::trim).filter(|it| !it.is_empty() && !is_odd(it)) {
            newer.clone_into(&mut text);
        }
        format!("Bearer {text}")
    }
}

fn is_odd(token: &str) -> bool {
    token.chars().any(|it| !it.is_ascii_graphic())
}
