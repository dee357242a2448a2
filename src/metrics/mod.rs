//! What the host is told in numbers.
//!
//! | file | what is in it |
//! |---|---|
//! | `registry` | the counters of this VM, defined once each, and the gauges |
//! | `requests` | how requests were assigned |
//! | `evidence` | what became of the responses of observed rollouts |
//!
//! Labels are part of the name, in Istio's own encoding: `tag=.=value;.;`.

mod evidence;
mod registry;
mod requests;

pub(crate) use evidence::{Evidence, Response};
pub(crate) use registry::{flush, policy_accepted, policy_rejected};
pub(crate) use requests::Counters;

/// The labels of a rollout's variant, in front of a metric's name.
fn labels(rollout: &str, variant: &str) -> String {
    format!("rollout=.={rollout};.;variant=.={variant};.;")
}
