//! The proxies that are known, from reading to reading.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::flights::Flights;
use super::totals::{Facts, Process, Totals};
use super::{Counted, Forms, ProxyReading};
use crate::rollout::Name;

/// Seconds after which a proxy that does not answer is forgotten.
const FORGOTTEN_AFTER: u64 = 600;
/// How many revisions of a proxy are remembered with their times.
const KEPT_REVISIONS: usize = 64;

/// What a proxy showed at a time.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// What tells the proxy from others, as its address.
    pub(super) address: String,
    /// When that was, in seconds since 1970.
    pub(super) at: u64,
    /// What it has counted.
    pub(super) totals: Totals,
}

/// The proxies by address.
#[derive(Debug, Default)]
pub(super) struct Table {
    proxies: BTreeMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The name that it got when it was seen first.
    name: String,
    facts: Facts,
    /// When it was read last.
    seen: u64,
    since: Vec<(u64, u64)>,
    /// What the next page is compared with: the last one of a proxy whose filter ran, and its time.
    base: Option<(Totals, u64)>,
    flights: BTreeMap<Name, Flights>,
}

// === impl Table ===

impl Table {
    /// Takes what proxies have shown, and gives all that are known. Those that did not answer, or whose page has been seen
    /// already, are there as they were seen last.
    pub(super) fn take(&mut self, now: u64, pages: Vec<Page>, forms: &Forms) -> Vec<ProxyReading> {
        let mut counted = BTreeMap::new();
        for Page { address, at, totals } in pages {
            let name = self.name(&address, totals.facts.node.as_deref());
            let known = self.proxies.entry(address.clone()).or_default();
            if known.seen == at {
                continue;
            }
            known.name = name;
            if let Some(found) = known.take(at, totals, forms) {
                counted.insert(address, found);
            }
        }
        self.proxies.retain(|_, known| now.saturating_sub(known.seen) <= FORGOTTEN_AFTER);
        self.proxies
            .iter()
            .map(|(address, known)| ProxyReading {
                name: known.name.clone(),
                filter: known.facts.filter.clone(),
                revision: known.facts.revision,
                seen: known.seen,
                disabled: known.facts.disabled.clone(),
                since: known.since.clone(),
                counted: counted.remove(address),
            })
            .collect()
    }

    /// Whether this page is of a later time than what was seen of its proxy.
    pub(super) fn is_newer(&self, page: &Page) -> bool {
        self.proxies.get(&page.address).is_none_or(|known| known.seen < page.at)
    }

    /// The node's name, unless another address has it already. A proxy keeps its name while it is known, as steering
    /// knows it by that.
    fn name(&self, address: &str, node: Option<&str>) -> String {
        let known = self.proxies.get(address);
        let Some(node) = node.or_else(|| known?.facts.node.as_deref()) else { return address.to_owned() };
        let long = format!("{node} ({address})");
        let is_long_already = known.is_some_and(|known| known.name == long);
        let is_taken = || self.proxies.iter().any(|(other, known)| other != address && known.name == node);
        if is_long_already || is_taken() { long } else { node.to_owned() }
    }
}

// === impl Known ===

impl Known {
    /// Takes a page, and says what was counted since the one before; none where that is not known.
    fn take(&mut self, now: u64, totals: Totals, forms: &Forms) -> Option<Counted> {
        let node = totals.facts.node.clone().or_else(|| self.facts.node.take());
        self.facts = Facts { node, ..totals.facts.clone() };
        self.seen = now;
        // Envoy answers before a filter runs, and then says nothing of what the process has counted.
        totals.facts.filter.as_ref()?;
        let before = self.base.take();
        let process = before
            .as_ref()
            .map_or(Process::Unclear, |(before, at)| totals.process(before, now.saturating_sub(*at)));
        // A clock that went back has no interval in which anything was counted.
        let interval = before.filter(|(_, at)| *at < now);
        let mut counted = interval.and_then(|(before, from)| {
            let before = match process {
                Process::Same => Some(&before),
                Process::New => None,
                Process::Unclear => return None,
            };
            let served = totals.served.since(before.map(|before| &before.served));
            Some(Counted { from, until: now, rollouts: totals.since(before), served })
        });
        self.note_revision(process, now);
        self.note_flights(process, now, &totals, forms, counted.as_mut());
        self.base = Some((totals, now));
        counted
    }

    /// What is open of each rollout that the proxy runs as it stands; counting begins anew with the process and with the form.
    fn note_flights(
        &mut self,
        process: Process,
        now: u64,
        totals: &Totals,
        forms: &Forms,
        counted: Option<&mut Counted>,
    ) {
        if process != Process::Same {
            self.flights.clear();
        }
        let runs = |since: u64| self.facts.revision.is_some_and(|revision| revision >= since);
        self.flights.retain(|name, flights| {
            forms.get(name).is_some_and(|since| runs(*since) && flights.is_of(*since))
        });
        let mut open = BTreeMap::new();
        for (name, since) in forms.iter().filter(|(_, since)| runs(**since)) {
            let flow = totals.flow(name);
            match self.flights.entry(name.clone()) {
                Entry::Occupied(mut flights) => {
                    open.insert(name, flights.get_mut().take(&flow, now));
                }
                Entry::Vacant(place) => {
                    place.insert(Flights::new(*since, flow, now));
                }
            }
        }
        let Some(counted) = counted else { return };
        for (name, open) in open {
            let Some(variants) = counted.rollouts.get_mut(name) else { continue };
            for (variant, open) in open {
                variants.entry(variant).or_default().open = Some(open);
            }
        }
    }

