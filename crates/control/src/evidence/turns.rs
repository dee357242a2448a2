//! Whose turn it is, where there may be no time to ask everybody.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// The time that there is to ask all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// One that is asked later than this has too little time for its silence to say something.
    pub(super) half: Instant,
    end: Instant,
}

/// In which order those are asked that may be asked in vain: first who has waited for longest, and at last who was silent when it
/// was asked, so that it takes no time from the others.
#[derive(Debug)]
pub(super) struct Turns<K> {
    /// Number of the reading.
    reading: u64,
    /// Whether one was silent, and in which reading it was asked last.
    asked: BTreeMap<K, (bool, u64)>,
}

// === impl Time ===

impl Time {
    /// From now on, so long.
    pub(super) fn of(within: Duration) -> Self {
        let begin = Instant::now();
        Self { half: begin + within / 2, end: begin + within }
    }

    /// What one answers that is asked now; none where there was no time to ask it.
    pub(super) async fn ask<T>(
        self,
        answer: impl Future<Output = Result<T, String>>,
    ) -> Option<Result<T, String>> {
        let begin = Instant::now();
        if begin >= self.end {
            return None;
        }
        match timeout_at(self.end, answer).await {
            Ok(answer) => Some(answer),
            Err(_) if begin > self.half => None,
            Err(_) => Some(Err("it does not answer in time".to_owned())),
        }
    }
}

// === impl Turns ===

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { reading: 0, asked: BTreeMap::new() }
    }
}

impl<K: Ord> Turns<K> {
    /// Begins another reading: puts those that are to be asked into their order, and forgets all others.
    pub(super) fn begin<T>(&mut self, wanted: &mut [T], key: impl Fn(&T) -> K) {
        self.reading += 1;
        let mut before = std::mem::take(&mut self.asked);
        for one in &*wanted {
            let key = key(one);
            if let Some(asked) = before.remove(&key) {
                self.asked.insert(key, asked);
            }
        }
        wanted.sort_by_key(|one| self.asked.get(&key(one)).copied().unwrap_or_default());
    }

    /// One was asked, and was silent or was not.
    pub(super) fn asked(&mut self, key: K, is_silent: bool) {
        self.asked.insert(key, (is_silent, self.reading));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_comes_first_and_who_was_silent_comes_last() {
        let mut turns = Turns::default();
        let mut order = |asked: &[(char, bool)]| {
            let mut wanted = ['a', 'b', 'c', 'd'];
            turns.begin(&mut wanted, |one| *one);
            for (one, is_silent) in asked {
                turns.asked(*one, *is_silent);
            }
            String::from_iter(wanted)
        };
        assert_eq!(order(&[('a', true), ('b', false)]), "abcd");
        assert_eq!(order(&[('c', false)]), "cdba");
        assert_eq!(order(&[('d', false), ('b', false)]), "dbca");
        assert_eq!(order(&[]), "cbda");
    }
}
