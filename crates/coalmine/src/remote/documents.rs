//! `coalmine get`, `apply` and `delete`: what is written of rollouts.

use std::path::{Path, PathBuf};

use clap::Args;
use coalmine_control::api::shapes::{Done, Rollout};
use coalmine_control::rollout::{Name, Spec};
use coalmine_document::{Node, json};
use ureq::http::Method;

use super::{ServerArguments, parse_name};
use crate::args::Format;
use crate::failure::Failure;
use crate::output;
use crate::scan::{EmbeddedRollout, Scan, load};

/// Print a rollout as it was written, or the names of all
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine get
  coalmine get shop/checkout > checkout.yaml")]
pub(crate) struct Get {
    /// The rollout; without it, all names
    #[arg(value_parser = parse_name)]
    name: Option<Name>,
    #[command(flatten)]
    server: ServerArguments,
}

/// Give rollouts to a server, or change what is written of them
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine apply checkout.yaml
  coalmine apply *.yaml --dry-run
  coalmine import flagger canary.yaml | coalmine apply -

The state of a rollout goes on: where users are on the canary, they stay there. A rollout that is wrong is not given to the
server; its last accepted form stays in force.")]
pub(crate) struct Apply {
    /// Files with rollouts; - for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Delete a rollout: everybody goes to stable first
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine delete shop/checkout")]
pub(crate) struct Delete {
    /// The rollout
    #[arg(value_parser = parse_name)]
    name: Name,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArguments,
}

// === impl Get ===

impl Get {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let Some(name) = &self.name else {
            let rollouts: Vec<Rollout> = client.get("/v1/rollouts")?;
            return match self.server.format {
                Format::Json => output::json(&rollouts),
                Format::Text => {
                    let names: String =
                        rollouts.iter().map(|rollout| format!("{}\n", rollout.name)).collect();
                    output::print_plain(&names)
                }
            };
        };
        let rollout: Rollout = client.get(&format!("/v1/rollouts/{name}"))?;
        match self.server.format {
            Format::Json => output::json(&rollout),
            Format::Text => output::print_plain(&format!("{}\n", rollout.written.trim_end_matches('\n'))),
        }
    }
}

// === impl Apply ===

impl Apply {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let mut documents = Vec::new();
        for path in &self.files {
            documents.extend(rollouts(path)?);
        }
        let query = if self.dry_run { "?dryRun=true" } else { "" };
        let mut all = Vec::new();
        for (name, text) in documents {
            let answer = client.send(Method::PUT, &format!("/v1/rollouts/{name}{query}"), &[], &text);
            // What was done before stays done, so it is said before the failure.
            let answer =
                answer.inspect_err(|_| output::note(&format!("coalmine: {name} is not accepted")))?;
            let done: Done = client.read(&answer.text)?;
            if self.server.format == Format::Text {
                output::print(&said(&done))?;
            }
            all.push(done);
        }
        match self.server.format {
            Format::Json => output::json(&all),
            Format::Text => Ok(()),
        }
    }
}

fn said(done: &Done) -> String {
    let what = match (done.created, done.changed, done.dry_run) {
        (true, _, false) => "created",
        (true, _, true) => "would be created",
        (false, true, false) => "changed",
        (false, true, true) => "would be changed",
        (false, false, _) => "unchanged",
    };
    let mut text = format!("{} {what}\n", done.rollout.name);
    for remark in &done.remarks {
        text.push_str(&format!("  {}: {}\n", remark.path, output::visible(&remark.message)));
    }
    text
}

/// The rollouts of a file, each with its name and its text. All of them are right before one is sent.
fn rollouts(path: &Path) -> Result<Vec<(Name, String)>, Failure> {
    let (scan, specs) = load(path)?;
    let mut found = Vec::new();
    for (embedded, spec) in scan.rollouts.iter().zip(&specs) {
        let name = parse_name(&spec.name).map_err(|why| Failure::Unfit(path.to_owned(), why))?;
        found.push((name, text(&scan, embedded, spec)));
    }
    if found.is_empty() {
        let why = "holds no rollout for a server, which has a policy part and a plan: docs/rollout.md";
        return Err(Failure::Unfit(path.to_owned(), why.to_owned()));
    }
    Ok(found)
}

/// A rollout that is its whole file goes as it is written, with its comments; others as JSON.
fn text(scan: &Scan, embedded: &EmbeddedRollout, spec: &Spec) -> String {
    if scan.documents.len() == 1 && embedded.path.is_top() {
        return scan.source.text().to_owned();
    }
    let named = embedded.node.get("name").is_none().then(|| ("name", Node::of_text(spec.name.as_str())));
    let written = embedded.node.entries().iter().map(|entry| (entry.key.as_str(), entry.node.clone()));
    json::pretty(&Node::of_fields(named.into_iter().chain(written)), 0)
}

// === impl Delete ===

impl Delete {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let query = if self.dry_run { "?dryRun=true" } else { "" };
        let path = format!("/v1/rollouts/{}{query}", self.name);
        let done: Done = client.read(&client.send(Method::DELETE, &path, &[], "")?.text)?;
        match self.server.format {
            Format::Json => output::json(&done),
            Format::Text if self.dry_run => output::print(&format!("{} would be deleted\n", self.name)),
            Format::Text => output::print(&format!("{} goes: everybody to stable first\n", self.name)),
        }
    }
}