    /// The revisions begin anew with the process.
    fn note_revision(&mut self, process: Process, now: u64) {
        if process != Process::Same {
            self.since.clear();
        }
        if let Some(revision) = self.facts.revision
            && self.since.last().is_none_or(|(latest, _)| *latest != revision)
        {
            self.since.push((revision, now));
        }
        let surplus = self.since.len().saturating_sub(KEPT_REVISIONS);
        self.since.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Open;

    fn page(revision: u64, uptime: u64, all: u64) -> Totals {
        Totals::read(&format!(
            "coalmine_policy_revision {revision}\nenvoy_server_uptime {uptime}\ncoalmine_build_info{{version=\"1\",node=\"edge\"}} \
             1\ncoalmine_all_total{{rollout=\"a/b\",variant=\"canary\",group=\"0\"}} {all}\n"
        ), None)
        .unwrap()
    }

    fn at(at: u64, address: &str, totals: Totals) -> Page {
        Page { address: address.to_owned(), at, totals }
    }

    fn all(reading: &ProxyReading) -> Option<u64> {
        let counted = reading.counted.as_ref()?;
        Some(counted.rollouts[&"a/b".parse().unwrap()]["canary"].all[0])
    }

    #[test]
    fn a_proxy_counts_from_its_second_reading_on() {
        let mut table = Table::default();
        let read = |table: &mut Table, now, page| {
            table.take(now, vec![at(now, "10.0.0.1:9901", page)], &Forms::new()).remove(0)
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
        table.take(100, vec![at(100, "10.0.0.1:9901", page(5, 10, 0))], &Forms::new());
        let away = table.take(115, Vec::new(), &Forms::new());
        assert_eq!((away[0].seen, away[0].counted.clone()), (100, None));
        let again = table.take(130, vec![at(130, "10.0.0.1:9901", page(5, 40, 30))], &Forms::new());
        assert_eq!(again[0].counted.as_ref().map(|it| (it.from, it.until)), Some((100, 130)));
        assert!(
            table.take(730, Vec::new(), &Forms::new()).len() == 1
                && table.take(731, Vec::new(), &Forms::new()).is_empty()
        );
    }

    #[test]
    fn requests_that_do_not_end_are_told_while_the_form_is_the_same() {
        let page = |revision, came: u64, all: u64| {
            let text = format!(
                "coalmine_requests_total{{rollout=\"a/b\",variant=\"canary\",reason=\"bucket\"}} {came}\n\
                 coalmine_all_total{{rollout=\"a/b\",variant=\"canary\",group=\"0\"}} {all}\n\
                 coalmine_policy_revision {revision}\ncoalmine_build_info{{version=\"1\",node=\"edge\"}} 1\n"
            );
            Totals::read(&text, None).unwrap()
        };
        let name: Name = "a/b".parse().unwrap();
        let mut table = Table::default();
        let mut read = |now, page, since| {
            let forms = Forms::from([(name.clone(), since)]);
            let reading = table.take(now, vec![at(now, "a:1", page)], &forms).remove(0);
            reading.counted.and_then(|counted| counted.rollouts[&name]["canary"].open)
        };
        assert_eq!(read(100, page(5, 100, 100), 5), None);
        assert_eq!(read(120, page(5, 180, 120), 5), None);
        assert_eq!(read(150, page(5, 200, 130), 5), Some(Open { begun: 80, open: 50 }));
        // Another revision that says the same of it changes nothing; another form begins anew.
        assert_eq!(read(160, page(6, 200, 130), 5), Some(Open { begun: 80, open: 50 }));
        assert_eq!(read(170, page(7, 200, 130), 7), None);
        // One that the proxy does not run yet.
        assert_eq!(read(250, page(7, 300, 130), 8), None);
    }

    #[test]
    fn two_proxies_of_one_name_are_told_apart() {
        let mut table = Table::default();
        let both = vec![at(100, "10.0.0.1:9901", page(5, 10, 0)), at(100, "10.0.0.2:9901", page(5, 10, 0))];
        let names: Vec<String> = table.take(100, both, &Forms::new()).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["edge", "edge (10.0.0.2:9901)"]);
        let later = table.take(115, vec![at(115, "10.0.0.0:9901", page(5, 10, 0))], &Forms::new());
        let names: Vec<&str> = later.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["edge (10.0.0.0:9901)", "edge", "edge (10.0.0.2:9901)"], "names stay");
    }

    #[test]
    fn a_page_without_a_filter_counts_nothing_and_loses_nothing() {
        let mut table = Table::default();
        let mut read =
            |now, page: Totals| table.take(now, vec![at(now, "a:1", page)], &Forms::new()).remove(0);
        let empty = |uptime| Totals::read(&format!("envoy_server_uptime {uptime}\n"), None).unwrap();
        assert_eq!(read(85, empty(10)).name, "a:1");
        assert_eq!(all(&read(100, page(5, 25, 1_000))), None, "what it counted before is no evidence");
        let without = read(115, empty(40));
        assert_eq!((without.name.as_str(), without.seen, without.revision), ("edge", 115, None));
        assert_eq!(without.counted, None);
        assert_eq!(all(&read(130, page(5, 55, 1_010))), Some(10));
        read(145, empty(3));
        assert_eq!(all(&read(160, page(5, 18, 1_020))), Some(1_020), "it restarted meanwhile");
    }

    #[test]
    fn a_process_that_may_have_restarted_counts_nothing_once() {
        let mut table = Table::default();
        let mut read =
            |now, page: Totals| table.take(now, vec![at(now, "a:1", page)], &Forms::new()).remove(0);
        read(100, page(5, 30, 1_000));
        let unclear = read(600, page(5, 40, 1_200));
        assert_eq!((unclear.counted, unclear.since), (None, vec![(5, 600)]));
        assert_eq!(all(&read(615, page(5, 55, 1_230))), Some(30));
    }
}
