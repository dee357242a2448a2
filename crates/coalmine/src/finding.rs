//! What is wrong with a file, or may be, and where.

use coalmine_core::document::Problem;
use serde::Serialize;

use crate::found::Found;
use crate::text::{Source, Span};

/// One thing that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    /// The bytes that it is about; `None` where it is about the file as a whole.
    pub(crate) span: Option<Span>,
    /// The place in the document, as `rollouts[0].variants[1].weight`.
    pub(crate) place: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The filter refuses it, or it does harm.
    Error,
    /// It is taken, and may not be what is meant.
    Warning,
}

/// What kind of thing is wrong: a name that does not change, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Code {
    /// The file could not be read, or is nothing that can be read.
    File,
    /// There is nothing in the file.
    Empty,
    /// Neither JSON nor YAML.
    Syntax,
    /// The policy is refused by the filter.
    Policy,
    /// No policy in any of the files.
    NoPolicy,
    /// A rollout that no request can reach.
    NeverMatches,
    /// Pins without effect.
    PinsShadowed,
    /// A ramp whose weight goes down.
    StepBack,
    /// A secret that stands in the document.
    SecretInClear,
    /// A cookie that a client can choose well.
    CookieWithoutKey,
    /// An identity source that the place of the plugin does not have.
    SourceNotThere,
    /// A plugin that refuses requests when it fails.
    FailsClosed,
    /// A WasmPlugin and a TrafficExtension on one workload.
    TwoKinds,
    /// A plugin where requests arrive.
    WrongSide,
    /// A plugin in another namespace than its workloads.
    WrongNamespace,
    /// Two plugins at one phase and priority.
    SameOrder,
    /// A route whose default is not stable.
    DefaultNotStable,
    /// A route by a header that no policy sets.
    HeaderDiffers,
    /// A subset without pods.
    EmptySubset,
    /// A route by a header of Coalmine's that has not what it needs around it.
    HeaderRoute,
}

// === impl Finding ===

impl Finding {
    pub(crate) fn error(code: Code, span: Span, place: &str, message: impl Into<String>) -> Self {
        let (place, message) = (place.to_owned(), message.into());
        Self { severity: Severity::Error, code, span: Some(span), place, message }
    }

    pub(crate) fn warning(code: Code, span: Span, place: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, place, message) }
    }

    /// About the file as a whole.
    pub(crate) fn of_file(code: Code, message: impl Into<String>) -> Self {
        let (place, message) = (String::new(), message.into());
        Self { severity: Severity::Error, code, span: None, place, message }
    }

    /// A problem of the core's with this policy.
    pub(crate) fn of_problem(problem: &Problem, found: &Found, source: &Source) -> Self {
        let in_list = problem.place.ends_with(']') && !problem.place.ends_with("\"]");
        let of_item = problem.place.is_empty() || in_list;
        let span = problem
            .mark
            .and_then(|mark| found.tree.span_at(source.offset(mark), of_item))
            .unwrap_or_else(|| found.tree.span.clone());
        Self::error(Code::Policy, span, &found.place.with(&problem.place), &problem.message)
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The place and the message in one line.
    pub(crate) fn sentence(&self) -> String {
        match self.place.as_str() {
            "" => self.message.clone(),
            place => format!("{place}: {}", self.message),
        }
    }
}
