//! From a reading to what a tick takes of it for one rollout.

use std::collections::BTreeMap;

use coalmine_judge::GROUPS;
use coalmine_steer::Plan;
use coalmine_steer::inputs::{self, GuardCounts};
use coalmine_steer::plan::{Guard, GuardSource, Mode};

use super::{Answered, Counted, Open, ProxyReading, Reading, ServedBy, Slow, VariantCounts};
use crate::rollout::Name;

/// The variant of new versions.
const CANARY: &str = "canary";

/// The proxies as steering sees them for this rollout. `since` is the revision since which it stands as it does, `compared`
/// the variant that the canary is compared with.
///
/// What a proxy counts that has switched the rollout off, as without its key, is no evidence.
pub fn proxies(
    reading: &Reading,
    name: &Name,
    plan: &Plan,
    since: Option<u64>,
    compared: &str,
) -> Vec<inputs::Proxy> {
    let steered = |proxy: &ProxyReading| inputs::Proxy {
        name: proxy.name.clone(),
        revision: proxy.revision,
        running_since: running_since(proxy, since),
        seen: proxy.seen,
        disabled: proxy.disabled.contains(name),
        counted: proxy
            .counted
            .as_ref()
            .map(|counted| take(counted, name, plan, compared, reading.served.as_ref())),
    };
    reading.proxies.iter().map(steered).collect()
}

/// When the proxy was first seen with a revision that has this form.
fn running_since(proxy: &ProxyReading, since: Option<u64>) -> u64 {
    let runs = |revision: u64| since.is_some_and(|since| revision >= since);
    let first = proxy.since.iter().rev().take_while(|(revision, _)| runs(*revision)).last();
    first.map_or(proxy.seen, |(_, at)| *at)
}

fn take(
    counted: &Counted,
    name: &Name,
    plan: &Plan,
    compared: &str,
    served: Option<&ServedBy>,
) -> inputs::Counted {
    let nothing = BTreeMap::new();
    let variants = counted.rollouts.get(name).unwrap_or(&nothing);
    let of = |variant: &str| variants.get(variant).cloned().unwrap_or_default();
    let (stable, canary) = (of(compared), of(CANARY));
    // Counters of what is served are born with the first request, so a version without one has served nothing.
    let answered = |served: &ServedBy, variant: &str| {
        counted.served.get(&served.key(name, variant)).cloned().unwrap_or_default()
    };
    let judged = served.filter(|served| served.guards.is_some());
    let judged = judged.map(|served| (answered(served, compared), answered(served, CANARY)));
    let counts = |guard: &Guard| match &judged {
        Some((stable, canary)) => served_counts(guard, stable, canary),
        None => guard_counts(guard, &stable, &canary),
    };
    let guards = plan.guards.iter().filter_map(|guard| Some((guard.name.clone(), counts(guard)?))).collect();
    let pair = |open: Open| [open.begun, open.open];
    let open = stable.open.zip(canary.open).map(|(stable, canary)| [pair(stable), pair(canary)]);
    // Where the route draws by a bucket, the filter assigns nobody.
    let served = served
        .filter(|_| plan.mode == Mode::Steer)
        .map(|served| [canary.came + canary.forced, answered(served, CANARY).sent]);
    inputs::Counted { from: counted.from, until: counted.until, guards, served, open }
}

/// Counts of one guard by what the servers of both versions answered: of all users, as nobody knows there who is in which group.
fn served_counts(guard: &Guard, stable: &Answered, canary: &Answered) -> Option<GuardCounts> {
    let (stable, canary) = match &guard.source {
        GuardSource::Errors => (stable.errors(), canary.errors()),
        GuardSource::SlowerThan(at) => (stable.slower_than(*at)?, canary.slower_than(*at)?),
        GuardSource::Query(_) => return None,
    };
    Some(GuardCounts { stable: vec![stable], canary: vec![canary] })
}

/// Counts of one guard; none of what is not counted here.
fn guard_counts(guard: &Guard, stable: &VariantCounts, canary: &VariantCounts) -> Option<GuardCounts> {
    match &guard.source {
        GuardSource::Errors => Some(GuardCounts {
            stable: pairs(&stable.all, &stable.bad),
            canary: pairs(&canary.all, &canary.bad),
        }),
        GuardSource::SlowerThan(at) => slow_counts(*at, stable, canary),
        GuardSource::Query(_) => None,
    }
}

