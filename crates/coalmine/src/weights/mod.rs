//! `coalmine weights`: other weights, in the text of the document itself.

mod change;
mod elsewhere;
mod rewrite;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use coalmine_core::split::{Movement, Weight};
use serde::Serialize;

use crate::args::{Format, RolloutArgument};
use crate::failure::Failure;
use crate::output;
use crate::policy_file::PolicyFile;
use crate::remote::{AddressArguments, ServerArguments, say_weight};
use change::{WeightArgument, WeightsChange};
use coalmine_document::SourceText;

const AFTER: &str = "\
Examples:
  coalmine weights policy.yaml canary=10
  coalmine weights wasmplugin.yaml canary=10 baseline=10 --rollout checkout --dry-run
  coalmine weights policy.yaml blue=5 green=5 canary=5
  coalmine weights - canary=10 < policy.yaml > policy.new.yaml
  coalmine weights shop/checkout canary=10 --server http://127.0.0.1:8470

Comments, order and quoting stay as they are. Variants that are not named keep their weight, new ones are appended.
More than two variants get a table of ranges, in which the fewest users move. A file is replaced by one rename.
Where the file holds the same policy several times, each of them is changed.
With --server or --kubeconfig, and not by their variables, the weight is set by hand in a rollout
of a server, rather than in a document.";

/// The time of tables of ranges: without a ramp, which has been refused, it makes no difference.
const TIME: Duration = Duration::ZERO;

/// Change weights in a document, moving as few users as possible
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Weights {
    /// The document to change; - reads standard input and writes standard output
    ///
    /// With --server or --kubeconfig, the name of a rollout. Its release has to be in progress, unless its plan says
    /// `mode: judge`: then this says which weight the other controller holds.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A variant and its new weight in percent, as canary=10
    #[arg(required = true, value_name = "VARIANT=WEIGHT", value_parser = WeightArgument::parse)]
    weights: Vec<WeightArgument>,
    #[command(flatten)]
    rollout: RolloutArgument,
    /// Print what would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    address: AddressArguments,
}

/// What was done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WeightsOutput {
    file: String,
    rollout: String,
    /// How many policies in the file were changed alike.
    policies: usize,
    weights: Vec<ChangeOutput>,
    revision: Option<RevisionOutput>,
    /// Parts per million of all users that move, and that have to.
    moved_ppm: u32,
    least_ppm: u32,
    written: bool,
}

#[derive(Serialize)]
struct ChangeOutput {
    variant: String,
    /// In percent, as decimal texts.
    from: String,
    to: String,
}

#[derive(Clone, Copy, Serialize)]
struct RevisionOutput {
    from: u64,
    to: u64,
}

// === impl Weights ===

impl Weights {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.address.is_given() {
            return self.say();
        }
        let file = PolicyFile::load(&self.file)?;
        let rollout = file.rollout(self.rollout.name.as_deref())?;
        let change = WeightsChange::new(rollout, &self.weights)?;
        let text = rewrite::rewritten(&file, rollout, &change)?;
        let path = self.file.to_string_lossy();
        let changed = rewrite::checked(&file, rollout, &change, SourceText::new(&path, text))?;
        let after = changed.rollout(Some(rollout.name()))?;
        let movement = Movement::between(&rollout.named_ranges(TIME), &after.named_ranges(TIME));
        let revision = file.policy.revision().zip(changed.policy.revision());
        let summary = WeightsOutput {
            file: path.clone().into_owned(),
            rollout: rollout.name().to_owned(),
            policies: file.scan.policies.len(),
            weights: change.changes().map(|(variant, from, to)| ChangeOutput { variant, from, to }).collect(),
            revision: revision.map(|(from, to)| RevisionOutput { from, to }),
            moved_ppm: movement.moved(),
            least_ppm: movement.least(),
            written: !self.dry_run,
        };
        let new = changed.scan.source.text();
        let is_standard = self.file.as_os_str() == "-";
        if !self.dry_run && is_standard {
            output::note(summary.text().trim_end());
            return output::print_plain(new);
        }
        if !self.dry_run {
            save(&self.file, new)?;
        }
        match self.format {
            Format::Json => output::json(&summary),
            Format::Text if self.dry_run => {
                // The lines around a change may hold a secret.
                let diff = diff(&path, &file.scan.source.redacted(), &changed.scan.source.redacted());
                output::print(&format!("{diff}{}", summary.text()))
            }
            Format::Text => output::print(&summary.text()),
        }
    }

    /// Says the weight of the canary to a server: a plan moves no other variant.
    fn say(&self) -> Result<(), Failure> {
        if self.rollout.name.is_some() {
            return Err(Failure::usage(
                "--rollout is for a document",
                "of a server's rollouts, the first word is the one",
            ));
        }
        let [WeightArgument { variant, weight }] = self.weights.as_slice() else {
            return Err(Failure::usage("a plan moves the canary alone", "write one weight, as canary=10"));
        };
        if variant != "canary" {
            return Err(Failure::usage(format!("a plan moves the canary, not {variant}"), "write canary=10"));
        }
        let percent = f64::from(weight.ppm()) / 10_000.0;
        let server = ServerArguments::of(self.address.clone(), self.format);
        say_weight(&server, &self.file.to_string_lossy(), percent, self.dry_run)
    }
}

/// Replaces the file by one rename: a watcher sees the old text or the new one.
fn save(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Save(path.to_owned(), error);
    let target = path.canonicalize().map_err(failed)?;
    let folder = target.parent().unwrap_or(Path::new("."));
    let permissions = std::fs::metadata(&target).map_err(failed)?.permissions();
    let file = tempfile::Builder::new().prefix(".coalmine-").tempfile_in(folder).map_err(failed)?;
    std::fs::write(file.path(), text).map_err(failed)?;
    std::fs::set_permissions(file.path(), permissions).map_err(failed)?;
    file.persist(&target).map(drop).map_err(|error| failed(error.error))
}

/// What changes, as `diff -u` shows it.
fn diff(path: &str, old: &str, new: &str) -> String {
    let lines = similar::TextDiff::from_lines(old, new);
    lines.unified_diff().context_radius(2).header(path, path).to_string()
}

// === impl WeightsOutput ===

impl WeightsOutput {
    fn text(&self) -> String {
        let percent = |ppm: u32| Weight::from_ppm(ppm).unwrap_or(Weight::ALL);
        let sentence = |change: &ChangeOutput| match (change.from.as_str(), change.to.as_str()) {
            (from, to) if from == to => format!("{} stays at {to} %", change.variant),
            (from, to) => format!("{} {from} % -> {to} %", change.variant),
        };
        let changes: Vec<String> = self.weights.iter().map(sentence).collect();
        let mut text = format!("{}: {}: {}", self.file, self.rollout, changes.join(", "));
        if let Some(RevisionOutput { from, to }) = self.revision {
            text.push_str(&format!("; revision {from} -> {to}"));
        }
        if self.policies > 1 {
            text.push_str(&format!("; in {} policies", self.policies));
        }
        let (moved, least) = (percent(self.moved_ppm), percent(self.least_ppm));
        text.push_str(&match self.moved_ppm.cmp(&self.least_ppm).is_gt() {
            true => format!("\n{moved} % of users move; {least} % is the least that these weights allow\n"),
            false => format!("\n{moved} % of users move, the least that these weights allow\n"),
        });
        text
    }
}
