//! `coalmine validate`: what is wrong with files, before a proxy refuses them.

mod advice;
mod istio;
mod summary;

use std::path::PathBuf;

use clap::Args;
use coalmine_core::policy::{Environment, Policy};
use serde::Serialize;

use crate::cli::{Format, now};
use crate::failure::Failure;
use crate::finding::{Code, Finding, Severity};
use crate::found::Scan;
use crate::report::{self, Told};
use crate::terminal;
use crate::text::{Refused, Source};
use summary::Summary;

const AFTER: &str = "\
Examples:
  coalmine validate policy.yaml
  coalmine validate wasmplugin.yaml virtualservice.yaml destinationrule.yaml
  kubectl kustomize istio/demo | coalmine validate -
  coalmine validate envoy/coalmine.yaml --format json | jq '.problems[]'

A policy is found on its own, or inside a WasmPlugin, a TrafficExtension, a ConfigMap or a configuration of Envoy.
Files given together are checked together: routes against the policy, subsets against Deployments.

Exit codes: 0 no problems (there may be warnings); 1 problems; 2 a file could not be read.";

/// Check policies and what surrounds them: every problem with its place and what would be right
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Validate {
    /// Files with policies, and with the resources around them; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Warnings count as problems
    #[arg(long)]
    strict: bool,
}

/// Everything that was found out about a file.
struct Checked {
    scan: Scan,
    policies: Vec<Policy>,
    summaries: Vec<Summary>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    valid: bool,
    errors: usize,
    warnings: usize,
    policies: Vec<&'a Summary>,
    problems: Vec<Told<'a>>,
}

// === impl Validate ===

impl Validate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut checked = Vec::new();
        let mut unread = None;
        for path in &self.files {
            match Source::read(path) {
                Ok(source) => checked.push(Checked::of(Scan::of(source))),
                Err(Refused::Unfit(why)) => checked.push(Checked::unfit(&path.display().to_string(), why)),
                Err(Refused::Read(error)) if self.files.len() == 1 => return Err(Failure::read(path)(error)),
                Err(Refused::Read(error)) => {
                    terminal::note(&format!("coalmine: {}", Failure::read(path)(error)));
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
        let bad = |finding: &Finding| self.strict || finding.is_error();
        match unread {
            Some(failure) => Err(failure),
            None if checked.iter().flat_map(|file| &file.findings).any(bad) => Err(Failure::Told),
            None => Ok(()),
        }
    }
}

/// A word about the absence of any policy: a mistake in the files given, or in a field's name.
fn missing(checked: &mut [Checked]) {
    let any = checked
        .iter()
        .any(|file| !file.scan.policies.is_empty() || file.findings.iter().any(Finding::is_error));
    if let (false, Some(first)) = (any, checked.first_mut()) {
        let message = "no policy found: neither on its own nor in a WasmPlugin, TrafficExtension, ConfigMap or \
                       configuration of Envoy that looks like Coalmine's";
        first.findings.push(Finding::of_file(Code::NoPolicy, message));
    }
}

fn print(checked: &[Checked]) -> Result<(), Failure> {
    let mut text = String::new();
    for file in checked {
        text.push_str(&report::excerpts(&file.scan.source, &file.findings));
    }
    for file in checked {
        let count = report::count(&file.findings);
        let name = file.scan.source.name();
        for summary in &file.summaries {
            text.push_str(&format!("{summary}\n"));
        }
        if !count.is_empty() {
            text.push_str(&format!("{name}: {count}\n"));
        } else if file.summaries.is_empty() {
            text.push_str(&format!("{name}: no policy in it, nothing against it\n"));
        }
    }
    terminal::print(&text)
}

fn json(checked: &[Checked]) -> Result<(), Failure> {
    let all = || checked.iter().flat_map(|file| file.findings.iter().map(move |finding| (file, finding)));
    let count = |severity| all().filter(|(_, finding)| finding.severity == severity).count();
    terminal::json(&Answer {
        valid: count(Severity::Error) == 0,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        policies: checked.iter().flat_map(|file| &file.summaries).collect(),
        problems: all().map(|(file, finding)| report::told(&file.scan.source, finding)).collect(),
    })
}

// === impl Checked ===

impl Checked {
    fn of(scan: Scan) -> Self {
        let mut findings = scan.findings.clone();
        let (mut summaries, mut policies) = (Vec::new(), Vec::new());
        for found in &scan.policies {
            match found.policy(&scan.source, Environment::Unread) {
                Ok(policy) => {
                    policy.follow_clock(now());
                    findings.extend(advice::advice(found, &policy));
                    summaries.push(Summary::of(&scan.source, found, &policy));
                    policies.push(policy);
                }
                Err(problems) => findings.extend(problems),
            }
        }
        Self { scan, policies, summaries, findings }
    }

    /// A file that is nothing to read.
    fn unfit(name: &str, why: String) -> Self {
        let scan = Scan {
            source: Source::new(name, String::new()),
            documents: Vec::new(),
            policies: Vec::new(),
            findings: Vec::new(),
        };
        let findings = vec![Finding::of_file(Code::File, why)];
        Self { scan, policies: Vec::new(), summaries: Vec::new(), findings }
    }
}

/// What the files say together.
fn together(checked: &mut [Checked]) {
    let policies: Vec<Policy> = checked.iter_mut().flat_map(|file| file.policies.drain(..)).collect();
    let scans: Vec<&Scan> = checked.iter().map(|file| &file.scan).collect();
    for (file, finding) in istio::findings(&scans, &policies) {
        if let Some(file) = checked.get_mut(file) {
            file.findings.push(finding);
        }
    }
}