fn slow_counts(at: u64, stable: &VariantCounts, canary: &VariantCounts) -> Option<GuardCounts> {
    let (of_stable, of_canary) = (stable.slow.get(&at), canary.slow.get(&at));
    let is_whole = matches!((of_stable, of_canary), (Some(Slow::Whole(_)), _) | (_, Some(Slow::Whole(_))));
    if is_whole {
        let whole = |counts: &VariantCounts, slow: Option<&Slow>| {
            let bad = slow.map_or(0, Slow::total);
            // Requests that ended between the reading of one counter and the other.
            let all = counts.all.iter().sum::<u64>().max(bad);
            vec![[all, bad]]
        };
        return Some(GuardCounts { stable: whole(stable, of_stable), canary: whole(canary, of_canary) });
    }
    // Counters are born with their first count: where there is none, nothing was slow.
    let groups = |slow: Option<&Slow>| match slow {
        Some(Slow::Groups(groups)) => *groups,
        _ => [0; GROUPS],
    };
    Some(GuardCounts {
        stable: pairs(&stable.all, &groups(of_stable)),
        canary: pairs(&canary.all, &groups(of_canary)),
    })
}

/// `[all, bad]` of each group. The filter sends its counters one by one, and a page may be read between two of them.
fn pairs(all: &[u64; GROUPS], bad: &[u64; GROUPS]) -> Vec<[u64; 2]> {
    all.iter().zip(bad).map(|(all, bad)| [*all.max(bad), *bad]).collect()
}

// === impl Slow ===

