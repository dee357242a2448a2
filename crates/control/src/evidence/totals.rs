//! What one proxy has counted since it began, at one reading, and the difference of two readings.

use std::collections::BTreeMap;

use coalmine_document::with_unit;
use coalmine_judge::GROUPS;
use coalmine_judge::batch::MAX_COUNT;

use super::answered::AnsweredTotals;
use super::exposition::{Sample, samples};
use super::served::ServedBy;
use super::{Slow, VariantCounts};
use crate::rollout::Name;

/// What is read of a proxy's page.
const PREFIXES: [&str; 2] = ["coalmine_", "envoy_server_uptime"];

/// How many seconds the age of a process may be behind: Envoy renews it at times, and a page takes its time.
const UPTIME_MAY_LAG: u64 = 60;

/// The most counters of one proxy.
const MAX_COUNTERS: usize = 200_000;

/// All that is known of a proxy at one reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// What it says of itself.
    pub(super) facts: Facts,
    /// Seconds since the process began. Envoy renews it where it flushes its statistics, each five seconds as a rule.
    pub(super) uptime: Option<u64>,
    counters: BTreeMap<Counter, Option<u64>>,
    /// What versions have served, where somebody says how that is counted.
    pub(super) served: AnsweredTotals,
}

/// What a proxy says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Envoy's `node.id`.
    pub(super) node: Option<String>,
    /// Version of the filter. Without it no filter runs there, and what is counted there is not known.
    pub(super) filter: Option<String>,
    /// Revision of the policy in force.
    pub(super) revision: Option<u64>,
    /// Rollouts that are switched off in it.
    pub(super) disabled: Vec<Name>,
}

/// How a process stands to the one that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// It is the same one, with the same filter.
    Same,
    /// It is another one, or another filter: its counters began at 0.
    New,
    /// It is younger than it was to be, which a restart explains, and a clock that was set too.
    Unclear,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counter {
    rollout: Name,
    variant: String,
    what: What,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Requests that came and whose variant was drawn.
    Came,
    /// Requests that came and whose variant was not drawn, for this reason.
    Forced(Reason),
    /// Finished ones, by group.
    All(usize),
    /// Bad ones, by group.
    Bad(usize),
    /// Those that took longer than so many milliseconds.
    Slow(u64),
    /// The same, by group.
    SlowBy(u64, usize),
}

/// Why a request has a variant that was not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Pinned,
    Override,
}

/// Of each variant, how many requests have come and how many have ended, since the process began.
pub(super) type Flow = BTreeMap<String, (u64, u64)>;

/// Counts by rollout and variant.
pub(super) type Counts = BTreeMap<Name, BTreeMap<String, VariantCounts>>;

// === impl Totals ===

