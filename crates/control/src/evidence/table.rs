//! The proxies that are known, from reading to reading.

use std::collections::BTreeMap;

use super::totals::Totals;
use super::{Counted, ProxyReading};

/// Seconds after which a proxy that does not answer is forgotten.
const FORGOTTEN_AFTER: u64 = 600;
/// How many revisions of a proxy are remembered with their times.
const KEPT_REVISIONS: usize = 64;

/// The proxies by address.
#[derive(Debug, Default)]
pub(super) struct Table {
    proxies: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    totals: Totals,
    /// When the totals were read.
    at: u64,
    since: Vec<(u64, u64)>,
}

// === impl Table ===

impl Table {
    /// Takes what the proxies at these addresses have counted, and gives all that are known. Those that did not answer are
    /// there as they were seen last.
    pub(super) fn take(&mut self, now: u64, read: Vec<(String, Totals)>) -> Vec<ProxyReading> {
        let mut counted = BTreeMap::new();
        for (address, totals) in read {
            let before = self.proxies.remove(&address);
            // A clock that went back has no interval in which anything was counted.
            let interval = before.as_ref().filter(|before| before.at < now);
            if let Some(before) = interval {
                let rollouts = totals.since(&before.totals);
                counted.insert(address.clone(), Counted { from: before.at, until: now, rollouts });
            }
            let since = revisions(before, &totals, now);
            self.proxies.insert(address, Known { totals, at: now, since });
        }
        self.proxies.retain(|_, known| now.saturating_sub(known.at) <= FORGOTTEN_AFTER);
        let mut names = BTreeMap::new();
        for known in self.proxies.values() {
            *names.entry(known.totals.node.clone()).or_insert(0) += 1;
        }
        let named = |address: &String, known: &Known| match &known.totals.node {
            Some(node) if names.get(&known.totals.node) == Some(&1) => node.clone(),
            Some(node) => format!("{node} ({address})"),
            None => address.clone(),
        };
        self.proxies
            .iter()
            .map(|(address, known)| ProxyReading {
                name: named(address, known),
                filter: known.totals.filter.clone(),
                revision: known.totals.revision,
                seen: known.at,
                disabled: known.totals.disabled.clone(),
                since: known.since.clone(),
                counted: counted.remove(address),
            })
            .collect()
    }
}

/// The revisions that a proxy was seen with, each with the time of the first reading; they begin anew with its process.
fn revisions(before: Option<Known>, totals: &Totals, now: u64) -> Vec<(u64, u64)> {
    let mut since = match before {
        Some(before) if !totals.has_begun_anew(&before.totals) => before.since,
        _ => Vec::new(),
    };
    if let Some(revision) = totals.revision
        && since.last().is_none_or(|(latest, _)| *latest != revision)
    {
        since.push((revision, now));
    }
    let surplus = since.len().saturating_sub(KEPT_REVISIONS);
    since.drain(..surplus);
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(revision: u64, uptime: u64, all: u64) -> Totals {
        Totals::read(&format!(
            "coalmine_policy_revision {revision}\nenvoy_server_uptime {uptime}\ncoalmine_build_info{{version=\"1\",node=\"edge\"}} \
             1\ncoalmine_all_total{{rollout=\"a/b\",variant=\"canary\",group=\"0\"}} {all}\n"
        ))
        .unwrap()
    }

    fn all(reading: &ProxyReading) -> Option<u64> {
        let counted = reading.counted.as_ref()?;
        Some(counted.rollouts[&"a/b".parse().unwrap()]["canary"].all[0])
    }

    #[test]
    fn a_proxy_counts_from_its_second_reading_on() {
        let mut table = Table::default();
        let read = |table: &mut Table, now, page| {
            table.take(now, vec![("10.0.0.1:9901".to_owned(), page)]).remove(0)
        };
        let first = read(&mut table, 100, page(5, 10, 1_000));
        assert_eq!((first.name.as_str(), first.seen, all(&first)), ("edge", 100, None));
        let second = read(&mut table, 115, page(6, 25, 1_010));
        assert_eq!(all(&second), Some(10));
        assert_eq!(second.since, [(5, 100), (6, 115)]);
        let restarted = read(&mut table, 130, page(6, 3, 7));
        assert_eq!(all(&restarted), Some(7));
        assert_eq!(restarted.since, [(6, 130)], "a new process has run nothing before");
        let back = read(&mut table, 120, page(6, 4, 9));
        assert_eq!(back.counted, None, "the clock went back");
    }

    #[test]
    fn a_proxy_that_does_not_answer_stays_for_a_while_and_its_counts_come_later() {
        let mut table = Table::default();
        let address = || "10.0.0.1:9901".to_owned();
        table.take(100, vec![(address(), page(5, 10, 0))]);
        let away = table.take(115, Vec::new());
        assert_eq!((away[0].seen, away[0].counted.clone()), (100, None));
        let again = table.take(130, vec![(address(), page(5, 40, 30))]);
        assert_eq!(again[0].counted.as_ref().map(|it| (it.from, it.until)), Some((100, 130)));
        assert!(table.take(730, Vec::new()).len() == 1 && table.take(731, Vec::new()).is_empty());
    }

    #[test]
    fn two_proxies_of_one_name_are_told_apart() {
        let mut table = Table::default();
        let both =
            vec![("10.0.0.1:9901".to_owned(), page(5, 10, 0)), ("10.0.0.2:9901".to_owned(), page(5, 10, 0))];
        let names: Vec<String> = table.take(100, both).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["edge (10.0.0.1:9901)", "edge (10.0.0.2:9901)"]);
    }
}
