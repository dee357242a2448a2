//! `coalmine`: see before you act. Built on the same core as the filter, so what it shows is what users get.
//!
//! The library is there for the benchmarks; people use the command. What it does not do: it talks to no cluster and
//! no proxy, and it changes no file but the one that it is told to change.
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

pub use cli::main;
