//! How diagnostics are shown: in their lines, or as JSON.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use coalmine_document::{SourceText, Span};
use serde::Serialize;

use super::{Code, Diagnostic, Severity};

/// The width of an excerpt: longer lines are cut.
const WIDTH: usize = 120;
/// Lines that are longer than this are cut before the excerpt is made: a policy may be one line of a megabyte.
const LONG_LINE: usize = 4096;

/// A diagnostic as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiagnosticOutput<'f> {
    severity: Severity,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    file: &'f str,
    line: Option<u32>,
    column: Option<u32>,
    place: &'f str,
    message: &'f str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<RelatedOutput<'f>>,
}

/// Another place that a diagnostic is about.
#[derive(Serialize)]
struct RelatedOutput<'f> {
    place: &'f str,
    line: u32,
    column: u32,
}

/// The diagnostics of one file, each with an excerpt that marks its place. With colours; the output takes them off.
pub(crate) fn excerpts(source: &SourceText, diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&excerpt(source, diagnostic));
        text.push('\n');
    }
    text
}

fn excerpt(source: &SourceText, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.sentence());
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii).term_width(WIDTH);
    let Some(span) = diagnostic.span else {
        let report = [title.element(Origin::path(source.name()))];
        return format!("{}\n", renderer.render(&report));
    };
    let mark = source.mark(span.start);
    let shown = Shown::of(source, span);
    if diagnostic.code == Code::Syntax && may_hold_secret(&shown.text) {
        let origin = Origin::path(source.name()).line(mark.line as usize).char_column(mark.column as usize);
        return format!("{}\n", renderer.render(&[title.element(origin)]));
    }
    let snippet = Snippet::source(shown.text)
        .line_start(shown.first_line + 1)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(shown.marked.range()));
    let report = if shown.is_cut {
        let origin = Origin::path(source.name()).line(mark.line as usize).char_column(mark.column as usize);
        [title.element(origin).element(snippet.line_numbering(false))]
    } else {
        [title.element(snippet.path(source.name()))]
    };
    format!("{}\n", renderer.render(&report))
}

/// Whether lines of a file that could not be parsed, so that the places of its secrets are unknown, may hold one.
fn may_hold_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["key", "secret"].iter().any(|word| text.contains(word))
}

/// The lines of an excerpt.
struct Shown<'s> {
    text: std::borrow::Cow<'s, str>,
    first_line: usize,
    /// The bytes of `text` to mark.
    marked: Span,
    is_cut: bool,
}

impl<'s> Shown<'s> {
    /// The line where `span` begins and the one before it.
    fn of(source: &'s SourceText, span: Span) -> Self {
        let at = source.line_of(span.start);
        let line = source.line(at);
        let first_line = at.saturating_sub(1);
        let start = source.line(first_line).start;
        let marked_end = span.end.clamp(span.start, line.end.max(span.start));
        if line.end - start <= LONG_LINE {
            let text = source.excerpt(Span::new(start, line.end));
            let marked = Span::new(span.start.min(line.end) - start, marked_end.min(line.end) - start);
            return Self { text, first_line, marked, is_cut: false };
        }
        let boundary = |mut byte: usize| {
            while !source.text().is_char_boundary(byte) {
                byte -= 1;
            }
            byte
        };
        let from = boundary(span.start.saturating_sub(40).max(line.start));
        let to = boundary((span.start + 80).min(line.end));
        let text = source.excerpt(Span::new(from, to));
        Self {
            text,
            first_line: at,
            marked: Span::new(span.start - from, marked_end.min(to) - from),
            is_cut: true,
        }
    }
}

// === impl DiagnosticOutput ===

impl<'f> DiagnosticOutput<'f> {
    pub(crate) fn of(source: &'f SourceText, diagnostic: &'f Diagnostic) -> Self {
        let mark = diagnostic.span.map(|span| source.mark(span.start));
        let related = diagnostic.related.iter().map(|(place, span)| {
            let mark = source.mark(span.start);
            RelatedOutput { place, line: mark.line, column: mark.column }
        });
        Self {
            severity: diagnostic.severity,
            code: diagnostic.code,
            kind: diagnostic.kind.map(coalmine_document::Code::as_str),
            file: source.name(),
            line: mark.map(|mark| mark.line),
            column: mark.map(|mark| mark.column),
            place: &diagnostic.place,
            message: &diagnostic.message,
            related: related.collect(),
        }
    }
}

/// The number of problems or warnings that these diagnostics stand for.
pub(crate) fn count_of<'d>(severity: Severity, diagnostics: impl Iterator<Item = &'d Diagnostic>) -> usize {
    let of_severity = diagnostics.filter(|diagnostic| diagnostic.severity == severity);
    of_severity.map(|diagnostic| diagnostic.stands_for).sum()
}

/// `2 problems, 1 warning`; empty where there is nothing.
pub(crate) fn count(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for (severity, what) in [(Severity::Error, "problem"), (Severity::Warning, "warning")] {
        let number = count_of(severity, diagnostics.iter());
        if number > 0 {
            let joint = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{joint}{number} {what}{}", if number == 1 { "" } else { "s" });
        }
    }
    text
}
