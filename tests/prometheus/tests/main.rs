//! The command on a real Prometheus: what it judges is the truth to the last count, whatever happens to the counters.
//!
//! `COALMINE_PROMETHEUS` and `COALMINE_COMMAND` name the two programs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod filter;
mod prometheus;
mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, SystemTime};

use coalmine_prometheus_tests::Proxy;
use serde_json::Value;

use prometheus::{Prometheus, rfc3339};

/// Scrapes that the test waits for, one a second.
const SCRAPES: usize = 14;

/// Counters of one proxy: metric, variant and group (or threshold), as it writes them.
type Counters = BTreeMap<(&'static str, &'static str, usize), u64>;

/// What is counted at one scrape beyond the one before: (canary, slot), where slot 0 is all, 1 errors, 2 slow.
type Truth = [[u64; 3]; 2];

fn page(counters: &Counters, revision: u64) -> String {
    let mut page = format!("coalmine_policy_revision {revision}\n");
    for ((metric, variant, group), value) in counters {
        let last = match *metric {
            "slow" => ",threshold=\"250ms\"".to_owned(),
            _ => String::new(),
        };
        let _ = writeln!(
            page,
            "coalmine_{metric}_total{{rollout=\"checkout\",variant=\"{variant}\",group=\"{group}\"{last}}} {value}"
        );
        // Another rollout, and a variant that is not compared: neither counts.
        let _ = writeln!(
            page,
            "coalmine_{metric}_total{{rollout=\"checkout-2\",variant=\"{variant}\",group=\"{group}\"{last}}} 7{value}"
        );
    }
    page
}

/// Increments of a scrape: the same for the same numbers, and different for others.
fn grow(counters: &mut Counters, proxy: u64, scrape: u64, born: bool) {
    for (arm, variant) in ["stable", "canary"].into_iter().enumerate() {
        for group in 0..16 {
            let number = (proxy * 1009 + scrape * 31 + group as u64 * 7 + arm as u64) % 11;
            let all = 3 + number;
            *counters.entry(("all", variant, group)).or_default() += all;
            // Some counters are born later than others: with their first count.
            if born && (number > 8) {
                *counters.entry(("bad", variant, group)).or_default() += 1;
                *counters.entry(("slow", variant, group)).or_default() += 2;
            }
        }
    }
}

/// Pages of a proxy and what each adds to the truth.
fn script(proxy: u64, reset_at: Option<u64>) -> (Vec<Option<String>>, Vec<Truth>) {
    let mut counters = Counters::new();
    let (mut pages, mut truths) = (Vec::new(), Vec::new());
    for scrape in 0..SCRAPES as u64 {
        let before = match reset_at == Some(scrape) {
            true => {
                counters.clear();
                Counters::new()
            }
            false => counters.clone(),
        };
        grow(&mut counters, proxy, scrape, scrape > 3);
        pages.push(Some(page(&counters, 1)));
        truths.push(if scrape == 0 { Truth::default() } else { difference(&before, &counters) });
    }
    (pages, truths)
}

fn difference(before: &Counters, after: &Counters) -> Truth {
    let mut truth = Truth::default();
    for (key, value) in after {
        let slot = ["all", "bad", "slow"].iter().position(|name| *name == key.0).unwrap();
        truth[usize::from(key.1 == "canary")][slot] += value - before.get(key).copied().unwrap_or_default();
    }
    truth
}

/// Sum of what had been scraped at a time.
fn until(time: Duration, proxies: &[(&Proxy, &[Truth])]) -> Truth {
    let mut sum = Truth::default();
    for (proxy, truths) in proxies {
        for (_, truth) in proxy.scrapes().iter().zip(*truths).filter(|(at, _)| **at <= time) {
            for (sum, more) in sum.iter_mut().flatten().zip(truth.iter().flatten()) {
                *sum += more;
            }
        }
    }
    sum
}

fn found(look: &Value) -> Truth {
    let mut truth = Truth::default();
    for guard in look["guards"].as_array().unwrap() {
        let slot = if guard["name"] == "errors" { 1 } else { 2 };
        for (arm, name) in ["stable", "canary"].into_iter().enumerate() {
            truth[arm][0] = guard[name]["all"].as_u64().unwrap();
            truth[arm][slot] = guard[name]["bad"].as_u64().unwrap();
        }
    }
    truth
}

