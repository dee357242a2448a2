//! A real Envoy with the shipped configuration, two real upstream servers, and clients that keep their connections.
//!
//! The tests on a real Envoy and the demo are written with this: [`Lab`] starts everything and ends it again,
//! [`Connection`] sends requests, [`load`] sends many, [`Metrics`] and [`access_log`] read what the proxy says about
//! itself, [`Binomial`] says which measured share is still luck.
//!
//! What it does not do: it never answers *which variant?* (that is `coalmine-core`'s one function), and it keeps no
//! Envoy configuration of its own: it runs the files in `envoy/`, with ports and paths replaced, so what is tested is
//! what users get.

pub mod access_log;
mod bootstrap;
pub mod certificates;
mod client;
mod envoy;
pub mod fleet;
pub mod grpc;
pub mod issuer;
mod lab;
pub mod load;
mod metrics;
mod policy_file;
mod port;
mod preview;
mod process;
pub mod raw;
mod relay;
pub mod server;
mod share;
pub mod tools;
mod upstream;
mod version;
pub mod wait;
mod web_socket;

pub use bootstrap::Bootstrap;
pub use client::{Answer, Connection, Protocol, get};
pub use envoy::{Envoy, LOG_LEVEL, Launch, end_with_us};
pub use lab::{Lab, LabBuilder};
pub use metrics::Metrics;
pub use policy_file::PolicyFile;
pub use port::Port;
pub use preview::Preview;
pub use process::Process;
pub use relay::Relay;
pub use server::Server;
pub use share::Binomial;
pub use upstream::{Body, Upstream};
pub use version::Version;
pub use web_socket::WebSocket;

/// Says that a test is left out on this machine, and why. Past the capture of a test's output: who reads that all is
/// well has to read this too.
pub fn left_out(test: &str, why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: {why}");
}
