//! Scenarios by their names: what a rollout does when something changes, and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod end_of_release;
mod judge_mode;
mod notices;
mod queries;
mod situations;
mod standing;
mod step_up;
mod underneath;
