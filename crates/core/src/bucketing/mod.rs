//! From an identity to a bucket.
//!
//! [`Algorithm::CoalmineV1`] is the algorithm of choice. The others exist to agree with a flag system inside the
//! application, so that a flag there and a route here give one user one answer.

mod coalmine;
mod growthbook;
mod murmur3;
mod siphash;

use coalmine::Salted;
pub use siphash::Key;

/// How many buckets there are: a weight of 100 % is all of them.
pub const BUCKETS: u32 = 1_000_000;

/// Where (salt, identity) falls: `0..BUCKETS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u32);

/// Four more bits of the hash, `0..=15`: to check the split by, never a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(u8);

/// Bucket and group computed for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucketed {
    /// Decides the variant.
    pub bucket: Bucket,
    /// For metrics only.
    pub group: Group,
}

/// How an identity becomes a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// FNV-1a-64 over `salt ":" identity`, finished by MurmurHash3's finalizer.
    #[default]
    CoalmineV1,
    /// SipHash-2-4 over the same, with a secret key: only its holder can compute a bucket.
    Siphash24,
    /// As OpenFeature flagd draws since v0.15: MurmurHash3 over `salt identity`.
    FlagdV2,
    /// As GrowthBook draws in its hash version 2: FNV-1a-32, twice.
    GrowthbookV2,
    /// As Unleash draws: MurmurHash3 over `salt ":" identity`, modulo 100.
    Unleash,
}

/// Bucketer of one rollout: an algorithm that has taken in the salt, so that a request only adds the identity.
#[derive(Clone, Debug)]
pub struct Bucketer {
    kind: Kind,
    salted: Salted,
}

#[derive(Clone, Debug)]
enum Kind {
    CoalmineV1,
    Siphash24 { key: Key, prefix: Box<[u8]> },
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

    /// The upper half of a 64-bit hash, scaled.
    const fn of_hash(m: u64) -> Self {
        Self::scaled((m >> 32) as u32)
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
    /// How many groups there are.
    pub const COUNT: usize = 16;

    const fn of_hash(m: u64) -> Self {
        Self((m % Self::COUNT as u64) as u8)
    }

    /// Its number, `0..=15`.
    pub const fn number(self) -> u8 {
        self.0
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// Every algorithm, by the name that policies give it.
    pub const ALL: [(&'static str, Self); 5] = [
        ("coalmine-v1", Self::CoalmineV1),
        ("siphash-2-4", Self::Siphash24),
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
            Self::CoalmineV1 | Self::Siphash24 | Self::FlagdV2 => 1,
            Self::GrowthbookV2 => BUCKETS / growthbook::STEPS,
            Self::Unleash => BUCKETS / UNLEASH_STEPS,
        }
    }

    /// Whether the salt names a flag of another system, which has rules of its own for names.
    pub const fn is_foreign(self) -> bool {
        !matches!(self, Self::CoalmineV1 | Self::Siphash24)
    }
}

/// Unleash knows whole percents only.
const UNLEASH_STEPS: u32 = 100;

// === impl Bucketer ===

impl Bucketer {
    /// The bucketer of coalmine-v1 under this salt.
    pub fn coalmine_v1(salt: &str) -> Self {
        Self { kind: Kind::CoalmineV1, salted: Salted::new(salt) }
    }

    /// The bucketer of SipHash-2-4 under this salt and key.
    pub fn siphash_2_4(salt: &str, key: Key) -> Self {
        Self { kind: Kind::Siphash24 { key, prefix: prefix(salt) }, salted: Salted::new(salt) }
    }

    /// The bucketer of flagd under this salt, which flagd knows as the flag's key.
    pub fn flagd_v2(salt: &str) -> Self {
        Self { kind: Kind::FlagdV2 { salt: salt.as_bytes().into() }, salted: Salted::new(salt) }
    }

    /// The bucketer of GrowthBook under this salt, which GrowthBook knows as the seed.
    pub fn growthbook_v2(salt: &str) -> Self {
        Self { kind: Kind::GrowthbookV2(growthbook::Seeded::new(salt)), salted: Salted::new(salt) }
    }

    /// The bucketer of Unleash under this salt, which Unleash knows as the group id.
    pub fn unleash(salt: &str) -> Self {
        Self { kind: Kind::Unleash { prefix: prefix(salt) }, salted: Salted::new(salt) }
    }

    /// Bucket and group of this identity. The bytes count as they are: not trimmed, not case-folded.
    ///
    /// An empty identity is not special here; [`crate::policy::Policy::decide`] never hashes one.
    pub fn bucket(&self, identity: &[u8]) -> Bucketed {
        // The group is coalmine-v1's, whatever draws the bucket; a keyed draw must not leave a public trace.
        let (bucket, m) = match &self.kind {
            Kind::CoalmineV1 => {
                let m = self.salted.hash(identity);
                (Bucket::of_hash(m), m)
            }
            Kind::Siphash24 { key, prefix } => {
                let m = key.hash(prefix, identity);
                (Bucket::of_hash(m), m)
            }
            Kind::FlagdV2 { salt } => {
                (Bucket::scaled(murmur3::hash(salt, identity)), self.salted.hash(identity))
            }
            Kind::GrowthbookV2(seeded) => {
                (Bucket::step(seeded.hash(identity), growthbook::STEPS), self.salted.hash(identity))
            }
            Kind::Unleash { prefix } => {
                (Bucket::step(murmur3::hash(prefix, identity), UNLEASH_STEPS), self.salted.hash(identity))
            }
        };
        Bucketed { bucket, group: Group::of_hash(m) }
    }
}

/// What stands before the identity.
fn prefix(salt: &str) -> Box<[u8]> {
    format!("{salt}:").into_bytes().into()
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
