//! Nobody sees, chooses, forges or predicts a variant: attacks on the shipped configuration.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test fails"
)]

mod choose;
mod choose_http2;
mod overrides;
mod predict;
mod secrets;
mod tells;
mod tokens;
mod wire;
