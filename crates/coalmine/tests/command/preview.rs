//! `coalmine explain`, `simulate` and `diff`.

use insta::assert_snapshot;

use crate::harness::Lab;

const POLICY: &str = "\
revision: 7
rollouts:
- name: checkout
  match: {hosts: [shop.example], paths: [{prefix: /api/}], methods: [GET], headers: [{name: x-region, exact: eu}]}
  identity: [{header: x-user-id}, {jwtClaim: sub}, {cookie: sid}]
  salt: checkout-7
  variants:
  - {name: canary, weight: 5}
  - {name: baseline, weight: 5}
  pins: {canary: [bob]}
- name: search
  match: {hosts: [shop.example]}
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 50}]
- name: cart
  enabled: false
  identity: [{sourceIp: true}]
  variants: [{name: canary, weight: 50}]
";

fn lab() -> Lab {
    Lab::new().with("policy.yaml", POLICY)
}

fn explain(words: &[&str]) -> String {
    let arguments: Vec<&str> = ["explain", "policy.yaml"].iter().chain(words).copied().collect();
    lab().run_with(&arguments, b"").to_string()
}

#[test]
fn a_user() {
    assert_snapshot!(explain(&["--user", "alice", "--rollout", "checkout"]));
    assert_snapshot!(explain(&["--user", "bob", "--rollout", "checkout"]));
    assert_snapshot!(explain(&["--user", "bob", "--rollout", "cart"]));
    assert_snapshot!(explain(&["--user", "", "--rollout", "checkout"]));
    assert_snapshot!(explain(&["--user", "bob"]));
}

#[test]
fn a_request() {
    let api = ["--request", "GET", "https://shop.example:443/api/x?y=1", "-H", "x-region: eu"];
    let with = |more: &[&str]| explain(&[&api[..], more].concat());
    assert_snapshot!(with(&["-H", "x-user-id: alice"]));
    assert_snapshot!(with(&["-H", "Cookie: a=b; sid=carol", "-H", "x-coalmine-variant: canary"]));
    assert_snapshot!(with(&["--claim", "sub=dave"]));
    assert_snapshot!(with(&["--user", "bob"]));
    assert_snapshot!(with(&[]));
    assert_snapshot!(with(&["-H", "x-user-id: bob", "-H", "x-user-id: eve"]));
    assert_snapshot!(explain(&[
        "--request",
        "POST",
        "shop.example/api/",
        "-H",
        "x-region: eu",
        "--user",
        "u"
    ]));
    assert_snapshot!(explain(&["--request", "GET", "shop.example/api/", "--user", "u"]));
    assert_snapshot!(explain(&["--request", "GET", "elsewhere", "--source-ip", "10.0.0.1"]));
}

#[test]
fn a_user_in_a_query() {
    let policy = POLICY.replace("identity: [{header: x-user-id}]\n", "identity: [{queryParameter: user}]\n");
    let lab = Lab::new().with("policy.yaml", policy);
    let run = lab.run("explain policy.yaml --request GET shop.example/x?a=b#c --user eve");
    assert!(run.stdout.contains("queryParameter user: \"eve\""), "{run}");
}

#[test]
fn a_request_for_programs() {
    assert_snapshot!(explain(&["--request", "GET", "shop.example/", "--user", "alice", "--format", "json"]));
}

#[test]
fn a_request_that_is_none() {
    assert_snapshot!(explain(&["--request", "GET", "shop.example/", "-H", "nonsense"]));
    assert_snapshot!(explain(&["--request", "GET", "shop.example/", "--rollout", "search"]));
}

#[test]
fn a_secret_that_is_not_there() {
    let policy = POLICY.replace("salt: checkout-7", "algorithm: siphash-2-4\n  key: {env: COALMINE_KEY}");
    let lab = Lab::new().with("policy.yaml", policy);
    assert_eq!(lab.run("validate policy.yaml").code, 0);
    assert_snapshot!(lab.run("explain policy.yaml --user alice --rollout checkout"));
}

#[test]
fn a_ramp_at_a_time() {
    let ramp = "variants: [{name: canary}]\n  ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}, {at: 30m, weight: 90}]}";
    let policy = format!("rollouts:\n- name: r\n  identity: [{{peer: true}}]\n  {ramp}\n");
    let lab = Lab::new().with("policy.yaml", policy).with("users", "alice\nbob\n");
    let at =
        |time: &str| lab.run(&format!("assign policy.yaml --users users --format csv --at {time}")).stdout;
    assert_eq!(
        at("2026-11-21T08:59:59Z"),
        "user,variant,bucket,reason\nalice,stable,551891,bucket\nbob,stable,826451,bucket\n"
    );
    assert_eq!(
        at("2026-11-21T10:30:00+01:00"),
        "user,variant,bucket,reason\nalice,canary,551891,bucket\nbob,canary,826451,bucket\n"
    );
    assert_snapshot!(lab.run("assign policy.yaml --users users --at yesterday"));
}

