//! A rollout for a server, in a file.

use coalmine_control::rollout::Spec;
use coalmine_document::{Node, OwnedPath, Span};

use crate::diagnostic::Diagnostic;

/// A rollout and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedRollout {
    /// The path to it in its document.
    pub(crate) path: OwnedPath,
    pub(crate) node: Node,
    /// The name that the metadata of a custom resource say.
    pub(crate) name: Option<String>,
}

// === impl EmbeddedRollout ===

impl EmbeddedRollout {
    /// The rollout, or everything that is wrong with it, in the places of the file.
    pub(crate) fn spec(&self) -> Result<Spec, Vec<Diagnostic>> {
        let problems = match Spec::from_document(&self.node, self.name.as_deref()) {
            Ok(spec) => return Ok(spec),
            Err(problems) => problems,
        };
        let mut diagnostics: Vec<Diagnostic> =
            problems.shown().iter().map(|problem| Diagnostic::of_problem(problem, &self.path)).collect();
        let not_shown = problems.count() - problems.shown().len();
        if not_shown > 0 {
            diagnostics.push(Diagnostic::more(not_shown));
        }
        Err(diagnostics)
    }

    /// The bytes of this field of its plan.
    pub(crate) fn span_in_plan(&self, path: &OwnedPath) -> Span {
        OwnedPath::of(&["plan"]).join(path).span_in(&self.node)
    }
}