impl Totals {
    /// The totals of a page of metrics.
    ///
    /// # Errors
    /// The page is not what it should be, or was cut: a sentence.
    pub(super) fn read(text: &str, served: Option<&ServedBy>) -> Result<Self, String> {
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("its page ends in the middle of a line".to_owned());
        }
        let prefixes: Vec<&str> =
            PREFIXES.iter().chain(served.map_or(&[][..], ServedBy::metrics)).copied().collect();
        Self::of(samples(text, &prefixes), served)
    }

    /// The totals of samples that were taken at one time.
    ///
    /// # Errors
    /// They are not what they should be: a sentence.
    pub(super) fn of<'t>(
        samples: impl Iterator<Item = Result<Sample<'t>, String>>,
        served: Option<&ServedBy>,
    ) -> Result<Self, String> {
        let mut totals = Self::default();
        for sample in samples {
            let sample = sample?;
            match served.filter(|served| served.metrics().contains(&sample.name)) {
                Some(served) => served.take(&sample, &mut totals.served)?,
                None => totals.take(&sample)?,
            }
            if totals.counters.len() + totals.served.len() > MAX_COUNTERS {
                return Err(format!("it has more than {MAX_COUNTERS} counters of rollouts"));
            }
        }
        Ok(totals)
    }

    fn take(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        match sample.name {
            "coalmine_policy_revision" => {
                self.facts.revision = whole(sample)?.filter(|revision| *revision > 0)
            }
            "envoy_server_uptime" => self.uptime = whole(sample)?,
            "coalmine_build_info" => {
                self.facts.filter = sample.label("version").map(str::to_owned);
                self.facts.node = sample.label("node").filter(|node| !node.is_empty()).map(str::to_owned);
            }
            "coalmine_rollout_disabled" if sample.value > 0.0 => {
                self.facts.disabled.extend(sample.label("rollout").and_then(|name| name.parse().ok()));
            }
            _ => {
                let Some(counter) = counter(sample) else { return Ok(()) };
                if self.counters.insert(counter, whole(sample)?).is_some() {
                    return Err(format!("a series of {} stands there twice", sample.name));
                }
            }
        }
        Ok(())
    }

    /// Whether this is the process that it was so many seconds ago.
    pub(super) fn process(&self, before: &Self, elapsed: u64) -> Process {
        if self.facts.filter != before.facts.filter {
            return Process::New;
        }
        match self.uptime.zip(before.uptime) {
            Some((now, before)) if now < before => Process::New,
            Some((now, before)) if now.saturating_add(UPTIME_MAY_LAG) < before.saturating_add(elapsed) => {
                Process::Unclear
            }
            _ => Process::Same,
        }
    }

    /// What has come and ended of a rollout.
    pub(super) fn flow(&self, rollout: &Name) -> Flow {
        let mut flow = Flow::new();
        let first = Counter { rollout: rollout.clone(), variant: String::new(), what: What::Came };
        let its = self.counters.range(first..).take_while(|(counter, _)| counter.rollout == *rollout);
        for (counter, value) in its {
            let (came, ended) = flow.entry(counter.variant.clone()).or_default();
            match counter.what {
                What::Came => *came += value.unwrap_or_default(),
                What::All(_) => *ended += value.unwrap_or_default(),
                What::Forced(_) | What::Bad(_) | What::Slow(_) | What::SlowBy(..) => {}
            }
        }
        flow
    }

    /// What was counted since totals of the same process were read, or since a new one began.
    pub(super) fn since(&self, before: Option<&Self>) -> Counts {
        let mut counts = Counts::new();
        for (counter, now) in &self.counters {
            let before = before.and_then(|before| before.counters.get(counter));
            let Some(counted) = counted(*now, before.copied()) else { continue };
            let variants = counts.entry(counter.rollout.clone()).or_default();
            counter.what.add(variants.entry(counter.variant.clone()).or_default(), counted);
        }
        counts
    }
}

// === impl What ===

impl What {
    fn add(self, counts: &mut VariantCounts, counted: u64) {
        let in_group = |groups: &mut [u64; GROUPS], group: usize| {
            if let Some(count) = groups.get_mut(group) {
                *count += counted;
            }
        };
        match self {
            Self::Came => counts.came += counted,
            Self::Forced(_) => counts.forced += counted,
            Self::All(group) => in_group(&mut counts.all, group),
            Self::Bad(group) => in_group(&mut counts.bad, group),
            // Where it is counted by group, the same requests are not counted as a whole.
            Self::Slow(at) => {
                if let Slow::Whole(count) = counts.slow.entry(at).or_insert(Slow::Whole(0)) {
                    *count += counted;
                }
            }
            Self::SlowBy(at, group) => {
                let slow = counts.slow.entry(at).or_insert(Slow::Groups([0; GROUPS]));
                if let Slow::Whole(_) = slow {
                    *slow = Slow::Groups([0; GROUPS]);
                }
                if let Slow::Groups(groups) = slow {
                    in_group(groups, group);
                }
            }
        }
    }
}

