//! The command as its user sees it: what it prints, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod advice;
mod assign;
mod cli_conventions;
mod cluster;
mod common_mistakes;
mod disabled;
mod harness;
mod import;
mod import_plans;
mod import_suite;
mod judge;
mod manual;
mod marks;
mod mended;
mod other_readers;
mod preview;
mod problems;
mod rehearse;
mod render;
mod resources;
mod rollouts;
mod routes;
mod secrets;
mod server;
mod server_secrets;
mod server_watched;
mod weights;