#[test]
fn what_is_judged_is_the_truth_to_the_last_count() {
    let (steady_pages, steady) = script(1, None);
    let (reset_pages, reset) = script(2, Some(7));
    let (mut vanishing_pages, mut vanishing) = script(3, None);
    for scrape in 8..SCRAPES {
        vanishing_pages[scrape] = None;
        vanishing[scrape] = Truth::default();
    }
    // Its module comes later: the proxy was scraped before, so its counters start from 0.
    let (mut late_pages, mut late) = script(4, None);
    let first = difference(&Counters::new(), &{
        let mut counters = Counters::new();
        (0..=5).for_each(|scrape| grow(&mut counters, 4, scrape, scrape > 3));
        counters
    });
    for scrape in 0..5 {
        late_pages[scrape] = Some("envoy_server_live 1\n".to_owned());
        late[scrape] = Truth::default();
    }
    late[5] = first;
    // It was not scraped before: nobody knows since when its counters count.
    let (mut new_pages, mut new) = script(5, None);
    for scrape in 0..6 {
        new_pages[scrape] = None;
        new[scrape] = Truth::default();
    }
    new[6] = Truth::default();

    let begin = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let proxies: Vec<Proxy> = [steady_pages, reset_pages, vanishing_pages, late_pages, new_pages]
        .into_iter()
        .map(|pages| Proxy::start(pages).unwrap())
        .collect();
    let prometheus = Prometheus::start(&proxies.iter().map(Proxy::address).collect::<Vec<_>>());
    while proxies.iter().any(|proxy| proxy.scrapes().len() < SCRAPES) {
        std::thread::sleep(Duration::from_millis(50));
    }
    // The last page is answered again and again, so nothing is added while the command runs.
    let with_truth: Vec<(&Proxy, &[Truth])> =
        proxies.iter().zip([&steady[..], &reset, &vanishing, &late, &new]).collect();
    // A whole look after the last scrape.
    let end =
        begin.as_secs() + 1 + (proxies.iter().flat_map(Proxy::scrapes).max().unwrap() - begin).as_secs() + 3;
    while SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() <= end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let run = Command::new(std::env::var("COALMINE_COMMAND").unwrap())
        .args(["judge", "--prometheus", &prometheus.url, "--rollout", "checkout", "--format", "json"])
        .args([
            "--guard", "errors", "--guard", "250ms", "--step", "2s", "--weight", "50", "--alpha", "0.0001",
        ])
        .args([
            "--from",
            &rfc3339(Duration::from_secs(begin.as_secs())),
            "--to",
            &rfc3339(Duration::from_secs(end)),
        ])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    let looks: Vec<Value> =
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    for (place, look) in looks.iter().enumerate() {
        let at = Duration::from_secs(begin.as_secs() + 2 * (place as u64 + 1));
        // A sample has the time at which the scrape began, and the proxy knows when it ended.
        let (low, high) = (until(at, &with_truth), until(at + Duration::from_millis(300), &with_truth));
        let found = found(look);
        for ((found, low), high) in
            found.iter().flatten().zip(low.iter().flatten()).zip(high.iter().flatten())
        {
            assert!((low..=high).contains(&found), "look {place}: {found} is not between {low} and {high}");
        }
    }
    let truth = until(Duration::MAX, &with_truth);
    println!("stable and canary (all, errors, slow): {truth:?} in {} looks", looks.len());
    assert_eq!(found(looks.last().unwrap()), truth);
    assert!(truth.iter().flatten().all(|count| *count > 0));
}

/// It looks as time goes on, and ends by itself when harm is proved.
#[test]
fn a_bad_canary_ends_what_follows_it() {
    let mut counters = Counters::new();
    let pages = (0..100).map(|scrape| {
        grow(&mut counters, 1, scrape, false);
        for group in 0..16 {
            let all = counters[&("all", "canary", group)];
            counters.insert(("bad", "canary", group), all);
        }
        Some(page(&counters, 1))
    });
    let proxy = Proxy::start(pages.collect()).unwrap();
    let prometheus = Prometheus::start(&[proxy.address()]);
    while proxy.scrapes().len() < 2 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let run = Command::new(std::env::var("COALMINE_COMMAND").unwrap())
        .args([
            "judge",
            "--prometheus",
            &prometheus.url,
            "--rollout",
            "checkout",
            "--weight",
            "50",
            "--follow",
        ])
        .args(["--step", "2s"])
        .output()
        .unwrap();
    let (found, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(1), "{found}{errors}");
    assert!(found.lines().last().unwrap().contains("rollback (errors: harm is proved)"), "{found}");
}

#[test]
fn what_is_no_prometheus_is_said() {
    let proxy = Proxy::start(vec![Some("hello\n".to_owned())]).unwrap();
    let run = Command::new(std::env::var("COALMINE_COMMAND").unwrap())
        .args(["judge", "--prometheus", &format!("http://{}", proxy.address()), "--rollout", "checkout"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(errors.contains("HTTP 200, and no answer of Prometheus"), "{errors}");
    assert_eq!(run.status.code(), Some(2));
}