/// The counter of a sample; none where it says nothing about a draw.
fn counter(sample: &Sample<'_>) -> Option<Counter> {
    let group = || sample.label("group")?.parse().ok().filter(|group| *group < GROUPS);
    let what = match sample.name {
        "coalmine_requests_total" => match sample.label("reason")? {
            "bucket" => What::Came,
            "pinned" => What::Forced(Reason::Pinned),
            "override" => What::Forced(Reason::Override),
            _ => return None,
        },
        "coalmine_all_total" => What::All(group()?),
        "coalmine_bad_total" => What::Bad(group()?),
        "coalmine_slow_total" => {
            let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
            let at = with_unit(sample.label("threshold")?, &units)?;
            group().map_or(What::Slow(at), |group| What::SlowBy(at, group))
        }
        _ => return None,
    };
    // Names that no rollout of a server can have are of a policy that somebody else wrote.
    let rollout = sample.label("rollout")?.parse().ok()?;
    Some(Counter { rollout, variant: sample.label("variant")?.to_owned(), what })
}

/// What a counter has counted since it was read `before`, where it was there then. One that is lower than before began anew,
/// and one that was not there began at 0. One that has no value now, or had none, says nothing.
pub(super) fn counted(now: Option<u64>, before: Option<Option<u64>>) -> Option<u64> {
    let (now, before) = now.zip(before.unwrap_or(Some(0)))?;
    Some(now.checked_sub(before).unwrap_or(now))
}

