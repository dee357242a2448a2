//! Choices that look random, and are the same for the same seed.
#![allow(clippy::indexing_slicing, reason = "a number below a length is an index")]

/// A source of choices: SplitMix64.
pub struct Random {
    state: u64,
}

// === impl Random ===

impl Random {
    /// The choices of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The choices of this seed for one thing among many: what is chosen for another one does not change them.
    pub fn of(seed: u64, thing: [u64; 2]) -> Self {
        let mut random = Self::new(seed);
        for part in thing {
            random.state = random.next() ^ part;
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True so many times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these; there is at least one.
    pub fn pick<'i, T: ?Sized>(&mut self, items: &[&'i T]) -> &'i T {
        items[self.below(items.len())]
    }

    /// One to `most` of these, each at most once, in any order.
    pub fn some<'i, T: ?Sized>(&mut self, items: &[&'i T], most: usize) -> Vec<&'i T> {
        let count = 1 + self.below(most.min(items.len()));
        let mut left = items.to_vec();
        (0..count).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }

    /// So many hexadecimal digits, in lower case.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }

    /// Puts these into any order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}
