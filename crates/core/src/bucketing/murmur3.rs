//! MurmurHash3_x86_32 with seed 0, as flagd and Unleash use it.
//!
//! Source: Austin Appleby's MurmurHash3 (public domain).

/// The hash of `head` followed by `tail`.
pub(super) fn hash(head: &[u8], tail: &[u8]) -> u32 {
    let mut state = 0_u32;
    let mut block = 0_u32;
    let mut length = 0_u32;
    for &byte in head.iter().chain(tail) {
        block |= u32::from(byte) << (8 * (length % 4));
        length = length.wrapping_add(1);
        if length.is_multiple_of(4) {
            state = (state ^ scrambled(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
            block = 0;
        }
    }
    finished(state ^ scrambled(block) ^ length)
}

/// What a block adds. An empty last block adds 0, as it must.
const fn scrambled(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

/// The 32-bit finalizer.
const fn finished(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the public mmh3 package for Python; the empty text is 0 by construction.
    #[test]
    fn known_values() {
        assert_eq!(hash(b"", b""), 0);
        assert_eq!(hash(b"fractional-flag", b"jack"), 2_682_799_072);
        assert_eq!(
            hash(b"", b"fractional-flagjack"),
            2_682_799_072,
            "where the text is cut makes no difference"
        );
        assert_eq!(hash(b"6LvT0", b""), 0x8000_0000);
    }
}
