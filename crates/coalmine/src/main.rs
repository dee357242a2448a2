//! `coalmine`: see before you act. Built on the same core as the filter, so what it shows is what users get.
//!
//! What it does not do: it talks to no cluster and no proxy, and it changes no file but the one that it is told to
//! change. What is right and who gets what is the core's to say; here is reading, showing and writing.
//!
//! Exit codes: 0 done; 1 what was asked about has problems; 2 the command was used wrongly, or a file could not be read
//! or written.
#![forbid(unsafe_code)]

mod assign;
mod cli;
mod crowd;
mod diff;
mod edit;
mod explain;
mod failure;
mod finding;
mod found;
mod import;
mod movement;
mod policy_file;
mod render;
mod report;
mod schema;
mod shares;
mod shell;
mod simulate;
mod terminal;
mod text;
mod token;
mod users;
mod validate;
mod weights;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
