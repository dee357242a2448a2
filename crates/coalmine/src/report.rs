//! How findings are shown: in their lines, or as JSON.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::finding::{Code, Finding, Severity};
use crate::text::{Source, Span};

/// How wide an excerpt may be: longer lines are cut.
const WIDTH: usize = 120;
/// Lines that are longer than this are cut before the excerpt is made: a policy may be one line of a megabyte.
const LONG_LINE: usize = 4096;

/// A finding as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told<'f> {
    severity: Severity,
    code: Code,
    file: &'f str,
    line: Option<u32>,
    column: Option<u32>,
    place: &'f str,
    message: &'f str,
}

/// Findings of one file, each with an excerpt that marks its place. With colours; whoever prints it takes them off.
pub(crate) fn excerpts(source: &Source, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&excerpt(source, finding));
        text.push('\n');
    }
    text
}

fn excerpt(source: &Source, finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.sentence());
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii).term_width(WIDTH);
    let Some(span) = &finding.span else {
        let report = [title.element(Origin::path(source.name()))];
        return format!("{}\n", renderer.render(&report));
    };
    let mark = source.mark(span.start);
    let shown = Shown::of(source, span);
    if matches!(finding.code, Code::Syntax) && may_hold_secret(&shown.text) {
        let origin = Origin::path(source.name()).line(mark.line as usize).char_column(mark.column as usize);
        return format!("{}\n", renderer.render(&[title.element(origin)]));
    }
    let snippet = Snippet::source(shown.text)
        .line_start(shown.first_line + 1)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(shown.marked));
    let report = if shown.is_cut {
        let origin = Origin::path(source.name()).line(mark.line as usize).char_column(mark.column as usize);
        [title.element(origin).element(snippet.line_numbering(false))]
    } else {
        [title.element(snippet.path(source.name()))]
    };
    format!("{}\n", renderer.render(&report))
}

/// Whether lines of a file that could not be read, so that nobody knows where its secrets stand, may hold one.
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
    fn of(source: &'s Source, span: &Span) -> Self {
        let at = source.line_of(span.start);
        let line = source.line(at);
        let first_line = at.saturating_sub(1);
        let start = source.line(first_line).start;
        let marked_end = span.end.clamp(span.start, line.end.max(span.start));
        if line.end - start <= LONG_LINE {
            let text = source.excerpt(start..line.end);
            let marked = span.start.min(line.end) - start..marked_end.min(line.end) - start;
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
        let text = source.excerpt(from..to);
        Self { text, first_line: at, marked: span.start - from..marked_end.min(to) - from, is_cut: true }
    }
}

/// A finding as JSON.
pub(crate) fn told<'f>(source: &'f Source, finding: &'f Finding) -> Told<'f> {
    let mark = finding.span.as_ref().map(|span| source.mark(span.start));
    Told {
        severity: finding.severity,
        code: finding.code,
        file: source.name(),
        line: mark.map(|mark| mark.line),
        column: mark.map(|mark| mark.column),
        place: &finding.place,
        message: &finding.message,
    }
}

/// `2 problems, 1 warning`; empty where there is nothing.
pub(crate) fn count(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let mut text = String::new();
    for (number, what) in [(errors, "problem"), (findings.len() - errors, "warning")] {
        if number > 0 {
            let joint = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{joint}{number} {what}{}", if number == 1 { "" } else { "s" });
        }
    }
    text
}
