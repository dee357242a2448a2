//! What the importers of rollouts with a plan share: fields of which none is dropped in silence, and the rollout that is
//! made.

mod draft;
mod fields;
mod hosts;
mod reading;
mod time;

pub(super) use draft::{Draft, Stage};
pub(super) use fields::Fate;
pub(super) use hosts::{add_hosts, of_service};
pub(super) use reading::{Reading, field};
pub(super) use time::{go_seconds, written};

/// The steps of a plan that names none, in percent.
pub(super) const USUAL_STEPS: [f64; 4] = [1.0, 5.0, 25.0, 50.0];
