//! What was counted between two looks, and what makes no sense.

use std::fmt;

/// Number of hash groups that users are divided into.
pub const GROUPS: usize = 16;

/// Largest count that a batch and the sum of all batches may have: above it, `f64` is no longer exact.
pub const MAX_COUNT: u64 = 1 << 53;

/// One value for each arm of the comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arms<T> {
    /// The version that is there already; a `baseline` arm where the rollout has one.
    pub stable: T,
    /// The new version.
    pub canary: T,
}

/// Requests of one arm: all of them, and the bad ones (errors, or slow requests).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Finished requests.
    pub all: u64,
    /// Those of them that count against the version; at most `all`.
    pub bad: u64,
}

/// Counts of one guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tally {
    /// For the arms as a whole: one noisy user cannot be told from a bad version.
    Whole(Arms<Counts>),
    /// By the hash group of the user.
    Groups(Box<[Arms<Counts>; GROUPS]>),
}

/// Counts between two looks, all of them at one weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The canary's share of the users of both arms, in parts per million, where it is known.
    pub weight: Option<u32>,
    /// One tally for each guard, in the order of the configuration.
    pub guards: Vec<Tally>,
    /// Requests assigned and requests that the versions themselves served, where both are known.
    pub served: Option<Served>,
    /// Requests that began and have not finished, where they are known.
    pub open: Option<Arms<Open>>,
}

/// Requests of the canary, seen from two sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests that the draw gave to the canary.
    pub assigned: u64,
    /// Requests that the canary's servers answered.
    pub served: u64,
}

/// Requests of an arm that have been open for long: `max(0, A(t - D) - F(t))`, summed over proxies.
///
/// `A` counts at arrival and `F` at the end, so the difference bounds from below how many requests have been open for
/// longer than `D`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Requests that had begun at `t - D`, since the comparison started.
    pub begun: u64,
    /// At least so many of them had not finished at `t`.
    pub open: u64,
}

/// Why a batch was refused. The judge is then as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The batch does not have one tally for each guard.
    Guards {
        /// Tallies that the batch has.
        found: usize,
        /// Guards that the judge has.
        expected: usize,
    },
    /// The guard is configured with groups and the tally has none, or the other way round.
    Form {
        /// Position of the guard.
        guard: usize,
        /// Whether the guard expects groups.
        groups: bool,
    },
    /// More bad requests than requests.
    BadExceedsAll {
        /// Position of the guard.
        guard: usize,
        /// The counts.
        counts: Counts,
    },
    /// Weight above 100 %.
    Weight(u32),
    /// More requests open than had begun.
    OpenExceedsBegun(Open),
    /// A count, or the sum with what is there, above [`MAX_COUNT`].
    TooLarge(u64),
    /// A counter that is smaller than it was.
    CounterFell {
        /// Earlier value.
        before: u64,
        /// Later value.
        now: u64,
    },
}

// === impl Arms ===

impl<T> Arms<T> {
    /// Both arms made into something else.
    pub fn map<U>(&self, make: impl Fn(&T) -> U) -> Arms<U> {
        Arms { stable: make(&self.stable), canary: make(&self.canary) }
    }

    /// Each arm in the other's place.
    pub fn swapped(self) -> Self {
        Self { stable: self.canary, canary: self.stable }
    }
}

impl Arms<Counts> {
    /// Sum with other counts. It saturates.
    pub fn plus(self, other: Self) -> Self {
        Self { stable: self.stable.plus(other.stable), canary: self.canary.plus(other.canary) }
    }

    /// True if one arm has no requests: such counts say nothing about a difference.
    pub fn lacks_an_arm(&self) -> bool {
        self.stable.all == 0 || self.canary.all == 0
    }
}

// === impl Counts ===

impl Counts {
    /// Counts of `all` requests, `bad` of them bad.
    pub fn new(all: u64, bad: u64) -> Self {
        Self { all, bad }
    }

    /// Difference of two readings of a pair of counters.
    ///
    /// # Errors
    /// A counter that fell was reset; only the reader of the counters can know from which value it started again.
    pub fn since(self, before: Self) -> Result<Self, Refusal> {
        let difference =
            |now: u64, before: u64| now.checked_sub(before).ok_or(Refusal::CounterFell { before, now });
        Ok(Self { all: difference(self.all, before.all)?, bad: difference(self.bad, before.bad)? })
    }

    /// Share of bad requests, from 0 to 1; none without requests.
    pub fn rate(self) -> Option<f64> {
        (self.all > 0).then(|| self.bad as f64 / self.all as f64)
    }

    fn plus(self, other: Self) -> Self {
        Self { all: self.all.saturating_add(other.all), bad: self.bad.saturating_add(other.bad) }
    }
}

// === impl Tally ===

impl Tally {
    /// Counts over all groups.
    pub fn total(&self) -> Arms<Counts> {
        match self {
            Self::Whole(counts) => *counts,
            Self::Groups(groups) => groups.iter().fold(Arms::default(), |sum, group| sum.plus(*group)),
        }
    }

    /// Sum with a tally of the same form; of another form, the sum of both as a whole. It saturates.
    pub fn plus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Groups(mine), Self::Groups(theirs)) => {
                let mut sum = mine.clone();
                sum.iter_mut().zip(theirs.iter()).for_each(|(sum, theirs)| *sum = sum.plus(*theirs));
                Self::Groups(sum)
            }
            _ => Self::Whole(self.total().plus(other.total())),
        }
    }

    /// The same with each pair of counts made into another.
    pub fn map(&self, mut make: impl FnMut(&Arms<Counts>) -> Arms<Counts>) -> Self {
        match self {
            Self::Whole(counts) => Self::Whole(make(counts)),
            Self::Groups(groups) => {
                let mut groups = groups.clone();
                groups.iter_mut().for_each(|counts| *counts = make(counts));
                Self::Groups(groups)
            }
        }
    }

    pub(crate) fn parts(&self) -> &[Arms<Counts>] {
        match self {
            Self::Whole(counts) => std::slice::from_ref(counts),
            Self::Groups(groups) => groups.as_slice(),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Position of the guard that it is about; none where it is about the whole batch.
    pub fn guard(&self) -> Option<usize> {
        match self {
            Self::Form { guard, .. } | Self::BadExceedsAll { guard, .. } => Some(*guard),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guards { found, expected } => {
                write!(f, "the batch has counts for {found} guards; it needs them for {expected}")
            }
            Self::Form { groups: true, .. } => {
                f.write_str("there are no counts by group; the guard is configured with groups")
            }
            Self::Form { groups: false, .. } => {
                f.write_str("there are counts by group; the guard is configured without groups")
            }
            Self::BadExceedsAll { counts: Counts { all, bad }, .. } => {
                write!(f, "there are {bad} bad requests of {all}; at most all of them can be bad")
            }
            Self::Weight(weight) => {
                write!(f, "the weight is {weight} parts per million; at most 1000000 are possible")
            }
            Self::OpenExceedsBegun(Open { begun, open }) => {
                write!(f, "{open} requests are open, but only {begun} had begun; open may be at most begun")
            }
            Self::TooLarge(count) => write!(f, "a count reaches {count}; at most {MAX_COUNT} is exact"),
            Self::CounterFell { before, now } => {
                write!(
                    f,
                    "a counter fell from {before} to {now}; counters only grow, so it must have been reset"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}
