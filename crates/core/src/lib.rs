//! Policy in, assignment out: the rules of Coalmine as pure functions.
//!
//! [`policy::Policy`] is a document of canary weights, compiled; [`policy::Policy::decide`] answers the one
//! question *which variant?* for a request. The filter in the proxy, the command's preview and every test call this
//! same function, so what was previewed is what users get.
//!
//! What this crate does not do: it reads no clock, file, socket or environment, keeps nothing between two calls,
//! and knows neither Envoy nor Proxy-Wasm. What it needs of the host comes in through the trait [`Request`].
#![forbid(unsafe_code)]

pub mod decision;
pub mod document;
pub mod draw;
pub mod movement;
pub mod policy;
pub mod ranges;
pub mod request;
pub mod time;
pub mod token;
pub mod weight;

pub use decision::{Decision, Edit, Outcome, OverrideResult, Reason};
pub use request::Request;
