//! What shows a server who asks.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use super::tunnel::Tunnel;
use super::variable;
use crate::failure::Failure;

/// What shows who asks.
pub(super) struct Token {
    text: RefCell<String>,
    source: Source,
}

/// Where a token comes from, and where it may be exchanged: those of jobs and workloads are good for minutes, and a release
/// takes hours.
enum Source {
    Variable,
    File(PathBuf),
    Kubeconfig(Arc<Tunnel>),
}

// === impl Token ===

impl Token {
    /// The token of this file; without one that of the variable, and without that one the kubeconfig's.
    pub(super) fn find(
        file: Option<&PathBuf>,
        tunnel: Option<&Arc<Tunnel>>,
    ) -> Result<Option<Self>, Failure> {
        let (text, source) = match (file, variable("COALMINE_TOKEN"), tunnel) {
            (Some(path), ..) => {
                let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
                (Some(text), Source::File(path.clone()))
            }
            (None, None, Some(tunnel)) => (tunnel.token()?, Source::Kubeconfig(tunnel.clone())),
            (None, text, _) => (text, Source::Variable),
        };
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if text.as_ref().is_some_and(|text| is_odd(text)) {
            return Err(Failure::usage(
                "the token has characters that no token has",
                "is it the right file?",
            ));
        }
        Ok(text.map(|text| Self { text: RefCell::new(text), source }))
    }

    /// The token as it is now; the one before, where whoever writes a new one is in the middle of it.
    pub(super) fn header(&self) -> String {
        let read = match &self.source {
            Source::Variable => None,
            Source::File(path) => std::fs::read_to_string(path).ok(),
            Source::Kubeconfig(tunnel) => tunnel.token().ok().flatten(),
        };
        let mut text = self.text.borrow_mut();
        if let Some(newer) = read.as_deref().map(str::trim).filter(|it| !it.is_empty() && !is_odd(it)) {
            newer.clone_into(&mut text);
        }
        format!("Bearer {text}")
    }

    /// Whether it is the kubeconfig's.
    pub(super) fn is_of_kubeconfig(&self) -> bool {
        matches!(self.source, Source::Kubeconfig(_))
    }
}

fn is_odd(token: &str) -> bool {
    token.chars().any(|it| !it.is_ascii_graphic())
}
