//! Counts of the operator's queries: they are of no proxy, so they say something about a weight only where all proxies have it.

use coalmine_judge::{Arms, Counts, Tally};

use crate::at::At;
use crate::inputs::QueryCounts;
use crate::plan::Guard;

/// What a query has for this tick.
pub(crate) enum Answer {
    /// Counts of this weight.
    Counted(Tally),
    /// Nothing about this weight yet, as during the warm-up.
    NotYet,
    /// Nothing, and that holds: a sentence.
    Missing(String),
}

// === impl At ===

impl At<'_> {
    pub(crate) fn answer(&self, guard: &Guard, query: &str) -> Answer {
        let missing = |why: &str| Answer::Missing(format!("{}: {why}", guard.name));
        let Some(queried) = self.inputs.queried.get(query) else {
            return missing("the query has not been asked yet");
        };
        if let Some(away) = &queried.away {
            return missing(&format!("no counts: {away}"));
        }
        let Some(counted) = queried.counted else { return missing("nothing new is counted") };
        let mut is_warm = true;
        for proxy in self.inputs.proxies.iter().filter(|proxy| !proxy.is_gone(self.inputs.now)) {
            if !self.runs_latest(proxy) || proxy.disabled {
                return missing("it counts all proxies, and not all of them run the latest form");
            }
            is_warm &= self.is_warm(proxy, counted.from, counted.until);
        }
        if is_warm { Answer::Counted(tally(counted)) } else { Answer::NotYet }
    }
}

fn tally(counted: QueryCounts) -> Tally {
    let [stable, canary] = [counted.stable, counted.canary].map(|[all, bad]| Counts::new(all, bad));
    Tally::Whole(Arms { stable, canary })
}
