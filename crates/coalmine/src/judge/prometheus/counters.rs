//! From raw counters to counts between two looks.
//!
//! Each series is subtracted from itself. A counter that fell was reset with its whole module, so all counters of that
//! proxy start again from 0. A series that was not there before starts from 0 if its proxy had been scraped before;
//! otherwise nobody knows since when it counts, and its first value is only what later ones are compared with. A proxy that
//! vanishes keeps what it had.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coalmine_judge::{GROUPS, GuardConfig};

use super::super::line::{self, Line, Numbers};
use super::client::Series;

/// Labels that say what is counted. The others name the proxy.
const COUNTED: [&str; 6] = ["__name__", "rollout", "variant", "group", "threshold", "class"];

/// Counters of all proxies.
pub(super) struct Counters {
    stable: String,
    canary: String,
    revision: Option<u64>,
    /// Names of the guards that were asked for; else all that are there.
    asked: Vec<String>,
    from: i64,
    /// Samples that have been read and not yet counted, by time in milliseconds.
    waiting: BTreeMap<i64, Vec<Sample>>,
    /// Time of the latest sample of each series that has been read.
    read: BTreeMap<Labels, i64>,
    proxies: BTreeMap<Labels, Proxy>,
    sums: BTreeMap<Place, [u64; GROUPS + 1]>,
    jobs: BTreeSet<String>,
    /// Counts that come by group.
    grouped: BTreeSet<String>,
}

type Labels = Vec<(String, String)>;

/// What is counted of which arm: `all`, `errors`, or a threshold. Groups come after the count without a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    canary: bool,
    name: String,
}

#[derive(Clone)]
struct Sample {
    proxy: Labels,
    what: What,
    value: f64,
}

#[derive(Clone)]
enum What {
    Count(Place, Option<usize>),
    Revision,
    Up,
}

#[derive(Default)]
struct Proxy {
    scraped: bool,
    revision: f64,
    last: BTreeMap<(Place, Option<usize>), f64>,
}

// === impl Counters ===

impl Counters {
    pub(super) fn new(
        stable: &str,
        canary: &str,
        revision: Option<u64>,
        guards: &[GuardConfig],
        from: Duration,
    ) -> Self {
        Self {
            stable: stable.to_owned(),
            canary: canary.to_owned(),
            revision,
            asked: guards.iter().map(|guard| guard.name.clone()).collect(),
            from: from.as_millis() as i64,
            waiting: BTreeMap::new(),
            read: BTreeMap::new(),
            proxies: BTreeMap::new(),
            sums: BTreeMap::new(),
            jobs: BTreeSet::new(),
            grouped: BTreeSet::new(),
        }
    }

    /// A pattern of the jobs that have proxies.
    pub(super) fn jobs(&self) -> Option<String> {
        let jobs: Vec<String> = self.jobs.iter().map(|job| regex_syntax::escape(job)).collect();
        (!jobs.is_empty()).then(|| jobs.join("|"))
    }

    /// Takes in samples; those that have been read before are left out.
    pub(super) fn read(&mut self, series: Vec<Series>) {
        for Series { labels, values } in series {
            let Some(what) = self.what(&labels) else { continue };
            if let (What::Count(..), Some(job)) = (&what, labels.get("job")) {
                self.jobs.insert(job.clone());
            }
            if let What::Count(Place { name, .. }, Some(_)) = &what {
                self.grouped.insert(name.clone());
            }
            let proxy: Labels =
                labels.iter().filter(|(name, _)| !COUNTED.contains(&name.as_str())).map(owned).collect();
            let read = self.read.entry(labels.iter().map(owned).collect()).or_insert(i64::MIN);
            for (time, value) in values {
                let time = (time * 1000.0).round() as i64;
                let Ok(value) = value.parse::<f64>() else { continue };
                if time > *read && value.is_finite() {
                    *read = time;
                    let sample = Sample { proxy: proxy.clone(), what: what.clone(), value };
                    self.waiting.entry(time).or_default().push(sample);
                }
            }
        }
    }

    /// Counts until this time, and since the last call.
    pub(super) fn take(&mut self, until: Duration, time: String, weight: Option<f64>) -> Line {
        let later = self.waiting.split_off(&(until.as_millis() as i64 + 1));
        for (at, samples) in std::mem::replace(&mut self.waiting, later) {
            let mut scrapes: BTreeMap<&Labels, Vec<&Sample>> = BTreeMap::new();
            for sample in &samples {
                scrapes.entry(&sample.proxy).or_default().push(sample);
            }
            for (proxy, samples) in scrapes {
                self.scrape(at, proxy, &samples);
            }
        }
        let mut line = Line { time, weight, ..Line::default() };
        for canary in [false, true] {
            let arm = if canary { &mut line.canary } else { &mut line.stable };
            self.arm(canary, arm);
        }
        line
    }

