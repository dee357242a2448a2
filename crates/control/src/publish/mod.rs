//! From a composed policy to the proxies.
//!
//! | file | what is in it |
//! |---|---|
//! | `publication` | [`Publication`]: one revision of the policy of a fleet |
//! | [`xds`] | proxies subscribe to it by gRPC |
//! | [`file`](mod@file) | it is written to a file |
//! | [`istio`] | it is written into plugins of Istio |

pub mod file;
pub mod istio;
mod publication;
pub mod xds;

pub use publication::{Falls, Part, Publication};
