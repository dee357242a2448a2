//! `coalmine simulate`: whether a rollout splits users as its weights say.

mod correlation;
mod picture;
mod split;
mod statistics;
mod svg;

use std::path::PathBuf;

use clap::Args;
use coalmine_core::policy::Rollout;
use serde::Serialize;

use crate::args::{AtArgument, Format, PolicyArgument, RolloutArgument};
use crate::failure::Failure;
use crate::output;
use crate::policy_file::PolicyFile;
use crate::users::UsersArguments;
use correlation::{Correlation, Pairs};
use split::{Split, SplitOutput};

const AFTER: &str = "\
Examples:
  coalmine simulate policy.yaml --count 100000
  coalmine simulate policy.yaml --users users.txt --svg split.svg
  coalmine simulate policy.yaml --users users.txt --rollout checkout --format json

A user counts as often as the list has them: sort -u it first.
A chi-square with a small p means that such a split is rare by chance: with 1 in 100 policies p is below 0.01.";

/// Assign many users and compare the split with the weights
///
/// Shares with exact (Clopper-Pearson) 95 % intervals; a chi-square of the shares against the weights, and one of the
/// buckets against each other; with several rollouts, the correlation of their buckets.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Simulate {
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    rollout: RolloutArgument,
    #[command(flatten)]
    at: AtArgument,
    #[command(flatten)]
    users: UsersArguments,
    /// Also write a picture to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What came out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SimulateOutput {
    users: u64,
    rollouts: Vec<SplitOutput>,
    /// Between every two rollouts.
    correlations: Vec<Correlation>,
}

// === impl Simulate ===

impl Simulate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let file = PolicyFile::load_with_secrets(&self.policy.path)?;
        let at = self.at.time();
        let rollouts: Vec<&Rollout> = match &self.rollout.name {
            Some(name) => vec![file.rollout(Some(name))?],
            None if file.policy.rollouts().is_empty() => vec![file.rollout(None)?],
            None => file.policy.rollouts().iter().collect(),
        };
        let mut splits: Vec<Split<'_>> = rollouts.iter().map(|rollout| Split::new(rollout, at)).collect();
        let mut pairs = Pairs::new(&rollouts);
        let users = self.users.each(|user| {
            for (index, split) in splits.iter_mut().enumerate() {
                pairs.note(index, split.add(user));
            }
            pairs.next();
            Ok(())
        })?;
        if users == 0 {
            return Err(Failure::usage("there are no users to assign", "give some with --users or --count"));
        }
        let summary = SimulateOutput {
            users,
            rollouts: splits.iter().map(Split::summary).collect(),
            correlations: pairs.correlations(),
        };
        output::picture(self.svg.as_deref(), || svg::drawing(&summary.rollouts, users))?;
        match self.format {
            Format::Text => output::print(&picture::text(&summary.rollouts, &summary.correlations, users)),
            Format::Json => output::json(&summary),
        }
    }
}