/// A count as a whole number; none where there is no value.
pub(super) fn whole(sample: &Sample<'_>) -> Result<Option<u64>, String> {
    if sample.value.is_nan() {
        return Ok(None);
    }
    let is_count = (0.0..=MAX_COUNT as f64).contains(&sample.value) && sample.value.fract() == 0.0;
    if is_count {
        return Ok(Some(sample.value as u64));
    }
    Err(format!("{} is {}, and was to be a whole number from 0 to 2^53", sample.name, sample.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(uptime: u64, lines: &[(&str, u64)]) -> Totals {
        let mut text = format!("envoy_server_uptime{{}} {uptime}\ncoalmine_policy_revision{{}} 7\n");
        text.push_str("coalmine_build_info{version=\"0.1.0\",node=\"edge-1\"} 1\n");
        for (series, value) in lines {
            text.push_str(&format!("coalmine_{series} {value}\n"));
        }
        Totals::read(&text, None).unwrap()
    }

    const ALL: &str = "all_total{rollout=\"shop/checkout\",variant=\"canary\",group=\"3\"}";
    const BAD: &str = "bad_total{rollout=\"shop/checkout\",variant=\"canary\",group=\"3\"}";

    fn canary(counts: &Counts) -> VariantCounts {
        counts[&"shop/checkout".parse().unwrap()]["canary"].clone()
    }

    #[test]
    fn a_page_says_who_it_is_and_what_runs() {
        let totals = page(
            10,
            &[("rollout_disabled{rollout=\"shop/checkout\"}", 1), ("rollout_disabled{rollout=\"a\"}", 0)],
        );
        assert_eq!(
            (totals.facts.node.as_deref(), totals.facts.filter.as_deref()),
            (Some("edge-1"), Some("0.1.0"))
        );
        assert_eq!((totals.facts.revision, totals.uptime), (Some(7), Some(10)));
        assert_eq!(totals.facts.disabled, ["shop/checkout".parse().unwrap()]);
        assert_eq!(
            Totals::read("coalmine_policy_revision 0\n", None).unwrap().facts.revision,
            None,
            "no policy yet"
        );
    }

    #[test]
    fn what_was_counted_is_the_difference_series_by_series() {
        let before = page(10, &[(ALL, 100)]);
        let after = page(25, &[(ALL, 130), (BAD, 4)]);
        let counts = canary(&after.since(Some(&before)));
        assert_eq!((counts.all[3], counts.bad[3], counts.all[4]), (30, 4, 0));
    }

    #[test]
    fn a_counter_that_began_anew_counts_from_zero() {
        let before = page(10, &[(ALL, 100)]);
        assert_eq!(canary(&page(25, &[(ALL, 30)]).since(Some(&before))).all[3], 30);
        assert_eq!(canary(&page(5, &[(ALL, 130)]).since(None)).all[3], 130);
    }

    #[test]
    fn the_age_of_a_process_tells_whether_it_is_the_same() {
        let before = page(100, &[]);
        let process = |uptime, elapsed| page(uptime, &[]).process(&before, elapsed);
        assert_eq!(
            (process(115, 15), process(110, 15), process(100, 60)),
            (Process::Same, Process::Same, Process::Same)
        );
        assert_eq!(process(99, 15), Process::New);
        assert_eq!(
            process(120, 600),
            Process::Unclear,
            "it restarted while nobody looked, or our clock was set"
        );
        let another = Totals {
            facts: Facts { filter: Some("2".to_owned()), ..before.facts.clone() },
            ..before.clone()
        };
        assert_eq!(another.process(&before, 0), Process::New);
        let ageless = Totals { uptime: None, ..before.clone() };
        assert_eq!(
            (ageless.process(&before, 600), before.process(&ageless, 600)),
            (Process::Same, Process::Same)
        );
    }

    #[test]
    fn a_counter_without_a_value_says_nothing_until_it_has_two() {
        let unread = |text: &str| Totals::read(&format!("coalmine_{ALL} {text}\n"), None).unwrap();
        assert!(page(25, &[(ALL, 130)]).since(Some(&unread("NaN"))).is_empty());
        assert!(unread("NaN").since(Some(&page(10, &[(ALL, 100)]))).is_empty());
    }

    #[test]
    fn a_page_that_was_cut_or_says_a_thing_twice_is_an_error() {
        assert!(Totals::read(&format!("coalmine_{ALL} 13"), None).unwrap_err().contains("middle of a line"));
        let twice = format!("coalmine_{ALL} 13\ncoalmine_{ALL} 14\n");
        assert!(Totals::read(&twice, None).unwrap_err().contains("coalmine_all_total stands there twice"));
        assert_eq!(Totals::read("", None).unwrap(), Totals::default());
    }

    #[test]
    fn slow_responses_are_counted_as_a_whole_or_by_group() {
        let slow = "slow_total{rollout=\"shop/checkout\",variant=\"canary\",threshold=\"250ms\"}";
        let by_group =
            "slow_total{rollout=\"shop/checkout\",variant=\"canary\",threshold=\"1s\",group=\"2\"}";
        let counts = canary(&page(9, &[(slow, 5), (by_group, 6)]).since(Some(&page(8, &[]))));
        assert_eq!(counts.slow[&250], Slow::Whole(5));
        assert!(matches!(counts.slow[&1_000], Slow::Groups(groups) if groups[2] == 6));
    }

    #[test]
    fn only_draws_are_evidence() {
        let drawn = "requests_total{rollout=\"shop/checkout\",variant=\"canary\",reason=\"bucket\"}";
        let pinned = "requests_total{rollout=\"shop/checkout\",variant=\"canary\",reason=\"pinned\"}";
        let forced = "requests_total{rollout=\"shop/checkout\",variant=\"canary\",reason=\"override\"}";
        let unknown = "requests_total{rollout=\"shop/checkout\",variant=\"canary\",reason=\"other\"}";
        let page = |lines: &[(&str, u64)]| page(9, lines);
        let counts =
            canary(&page(&[(drawn, 5), (pinned, 6), (forced, 7), (unknown, 8)]).since(Some(&page(&[]))));
        assert_eq!((counts.came, counts.forced), (5, 13));
    }

    #[test]
    fn what_is_no_count_is_an_error() {
        for value in ["-1", "1.5", "+Inf", "1e300"] {
            assert!(Totals::read(&format!("coalmine_{ALL} {value}\n"), None).is_err(), "{value}");
        }
    }
}
