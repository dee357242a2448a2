//! From an identity to a bucket.
//!
//! [`Algorithm::CoalmineV1`] is the draw of choice. The others exist to agree with a flag system inside the
//! application, so that a flag there and a route here give one user one answer.

mod coalmine;
mod growthbook;
mod murmur3;

use coalmine::Salted;

/// How many buckets there are: a weight of 100 % is all of them.
pub const BUCKETS: u32 = 1_000_000;

/// Where (salt, identity) falls: `0..BUCKETS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u32);

/// Four more bits of the hash, `0..=15`: to check the split by, never a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(u8);

/// What an identity drew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Decides the variant.
    pub bucket: Bucket,
    /// For metrics only.
    pub group: Group,
}

/// How an identity becomes a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// FNV-1a-64 over `salt ":" identity`, finished by MurmurHash3's finalizer.
    CoalmineV1,
    /// As OpenFeature flagd draws since v0.15: MurmurHash3 over `salt identity`.
    FlagdV2,
    /// As GrowthBook draws in its hash version 2: FNV-1a-32, twice.
    GrowthbookV2,
    /// As Unleash draws: MurmurHash3 over `salt ":" identity`, modulo 100.
    Unleash,
}

/// The draw of one rollout: an algorithm with its salt taken in, so that a request only adds the identity.
#[derive(Clone, Debug)]
pub struct Draw {
    kind: Kind,
    /// The group is coalmine-v1's, whatever draws the bucket.
    salted: Salted,
}

#[derive(Clone, Debug)]
enum Kind {
    CoalmineV1,
    FlagdV2 { salt: Box<[u8]> },
    GrowthbookV2(growthbook::Seeded),
    Unleash { prefix: Box<[u8]> },
}

// === impl Bucket ===

impl Bucket {
    /// The bucket of this number; `None` from [`BUCKETS`] on.
    pub const fn new(number: u32) -> Option<Self> {
        if number < BUCKETS { Some(Self(number)) } else { None }
    }

    /// A 32-bit hash, scaled to the buckets without a division.
    const fn scaled(hash: u32) -> Self {
        Self(((hash as u64 * BUCKETS as u64) >> 32) as u32)
    }

    /// One of `steps` equal steps, by a hash modulo their number.
    const fn step(hash: u32, steps: u32) -> Self {
        Self(hash % steps * (BUCKETS / steps))
    }

    /// Its number, `0..BUCKETS`.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Group ===

impl Group {
    const fn of_hash(m: u64) -> Self {
        Self((m & 15) as u8)
    }

    /// Its number, `0..=15`.
    pub const fn number(self) -> u8 {
        self.0
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// Every algorithm, by the name that policies give it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("coalmine-v1", Self::CoalmineV1),
        ("flagd-v2", Self::FlagdV2),
        ("growthbook-v2", Self::GrowthbookV2),
        ("unleash", Self::Unleash),
    ];

    /// How policies name it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| name)
    }

    /// The least change of a weight that it can tell, in buckets.
    pub const fn step(self) -> u32 {
        match self {
            Self::CoalmineV1 | Self::FlagdV2 => 1,
            Self::GrowthbookV2 => BUCKETS / growthbook::STEPS,
            Self::Unleash => BUCKETS / UNLEASH_STEPS,
        }
    }

    /// Whether the salt names a flag of another system, which may call it what it likes.
    pub(crate) const fn is_foreign(self) -> bool {
        !matches!(self, Self::CoalmineV1)
    }
}

/// Unleash knows whole percents only.
const UNLEASH_STEPS: u32 = 100;

// === impl Draw ===

impl Draw {
    /// The draw of this algorithm under this salt.
    pub fn new(algorithm: Algorithm, salt: &str) -> Self {
        let kind = match algorithm {
            Algorithm::CoalmineV1 => Kind::CoalmineV1,
            Algorithm::FlagdV2 => Kind::FlagdV2 { salt: salt.as_bytes().into() },
            Algorithm::GrowthbookV2 => Kind::GrowthbookV2(growthbook::Seeded::new(salt)),
            Algorithm::Unleash => Kind::Unleash { prefix: format!("{salt}:").into_bytes().into() },
        };
        Self { kind, salted: Salted::new(salt) }
    }

    /// What this identity draws. The bytes count as they are: not trimmed, not case-folded.
    ///
    /// An empty identity is not special here; [`crate::policy::Policy::decide`] never draws for one.
    pub fn lot(&self, identity: &[u8]) -> Lot {
        let m = self.salted.hash(identity);
        let bucket = match &self.kind {
            Kind::CoalmineV1 => Bucket::scaled((m >> 32) as u32),
            Kind::FlagdV2 { salt } => Bucket::scaled(murmur3::hash(salt, identity)),
            Kind::GrowthbookV2(seeded) => Bucket::step(seeded.hash(identity), growthbook::STEPS),
            Kind::Unleash { prefix } => Bucket::step(murmur3::hash(prefix, identity), UNLEASH_STEPS),
        };
        Lot { bucket, group: Group::of_hash(m) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_hash_fall_into_the_first_and_the_last_bucket() {
        assert_eq!(Bucket::scaled(0).number(), 0);
        assert_eq!(Bucket::scaled(u32::MAX).number(), BUCKETS - 1);
        assert_eq!(Bucket::step(99, 100).number(), 990_000);
        assert_eq!(Bucket::new(BUCKETS), None);
    }
}
