//! `coalmine validate`: what is wrong with files, before a proxy refuses them.

mod advice;
mod agreement;
mod early_removal;
mod environment;
mod istio;
mod rollouts;
mod summary;
mod traffic;

use std::path::PathBuf;

use clap::Args;
use coalmine_control::config::Config;
use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{OwnedPath, SourceText, Span};
use serde::Serialize;

use crate::args::{Format, now, parse_traffic};
use crate::diagnostic::{self, Code, Diagnostic, DiagnosticOutput, Severity};
use crate::failure::{Failure, Refused};
use crate::input;
use crate::output;
use crate::scan::{EmbeddedPolicy, Scan};
use rollouts::PlannedSummary;
use summary::Summary;

const AFTER: &str = "\
Examples:
  coalmine validate policy.yaml
  coalmine validate wasmplugin.yaml virtualservice.yaml destinationrule.yaml
  coalmine validate manifests/
  kubectl kustomize istio/demo | coalmine validate -
  coalmine validate envoy/coalmine.yaml --format json | jq '.problems[]'
  coalmine validate rollout.yaml --traffic 50/s

A policy is found on its own, or inside a WasmPlugin, a TrafficExtension, an EnvoyExtensionPolicy, a ConfigMap or a
configuration of Envoy. So is a rollout for a server, with its plan, on its own or in a CanaryRollout.
Files given together are checked together: routes against the policy, subsets against Deployments, rollouts against the
configuration of their server.

Exit codes: 0 no problems (there may be warnings); 1 problems; 2 a file could not be read.";

/// Check policies and what surrounds them: every problem with its place and what would be right
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Validate {
    /// Files with policies, and with the resources around them; - for standard input
    ///
    /// Of a folder, its files that end in .yaml, .yml or .json; folders below it are not looked into.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Warnings count as problems
    #[arg(long)]
    strict: bool,
    /// Requests per second of both versions, as 50/s: says what a plan cannot reach with them
    #[arg(long, value_name = "RATE", value_parser = parse_traffic)]
    traffic: Option<f64>,
}

/// Everything that was found out about a file.
struct Checked {
    scan: Scan,
    policies: Vec<Valid>,
    summaries: Vec<Summary>,
    rollouts: Vec<PlannedSummary>,
    diagnostics: Vec<Diagnostic>,
}

/// A policy that is right, and how it is written.
struct Valid {
    /// The place of its file among those given.
    file: usize,
    policy: Policy,
    embedded: EmbeddedPolicy,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidateOutput<'a> {
    valid: bool,
    errors: usize,
    warnings: usize,
    policies: Vec<&'a Summary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rollouts: Vec<&'a PlannedSummary>,
    problems: Vec<DiagnosticOutput<'a>>,
}

// === impl Validate ===

impl Validate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut checked = Vec::new();
        let mut unread = None;
        let files = input::files(&self.files)?;
        for path in &files {
            match input::read(path) {
                Ok(source) => checked.push(Checked::of(checked.len(), Scan::of(source), self.traffic)),
                Err(Refused::Unfit(why)) => checked.push(Checked::unfit(&path.display().to_string(), why)),
                Err(Refused::Read(error)) if files.len() == 1 => return Err(Failure::read(path)(error)),
                Err(Refused::Read(error)) => {
                    output::note(&format!("coalmine: {}", Failure::read(path)(error)));
                    unread = Some(Failure::Unread);
                }
            }
        }
        missing(&mut checked);
        together(&mut checked);
        match self.format {
            Format::Text => print(&checked)?,
            Format::Json => json(&checked)?,
        }
        let bad = |diagnostic: &Diagnostic| self.strict || diagnostic.is_error();
        match unread {
            Some(failure) => Err(failure),
            None if checked.iter().flat_map(|file| &file.diagnostics).any(bad) => Err(Failure::Reported),
            None => Ok(()),
        }
    }
}

/// A word about the absence of any policy: a mistake in the files given, or in a field's name.
fn missing(checked: &mut [Checked]) {
    let any = checked.iter().any(|file| {
        !file.scan.policies.is_empty()
            || !file.scan.rollouts.is_empty()
            || !file.scan.servers.is_empty()
            || file.diagnostics.iter().any(Diagnostic::is_error)
    });
    if let (false, Some(first)) = (any, checked.first_mut()) {
        let message = "no policy found: neither on its own nor in a WasmPlugin, TrafficExtension, \
                       EnvoyExtensionPolicy, ConfigMap or configuration of Envoy that looks like Coalmine's";
        first.diagnostics.push(Diagnostic::of_file(Code::NoPolicy, message));
    }
}

