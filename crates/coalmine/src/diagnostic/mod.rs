//! What is wrong with a file, or may be, and where.

mod report;

pub(crate) use report::{DiagnosticOutput, count, count_of, excerpts};

use coalmine_document::{OwnedPath, Problem, Problems, Span};
use serde::Serialize;

/// One thing that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    /// The kind of problem, of a policy that the filter refuses.
    pub(crate) kind: Option<coalmine_document::Code>,
    /// The bytes that it is about; `None` where it is about the file as a whole.
    pub(crate) span: Option<Span>,
    /// The place in the document, as `rollouts[0].variants[1].weight`.
    pub(crate) place: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
    /// The number of problems that it stands for.
    pub(crate) stands_for: usize,
    /// The other places that it is about: their names, and their bytes.
    pub(crate) related: Vec<(String, Span)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The filter refuses it, or it does harm.
    Error,
    /// It is taken, and may not be what is meant.
    Warning,
}

/// The kind of a diagnostic: names that do not change, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Code {
    /// The file could not be read, or is nothing that can be read.
    File,
    /// There is nothing in the file.
    Empty,
    /// Neither JSON nor YAML.
    Syntax,
    /// The filter refuses the policy.
    Policy,
    /// The tools of Kubernetes read something else than is written.
    ReadOtherwise,
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
    /// A cookie for a domain that no host lies in.
    CookieDropped,
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
    /// No route looks at the header that a rollout sets.
    NotObeyed,
    /// A filter that Envoy runs neither for the users of a rollout, nor before a route by a header.
    FilterDisabled,
    /// A variant that no route takes.
    VariantNotTaken,
    /// A variant whose route leads to another one.
    WrongVariant,
    /// A route by the header behind one that takes its requests.
    RouteShadowed,
    /// A route by a value of the header that no variant has.
    NoVariant,
    /// A route of which one alternative asks for the header, and another does not.
    MatchAlternatives,
    /// A variant that a client can ask for.
    NotDrawn,
    /// A header of Coalmine's that the application gets.
    HeaderKept,
    /// Weights in a route that are not those that the policy speaks of.
    BucketWeights,
    /// Plugins that draw differently for one rollout.
    PoliciesDiffer,
    /// An environment variable that the filter does not get.
    EnvNotGiven,
    /// A subset that no DestinationRule has.
    MissingSubset,
    /// A plan that may not do what is meant.
    PlanAdvice,
    /// A VirtualService that Istio's validation refuses.
    IstioRefuses,
}

// === impl Diagnostic ===

impl Diagnostic {
    pub(crate) fn error(code: Code, span: Span, place: &str, message: impl Into<String>) -> Self {
        let (place, message) = (place.to_owned(), message.into());
        Self {
            severity: Severity::Error,
            code,
            kind: None,
            span: Some(span),
            place,
            message,
            stands_for: 1,
            related: Vec::new(),
        }
    }

    pub(crate) fn warning(code: Code, span: Span, place: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, place, message) }
    }

    /// About the file as a whole.
    pub(crate) fn of_file(code: Code, message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(code, Span::default(), "", message) }
    }

    /// Stands for problems that are only counted.
    pub(crate) fn more(count: usize) -> Self {
        let more = Self::of_file(Code::Policy, format!("and {count} more problems"));
        Self { stands_for: count, ..more }
    }

    /// All problems of the document at this place of the file; those past the limit are one line.
    pub(crate) fn of_problems(problems: &Problems, document: &OwnedPath) -> Vec<Self> {
        let shown = problems.shown();
        let mut diagnostics: Vec<Self> = shown.iter().map(|it| Self::of_problem(it, document)).collect();
        let not_shown = problems.count() - shown.len();
        if not_shown > 0 {
            diagnostics.push(Self::more(not_shown));
        }
        diagnostics
    }

    /// A problem of the document at this place of the file.
    pub(crate) fn of_problem(problem: &Problem, document: &OwnedPath) -> Self {
        let place = |path: &OwnedPath| document.join(path).to_string();
        let related = problem.related.iter().map(|other| (place(&other.path), other.span)).collect();
        let kind = Some(problem.code);
        let error = Self::error(Code::Policy, problem.span, &place(&problem.path), &problem.message);
        Self { kind, related, ..error }
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