#[test]
fn a_simulation() {
    assert_snapshot!(lab().run("simulate policy.yaml --count 20000"));
    assert_snapshot!(lab().run("simulate policy.yaml --count 10 --rollout search"));
    let run = lab().run("simulate policy.yaml --count 1000 --rollout checkout --format json --svg split.svg");
    assert_snapshot!(run);
    let lab = lab();
    lab.run("simulate policy.yaml --count 1000 --rollout search --svg split.svg");
    assert_snapshot!(std::fs::read_to_string(lab.path().join("split.svg")).unwrap());
}

#[test]
fn two_rollouts_of_one_salt_are_found_out() {
    let policy = POLICY.replace("- name: search\n", "- name: search\n  salt: checkout-7\n");
    let run = Lab::new().with("policy.yaml", policy).run("simulate policy.yaml --count 20000");
    assert!(run.stdout.contains("their buckets are not independent: give them different salts"), "{run}");
}

#[test]
fn a_simulation_without_users() {
    assert_snapshot!(lab().with("users", "").run("simulate policy.yaml --users users"));
    assert_snapshot!(lab().run("simulate policy.yaml"));
}

fn diff(from: &str, to: &str, words: &str) -> crate::harness::Run {
    let new = POLICY.replace(from, to);
    let lab = lab().with("new.yaml", new);
    lab.run(&format!("diff policy.yaml new.yaml --count 10000 --rollout checkout {words}"))
}

#[test]
fn a_difference() {
    assert_snapshot!(diff("x", "x", ""));
    assert_snapshot!(diff("{name: canary, weight: 5}", "{name: canary, weight: 10}", ""));
    assert_snapshot!(diff("{name: canary, weight: 5}", "{name: canary, weight: 2}", "--format json"));
    assert_snapshot!(diff("salt: checkout-7", "salt: checkout-8", ""));
    assert_snapshot!(diff("[bob]", "[user-1]", "--format csv"));
    assert_snapshot!(diff("- name: checkout\n", "- name: checkout\n  enabled: false\n", ""));
    assert_snapshot!(diff("name: checkout\n", "name: chekout\n", ""));
}

/// A rollout that gives a user without an identity a random one.
const ISSUES: &str = "\
rollouts:
- name: checkout
  identity: [{cookie: sid}]
  onMissingIdentity: issueCookie
  variants: [{name: canary, weight: 50}]
";

#[test]
fn an_identity_that_is_issued() {
    let lab = Lab::new().with("policy.yaml", ISSUES);
    let request = "explain policy.yaml --request GET shop.example/ --format json";
    let random = || {
        let run = lab.run(request);
        let explanation: serde_json::Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
        let issued = explanation["issued"].as_str().unwrap().to_owned();
        assert!(issued.len() == 32 && explanation["user"] == *issued, "{run}");
        issued
    };
    assert_ne!(random(), random());
    let given = format!("{request} --issued 000102030405060708090a0b0c0d0e0f");
    let run = lab.run(&given).to_string();
    assert_eq!(run, lab.run(&given).to_string());
    assert_snapshot!(run);
    assert_snapshot!(lab.run("explain policy.yaml --request GET shop.example/ --issued 0001"));
}

#[test]
fn an_identity_that_is_given_is_not_called_random() {
    let request = "explain policy.yaml --request GET shop.example/ --issued 000102030405060708090a0b0c0d0e0f";
    let run = Lab::new().with("policy.yaml", ISSUES).run(request);
    assert!(run.stdout.contains("\nissued      000102030405060708090a0b0c0d0e0f"), "{run}");
    assert!(!run.stdout.contains("random"), "{run}");
}

/// Nothing is issued where the request has an identity already.
#[test]
fn an_identity_that_need_not_be_issued() {
    let lab = Lab::new().with("policy.yaml", ISSUES);
    for cookie in ["sid=alice", "coalmine-id=000102030405060708090a0b0c0d0e0f"] {
        let header = format!("cookie: {cookie}");
        let run = lab
            .run_with(&["explain", "policy.yaml", "--request", "GET", "shop.example/", "-H", &header], b"");
        assert!(run.code == 0 && !run.stdout.contains("issued     "), "{run}");
    }
}