impl Slow {
    fn total(&self) -> u64 {
        match self {
            Self::Whole(count) => *count,
            Self::Groups(groups) => groups.iter().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use coalmine_document::Notation;
    use coalmine_steer::plan::Setting;

    use super::*;
    use crate::evidence::Servers;

    fn plan(text: &str) -> Plan {
        let documents = Notation::Yaml.read(text).unwrap();
        Plan::from_document(&documents[0], Setting { workloads: false }).unwrap()
    }

    fn name() -> Name {
        "shop/checkout".parse().unwrap()
    }

    fn answered(all: u64, bad: u64, within: u64) -> Answered {
        Answered { sent: all, all, bad, timed: all, within: BTreeMap::from([(250, within)]) }
    }

    fn served_by(cluster: &str, guards: Option<Vec<u64>>) -> Option<ServedBy> {
        Some(ServedBy { servers: Servers::Cluster(cluster.parse().unwrap()), guards })
    }

    fn reading() -> Reading {
        let counts = |all, bad, slow| VariantCounts {
            came: all,
            forced: 3,
            all: [all; GROUPS],
            bad: [bad; GROUPS],
            slow: BTreeMap::from([(250, slow)]),
            open: Some(Open { begun: all, open: bad }),
        };
        let variants = BTreeMap::from([
            ("stable".to_owned(), counts(100, 1, Slow::Groups([2; GROUPS]))),
            ("baseline".to_owned(), counts(50, 3, Slow::Whole(7))),
            ("canary".to_owned(), counts(10, 4, Slow::Groups([5; GROUPS]))),
        ]);
        let counted = Counted {
            from: 100,
            until: 115,
            rollouts: BTreeMap::from([(name(), variants)]),
            served: BTreeMap::from([
                ("checkout-stable".to_owned(), answered(90, 1, 70)),
                ("checkout-canary".to_owned(), answered(8, 2, 3)),
            ]),
        };
        let proxy = ProxyReading {
            name: "edge".to_owned(),
            revision: Some(9),
            seen: 115,
            since: vec![(5, 10), (7, 50), (9, 90)],
            counted: Some(counted),
            ..ProxyReading::default()
        };
        Reading { proxies: vec![proxy], ..Reading::default() }
    }

    #[test]
    fn guards_are_counted_by_their_source() {
        let plan =
            plan("{guards: {errors: {}, late: {slowerThan: 250ms}, other: {slowerThan: 1s}, q: {query: q}}}");
        let counted = proxies(&reading(), &name(), &plan, Some(7), "stable").remove(0).counted.unwrap();
        assert_eq!((counted.from, counted.until), (100, 115));
        assert_eq!(counted.open, Some([[100, 1], [10, 4]]));
        assert_eq!(
            (counted.guards["errors"].stable[3], counted.guards["errors"].canary[3]),
            ([100, 1], [10, 4])
        );
        assert_eq!(
            (counted.guards["late"].stable[0], counted.guards["late"].canary[15]),
            ([100, 2], [10, 5])
        );
        assert_eq!(counted.guards["other"].canary[0], [10, 0], "nothing was that slow");
        assert!(!counted.guards.contains_key("q"));
    }

    #[test]
    fn a_baseline_is_compared_in_stables_place() {
        let plan = plan("{guards: {errors: {}, late: {slowerThan: 250ms}}}");
        let counted = proxies(&reading(), &name(), &plan, Some(7), "baseline").remove(0).counted.unwrap();
        assert_eq!(counted.guards["errors"].stable[0], [50, 3]);
        assert_eq!(counted.guards["late"].stable, [[50 * 16, 7]], "as a whole where one arm is");
    }

    #[test]
    fn what_a_version_served_stands_beside_what_was_assigned_to_it() {
        let served = |cluster: &str| {
            let reading = Reading { served: served_by(cluster, None), ..reading() };
            let proxies = proxies(&reading, &name(), &plan("{}"), Some(7), "stable");
            proxies[0].counted.as_ref().unwrap().served
        };
        assert_eq!(served("{name}-{variant}"), Some([13, 8]), "10 that were drawn, and 3 that were not");
        assert_eq!(served("elsewhere"), Some([13, 0]));
        let unknown = proxies(&reading(), &name(), &plan("{}"), Some(7), "stable");
        assert_eq!(unknown[0].counted.as_ref().unwrap().served, None, "nobody says how that is counted");
    }

    #[test]
    fn guards_are_counted_by_what_was_served_where_the_operator_says_so() {
        let served = served_by("{name}-{variant}", Some(vec![250, 1_000]));
        let reading = Reading { served, ..reading() };
        let plan = |mode: &str| {
            plan(&format!(
                "{{mode: {mode}, guards: {{errors: {{}}, late: {{slowerThan: 250ms}}, other: {{slowerThan: 1s}}}}}}"
            ))
        };
        let counted = |mode: &str| {
            proxies(&reading, &name(), &plan(mode), Some(7), "stable").remove(0).counted.unwrap()
        };
        let steered = counted("steer");
        let whole = |stable, canary| GuardCounts { stable: vec![stable], canary: vec![canary] };
        assert_eq!(steered.guards["errors"], whole([90, 1], [8, 2]));
        assert_eq!(steered.guards["late"], whole([90, 20], [8, 5]));
        assert!(!steered.guards.contains_key("other"), "no bucket ends there, so nobody knows");
        assert_eq!(steered.served, Some([13, 8]));
        let judged = counted("judge");
        assert_eq!(
            (judged.guards, judged.served),
            (steered.guards, None),
            "the route assigns, not the filter"
        );
    }

    #[test]
    fn a_version_without_a_request_had_no_bad_one() {
        let reading = Reading { served: served_by("other-{variant}", Some(vec![250])), ..reading() };
        let plan = plan("{guards: {errors: {}, late: {slowerThan: 250ms}}}");
        let counted = proxies(&reading, &name(), &plan, Some(7), "stable").remove(0).counted.unwrap();
        assert!(counted.guards.values().all(|counts| counts.canary == [[0, 0]]), "{counted:?}");
    }

    #[test]
    fn a_proxy_runs_a_form_since_it_was_first_seen_with_it() {
        let plan = plan("{}");
        let since = |revision| proxies(&reading(), &name(), &plan, revision, "stable")[0].running_since;
        assert_eq!((since(Some(5)), since(Some(6)), since(Some(7)), since(Some(9))), (10, 50, 50, 90));
        assert_eq!((since(Some(10)), since(None)), (115, 115));
    }

    #[test]
    fn a_proxy_that_has_switched_it_off_is_told() {
        let mut reading = reading();
        let disabled =
            |reading: &Reading| proxies(reading, &name(), &plan("{}"), Some(7), "stable")[0].disabled;
        assert!(!disabled(&reading));
        reading.proxies[0].disabled = vec![name()];
        assert!(disabled(&reading));
    }
}
