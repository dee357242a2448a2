//! From a composed policy to the proxies.
//!
//! | file | what is in it |
//! |---|---|
//! | `publication` | [`Publication`]: one revision of the policy of a fleet |

mod publication;

pub use publication::{Part, Publication};
