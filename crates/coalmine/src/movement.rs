//! Who moves between two tables of ranges, by the names of the variants: two policies may list them differently.

use std::collections::BTreeMap;

use coalmine_core::draw::BUCKETS;
use coalmine_core::policy::Rollout;

/// How many buckets move between two tables, and how many have to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Buckets by where they come from and where they go; those that stay are left out.
    pub(crate) moves: BTreeMap<(String, String), u32>,
    /// By variant: its buckets before and after.
    pub(crate) weights: BTreeMap<String, (u32, u32)>,
}

// === impl Movement ===

impl Movement {
    pub(crate) fn between(old: &Rollout, new: &Rollout) -> Self {
        let (old, new) = (named(old), named(new));
        let mut movement = Self::default();
        let mut start = 0;
        let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
        while let (Some((old_end, from)), Some((new_end, to))) = (olds.peek(), news.peek()) {
            let (old_end, new_end) = (*old_end, *new_end);
            let end = old_end.min(new_end);
            let length = end - start;
            movement.weights.entry((*from).to_owned()).or_default().0 += length;
            movement.weights.entry((*to).to_owned()).or_default().1 += length;
            if from != to && length > 0 {
                *movement.moves.entry(((*from).to_owned(), (*to).to_owned())).or_default() += length;
            }
            start = end;
            olds.next_if(|_| old_end == end);
            news.next_if(|_| new_end == end);
        }
        movement
    }

    /// The buckets that move.
    pub(crate) fn moved(&self) -> u32 {
        self.moves.values().sum()
    }

    /// The buckets that have to move for the weights to change so: half the sum of the differences.
    pub(crate) fn least(&self) -> u32 {
        self.weights.values().map(|&(before, after)| before.saturating_sub(after)).sum()
    }

    /// The buckets that this variant gives away, and those that it has to.
    pub(crate) fn leaving(&self, variant: &str) -> (u32, u32) {
        let given =
            self.moves.iter().filter(|((from, _), _)| from == variant).map(|(_, &length)| length).sum();
        let (before, after) = self.weights.get(variant).copied().unwrap_or_default();
        (given, before.saturating_sub(after))
    }
}

/// A rollout's table with the names of its variants; one range of stable where it is switched off.
fn named(rollout: &Rollout) -> Vec<(u32, &str)> {
    if !rollout.is_enabled() {
        return vec![(BUCKETS, "stable")];
    }
    rollout.ranges().table().iter().map(|&(end, variant)| (end, rollout.variant_name(variant))).collect()
}

#[cfg(test)]
mod tests {
    use coalmine_core::policy::Policy;

    use super::*;

    fn movement(old: &str, new: &str) -> Movement {
        let policy = |variants: &str| {
            let text =
                format!(r#"{{"rollouts": [{{"name": "r", "identity": [{{"cookie": "s"}}], {variants}}}]}}"#);
            Policy::from_json(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
        };
        Movement::between(&policy(old).rollouts()[0], &policy(new).rollouts()[0])
    }

    #[test]
    fn variants_are_compared_by_name() {
        let old = r#""variants": [{"name": "a", "weight": 10}, {"name": "b", "weight": 20}]"#;
        let new = r#""variants": [{"name": "b"}, {"name": "a"}], "ranges": [[150000, "a"], [800000, "stable"], [1000000, "b"]]"#;
        let movement = movement(old, new);
        assert_eq!(movement.moves, BTreeMap::from([(("stable".to_owned(), "a".to_owned()), 50_000)]));
        assert_eq!((movement.moved(), movement.least()), (50_000, 50_000));
    }

    #[test]
    fn a_table_that_is_turned_around_moves_more_than_it_must() {
        let old = r#""variants": [{"name": "a"}], "ranges": [[100000, "a"], [1000000, "stable"]]"#;
        let new = r#""variants": [{"name": "a"}], "ranges": [[900000, "stable"], [1000000, "a"]]"#;
        let movement = movement(old, new);
        assert_eq!((movement.moved(), movement.least()), (200_000, 0));
        assert_eq!(movement.leaving("a"), (100_000, 0));
    }
}
