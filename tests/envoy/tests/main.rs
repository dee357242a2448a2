//! What the filter does on a real Envoy. One program, so that it is linked once and its tests run beside one another.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test fails"
)]

mod algorithms;
mod behaviour;
mod blind;
mod evidence;
mod explain;
mod identity;
mod live;
mod ramp;
mod routing;
mod split;
mod tables;
