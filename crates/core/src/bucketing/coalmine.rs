//! The hash of coalmine-v1: FNV-1a-64 over `salt ":" identity`, finished by MurmurHash3's 64-bit finalizer.
//!
//! FNV-1a alone is not fit to draw users: its high bits barely change between `user-000001` and `user-000002`, and
//! its low bits carry the parity of the last byte. With the finalizer every bit depends on every byte.
//!
//! Sources: FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>; fmix64, Austin Appleby's MurmurHash3.

use std::hash::Hasher;

use fnv::FnvHasher;

/// FNV-1a-64 that has seen `salt ":"`, kept as its state because [`FnvHasher`] is not `Clone`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Salted(u64);

// === impl Salted ===

impl Salted {
    pub(super) fn new(salt: &str) -> Self {
        Self(fnv1a64(fnv1a64(FnvHasher::default().finish(), salt.as_bytes()), b":"))
    }

    /// The hash of salt and identity.
    #[inline]
    pub(super) fn hash(self, identity: &[u8]) -> u64 {
        fmix64(fnv1a64(self.0, identity))
    }
}

/// FNV-1a-64 of `bytes`, going on from `state`. `write` alone: the `Hash` of a slice also takes in its length, as
/// many bytes as the target's `usize` has.
#[inline]
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
}
