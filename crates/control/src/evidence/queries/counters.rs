//! Counters from answer to answer.

use std::collections::BTreeMap;

use coalmine_judge::batch::MAX_COUNT;
use coalmine_steer::inputs::QueryCounts;

use crate::evidence::totals::counted;

/// One answer of a query: each counter as it stands.
pub(super) type Answer = BTreeMap<Counter, Standing>;

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Counter {
    /// 0 for stable or the baseline, 1 for the canary.
    pub(super) arm: usize,
    /// What it counts.
    pub(super) what: What,
    /// What tells it from others of the kind, as its labels.
    pub(super) series: String,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// All of it.
    All,
    /// The bad part.
    Bad,
    /// The good part, where that is what is counted.
    Good,
}

/// A counter at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    /// The time, in seconds since 1970.
    pub(super) at: u64,
    /// The count since it began; none where it has no value.
    pub(super) count: Option<u64>,
}

/// What a query said of a rollout so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    /// Each counter as it stood last, also one that an answer was without.
    standings: Answer,
    /// The earliest and the latest time in the answer before; none before the first one.
    last: Option<(u64, u64)>,
}

/// Seconds for which a counter that answers are without is remembered: when it comes back, it has not begun anew.
const REMEMBERED: u64 = 600;

// === impl Counters ===

impl Counters {
    /// Takes an answer, and says what was counted since the one before; none where it is the first one, or no later one.
    ///
    /// A counter that is lower than before began anew, and one that was not there began at 0.
    pub(super) fn take(&mut self, answer: Answer) -> Option<QueryCounts> {
        let times = || answer.values().map(|standing| standing.at);
        let (earliest, latest) = times().min().zip(times().max())?;
        // Of two replicas one may be behind: what it shows has been counted.
        if self.last.is_some_and(|(_, before)| before >= latest) {
            return None;
        }
        let counted = self.last.map(|(from, _)| self.counted(&answer, from, latest));
        self.standings.extend(answer);
        self.standings.retain(|_, standing| standing.at.saturating_add(REMEMBERED) >= latest);
        self.last = Some((earliest, latest));
        counted
    }

    fn counted(&self, answer: &Answer, from: u64, until: u64) -> QueryCounts {
        let (mut all, mut bad, mut good) = ([0; 2], [0; 2], [0; 2]);
        let mut has_good = false;
        for (counter, now) in answer {
            has_good |= counter.what == What::Good;
            let before = self.standings.get(counter).map(|before| before.count);
            let Some(counted) = counted(now.count, before) else { continue };
            let sum = match counter.what {
                What::All => &mut all,
                What::Bad => &mut bad,
                What::Good => &mut good,
            };
            if let Some(sum) = sum.get_mut(counter.arm) {
                *sum += counted;
            }
        }
        // The parts are not read at the very same moment.
        let pair = |all: u64, bad: u64, good: u64| match has_good {
            true => [all.max(good), all.saturating_sub(good)],
            false => [all.max(bad), bad],
        };
        let ([all, canary_all], [bad, canary_bad], [good, canary_good]) = (all, bad, good);
        let (stable, canary) = (pair(all, bad, good), pair(canary_all, canary_bad, canary_good));
        QueryCounts { from, until, stable, canary }
    }
}

// === impl Standing ===

impl Standing {
    /// A value that was read.
    ///
    /// # Errors
    /// It is no count: a sentence.
    pub(super) fn of(at: u64, value: f64) -> Result<Self, String> {
        if value.is_nan() {
            return Ok(Self { at, count: None });
        }
        let is_count = (0.0..=MAX_COUNT as f64).contains(&value);
        // Histograms of some libraries count in fractions by rounding.
        let count = is_count.then_some(value.round() as u64);
        let count = count.ok_or_else(|| format!("{value} is no count, which is a number from 0 to 2^53"))?;
        Ok(Self { at, count: Some(count) })
    }
}
