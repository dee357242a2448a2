//! A rollout for a server, in a file.

use std::path::Path;

use coalmine_control::rollout::Spec;
use coalmine_document::{Node, OwnedPath, Span};

use super::Scan;
use crate::diagnostic::{Diagnostic, count, excerpts};
use crate::failure::Failure;
use crate::input;

/// A rollout and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedRollout {
    /// The path to it in its document.
    pub(crate) path: OwnedPath,
    pub(crate) node: Node,
    /// The name that the metadata of a custom resource say.
    pub(crate) name: Option<String>,
}

/// A file and the rollouts in it, in its order.
///
/// # Errors
/// The file cannot be read, or one of its documents is wrong: everything that is, in its lines.
pub(crate) fn load(path: &Path) -> Result<(Scan, Vec<Spec>), Failure> {
    let scan = Scan::of(input::read(path).map_err(Failure::refused(path))?);
    let refused = |diagnostics: &[Diagnostic]| {
        let (summary, excerpts) = (count(diagnostics), excerpts(&scan.source, diagnostics));
        Failure::Problems(format!("{}: {summary}\n\n{excerpts}", path.display()))
    };
    if !scan.diagnostics.is_empty() {
        return Err(refused(&scan.diagnostics));
    }
    let specs: Result<Vec<Spec>, _> = scan.rollouts.iter().map(EmbeddedRollout::spec).collect();
    let specs = specs.map_err(|diagnostics| refused(&diagnostics))?;
    Ok((scan, specs))
}

// === impl EmbeddedRollout ===

impl EmbeddedRollout {
    /// The rollout, or everything that is wrong with it, in the places of the file.
    pub(crate) fn spec(&self) -> Result<Spec, Vec<Diagnostic>> {
        let spec = Spec::from_document(&self.node, self.name.as_deref());
        spec.map_err(|problems| Diagnostic::of_problems(&problems, &self.path))
    }

    /// The bytes of this field of its plan.
    pub(crate) fn span_in_plan(&self, path: &OwnedPath) -> Span {
        OwnedPath::of(&["plan"]).join(path).span_in(&self.node)
    }
}
