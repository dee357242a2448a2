//! Rules that compare a rate with a threshold, as their documentation has them.

use coalmine_judge::Counts;

/// Flagger's analysis as in its documentation (docs.flagger.app, *Metrics Analysis* and *How it works*): `interval: 1m`,
/// `threshold: 5` failed checks, `request-success-rate` of at least 99 %. The count of failed checks does not go down
/// again. Without requests there is no value, and no failure.
///
/// `request-duration` is the same rule about another count: the 99th percentile of a minute is above 500 ms when more than
/// one request in a hundred is slower than 500 ms.
#[derive(Default)]
pub(crate) struct Flagger {
    strikes: u32,
}

/// Argo Rollouts' analysis as in its documentation (*Analysis & Progressive Delivery*): `interval: 5m`,
/// `successCondition: result[0] >= 0.95`, `failureLimit: 3`, which is how many measurements may fail: the fourth one fails
/// the analysis.
#[derive(Default)]
pub(crate) struct Argo {
    all: u64,
    bad: u64,
    minutes: u32,
    failures: u32,
}

// === impl Flagger ===

impl Flagger {
    /// True once it rolls back. Called once a minute with the canary's counts, of errors or of slow requests.
    pub(crate) fn minute(&mut self, canary: Counts) -> bool {
        if 100 * canary.bad > canary.all {
            self.strikes += 1;
        }
        self.strikes >= 5
    }
}

// === impl Argo ===

impl Argo {
    /// True once it aborts. Called once a minute with the canary's counts.
    pub(crate) fn minute(&mut self, canary: Counts) -> bool {
        self.all += canary.all;
        self.bad += canary.bad;
        self.minutes += 1;
        if self.minutes.is_multiple_of(5) {
            if 20 * self.bad > self.all {
                self.failures += 1;
            }
            (self.all, self.bad) = (0, 0);
        }
        self.failures > 3
    }
}
