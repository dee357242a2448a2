//! Rollouts: what people write, what is recorded, and the policy that is composed of all of them.
//!
//! | file | what is in it |
//! |---|---|
//! | `name` | [`Name`]: with its namespace |
//! | `spec`, `policy_part` | [`Spec`]: what people write, read with the place of every problem |
//! | `record` | [`Record`]: what the store keeps of a rollout |
//! | `compose` | all rollouts become one policy document |
//! | `place` | what goes into that, and the place of each rollout in it |
//! | `away` | weights that fall by themselves where proxies hear nothing more of the server |
//! | `claims` | which namespace a host belongs to |
//! | `hosts` | which hosts a rollout may match, and what a Service's name stands for |
//! | `held` | what a proxy refused |
//! | `operator` | what the operator says once for all rollouts, and whether a rollout keeps to it |

mod away;
mod claims;
pub mod compose;
mod held;
mod hosts;
mod name;
mod operator;
pub mod place;
mod policy_part;
mod record;
mod spec;

pub use held::Held;
pub use name::{Name, NotAName};
pub use operator::{Operator, counted_by_the_filter};
pub use record::{Logged, Record, ReleaseRecord};
pub(crate) use spec::digest;
pub use spec::{Holder, Spec, WorkloadNames, is_rollout, read_text};

#[cfg(test)]
mod tests;
