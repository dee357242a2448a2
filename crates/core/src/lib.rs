//! Policy in, assignment out: the rules of Coalmine as pure functions.
//!
//! [`policy::Policy`] is a document of canary weights, compiled; [`policy::Policy::decide`] answers the one question
//! *which variant?* for a request. The filter in the proxy, the command's preview and every test call this same
//! function, so the preview is what users get.
//!
//! What this crate does not do: it reads no clock, file, socket or environment, keeps nothing between two calls, and
//! knows neither Envoy nor Proxy-Wasm. What it needs of the host comes in through the trait [`Request`]; the time is an
//! argument.
//!
//! | room | what is in it |
//! |---|---|
//! | [`policy`] | the document, compiled; the decision and its explanation |
//! | [`bucketing`] | from an identity to a bucket |
//! | [`split`] | weights, ranges, and the change from one table of ranges to the next |
//! | [`token`] | override tokens |
#![forbid(unsafe_code)]

pub mod bucketing;
pub mod policy;
pub mod request;
pub mod split;
pub mod time;
pub mod token;

pub use coalmine_document as document;
pub use policy::{Assignment, Edit, Outcome, OverrideResult, Reason};
pub use request::Request;
