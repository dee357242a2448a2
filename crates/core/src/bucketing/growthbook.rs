//! GrowthBook's hash, version 2: FNV-1a-32 of the decimal text of FNV-1a-32 of `seed value`, modulo 10,000.
//!
//! GrowthBook's JavaScript hashes UTF-16 code units, which differ from bytes outside ASCII; so text is hashed that
//! way here. What is not UTF-8 is no text, and is hashed by its bytes.
//!
//! Source: GrowthBook's SDK documentation, "Build your own SDK", hashing.

/// How many steps the hash tells apart: 0.01 % each.
pub(super) const STEPS: u32 = 10_000;

const OFFSET_BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// The hash that has seen the seed, both ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeded {
    text: u32,
    bytes: u32,
}

// === impl Seeded ===

impl Seeded {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            text: fnv1a32(OFFSET_BASIS, seed.encode_utf16()),
            bytes: fnv1a32(OFFSET_BASIS, units(seed.as_bytes())),
        }
    }

    pub(super) fn hash(self, value: &[u8]) -> u32 {
        let first = match std::str::from_utf8(value) {
            Ok(text) => fnv1a32(self.text, text.encode_utf16()),
            Err(_) => fnv1a32(self.bytes, units(value)),
        };
        fnv1a32(OFFSET_BASIS, units(first.to_string().as_bytes()))
    }
}

fn units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.iter().map(|&byte| byte.into())
}

fn fnv1a32(state: u32, units: impl Iterator<Item = u16>) -> u32 {
    units.fold(state, |hash, unit| (hash ^ u32::from(unit)).wrapping_mul(PRIME))
}
