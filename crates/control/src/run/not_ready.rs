use std::{fmt, io};

use crate::store::StoreError;
use crate::tls::TlsError;

/// Why a server cannot start: a sentence.
#[derive(Debug)]
pub struct NotReady(pub(super) String);

// === impl NotReady ===

impl From<StoreError> for NotReady {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<TlsError> for NotReady {
    fn from(error: TlsError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for NotReady {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotReady {}
