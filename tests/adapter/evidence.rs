//! What the filter counts of responses.

use std::time::Duration;

use crate::fake_host::host;
use crate::proxy::Proxy;
use crate::{CANARY, STABLE, counter, to_checkout};

/// Half of all users, observed. The user `a` draws canary and the group 4, `alice@example.com` stable and the group 12.
fn policy(revision: u64, since: u64) -> String {
    format!(
        r#"{{"revision": {revision}, "observe": {{"responses": true, "slow": [{{"at": "100ms", "groups": true}}, "1s"]}},
            "rollouts": [{{"name": "checkout", "match": {{"hosts": ["checkout"]}}, "identity": [{{"header": "x-user-id"}}],
            "pins": {{"canary": ["pinned"]}}, "variants": [{{"name": "canary", "weight": 50}}],
            "observe": true, "since": {since}}}]}}"#
    )
}

fn ask(proxy: &mut Proxy, user: &[u8], status: Option<&str>) {
    let context = proxy.open(&to_checkout(&[("x-user-id", user)]));
    proxy.request_headers(context);
    proxy.respond(context, status);
}

fn of_canary(labels: &str, name: &str) -> u64 {
    counter(&format!("rollout=.=checkout;.;variant=.=canary;.;{labels}{name}"))
}

fn group_of_canary() -> String {
    let names = host(|host| host.counters.clone());
    let all = names
        .iter()
        .find(|(name, count)| name.contains("=canary;") && name.ends_with("all_total") && *count > 0);
    let (name, _) = all.expect("a request of canary was counted");
    let labels = name.strip_prefix("rollout=.=checkout;.;variant=.=canary;.;").unwrap();
    labels.strip_suffix("coalmine_all_total").unwrap().to_owned()
}

#[test]
fn an_observed_rollout_shows_every_group_before_its_first_request() {
    let _proxy = Proxy::with_policy(&policy(7, 3));
    let all = host(|host| host.counters.clone());
    let all: Vec<_> = all.iter().filter(|(name, _)| name.ends_with("coalmine_all_total")).collect();
    assert_eq!(all.len(), 2 * 16, "two variants, sixteen groups");
    assert!(all.iter().all(|(_, value)| *value == 0));
}

#[test]
fn the_class_comes_from_the_status_and_from_how_the_response_ended() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    let cases = [
        (Some("200"), 0, "2xx"),
        (Some("204"), 0, "2xx"),
        (Some("101"), 1 << 14, "2xx"),
        (Some("302"), 0, "3xx"),
        (Some("404"), 1 << 8, "4xx"),
        (Some("408"), 1 << 16, "4xx"),
        (Some("503"), 1 << 1, "5xx"),
        (Some("504"), 1 << 2, "5xx"),
        (Some("200"), 1 << 2, "broken"),
        (Some("200"), 1 << 6, "broken"),
        (Some("200"), 1 << 4, "broken"),
        (Some("200"), 1 << 14, "gone"),
        (Some("200"), 1 << 28, "gone"),
        (None, 1 << 14, "gone"),
        (None, 0, "broken"),
    ];
    for (status, flags, class) in cases {
        let before = of_canary(&format!("class=.={class};.;"), "coalmine_responses_total");
        host(|host| host.flags = flags);
        ask(&mut proxy, CANARY, status);
        proxy.tick();
        let after = of_canary(&format!("class=.={class};.;"), "coalmine_responses_total");
        assert_eq!(after - before, 1, "{status:?} {flags:#x} is {class}");
    }
    let group = group_of_canary();
    assert_eq!(of_canary(&group, "coalmine_all_total"), cases.len() as u64);
    let bad = cases.iter().filter(|(_, _, class)| ["5xx", "broken"].contains(class)).count();
    assert_eq!(of_canary(&group, "coalmine_bad_total"), bad as u64);
}

#[test]
fn a_grpc_response_is_what_its_own_status_says() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    let client = ["1", "3", "5", "6", "7", "9", "10", "11", "16"];
    for status in (0..=16).map(|status| status.to_string()) {
        let class = match &*status {
            "0" => "ok",
            status if client.contains(&status) => "client",
            _ => "server",
        };
        for in_trailers in [true, false] {
            let before = of_canary(&format!("class=.={class};.;"), "coalmine_responses_total");
            let kind: (&str, &[u8]) = ("content-type", b"application/grpc+proto");
            let context = proxy.open(&to_checkout(&[("x-user-id", CANARY), kind]));
            proxy.request_headers(context);
            host(|host| {
                let place = if in_trailers { &mut host.trailers } else { &mut host.response };
                place.push(("grpc-status".to_owned(), status.clone()));
            });
            proxy.respond(context, Some("200"));
            proxy.tick();
            let after = of_canary(&format!("class=.={class};.;"), "coalmine_responses_total");
            assert_eq!(after - before, 1, "{status} in the trailers: {in_trailers}");
        }
    }
}