    fn what(&self, labels: &BTreeMap<String, String>) -> Option<What> {
        let label = |name: &str| labels.get(name).map(String::as_str);
        let name = match label("__name__")? {
            "up" => return Some(What::Up),
            "coalmine_policy_revision" => return Some(What::Revision),
            "coalmine_all_total" => "all",
            "coalmine_bad_total" => "errors",
            "coalmine_slow_total" => label("threshold")?,
            _ => return None,
        };
        let canary = match label("variant")? {
            variant if variant == self.canary => true,
            variant if variant == self.stable => false,
            _ => return None,
        };
        let group = match label("group") {
            Some(group) => Some(group.parse().ok().filter(|group| *group < GROUPS)?),
            None => None,
        };
        Some(What::Count(Place { canary, name: name.to_owned() }, group))
    }

    /// All samples of one proxy at one time.
    fn scrape(&mut self, at: i64, proxy: &Labels, samples: &[&Sample]) {
        let state = self.proxies.entry(proxy.clone()).or_default();
        let counts = || {
            samples.iter().filter_map(|sample| match &sample.what {
                What::Count(place, group) => Some(((place, *group), sample.value)),
                What::Revision | What::Up => None,
            })
        };
        let fell = |((place, group), value): ((&Place, Option<usize>), f64)| {
            state.last.get(&(place.clone(), group)).is_some_and(|last| value < *last)
        };
        if counts().any(fell) {
            // The counters of a proxy live and die together.
            state.last.clear();
        }
        for sample in samples {
            if matches!(sample.what, What::Revision) {
                state.revision = sample.value;
            }
        }
        let in_force = self.revision.is_none_or(|revision| state.revision >= revision as f64);
        for ((place, group), value) in counts() {
            let key = (place.clone(), group);
            let start = if state.scraped { 0.0 } else { value };
            let last = state.last.insert(key, value).unwrap_or(start);
            if at > self.from && in_force {
                let sums = self.sums.entry(place.clone()).or_insert([0; GROUPS + 1]);
                if let Some(sum) = sums.get_mut(group.map_or(0, |group| group + 1)) {
                    *sum += (value - last).round() as u64;
                }
            }
        }
        state.scraped |= samples.iter().any(|sample| !matches!(sample.what, What::Up) || sample.value == 1.0);
    }

    /// Moves the sums of an arm into a batch. `bad` and `all` may have been read a moment apart: a group with more bad
    /// requests than requests waits for the next batch.
    fn arm(&mut self, canary: bool, counters: &mut line::Counters) {
        let place = |name: &str| Place { canary, name: name.to_owned() };
        let mut names: BTreeSet<String> = self.sums.keys().map(|place| place.name.clone()).collect();
        names.extend(self.asked.iter().cloned().chain(["all".to_owned(), "errors".to_owned()]));
        let all = self.sums.get(&place("all")).copied().unwrap_or([0; GROUPS + 1]);
        let total: u64 = all.iter().sum();
        let early: Vec<bool> = (0..=GROUPS)
            .map(|slot| {
                names.iter().filter(|name| *name != "all").any(|name| {
                    let bad = self
                        .sums
                        .get(&place(name))
                        .and_then(|sums| sums.get(slot))
                        .copied()
                        .unwrap_or_default();
                    // Counts without a group are held against those of all groups.
                    let most = if slot == 0 { total } else { all.get(slot).copied().unwrap_or_default() };
                    bad > most
                })
            })
            .collect();
        let whole = early.first() == Some(&true);
        for name in names {
            let sums = self.sums.entry(place(&name)).or_insert([0; GROUPS + 1]);
            let mut taken = [0; GROUPS + 1];
            for ((sum, taken), early) in sums.iter_mut().zip(&mut taken).zip(&early) {
                if !early && !whole {
                    *taken = std::mem::take(sum);
                }
            }
            let numbers = match (self.grouped.contains(&name) || self.is_unborn(&name), taken) {
                (true, [_, groups @ ..]) => Numbers::Groups(groups),
                (false, taken) => Numbers::One(taken.iter().sum()),
            };
            counters.insert(name, numbers);
        }
    }