fn print(checked: &[Checked]) -> Result<(), Failure> {
    let mut text = String::new();
    for file in checked {
        text.push_str(&diagnostic::excerpts(&file.scan.source, &file.diagnostics));
    }
    for file in checked {
        let count = diagnostic::count(&file.diagnostics);
        let name = file.scan.source.name();
        for summary in &file.summaries {
            text.push_str(&format!("{summary}\n"));
        }
        for rollout in &file.rollouts {
            text.push_str(&format!("{rollout}\n"));
        }
        if !count.is_empty() {
            text.push_str(&format!("{name}: {count}\n"));
        } else if !file.scan.servers.is_empty() {
            text.push_str(&format!("{name}: valid; the configuration of a server\n"));
        } else if file.summaries.is_empty() && file.rollouts.is_empty() {
            text.push_str(&format!("{name}: no policy in it, nothing against it\n"));
        }
    }
    output::print(&text)
}

fn json(checked: &[Checked]) -> Result<(), Failure> {
    let all =
        || checked.iter().flat_map(|file| file.diagnostics.iter().map(move |diagnostic| (file, diagnostic)));
    let count = |severity| diagnostic::count_of(severity, all().map(|(_, diagnostic)| diagnostic));
    output::json(&ValidateOutput {
        valid: count(Severity::Error) == 0,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        policies: checked.iter().flat_map(|file| &file.summaries).collect(),
        rollouts: checked.iter().flat_map(|file| &file.rollouts).collect(),
        problems: all()
            .map(|(file, diagnostic)| DiagnosticOutput::of(&file.scan.source, diagnostic))
            .collect(),
    })
}

// === impl Valid ===

impl Valid {
    /// Whether it stands within these bytes of its file.
    fn is_in(&self, span: Span) -> bool {
        let own = self.embedded.node.span;
        span.start <= own.start && own.end <= span.end
    }
}

// === impl Checked ===

impl Checked {
    fn of(file: usize, scan: Scan, traffic: Option<f64>) -> Self {
        let mut diagnostics = scan.diagnostics.clone();
        let (mut summaries, mut policies) = (Vec::new(), Vec::new());
        for embedded in &scan.policies {
            match embedded.policy(Environment::Unread) {
                Ok(policy) => {
                    diagnostics.extend(advice::advice(embedded, &policy));
                    diagnostics.extend(environment::diagnostics(embedded));
                    summaries.push(Summary::of(&scan.source, embedded, &policy, now()));
                    policies.push(Valid { file, policy, embedded: embedded.clone() });
                }
                Err(problems) => diagnostics.extend(problems),
            }
        }
        let mut rollouts = Vec::new();
        for embedded in &scan.rollouts {
            match embedded.spec() {
                Ok(rollout) => {
                    diagnostics.extend(rollouts::remarks(embedded, &rollout, traffic));
                    rollouts.push(PlannedSummary::of(&scan.source, embedded, &rollout));
                }
                Err(problems) => diagnostics.extend(problems),
            }
        }
        for server in &scan.servers {
            if let Err(problems) = Config::check(server) {
                diagnostics.extend(Diagnostic::of_problems(&problems, &OwnedPath::default()));
            }
        }
        Self { scan, policies, summaries, rollouts, diagnostics }
    }

    /// A file that is nothing to read.
    fn unfit(name: &str, why: String) -> Self {
        let scan = Scan {
            source: SourceText::new(name, String::new()),
            documents: Vec::new(),
            policies: Vec::new(),
            rollouts: Vec::new(),
            servers: Vec::new(),
            diagnostics: Vec::new(),
        };
        let diagnostics = vec![Diagnostic::of_file(Code::File, why)];
        Self { scan, policies: Vec::new(), summaries: Vec::new(), rollouts: Vec::new(), diagnostics }
    }
}

/// What the files say together.
fn together(checked: &mut [Checked]) {
    let policies: Vec<Valid> = checked.iter_mut().flat_map(|file| file.policies.drain(..)).collect();
    let scans: Vec<&Scan> = checked.iter().map(|file| &file.scan).collect();
    let found = [
        istio::diagnostics(&scans),
        agreement::diagnostics(&policies),
        traffic::diagnostics(&scans, &policies),
        rollouts::diagnostics(&scans),
        early_removal::diagnostics(&scans, &policies),
    ];
    for (file, diagnostic) in found.into_iter().flatten() {
        if let Some(file) = checked.get_mut(file) {
            file.diagnostics.push(diagnostic);
        }
    }
}
