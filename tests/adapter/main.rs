//! The real adapter against a fake host: what it asks, what it writes, what it counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod evidence;
mod fake_host;
mod proxy;

use std::time::Duration;

use fake_host::host;
use proxy::Proxy;

/// Half of all users to the canary. By coalmine-v1 and the salt `checkout`, `a` draws bucket 200478 (canary) and
/// `alice@example.com` 906693 (stable).
const POLICY: &str = r#"{"version": 1, "revision": 7, "rollouts": [{
    "name": "checkout", "match": {"hosts": ["checkout"]}, "identity": [{"header": "x-user-id"}, {"cookie": "sid"}],
    "variants": [{"name": "canary", "weight": 50.0}]}], "observe": {"accessLog": false}}"#;
const CANARY: &[u8] = b"a";
const STABLE: &[u8] = b"alice@example.com";
/// Every request is asked whether it begins again.
const MARK: &str = "get x-envoy-original-url";

/// A request to the rollout's host, with these headers besides.
fn to_checkout<'a>(headers: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
    let mut all: Vec<(&str, &[u8])> =
        vec![(":method", b"GET"), (":authority", b"checkout"), (":path", b"/pay?now")];
    all.extend(headers);
    all
}

fn counter(name: &str) -> u64 {
    host(|host| host.counters.iter().filter(|(given, _)| given == name).map(|(_, value)| value).sum())
}

#[test]
fn a_canary_user_gets_the_header_and_a_stable_user_nothing() {
    let mut proxy = Proxy::with_policy(POLICY);
    let canary = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    assert_eq!(canary.header("x-coalmine-variant"), ["canary"]);
    let stable = proxy.request(&to_checkout(&[("x-user-id", STABLE)]));
    assert_eq!(stable.header("x-coalmine-variant"), [""; 0]);
}

#[test]
fn a_stable_request_takes_four_calls_into_the_host() {
    let mut proxy = Proxy::with_policy(POLICY);
    let answered = proxy.request(&to_checkout(&[("x-user-id", STABLE)]));
    assert_eq!(answered.calls, [MARK, "get :authority", "get x-user-id", "get x-coalmine-variant"]);
}