    /// Errors that have not come yet come by group if requests do.
    fn is_unborn(&self, name: &str) -> bool {
        name == "errors" && self.grouped.contains("all")
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series of a name, a variant and a group, on a proxy, from seconds and values.
    fn series(labels: &[(&str, &str)], values: &[(f64, f64)]) -> Series {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Series { labels, values: values.iter().map(|(time, value)| (*time, value.to_string())).collect() }
    }

    fn count(metric: &str, variant: &str, instance: &str, values: &[(f64, f64)]) -> Series {
        let labels = [
            ("__name__", metric),
            ("variant", variant),
            ("group", "3"),
            ("instance", instance),
            ("job", "envoy"),
        ];
        series(&labels, values)
    }

    fn counters() -> Counters {
        Counters::new("stable", "canary", None, &[], Duration::from_secs(10))
    }

    fn sum(line: &Line, canary: bool, name: &str) -> u64 {
        let arm = if canary { &line.canary } else { &line.stable };
        arm.get(name).map(Numbers::sum).unwrap()
    }

    fn take(counters: &mut Counters, seconds: u64) -> Line {
        counters.take(Duration::from_secs(seconds), String::new(), None)
    }

    #[test]
    fn series_are_subtracted_one_by_one_and_read_once() {
        let mut counters = counters();
        let all = || {
            vec![
                count("coalmine_all_total", "canary", "a", &[(9.0, 100.0), (20.0, 130.0), (30.0, 170.0)]),
                count("coalmine_all_total", "canary", "b", &[(9.0, 5.0), (20.0, 6.0)]),
            ]
        };
        counters.read(all());
        counters.read(all());
        assert_eq!(sum(&take(&mut counters, 25), true, "all"), 31);
        assert_eq!(sum(&take(&mut counters, 35), true, "all"), 40);
    }

    #[test]
    fn a_reset_of_one_counter_is_one_of_its_whole_proxy() {
        let mut counters = counters();
        counters.read(vec![
            count("coalmine_all_total", "canary", "a", &[(9.0, 100.0), (20.0, 30.0)]),
            // It grew beyond what it was, from 0.
            count("coalmine_bad_total", "canary", "a", &[(9.0, 2.0), (20.0, 7.0)]),
        ]);
        let line = take(&mut counters, 25);
        assert_eq!((sum(&line, true, "all"), sum(&line, true, "errors")), (30, 7));
    }

    #[test]
    fn what_appears_counts_from_0_where_its_proxy_was_scraped() {
        let mut counters = counters();
        let up = [("__name__", "up"), ("instance", "c"), ("job", "envoy")];
        counters.read(vec![
            count("coalmine_all_total", "stable", "a", &[(9.0, 100.0), (20.0, 110.0)]),
            count("coalmine_bad_total", "stable", "a", &[(20.0, 4.0)]),
            count("coalmine_all_total", "stable", "b", &[(20.0, 1000.0), (30.0, 1001.0)]),
            series(&up, &[(9.0, 1.0), (20.0, 1.0)]),
            count("coalmine_all_total", "stable", "c", &[(20.0, 50.0)]),
        ]);
        let line = take(&mut counters, 25);
        assert_eq!((sum(&line, false, "all"), sum(&line, false, "errors")), (60, 4));
        assert_eq!(sum(&take(&mut counters, 35), false, "all"), 1);
    }

    #[test]
    fn a_proxy_that_vanishes_goes_on_where_it_was() {
        let mut counters = counters();
        counters.read(vec![count(
            "coalmine_all_total",
            "stable",
            "a",
            &[(9.0, 10.0), (20.0, 15.0), (90.0, 40.0)],
        )]);
        assert_eq!(sum(&take(&mut counters, 30), false, "all"), 5);
        assert_eq!(sum(&take(&mut counters, 60), false, "all"), 0);
        assert_eq!(sum(&take(&mut counters, 90), false, "all"), 25);
    }

    #[test]
    fn counts_that_were_read_too_early_wait() {
        let mut counters = counters();
        counters.read(vec![
            count("coalmine_all_total", "stable", "a", &[(9.0, 10.0), (20.0, 11.0), (30.0, 20.0)]),
            count("coalmine_bad_total", "stable", "a", &[(9.0, 0.0), (20.0, 2.0), (30.0, 2.0)]),
        ]);
        let line = take(&mut counters, 25);
        assert_eq!((sum(&line, false, "all"), sum(&line, false, "errors")), (0, 0));
        let line = take(&mut counters, 35);
        assert_eq!((sum(&line, false, "all"), sum(&line, false, "errors")), (10, 2));
    }

    #[test]
    fn a_proxy_counts_from_its_revision() {
        let mut counters = Counters::new("stable", "canary", Some(8), &[], Duration::from_secs(10));
        let gauge = [("__name__", "coalmine_policy_revision"), ("instance", "a"), ("job", "envoy")];
        counters.read(vec![
            count("coalmine_all_total", "stable", "a", &[(9.0, 10.0), (20.0, 15.0), (30.0, 21.0)]),
            series(&gauge, &[(9.0, 7.0), (20.0, 7.0), (30.0, 8.0)]),
        ]);
        assert_eq!(sum(&take(&mut counters, 35), false, "all"), 6);
    }
}
