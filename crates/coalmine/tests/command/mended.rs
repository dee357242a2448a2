//! Advice that is followed leads to a valid policy: each of these is one mistake, what is said about it, and what its
//! writer then makes of it.

use crate::harness::Lab;

const GOOD: &str = "\
rollouts:
- name: checkout
  match:
    hosts: [shop.example]
    paths: [{prefix: /api/}]
    methods: [GET]
    headers: [{name: x-region, exact: eu}]
  identity: [{header: x-user-id}, {cookie: sid}]
  onMissingIdentity: issueCookie
  cookie: {maxAge: 30d, domain: shop.example, secure: true}
  algorithm: siphash-2-4
  key: {env: COALMINE_KEY}
  variants: [{name: canary}]
  ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}, {at: 30m, weight: 5}]}
";

/// What stands in the good policy, the mistake in its place, a part of what is said about it, and the mended text.
const MISTAKES: [(&str, &str, &str, &str); 52] = [
    (
        "[shop.example]\n",
        "[\"http://shop.example\"]\n",
        "write the host alone, without scheme",
        "[shop.example]\n",
    ),
    ("[shop.example]\n", "[shop.example/cart]\n", "write the host alone, without scheme", "[shop.example]\n"),
    ("[shop.example]\n", "[me@shop.example]\n", "write the host alone, without scheme", "[shop.example]\n"),
    ("[shop.example]\n", "[\"shop.example:80\"]\n", "leave out the port", "[shop.example]\n"),
    ("[shop.example]\n", "[Shop.example]\n", "write it in lower case", "[shop.example]\n"),
    ("[shop.example]\n", "[shop.example.]\n", "leave out the final dot", "[shop.example]\n"),
    (
        "[shop.example]\n",
        "[münchen.shop.example]\n",
        "in its ASCII form: xn--",
        "[xn--mnchen-3ya.shop.example]\n",
    ),
    (
        "[shop.example]\n",
        "[\"*.bücher.shop.example\"]\n",
        "in its ASCII form: xn--",
        "[\"*.xn--bcher-kva.shop.example\"]\n",
    ),
    ("[shop.example]\n", "[shop.example, \"::1\"]\n", "in brackets, as [::1]", "[shop.example, \"[::1]\"]\n"),
    (
        "[shop.example]\n",
        "[shop.example, \"2001:db8::7\"]\n",
        "in brackets, as [::1]",
        "[shop.example, \"[2001:db8::7]\"]\n",
    ),
    (
        "[shop.example]\n",
        "[shop.example, \"[::1]:80\"]\n",
        "leave out the port",
        "[shop.example, \"[::1]\"]\n",
    ),
    ("hosts: [shop.example]", "hosts: shop.example", "put [ ] around a single item", "hosts: [shop.example]"),
    ("hosts: [shop.example]\n    ", "hosts: [\"*\"]\n    ", "leave out \"hosts\"", ""),
    ("[GET]", "GET", "put [ ] around a single item", "[GET]"),
    ("[GET]", "[get]", "in upper case, as GET", "[GET]"),
    ("{prefix: /api/}", "{prefix: api/}", "must begin with /", "{prefix: /api/}"),
    ("{prefix: /api/}", "{prefix: 5}", "must be a path, as /api/, not the number 5", "{prefix: /api/}"),
    ("{prefix: /api/}", "{exact: /cart?id=1}", "a path ends before ? and #", "{exact: /cart}"),
    ("[{prefix: /api/}]", "{prefix: /api/}", "put [ ] around a single item", "[{prefix: /api/}]"),
    ("{prefix: /api/}", "/api/", "as {prefix: /api/}", "{prefix: /api/}"),
    (
        "{name: x-region, exact: eu}",
        "{name: \"x-region:\", exact: eu}",
        "leave out the colon",
        "{name: x-region, exact: eu}",
    ),
    (
        "{name: x-region, exact: eu}",
        "\"x-region: eu\"",
        "as {name: x-region, exact: eu}",
        "{name: x-region, exact: eu}",
    ),
    ("exact: eu", "exact: 5", "put it in quotes", "exact: \"5\""),
    ("exact: eu", "exact: true", "put it in quotes", "exact: \"true\""),
    ("exact: eu", "present: \"true\"", "write it without quotes", "present: true"),
    ("{header: x-user-id}", "{header: \"x-user-id:\"}", "leave out the colon", "{header: x-user-id}"),
    (
        "{header: x-user-id}",
        "{header: \"x-user-id: alice\"}",
        "leave out the colon and what is behind it",
        "{header: x-user-id}",
    ),
    ("{header: x-user-id}", "x-user-id", "as {header: x-user-id}", "{header: x-user-id}"),
    (
        "[{header: x-user-id}, {cookie: sid}]",
        "{header: x-user-id}",
        "put [ ] around a single item",
        "[{header: x-user-id}]",
    ),
    ("{cookie: sid}", "{cookie: sid=alice}", "leave out = and what is behind it", "{cookie: sid}"),
    ("{cookie: sid}", "{jwtClaim: {path: sub}}", "put [ ] around a single item", "{jwtClaim: {path: [sub]}}"),
    (
        "onMissingIdentity: issueCookie",
        "onMissingIdentity: true",
        "must be one of stable, issueCookie",
        "onMissingIdentity: issueCookie",
    ),
    ("maxAge: 30d", "maxAge: 3600", "as 3600s", "maxAge: 3600s"),
    ("maxAge: 30d", "maxAge: 2 weeks", "write 14d", "maxAge: 14d"),
    ("domain: shop.example", "domain: Shop.example", "as shop.example", "domain: shop.example"),
    ("domain: shop.example", "domain: \".\"", "as shop.example", "domain: shop.example"),
    ("secure: true", "secure: \"true\"", "write it without quotes", "secure: true"),
    ("secure: true", "secure: false, sameSite: None", "set \"secure: true\"", "secure: true, sameSite: None"),
    (
        "secure: true",
        "secure: false, name: __Secure-id",
        "set \"secure: true\"",
        "secure: true, name: __Secure-id",
    ),
    (
        "domain: shop.example, secure: true",
        "domain: shop.example, name: __Host-id",
        "has no domain",
        "name: __Host-id",
    ),
    ("{name: canary}", "canary", "as {name: canary}", "{name: canary}"),
    (
        "start: 2026-11-21T09:00:00Z",
        "start: 1795618933",
        "must be a time, as 2026",
        "start: 2026-11-21T09:00:00Z",
    ),
    (
        "start: 2026-11-21T09:00:00Z",
        "start: 2026-11-21T09:00:00",
        "RFC 3339 with an offset",
        "start: 2026-11-21 09:00:00+00:00",
    ),
    ("at: 0s", "at: 0", "as 0s", "at: 0s"),
    ("at: 30m", "at: 1h30m", "write 90m", "at: 90m"),
    ("at: 30m", "at: 1.5h", "write 90m", "at: 90m"),
    ("weight: 5}", "weight: \"5\"}", "write it without quotes", "weight: 5}"),
    ("weight: 5}", "weight: 5%}", "write 5", "weight: 5}"),
    ("weight: 5}", "weight: \"2.5 %\"}", "write 2.5", "weight: 2.5}"),
    ("{at: 30m, weight: 5}", "{at: 30m, wieght: 5}", "did you mean \"weight\"?", "{at: 30m, weight: 5}"),
    (
        "ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}, {at: 30m, weight: 5}]}",
        "ramp: [{start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}]}]",
        "take its item out of the list",
        "ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}]}",
    ),
    (
        "algorithm: siphash-2-4",
        "algorithm: 5",
        "must be one of coalmine-v1, siphash-2-4",
        "algorithm: siphash-2-4",
    ),
];

fn validated(policy: &str) -> crate::harness::Run {
    Lab::new().with("policy.yaml", policy).run("validate policy.yaml --strict")
}

#[test]
fn advice_that_is_followed_leads_to_a_valid_policy() {
    assert_eq!(validated(GOOD).code, 0, "{}", validated(GOOD));
    for (good, mistake, advice, mended) in MISTAKES {
        assert_eq!(GOOD.matches(good).count(), 1, "{good}");
        let wrong = validated(&GOOD.replace(good, mistake));
        assert!(wrong.code == 1 && wrong.stdout.contains(advice), "{mistake}: {advice}\n{wrong}");
        let right = validated(&GOOD.replace(good, mended));
        assert_eq!(right.code, 0, "{mended}\n{right}");
    }
}

/// `match` as a list, and a policy that is a list of rollouts.
#[test]
fn a_list_where_a_map_belongs() {
    let run = validated(&GOOD.replace("  match:\n    hosts", "  match:\n  - hosts"));
    assert!(run.stdout.contains("match: must be a map, not a list: take its item out of the list"), "{run}");
}
