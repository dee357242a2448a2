//! The table that says which buckets belong to which variant.

use super::weight::Weight;
use crate::bucketing::{BUCKETS, Bucket};

/// A variant of a rollout, by its place: stable, or one of those that the policy lists, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant(u16);

/// Which buckets belong to which variant: ends, strictly ascending, the last one [`BUCKETS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, Variant)>);

// === impl Variant ===

impl Variant {
    /// The version that all users have before a rollout; never listed in a policy.
    pub const STABLE: Self = Self(0);

    /// The variant that a policy lists at this place, counted from 0.
    pub const fn listed(place: u16) -> Self {
        Self(place + 1)
    }

    /// 0 for stable, then the listed ones from 1: the place in a rollout's table of names.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

// === impl Ranges ===

impl Ranges {
    /// The table of one or two weights: `low` grows from bucket 0 up, `high` from the last bucket down, stable is
    /// between them. So raising a weight takes users from stable only, lowering it gives back the newest, and the
    /// two never touch before stable is gone.
    ///
    /// The weights must not exceed 100 % together; `high` gives way where they do.
    pub fn two_ended(low: Option<(Variant, Weight)>, high: Option<(Variant, Weight)>) -> Self {
        let low_end = low.map_or(0, |(_, weight)| weight.ppm());
        let high_start = BUCKETS - high.map_or(0, |(_, weight)| weight.ppm());
        let mut table = Vec::with_capacity(3);
        if let Some((variant, _)) = low {
            push(&mut table, low_end, variant);
        }
        push(&mut table, high_start, Variant::STABLE);
        if let Some((variant, _)) = high {
            push(&mut table, BUCKETS, variant);
        }
        Self(table)
    }

    /// A table as it stands: the caller has seen to it that ends ascend and the last is [`BUCKETS`].
    pub(crate) fn from_table(table: Vec<(u32, Variant)>) -> Self {
        Self(table)
    }

    /// The variant that this bucket belongs to: of the first range whose end lies above it.
    pub fn variant(&self, bucket: Bucket) -> Variant {
        let at = self.0.partition_point(|&(end, _)| end <= bucket.number());
        self.0.get(at).map_or(Variant::STABLE, |&(_, variant)| variant)
    }

    /// The share of users that this variant has.
    pub fn share(&self, variant: Variant) -> Weight {
        let buckets = self.lengths().filter(|&(_, owner)| owner == variant).map(|(length, _)| length).sum();
        Weight::from_ppm(buckets).unwrap_or(Weight::ALL)
    }

    /// The ranges by their lengths.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (u32, Variant)> {
        let mut start = 0;
        self.0.iter().map(move |&(end, variant)| (end - std::mem::replace(&mut start, end), variant))
    }

    /// How many buckets belong to another variant in `other`: users who move, in parts per million.
    pub fn moved(&self, other: &Self) -> u32 {
        let moving = stretches(&self.0, &other.0).filter(|(_, ours, theirs)| ours != theirs);
        moving.map(|(length, ..)| length).sum()
    }

    /// The table itself: `(end, variant)`, ends ascending.
    pub fn table(&self) -> &[(u32, Variant)] {
        &self.0
    }
}

/// The stretches of buckets in which two tables stay as they are: the length, and what each of the two has there.
pub(super) fn stretches<'t, V>(
    ours: &'t [(u32, V)],
    theirs: &'t [(u32, V)],
) -> impl Iterator<Item = (u32, &'t V, &'t V)> {
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    let mut start = 0;
    std::iter::from_fn(move || {
        let (our_end, our) = *ours.peek()?;
        let (their_end, their) = *theirs.peek()?;
        let end = *our_end.min(their_end);
        let length = end - std::mem::replace(&mut start, end);
        ours.next_if(|(our_end, _)| *our_end == end);
        theirs.next_if(|(their_end, _)| *their_end == end);
        Some((length, our, their))
    })
}

/// Adds the range up to `end`, unless it would be empty.
fn push(table: &mut Vec<(u32, Variant)>, end: u32, variant: Variant) {
    if end > table.last().map_or(0, |&(last, _)| last) {
        table.push((end, variant));
    }
}
