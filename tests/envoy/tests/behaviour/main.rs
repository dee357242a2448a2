//! What the filter does with hostile input, bad policies and its own crash; what it counts and logs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test fails"
)]

mod access_log;
mod bad_policy;
mod crash;
mod forged;
mod hostile;
mod metrics;
mod shipped;