#[test]
fn only_users_who_were_drawn_are_evidence() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    ask(&mut proxy, b"pinned", Some("500"));
    ask(&mut proxy, b"", Some("500"));
    ask(&mut proxy, STABLE, Some("200"));
    proxy.tick();
    let counted = host(|host| host.counters.clone());
    let counted: Vec<_> = counted
        .iter()
        .filter(|(name, value)| {
            *value > 0 && ["responses_total", "bad_total"].iter().any(|end| name.ends_with(end))
        })
        .collect();
    let [(name, 1)] = counted.as_slice() else { panic!("{counted:?}") };
    assert_eq!(name, "rollout=.=checkout;.;variant=.=stable;.;class=.=2xx;.;coalmine_responses_total");
}

#[test]
fn a_response_is_slow_beyond_a_threshold_and_not_at_it() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    for (milliseconds, beyond) in [(99, 0), (100, 0), (101, 1), (1000, 1), (1001, 2)] {
        let context = proxy.open(&to_checkout(&[("x-user-id", CANARY)]));
        proxy.request_headers(context);
        host(|host| host.now += Duration::from_millis(milliseconds));
        let slow = |host: &mut crate::fake_host::FakeHost| {
            let slow = host.counters.iter().filter(|(name, _)| name.ends_with("coalmine_slow_total"));
            slow.map(|(_, count)| count).sum::<u64>()
        };
        let before = host(slow);
        proxy.respond(context, Some("200"));
        proxy.tick();
        assert_eq!(host(slow) - before, beyond, "{milliseconds} ms");
    }
    let group = group_of_canary();
    assert_eq!(of_canary(&format!("{group}threshold=.=100ms;.;"), "coalmine_slow_total"), 3);
    assert_eq!(of_canary("threshold=.=1s;.;", "coalmine_slow_total"), 1);
}

#[test]
fn a_redirected_request_has_begun_with_its_first_pass() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    host(|host| {
        (host.redirects, host.request_time) = (Some(1), host.now);
        host.now += Duration::from_millis(150);
    });
    let mark: (&str, &[u8]) = ("x-envoy-original-url", b"http://checkout/");
    let context = proxy.open(&to_checkout(&[("x-user-id", CANARY), mark]));
    proxy.request_headers(context);
    proxy.respond(context, Some("200"));
    proxy.tick();
    let group = group_of_canary();
    assert_eq!(of_canary(&format!("{group}threshold=.=100ms;.;"), "coalmine_slow_total"), 1);
}

#[test]
fn a_client_that_leaves_a_hanging_service_counts_as_slow() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    let context = proxy.open(&to_checkout(&[("x-user-id", CANARY)]));
    proxy.request_headers(context);
    host(|host| (host.now, host.flags) = (host.now + Duration::from_secs(30), 1 << 14));
    proxy.respond(context, None);
    proxy.tick();
    assert_eq!(of_canary("class=.=gone;.;", "coalmine_responses_total"), 1);
    assert_eq!(of_canary("threshold=.=1s;.;", "coalmine_slow_total"), 1);
}

#[test]
fn a_request_across_a_change_of_its_rollout_is_late_and_nothing_else() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    let across = proxy.open(&to_checkout(&[("x-user-id", CANARY)]));
    proxy.request_headers(across);
    assert!(proxy.configure(&policy(8, 8)));
    proxy.respond(across, Some("500"));
    // Another change leaves this rollout as it is.
    let within = proxy.open(&to_checkout(&[("x-user-id", CANARY)]));
    proxy.request_headers(within);
    assert!(proxy.configure(&policy(9, 8)));
    proxy.respond(within, Some("500"));
    proxy.tick();
    assert_eq!(counter("rollout=.=checkout;.;coalmine_late_total"), 1);
    assert_eq!(of_canary("class=.=5xx;.;", "coalmine_responses_total"), 1);
}

#[test]
fn the_revision_is_that_of_the_policy_in_force() {
    let mut proxy = Proxy::with_policy(&policy(7, 3));
    assert_eq!(counter("coalmine_policy_revision"), 7);
    assert!(!proxy.configure(&policy(8, 8).replace("50", "500")));
    proxy.tick();
    assert_eq!(counter("coalmine_policy_revision"), 7, "never a refused one");
    let disabled = "rollout=.=checkout;.;coalmine_rollout_disabled";
    assert!(proxy.configure(&policy(9, 9).replace("\"pins\"", "\"enabled\": false, \"pins\"")));
    assert_eq!((counter("coalmine_policy_revision"), counter(disabled)), (9, 1));
    assert!(proxy.configure(&policy(10, 10)));
    proxy.tick();
    assert_eq!((counter("coalmine_policy_revision"), counter(disabled)), (10, 0));
}
