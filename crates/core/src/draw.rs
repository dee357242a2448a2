//! From an identity to a bucket.
//!
//! coalmine-v1 is FNV-1a-64 over `salt ":" identity`, finished by MurmurHash3's 64-bit finalizer. FNV-1a alone is
//! not fit to draw users: its high bits barely change between `user-000001` and `user-000002`, and its low bits
//! carry the parity of the last byte. With the finalizer every bit depends on every byte.
//!
//! Sources: FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>; fmix64, Austin Appleby's MurmurHash3.

use std::hash::Hasher;

use fnv::FnvHasher;

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

/// The draw of one rollout: an algorithm with its salt already taken in, so that a request only adds the identity.
#[derive(Clone, Debug)]
pub struct Draw {
    salted: Salted,
}

/// FNV-1a-64 that has seen `salt ":"`, kept as its state because [`FnvHasher`] is not `Clone`.
#[derive(Clone, Copy, Debug)]
struct Salted(u64);

// === impl Bucket ===

impl Bucket {
    /// The bucket of this number; `None` from [`BUCKETS`] on.
    pub const fn new(number: u32) -> Option<Self> {
        if number < BUCKETS { Some(Self(number)) } else { None }
    }

    /// The top 32 bits of a hash, scaled to the buckets without a division.
    const fn of_hash(m: u64) -> Self {
        Self((((m >> 32) * BUCKETS as u64) >> 32) as u32)
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

// === impl Draw ===

impl Draw {
    /// The draw of coalmine-v1 under this salt.
    pub fn new(salt: &str) -> Self {
        Self { salted: Salted::new(salt) }
    }

    /// What this identity draws. The bytes count as they are: not trimmed, not case-folded.
    ///
    /// An empty identity is not special here; [`crate::policy::Policy::decide`] never draws for one.
    pub fn lot(&self, identity: &[u8]) -> Lot {
        let m = fmix64(self.salted.fnv1a64(identity));
        Lot { bucket: Bucket::of_hash(m), group: Group::of_hash(m) }
    }
}

// === impl Salted ===

impl Salted {
    fn new(salt: &str) -> Self {
        Self(fnv1a64(fnv1a64(FnvHasher::default().finish(), salt.as_bytes()), b":"))
    }

    fn fnv1a64(self, identity: &[u8]) -> u64 {
        fnv1a64(self.0, identity)
    }
}

/// FNV-1a-64 of `bytes`, going on from `state`. `write` alone: the `Hash` of a slice also takes in its length, as
/// many bytes as the target's `usize` has.
fn fnv1a64(state: u64, bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::with_key(state);
    hasher.write(bytes);
    hasher.finish()
}

/// MurmurHash3's 64-bit finalizer.
const fn fmix64(mut m: u64) -> u64 {
    m ^= m >> 33;
    m = m.wrapping_mul(0xff51_afd7_ed55_8ccd);
    m ^= m >> 33;
    m = m.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    m ^ (m >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_of_the_two_halves() {
        let fnv = |bytes| fnv1a64(FnvHasher::default().finish(), bytes);
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fmix64(1), 0xb456_bcfc_34c2_cb2c);
    }

    #[test]
    fn the_first_and_the_last_hash_fall_into_the_first_and_the_last_bucket() {
        assert_eq!(Bucket::of_hash(0).number(), 0);
        assert_eq!(Bucket::of_hash(u64::MAX).number(), BUCKETS - 1);
        assert_eq!(Bucket::new(BUCKETS), None);
    }
}
