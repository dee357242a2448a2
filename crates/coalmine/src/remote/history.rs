//! `coalmine history`: what happened to a rollout.

use clap::Args;
use coalmine_control::api::shapes::Line;
use coalmine_control::rollout::Name;

use super::{ServerArguments, parse_name, percent};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, visible};

/// Print what happened to a rollout, the newest first
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine history shop/checkout --limit 20")]
pub(crate) struct History {
    /// The rollout
    #[arg(value_parser = parse_name)]
    name: Name,
    /// So many lines at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    server: ServerArguments,
}

// === impl History ===

impl History {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let path = format!("/v1/rollouts/{}/history?limit={}", self.name, self.limit);
        let lines: Vec<Line> = self.server.client()?.get(&path)?;
        match self.server.format {
            Format::Json => output::json(&lines),
            Format::Text => output::print(&lines.iter().map(text).collect::<String>()),
        }
    }
}

fn text(line: &Line) -> String {
    let by = line.by.as_deref().map(|by| format!("  [{}]", visible(by))).unwrap_or_default();
    let (at, weight, what) = (line.at, percent(line.weight), line.what);
    format!("{at}  {weight:>8}  {what:<13}  {}{by}\n", visible(&line.why))
}
