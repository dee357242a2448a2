//! Evidence in, assessment out: is the canary worse than stable, good enough, or not yet decided?
//!
//! [`Judge::observe`] takes in one [`Batch`] of counts; [`Judge::assess`] says what is proved so far. It may be asked
//! after every batch: the tests are *anytime-valid* (e-processes), so looking often does not make false alarms more
//! likely. Ville's inequality is the reason: a process that starts at 1 and does not grow on average while the null
//! hypothesis holds reaches 1/alpha with a chance of at most alpha, however often one looks (Ramdas, Grünwald, Vovk and
//! Shafer, *Game-theoretic statistics and safe anytime-valid inference*, Statistical Science 2023).
//!
//! What this crate does not do: it makes no verdict of several guards (`advance`, `hold`, `rollback` and `promote` are
//! words of a plan), reads no clock, file or socket, and uses the standard library only. Counters become differences
//! outside; [`Counts::since`] refuses a counter that fell.
//!
//! | room | what is in it |
//! |---|---|
//! | [`batch`] | what was counted between two looks; what is refused |
//! | [`config`] | guards and their margins |
//! | [`harm`], [`safety`] | processes for small shares, as errors; leaving out the worst groups |
//! | [`latency`] | the exact process, for large shares, as slow requests |
//! | [`interval`] | intervals that may be looked at as often as one likes |
//! | [`trust`] | whether the counts can be believed |
//! | [`assessment`] | the answer |
//! | `simulate` | simulated rollouts; behind the feature of this name |
//! | [`numeric`] | functions that the standard library lacks |
#![forbid(unsafe_code)]

pub mod assessment;
pub mod batch;
pub mod config;
mod guard;
pub mod harm;
pub mod interval;
mod judge;
pub mod latency;
pub mod numeric;
pub mod safety;
#[cfg(feature = "simulate")]
pub mod simulate;
mod state;
pub mod trust;

pub use assessment::{Assessment, Finding, GuardAssessment};
pub use batch::{Arms, Batch, Counts, GROUPS, Refusal, Tally};
pub use config::{Config, GuardConfig, Margin, Process};
pub use judge::Judge;
pub use state::{StateProblem, VERSION};
