//! From a composed policy to the proxies.
//!
//! | room | what is in it |
//! |---|---|
//! | `publication` | [`Publication`]: one revision of the policy of a fleet |
//! | [`xds`] | a management server for Envoy |
//! | [`file`] | the document in a file |

pub mod file;
mod publication;
pub mod xds;

pub use publication::{Part, Publication};
