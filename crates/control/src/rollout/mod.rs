//! Rollouts: what people write, what is recorded, and the policy that is composed of all of them.
//!
//! | file | what is in it |
//! |---|---|
//! | `name` | [`Name`]: with its namespace |
//! | `spec`, `policy_part` | [`Spec`]: what people write, read with the place of every problem |
//! | `record` | [`Record`]: what the store keeps of a rollout |
//! | `compose` | all rollouts become one policy document |
//! | `operator` | what the operator says once for all rollouts |

pub mod compose;
mod name;
mod operator;
mod policy_part;
mod record;
mod spec;

pub use name::{Name, NotAName};
pub use operator::Operator;
pub use record::{Logged, Record, ReleaseRecord};
pub use spec::{Spec, WorkloadNames, is_rollout};
