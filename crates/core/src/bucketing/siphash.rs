//! SipHash-2-4 with a secret key: without the key, a bucket cannot be computed ahead.
//!
//! Source: Jean-Philippe Aumasson and Daniel J. Bernstein, "SipHash: a fast short-input PRF", 2012.

/// The secret key of a keyed draw. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 16]);

/// The internal state.
struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

// === impl Key ===

impl Key {
    /// The key of these 32 hexadecimal digits, in either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Option<Vec<u8>> = text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
        let bytes: Vec<u8> =
            digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect();
        if text.len() != 32 {
            return None;
        }
        bytes.try_into().ok().map(Self)
    }

    /// The hash of `head` followed by `tail`.
    pub(super) fn hash(&self, head: &[u8], tail: &[u8]) -> u64 {
        let [k0, k1] = [&self.0[..8], &self.0[8..]].map(little_endian);
        let mut state = State {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        };
        let mut block = 0_u64;
        let mut length = 0_u64;
        for &byte in head.iter().chain(tail) {
            block |= u64::from(byte) << (8 * (length % 8));
            length = length.wrapping_add(1);
            if length.is_multiple_of(8) {
                state.absorb(block);
                block = 0;
            }
        }
        state.absorb(block | length << 56);
        state.v2 ^= 0xff;
        (0..4).for_each(|_| state.round());
        state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }
}

/// Says that there is a key, not which.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

// === impl State ===

impl State {
    fn absorb(&mut self, block: u64) {
        self.v3 ^= block;
        self.round();
        self.round();
        self.v0 ^= block;
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test value of the paper's appendix A: key 00 to 0f, message 00 to 0e.
    #[test]
    fn the_value_of_the_paper() {
        let key = Key::from_hex("000102030405060708090A0b0c0d0e0f").unwrap();
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(b"", &message), 0xa129_ca61_49be_45e5);
        assert_eq!(key.hash(&message[..5], &message[5..]), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_key_is_32_digits_and_stays_secret() {
        for text in [
            "",
            "00",
            "0001020304050607080900b0c0d0e0f0f",
            "g0010203040506070809000b0c0d0e0f",
            &"é".repeat(16),
        ] {
            assert_eq!(Key::from_hex(text), None, "{text}");
        }
        assert_eq!(format!("{:?}", Key::from_hex(&"0".repeat(32))), "Some(Key(..))");
    }
}
