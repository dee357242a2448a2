//! Weights, the ranges of buckets that they become, and the change from one table of ranges to the next.

mod movement;
mod ranges;
mod rebalance;
mod weight;

pub use movement::Movement;
pub use ranges::{Ranges, Variant};
pub use rebalance::{WeightsExceed100, rebalance};
pub use weight::{InvalidWeight, Weight};

/// The most variants besides stable that weights alone can place, one at each end of the buckets. More need a table of
/// ranges.
pub const MAX_WEIGHTED: usize = 2;
