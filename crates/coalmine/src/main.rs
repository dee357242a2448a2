//! `coalmine`: see before you act. Built on the same core as the filter, so what it shows is what users get.
//!
//! Exit codes: 0 done, 1 the policy has problems, 2 the command was used wrongly or a file could not be read.

mod assign;
mod failure;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Blind, sticky canaries: see who gets the canary before it is live.
#[derive(Parser)]
#[command(name = "coalmine", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the variant of every user in a list
    Assign(assign::Assign),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Assign(assign) => assign.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("coalmine: {failure}");
            failure.exit_code()
        }
    }
}
