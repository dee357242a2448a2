//! What a rollout's ranges come to.

use coalmine_core::policy::Rollout;
use coalmine_core::weight::Weight;

/// The share of every variant, stable first.
pub(crate) fn shares(rollout: &Rollout) -> Vec<(&str, Weight)> {
    rollout
        .variants()
        .map(|(variant, name)| {
            let mut start = 0;
            let mut ppm = 0;
            for &(end, owner) in rollout.ranges().table() {
                if owner == variant {
                    ppm += end - start;
                }
                start = end;
            }
            (name, Weight::from_ppm(ppm).unwrap_or(Weight::ALL))
        })
        .collect()
}
