//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    assign, diff, explain, import, render, schema, shell, simulate, terminal, token, validate, weights,
};

const AFTER: &str = "\
Exit codes: 0 done; 1 what was asked about has problems; 2 the command was used wrongly, or a file could not be read \
or written.
Colours are for terminals only, and never where NO_COLOR is set.";

/// Blind, sticky canaries: see who gets the canary before it is live.
#[derive(Parser)]
#[command(name = "coalmine", version, arg_required_else_help = true, max_term_width = 110, after_long_help = AFTER)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Validate(validate::Validate),
    Explain(explain::Explain),
    Assign(assign::Assign),
    Simulate(simulate::Simulate),
    Diff(diff::Diff),
    Weights(weights::Weights),
    Token(token::Token),
    Render(render::Render),
    Import(import::Import),
    Schema(schema::Schema),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// The policy of a command that works on one.
#[derive(Args)]
pub(crate) struct PolicyArgument {
    /// The policy, as JSON or YAML, or what holds it; - for standard input
    ///
    /// On its own, or inside a WasmPlugin, a TrafficExtension, a ConfigMap or a configuration of Envoy.
    #[arg(value_name = "POLICY")]
    pub(crate) path: PathBuf,
}

/// The rollout of a command that works on one.
#[derive(Args)]
pub(crate) struct RolloutArgument {
    /// The rollout; needed where the policy has several
    #[arg(long = "rollout", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// The time of a command whose answer a ramp changes.
#[derive(Args)]
pub(crate) struct AtArgument {
    /// The time that ramps have come to, as 2026-11-21T09:00:00Z; now, unless given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Duration>,
}

/// For people, or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON value, described in docs/command.md
    Json,
}

fn parse_time(text: &str) -> Result<Duration, &'static str> {
    coalmine_core::time::parse_rfc3339(text)
        .ok_or("RFC 3339 with an offset is expected, as 2026-11-21T09:00:00Z")
}

// === impl AtArgument ===

impl AtArgument {
    /// That time, since 1970.
    pub(crate) fn time(&self) -> Duration {
        self.at.unwrap_or_else(now)
    }
}

/// The time, since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Runs the command on the arguments of this process.
pub(crate) fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Validate(validate) => validate.run(),
        Command::Explain(explain) => explain.run(),
        Command::Assign(assign) => assign.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Diff(diff) => diff.run(),
        Command::Weights(weights) => weights.run(),
        Command::Token(token) => token.run(),
        Command::Render(render) => render.run(),
        Command::Import(import) => import.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let message = failure.to_string();
            if !message.is_empty() {
                terminal::note(&format!("coalmine: {message}"));
            }
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
