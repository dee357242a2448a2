//! The policy: all rollouts, compiled from a document once, so that a request only reads.
//!
//! | file | what is in it |
//! |---|---|
//! | `compile` | [`Policy`]: from a document to all rollouts |
//! | `rollout` | [`Rollout`]: one of them, read field by field |
//! | `match_rules`, `host_index` | which requests a rollout speaks of, and which rollouts a host may concern |
//! | `identity`, `issued_cookie` | where an identity comes from, and the cookie for a user without one |
//! | `variants`, `weights`, `ramp` | who gets what |
//! | `pins`, `overrides`, `secrets` | variants that are fixed or forced, and the secrets that sign tokens |
//! | `route`, `managed_headers`, `response` | how the answer reaches the router, and what is removed |
//! | `conflicts`, `uses`, `unreachable` | rules that several rollouts can break together |
//! | `names` | the table of names: their lengths and characters |
//! | `cached_request`, `extract` | a request while it is decided, and the parts of it that can name a user |
//! | `assignment`, `decide`, `observer`, `explain` | *which variant?*: the answer, the rule, and the rule observed |
//! | `observe` | what the filter tells about requests besides their assignment |
//! | `notes` | what is told across an internal redirect, after which a request begins again |

mod assignment;
mod cached_request;
mod compile;
mod conflicts;
mod decide;
mod explain;
mod extract;
mod host_index;
mod identity;
mod issued_cookie;
mod managed_headers;
mod match_rules;
mod names;
mod notes;
mod observe;
mod observer;
mod overrides;
mod pins;
mod ramp;
mod response;
mod rollout;
mod route;
mod secrets;
mod unreachable;
mod uses;
mod variants;
mod weights;

pub use assignment::{Assignment, Edit, Outcome, Reason};
pub use compile::{Compiled, Policy};
pub use conflicts::{Conflict, Rule, conflicts};
pub use explain::{Candidate, CandidateAnswer, Explained, SourceLookup};
pub use identity::IdentitySource;
pub use match_rules::Refusal;
pub use observe::{Observe, Threshold};
pub use observer::Observer;
pub use overrides::OverrideResult;
pub use rollout::Rollout;
pub use route::{BucketScale, CanaryPlace, Route, RouteValue};
pub use secrets::Environment;
