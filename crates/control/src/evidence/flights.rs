//! Requests that have been open for long on one proxy: how a hang without a timeout shows, which makes no error and nothing
//! slow as long as it lasts.
//!
//! The filter counts a request when it comes and once more when it ends, so what had come some time ago less what has ended
//! by now bounds from below how many have been open for longer. Counting begins with the first page that shows the rollout's
//! latest form: a request across a change counts nowhere when it ends.

use std::collections::{BTreeMap, VecDeque};

use super::Open;
use super::totals::Flow;

/// After how many seconds a request has been open for long.
const LONG: u64 = 30;

/// The requests of one rollout on one proxy, while the rollout stands as it does.
#[derive(Debug)]
pub(super) struct Flights {
    /// The revision since which it does.
    since: u64,
    /// What had been counted at the first page.
    base: Flow,
    /// How many had come at later times, the oldest first: one that is older than [`LONG`], and those behind it.
    came: VecDeque<(u64, BTreeMap<String, u64>)>,
}

// === impl Flights ===

impl Flights {
    pub(super) fn new(since: u64, base: Flow, now: u64) -> Self {
        Self { since, base, came: VecDeque::from([(now, BTreeMap::new())]) }
    }

    pub(super) fn is_of(&self, since: u64) -> bool {
        self.since == since
    }

    /// Takes a page, and gives what is open of each variant; nothing before the first page is old enough.
    pub(super) fn take(&mut self, flow: &Flow, now: u64) -> BTreeMap<String, Open> {
        let since_base = |variant: &String, of: fn(&(u64, u64)) -> u64| {
            let base = self.base.get(variant).map_or(0, of);
            flow.get(variant).map_or(0, of).saturating_sub(base)
        };
        let came = flow.keys().map(|variant| (variant.clone(), since_base(variant, |it| it.0))).collect();
        self.came.push_back((now, came));
        let is_old =
            |entry: Option<&(u64, BTreeMap<String, u64>)>| entry.is_some_and(|(at, _)| at + LONG <= now);
        while is_old(self.came.get(1)) {
            self.came.pop_front();
        }
        let Some((_, begun)) = self.came.front().filter(|entry| is_old(Some(entry))) else {
            return BTreeMap::new();
        };
        let open = |(variant, begun): (&String, &u64)| {
            let ended = since_base(variant, |it| it.1);
            (variant.clone(), Open { begun: *begun, open: begun.saturating_sub(ended) })
        };
        begun.iter().map(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(came: u64, ended: u64) -> Flow {
        Flow::from([("canary".to_owned(), (came, ended))])
    }

    #[test]
    fn what_had_come_long_ago_and_has_not_ended_is_open() {
        let mut flights = Flights::new(7, flow(1_000, 990), 100);
        assert!(flights.is_of(7) && !flights.is_of(8));
        assert!(flights.take(&flow(1_100, 1_080), 115).is_empty(), "nothing is old enough");
        // The first page is: then nothing had come.
        assert_eq!(flights.take(&flow(1_200, 1_180), 130).get("canary"), None);
        // What had come at 115 is 100; 280 have ended, of those or of later ones.
        let open = flights.take(&flow(1_300, 1_270), 145)["canary"];
        assert_eq!(open, Open { begun: 100, open: 0 });
        // Nothing ends any more.
        for now in [160, 175, 190] {
            flights.take(&flow(1_300 + (now - 145) * 10, 1_270), now);
        }
        let open = flights.take(&flow(1_900, 1_270), 205)["canary"];
        assert_eq!(open, Open { begun: 600, open: 320 });
        assert_eq!(flights.came.len(), 3, "what is older is forgotten");
    }
}
