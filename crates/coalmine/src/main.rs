//! `coalmine`: see before you act. Built on the same core as the filter, so what it shows is what users get.
//!
//! What it does not do: it talks to no proxy (`judge` reads from a Prometheus) and to no cluster but where you give it a kubeconfig, and it changes no file but the one that you name. What is right and who gets what is the core's to say; here is reading, showing and writing.
//!
//! | modules | what is in them |
//! |---|---|
//! | `cli`, `args`, `completions` | the command line, and the arguments that subcommands share |
//! | `validate`, `explain`, `assign`, `simulate`, `diff`, `weights`, `token`, `render`, `import`, `judge`, `power`, `rehearse`, `serve`, `backup`, `schema`, `crd` | one subcommand each |
//! | `remote` | the subcommands that talk to a server |
//! | `uninstall` | takes Coalmine out of a cluster |
//! | `input`, `scan`, `policy_file`, `users` | files, the policies and rollouts in them, and lists of users |
//! | `chart` | charts as SVG |
//! | `diagnostic`, `failure`, `output` | what is wrong, why the command could not go on, and where it writes |
//!
//! Exit codes: 0 done; 1 what was asked about has problems; 2 the command was used wrongly, or a file could not be read
//! or written.
#![forbid(unsafe_code)]

mod args;
mod assign;
mod backup;
mod chart;
mod cli;
mod completions;
mod crd;
mod diagnostic;
mod diff;
mod explain;
mod failure;
mod import;
mod input;
mod judge;
mod output;
mod policy_file;
mod power;
mod rehearse;
mod remote;
mod render;
mod scan;
mod schema;
mod serve;
mod simulate;
mod token;
mod uninstall;
mod users;
mod validate;
mod weights;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