#[test]
fn a_path_match_adds_one_call() {
    let policy =
        POLICY.replace(r#""match": {"#, r#""match": {"paths": [{"exact": "/pay"}, {"prefix": "/cart"}], "#);
    let mut proxy = Proxy::with_policy(&policy);
    let answered = proxy.request(&to_checkout(&[("x-user-id", STABLE)]));
    assert_eq!(
        answered.calls,
        [MARK, "get :authority", "get :path", "get x-user-id", "get x-coalmine-variant"]
    );
}

#[test]
fn a_canary_request_also_looks_for_a_second_identity_and_writes_once() {
    let mut proxy = Proxy::with_policy(POLICY);
    let answered = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    let calls = [
        MARK,
        "get :authority",
        "get x-user-id",
        "property request.headers.x-user-id",
        "get x-coalmine-variant",
        "set x-coalmine-variant",
    ];
    assert_eq!(answered.calls, calls);
}

#[test]
fn what_a_client_forges_is_gone_and_counted_matched_or_not() {
    let mut proxy = Proxy::with_policy(POLICY);
    let forged: (&str, &[u8]) = ("x-coalmine-variant", b"canary");
    let stable = proxy.request(&to_checkout(&[("x-user-id", STABLE), forged, forged]));
    assert_eq!(stable.header("x-coalmine-variant"), [""; 0]);
    let canary = proxy.request(&to_checkout(&[("x-user-id", CANARY), forged, forged]));
    assert_eq!(canary.header("x-coalmine-variant"), ["canary"], "one, not two");
    let unmatched = proxy.request(&[(":authority", b"elsewhere"), forged]);
    assert_eq!(unmatched.header("x-coalmine-variant"), [""; 0]);
    proxy.tick();
    assert_eq!(counter("rollout=.=checkout;.;coalmine_forged_total"), 2);
    assert_eq!(counter("rollout=.=none;.;coalmine_forged_total"), 1);
}

#[test]
fn an_identity_that_occurs_twice_is_nobody() {
    let mut proxy = Proxy::with_policy(POLICY);
    let twice =
        proxy.request(&to_checkout(&[("x-user-id", CANARY), ("x-user-id", b"other"), ("cookie", b"sid=a")]));
    assert_eq!(twice.header("x-coalmine-variant"), [""; 0]);
    let hidden =
        proxy.request(&to_checkout(&[("x-user-id", b""), ("x-user-id", b"other"), ("cookie", b"sid=a")]));
    assert_eq!(hidden.header("x-coalmine-variant"), [""; 0], "an empty one in front hides nothing");
    proxy.tick();
    let name = "rollout=.=checkout;.;variant=.=stable;.;reason=.=noIdentity;.;coalmine_requests_total";
    assert_eq!(counter(name), 2);
}

#[test]
fn one_empty_identity_header_gives_way_to_the_next_source() {
    let mut proxy = Proxy::with_policy(POLICY);
    let answered = proxy.request(&to_checkout(&[("x-user-id", b""), ("cookie", b"sid=a")]));
    assert_eq!(answered.header("x-coalmine-variant"), ["canary"]);
}

#[test]
fn a_cookie_may_stand_in_a_second_header() {
    let mut proxy = Proxy::with_policy(POLICY);
    let answered = proxy.request(&to_checkout(&[("cookie", b"a=0"), ("cookie", b"b=1; sid=a")]));
    assert_eq!(answered.header("x-coalmine-variant"), ["canary"]);
    assert_eq!(answered.header("cookie"), ["a=0", "b=1; sid=a"], "nothing is written");
}

#[test]
fn a_configuration_that_is_not_all_there_is_refused() {
    let mut proxy = Proxy::with_policy(POLICY);
    assert!(!proxy.configure_with_size("", 10));
    let canary = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    assert_eq!(canary.header("x-coalmine-variant"), ["canary"]);
}

#[test]
fn bytes_that_are_not_utf_8_are_an_identity_like_any_other() {
    let mut proxy = Proxy::with_policy(POLICY);
    let answered = proxy.request(&to_checkout(&[("x-user-id", b"\xff\xfe\x00")]));
    assert_eq!(answered.calls[2], "get x-user-id");
    proxy.tick();
    let counted: u64 = host(|host| {
        host.counters
            .iter()
            .filter(|(name, _)| name.contains("reason=.=bucket"))
            .map(|(_, value)| value)
            .sum()
    });
    assert_eq!(counted, 1);
}

#[test]
fn counts_wait_for_the_tick_and_outlive_the_policy() {
    let mut proxy = Proxy::with_policy(POLICY);
    assert_eq!(host(|host| host.tick_milliseconds), 500);
    let name = "rollout=.=checkout;.;variant=.=stable;.;reason=.=bucket;.;coalmine_requests_total";
    proxy.request(&to_checkout(&[("x-user-id", STABLE)]));
    assert_eq!(counter(name), 0);
    assert!(proxy.configure(&POLICY.replace("50.0", "1.0")));
    proxy.request(&to_checkout(&[("x-user-id", STABLE)]));
    proxy.tick();
    assert_eq!(counter(name), 2);
    proxy.tick();
    assert_eq!(counter(name), 2);
    let defined = host(|host| host.counters.iter().filter(|(given, _)| given == name).count());
    assert_eq!(defined, 1, "a second definition is a second metric in the VM");
}

#[test]
fn a_counter_that_never_counted_is_never_defined() {
    let proxy = Proxy::with_policy(POLICY);
    proxy.tick();
    let counters = host(|host| host.counters.clone());
    let totals: Vec<_> = counters.iter().filter(|(name, _)| name.ends_with("_total")).collect();
    assert!(totals.is_empty(), "{totals:?}");
}

#[test]
fn a_bad_policy_is_refused_with_every_problem_and_the_old_one_stays() {
    let mut proxy = Proxy::with_policy(POLICY);
    let bad = POLICY.replace("50.0", "105").replace("x-user-id", "authorization");
    assert!(!proxy.configure(&bad));
    let log = host(|host| host.log.join("\n"));
    assert!(log.contains("rollouts[0].variants[0].weight: a weight is 0 to 100 percent, not 105"), "{log}");
    assert!(log.contains("rollouts[0].identity[0].header: "), "{log}");
    assert_eq!(counter("coalmine_policy_rejected_total"), 1);
    let canary = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    assert_eq!(canary.header("x-coalmine-variant"), ["canary"]);
}

#[test]
fn a_request_under_way_keeps_the_policy_that_it_began_with() {
    let mut proxy = Proxy::with_policy(POLICY);
    let context = proxy.open(&to_checkout(&[("x-user-id", CANARY)]));
    assert!(proxy.configure(&POLICY.replace("50.0", "0")));
    assert_eq!(proxy.request_headers(context).header("x-coalmine-variant"), ["canary"]);
    let next = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    assert_eq!(next.header("x-coalmine-variant"), [""; 0]);
}

#[test]
fn no_configuration_is_the_empty_policy() {
    let mut proxy = Proxy::start();
    for configuration in ["", "{}"] {
        assert!(proxy.configure(configuration));
        let answered = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
        assert_eq!(answered.calls, [MARK, "get x-coalmine-variant"]);
        proxy.tick();
    }
    assert_eq!(counter("rollout=.=none;.;variant=.=stable;.;reason=.=noMatch;.;coalmine_requests_total"), 2);
}

#[test]
fn the_access_log_sees_the_decision_only_when_the_policy_says_so() {
    let mut proxy = Proxy::with_policy(POLICY);
    assert!(proxy.request(&to_checkout(&[("x-user-id", CANARY)])).filter_state.is_empty());
    assert!(proxy.configure(&POLICY.replace("\"accessLog\": false", "\"accessLog\": true")));
    let shown = |state: &std::collections::BTreeMap<String, String>| {
        ["rollout", "variant", "reason", "revision"].map(|name| state[&format!("coalmine_{name}")].clone())
    };
    let matched = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    assert_eq!(shown(&matched.filter_state), ["checkout", "canary", "bucket", "7"]);
    let unmatched = proxy.request(&[(":authority", b"elsewhere")]);
    assert_eq!(shown(&unmatched.filter_state), ["-", "stable", "noMatch", "7"]);
    assert!(proxy.configure(r#"{"observe": {"accessLog": true}}"#));
    let unnumbered = proxy.request(&[(":authority", b"elsewhere")]);
    assert_eq!(shown(&unnumbered.filter_state)[3], "-");
}

#[test]
fn a_user_without_an_identity_is_issued_one_and_keeps_it() {
    let policy = POLICY.replace(r#""variants""#, r#""onMissingIdentity": "issueCookie", "variants""#);
    let mut proxy = Proxy::with_policy(&policy);
    let first = proxy.request(&to_checkout(&[("cookie", b"a=0; coalmine-id=mine; b=2")]));
    let [(name, cookie)] = first.response.as_slice() else { panic!("{:?}", first.response) };
    assert_eq!(name, "set-cookie");
    let identity = &cookie["coalmine-id=".len()..][..32];
    assert_eq!(
        *cookie,
        format!("coalmine-id={identity}; Max-Age=2592000; Path=/; SameSite=Lax; Secure; HttpOnly")
    );
    assert_eq!(first.header("cookie"), [format!("a=0; b=2; coalmine-id={identity}")]);
    let cookies = format!("coalmine-id={identity}");
    let second = proxy.request(&to_checkout(&[("cookie", cookies.as_bytes())]));
    assert_eq!(second.response, []);
    assert_eq!(second.header("x-coalmine-variant"), first.header("x-coalmine-variant"));
    let third = proxy.request(&to_checkout(&[]));
    assert_ne!(third.response, first.response, "random, not the same for everybody");
    let known = proxy.request(&to_checkout(&[("x-user-id", STABLE)]));
    assert_eq!(known.response, []);
}

/// Envoy keeps the answers that it redirects to itself: the identity that the first pass has issued goes out with the
/// last one.
#[test]
fn an_internal_redirect_is_one_request_of_one_user() {
    let policy = POLICY.replace(r#""variants""#, r#""onMissingIdentity": "issueCookie", "variants""#);
    let mut proxy = Proxy::with_policy(&policy);
    for redirects in [1, 2] {
        let answered = proxy.redirected_request(&to_checkout(&[]), redirects);
        let [(name, cookie)] = answered.response.as_slice() else { panic!("{:?}", answered.response) };
        assert_eq!(name, "set-cookie");
        let pair = cookie.split(';').next().unwrap();
        assert_eq!(answered.header("cookie"), [pair]);
        let returning = proxy.redirected_request(&to_checkout(&[("cookie", pair.as_bytes())]), redirects);
        assert_eq!(returning.response, [], "it is not renewed");
        assert_eq!(returning.header("x-coalmine-variant"), answered.header("x-coalmine-variant"));
    }
    let marked: (&str, &[u8]) = ("x-envoy-original-url", b"http://checkout/");
    let forged = proxy.request(&to_checkout(&[marked]));
    assert_eq!(forged.response.len(), 1, "the mark alone is nothing");
    proxy.tick();
    let requests = |variant: &str| {
        counter(&format!(
            "rollout=.=checkout;.;variant=.={variant};.;reason=.=bucket;.;coalmine_requests_total"
        ))
    };
    assert_eq!(requests("canary") + requests("stable"), 5);
    assert_eq!(counter("rollout=.=checkout;.;coalmine_forged_total"), 0);
    assert_eq!(host(|host| host.kept.clone()), ["coalmine_notes"]);
}

#[test]
fn a_policy_that_leaves_no_notes_asks_for_no_place_for_them() {
    let mut proxy = Proxy::with_policy(POLICY);
    assert_eq!(host(|host| host.kept.clone()), [""; 0]);
    let answered = proxy.redirected_request(&to_checkout(&[("x-user-id", CANARY)]), 1);
    assert_eq!(answered.header("x-coalmine-variant"), ["canary"]);
    proxy.tick();
    let name = "rollout=.=checkout;.;variant=.=canary;.;reason=.=bucket;.;coalmine_requests_total";
    assert_eq!((counter(name), counter("rollout=.=checkout;.;coalmine_forged_total")), (1, 0));
}

#[test]
fn a_ramp_follows_the_clock_on_the_tick_and_a_request_reads_no_clock() {
    let ramp = r#""variants": [{"name": "canary"}],
        "ramp": {"start": "2026-11-21T09:00:00Z", "steps": [{"at": "0s", "weight": 0}, {"at": "30m", "weight": 50}]}"#;
    let policy = POLICY.replace(r#""variants": [{"name": "canary", "weight": 50.0}]"#, ramp);
    let step = Duration::from_secs(1_795_251_600 + 30 * 60);
    host(|host| host.now = step - Duration::from_millis(1));
    let mut proxy = Proxy::with_policy(&policy);
    let variant = |proxy: &mut Proxy| {
        let answered = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
        assert!(!answered.calls.contains(&"time".to_owned()), "{:?}", answered.calls);
        !answered.header("x-coalmine-variant").is_empty()
    };
    proxy.tick();
    assert!(!variant(&mut proxy));
    host(|host| host.now = step);
    assert!(!variant(&mut proxy), "not before the tick");
    proxy.tick();
    assert!(variant(&mut proxy));
    host(|host| host.now = step - Duration::from_secs(1));
    proxy.tick();
    assert!(!variant(&mut proxy), "a clock that jumps back is followed");
    host(|host| host.now = step);
    assert!(proxy.configure(&policy));
    assert!(variant(&mut proxy), "a new configuration begins where the clock is");
}

#[test]
fn a_signed_token_forces_a_variant_and_ends_here() {
    let secret = "0123456789abcdef0123456789abcdef";
    let override_ =
        format!(r#""override": {{"header": "x-over", "cookie": "over", "secret": "{secret}"}}, "variants""#);
    let mut proxy = Proxy::with_policy(&POLICY.replace(r#""variants""#, &override_));
    let now = Duration::from_secs(1_795_251_600);
    host(|host| host.now = now);
    proxy.tick();
    let secret = coalmine_core::token::Secret::new(secret.as_bytes()).unwrap();
    let token = secret.mint("checkout", "canary", now + Duration::from_secs(60));
    let by_header = proxy.request(&to_checkout(&[("x-user-id", STABLE), ("x-over", token.as_bytes())]));
    assert_eq!(by_header.header("x-coalmine-variant"), ["canary"]);
    assert_eq!(by_header.header("x-over"), [""; 0]);
    let cookies = format!("a=0; over={token}; b=1");
    let by_cookie = proxy.request(&to_checkout(&[("cookie", cookies.as_bytes())]));
    assert_eq!(by_cookie.header("x-coalmine-variant"), ["canary"]);
    assert_eq!(by_cookie.header("cookie"), ["a=0; b=1"]);
    let elsewhere =
        proxy.request(&[(":authority", b"elsewhere"), ("x-over", token.as_bytes()), ("cookie", b"over=1")]);
    assert_eq!((elsewhere.header("x-over"), elsewhere.header("cookie")), (vec![], vec![]));
    let refused = proxy.request(&to_checkout(&[("x-user-id", STABLE), ("x-over", b"canary")]));
    assert_eq!(refused.header("x-coalmine-variant"), [""; 0]);
    proxy.tick();
    assert_eq!(counter("rollout=.=checkout;.;result=.=accepted;.;coalmine_override_total"), 2);
    assert_eq!(counter("rollout=.=checkout;.;result=.=malformed;.;coalmine_override_total"), 1);
    assert_eq!(counter("rollout=.=checkout;.;coalmine_forged_total"), 0, "a token is the client's to send");
}

#[test]
fn what_would_tell_the_arms_apart_is_taken_out_of_every_response() {
    let response = r#""response": {"removeHeaders": ["Server", "x-app-version"]}, "variants""#;
    let mut proxy = Proxy::with_policy(&POLICY.replace(r#""variants""#, response));
    for user in [CANARY, STABLE] {
        let answered = proxy.request(&to_checkout(&[("x-user-id", user)]));
        let last = &answered.calls[answered.calls.len() - 2..];
        assert_eq!(last, ["remove from response server", "remove from response x-app-version"]);
    }
}

#[test]
fn a_key_comes_from_the_environment_or_its_rollout_is_switched_off() {
    let keyed = r#""algorithm": "siphash-2-4", "key": {"env": "COALMINE_NO_SUCH_VARIABLE"}, "variants""#;
    let mut proxy = Proxy::start();
    assert!(proxy.configure(&POLICY.replace(r#""variants""#, keyed)));
    let log = host(|host| host.log.join("\n"));
    let problem = "switched off here: the environment has no variable \"COALMINE_NO_SUCH_VARIABLE\"";
    assert!(log.contains(problem), "{log}");
    assert_eq!(counter("rollout=.=checkout;.;coalmine_rollout_disabled"), 1);
    let answered = proxy.request(&to_checkout(&[("x-user-id", CANARY)]));
    assert_eq!(answered.header("x-coalmine-variant"), [""; 0]);
    proxy.tick();
    assert_eq!(
        counter("rollout=.=checkout;.;variant=.=stable;.;reason=.=noKey;.;coalmine_requests_total"),
        1
    );
}

#[test]
fn a_line_break_at_the_end_of_a_variable_is_no_part_of_the_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    let environment = ["COALMINE_TEST=short".to_owned(), format!("COALMINE_TEST_LINE={secret}\n")];
    host(|host| host.environment = environment.into());
    let fields = r#""algorithm": "siphash-2-4", "key": {"env": "COALMINE_TEST_LINE"},
        "override": {"header": "x-over", "secret": {"env": "COALMINE_TEST_LINE"}}, "variants""#;
    let mut proxy = Proxy::with_policy(&POLICY.replace(r#""variants""#, fields).replace("50.0", "0"));
    let now = Duration::from_secs(1_795_251_600);
    host(|host| host.now = now);
    proxy.tick();
    let secret = coalmine_core::token::Secret::new(secret.as_bytes()).unwrap();
    let token = secret.mint("checkout", "canary", now + Duration::from_secs(60));
    let answered = proxy.request(&to_checkout(&[("x-user-id", STABLE), ("x-over", token.as_bytes())]));
    assert_eq!(answered.header("x-coalmine-variant"), ["canary"]);
}

/// Envoy hands a Struct to the filter as the bytes of its message.
#[test]
fn a_configuration_that_is_a_struct_is_refused_with_the_way_out() {
    let mut proxy = Proxy::start();
    let mut refused = |configuration: &str| {
        assert!(!proxy.configure(configuration));
        host(|host| std::mem::take(&mut host.log)).join("\n")
    };
    let way_out =
        "this is a protobuf message: give Envoy a google.protobuf.StringValue with the policy in JSON";
    let log = refused("\n\x14\n\x07version\x12\t\x11\0\0\0\0\0\0\0?");
    assert!(log.contains(way_out), "{log}");
    for text in ["\nrollouts: []", "\n{\"rollouts\": [", "\n\u{1}"] {
        let log = refused(text);
        assert!(log.contains("not valid JSON") && !log.contains("protobuf"), "{log}");
    }
    assert!(proxy.configure("\n{}\n"));
}
