//! Requests that the servers of a version answered: since a process began, and between two readings.

use std::collections::BTreeMap;

use super::exposition::Sample;
use super::totals::counted;

/// What was answered since a process began: each series by itself, as a proxy drops one that is not used, and it begins anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AnsweredTotals(BTreeMap<Series, Option<u64>>);

/// What the servers of a version answered between two readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Requests that were sent to them.
    pub sent: u64,
    /// Those that have ended, where guards are counted by this.
    pub all: u64,
    /// Bad ones of them.
    pub bad: u64,
    /// Those whose time was taken.
    pub timed: u64,
    /// Those of them that took no longer than so many milliseconds; without a threshold that no bucket ends at.
    pub within: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    /// The version.
    key: String,
    what: What,
    /// All its labels.
    labels: String,
}

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Requests that were sent.
    Sent,
    /// Answers, or requests that were sent and have ended.
    Answered {
        /// Whether they are bad.
        bad: bool,
        /// Whether nothing else counts what was sent.
        sent: bool,
    },
    /// Those whose time was taken.
    Timed,
    /// Those that took no longer than so many milliseconds.
    Within(u64),
}

// === impl AnsweredTotals ===

impl AnsweredTotals {
    /// Adds a sample; its count is none where it has no value.
    pub(super) fn add(&mut self, key: String, what: What, sample: &Sample<'_>, count: Option<u64>) {
        self.0.insert(Series { key, what, labels: sample.labels() }, count);
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What was answered since totals of the same process were read, or since a new one began, by version.
    pub(super) fn since(&self, before: Option<&Self>) -> BTreeMap<String, Answered> {
        let mut answered: BTreeMap<String, Answered> = BTreeMap::new();
        for (series, now) in &self.0 {
            let before = before.and_then(|before| before.0.get(series));
            let Some(count) = counted(*now, before.copied()) else { continue };
            answered.entry(series.key.clone()).or_default().add(series.what, count);
        }
        answered
    }
}

// === impl Answered ===

impl Answered {
    fn add(&mut self, what: What, count: u64) {
        match what {
            What::Sent => self.sent += count,
            What::Answered { bad, sent } => {
                self.all += count;
                self.bad += if bad { count } else { 0 };
                self.sent += if sent { count } else { 0 };
            }
            What::Timed => self.timed += count,
            What::Within(at) => *self.within.entry(at).or_default() += count,
        }
    }

    /// `[all, bad]`.
    pub(super) fn errors(&self) -> [u64; 2] {
        [self.all, self.bad]
    }

    /// Requests whose time was taken, and those of them that took longer than so many milliseconds; none where that is not
    /// counted.
    pub(super) fn slower_than(&self, at: u64) -> Option<[u64; 2]> {
        match self.within.get(&at) {
            Some(within) => Some([self.timed.max(*within), self.timed.saturating_sub(*within)]),
            // Series are born with the first request.
            None => (self.timed == 0).then_some([0, 0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn totals(series: &[(&'static str, u64)]) -> AnsweredTotals {
        let mut totals = AnsweredTotals::default();
        for (code, count) in series {
            let labels = vec![("response_code", Cow::Borrowed(*code))];
            let sample = Sample::new("istio_requests_total", labels, *count as f64);
            let what = What::Answered { bad: code.starts_with('5'), sent: true };
            totals.add("canary".to_owned(), what, &sample, Some(*count));
        }
        totals
    }

    #[test]
    fn a_series_that_is_dropped_and_comes_back_leaves_the_others_alone() {
        let since = |now: &[(&'static str, u64)], before: &[(&'static str, u64)]| {
            let answered = totals(now).since(Some(&totals(before))).remove("canary").unwrap_or_default();
            (answered.sent, answered.all, answered.bad)
        };
        assert_eq!(since(&[("200", 110)], &[("200", 100), ("503", 40)]), (10, 10, 0));
        assert_eq!(since(&[("200", 120), ("503", 2)], &[("200", 110)]), (12, 12, 2));
        assert_eq!(since(&[("200", 130), ("503", 1)], &[("200", 120), ("503", 40)]), (11, 11, 1));
    }

    #[test]
    fn who_was_slow_is_known_where_a_bucket_ends() {
        let answered = |timed, within: &[(u64, u64)]| Answered {
            timed,
            within: within.iter().copied().collect(),
            ..Answered::default()
        };
        assert_eq!(answered(10, &[(250, 8)]).slower_than(250), Some([10, 2]));
        assert_eq!(answered(10, &[(250, 8)]).slower_than(300), None);
        assert_eq!(answered(0, &[]).slower_than(300), Some([0, 0]));
        // The page was read between two of its lines.
        assert_eq!(answered(7, &[(250, 8)]).slower_than(250), Some([8, 0]));
    }
}
