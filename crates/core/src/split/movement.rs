//! The users who move between two tables of ranges, by the names of the variants: two policies may list their variants
//! in different orders.

use std::collections::BTreeMap;

use super::ranges::stretches;

/// The buckets that move between two tables, and those that have to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Movement {
    /// Buckets by where they come from and where they go; those that stay are left out.
    pub moves: BTreeMap<(String, String), u32>,
    /// By variant: its buckets before and after.
    pub weights: BTreeMap<String, (u32, u32)>,
}

// === impl Movement ===

impl Movement {
    /// The movement from one table to another, each as `(end, variant)` with ends ascending up to [`BUCKETS`].
    ///
    /// [`BUCKETS`]: crate::bucketing::BUCKETS
    pub fn between(old: &[(u32, &str)], new: &[(u32, &str)]) -> Self {
        let mut movement = Self::default();
        for (length, from, to) in stretches(old, new) {
            movement.weights.entry((*from).to_owned()).or_default().0 += length;
            movement.weights.entry((*to).to_owned()).or_default().1 += length;
            if from != to && length > 0 {
                *movement.moves.entry(((*from).to_owned(), (*to).to_owned())).or_default() += length;
            }
        }
        movement
    }

    /// The buckets that move.
    pub fn moved(&self) -> u32 {
        self.moves.values().sum()
    }

    /// The buckets that have to move for the weights to change so: half the sum of the differences.
    pub fn least(&self) -> u32 {
        self.weights.values().map(|&(before, after)| before.saturating_sub(after)).sum()
    }

    /// The buckets that this variant gives away, and those that it has to.
    pub fn leaving(&self, variant: &str) -> (u32, u32) {
        let given =
            self.moves.iter().filter(|((from, _), _)| from == variant).map(|(_, &length)| length).sum();
        let (before, after) = self.weights.get(variant).copied().unwrap_or_default();
        (given, before.saturating_sub(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_compared_by_name() {
        let old = [(100_000, "a"), (800_000, "stable"), (1_000_000, "b")];
        let new = [(150_000, "a"), (800_000, "stable"), (1_000_000, "b")];
        let movement = Movement::between(&old, &new);
        assert_eq!(movement.moves, BTreeMap::from([(("stable".to_owned(), "a".to_owned()), 50_000)]));
        assert_eq!((movement.moved(), movement.least()), (50_000, 50_000));
    }

    #[test]
    fn a_table_that_is_turned_around_moves_more_than_it_must() {
        let old = [(100_000, "a"), (1_000_000, "stable")];
        let new = [(900_000, "stable"), (1_000_000, "a")];
        let movement = Movement::between(&old, &new);
        assert_eq!((movement.moved(), movement.least()), (200_000, 0));
        assert_eq!(movement.leaving("a"), (100_000, 0));
    }
}
