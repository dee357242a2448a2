//! Keys and secrets: from the environment of the filter's VM they do what they do in a policy, and none is ever seen.

use std::fmt::Write as _;

use coalmine_core::bucketing::{Bucketer, Key};
use coalmine_envoy_tests::{USER, rollout, token, user, visit};
use coalmine_harness::{Lab, LabBuilder, get, load};
use serde_json::{Value, json};

const HOST: &str = "keyed.test";
const KEY: &str = "5ca1ab1e0ddba11cafef00dbadc0ffee";
const SECRET: &str = "the-secret-of-overrides-0123456789abcdef";
/// What the log may say at most.
const EVERYTHING: &str = "trace";
const USERS: usize = 200;

fn keyed(revision: u32, key: &Value, secret: &Value) -> String {
    let mut rollout = rollout("keyed", HOST, 50.0);
    rollout["algorithm"] = json!("siphash-2-4");
    rollout["key"] = key.clone();
    rollout["override"] = json!({"header": "x-over", "secret": secret});
    json!({"revision": revision, "rollouts": [rollout]}).to_string()
}

fn env(name: &str) -> Value {
    json!({"env": name})
}

/// Everybody gets what the key says, and a token that the secret has signed is believed.
async fn is_in_force(lab: &Lab) {
    let bucketer = Bucketer::siphash_2_4("keyed-salt", Key::from_hex(KEY).unwrap());
    let answers = load::send_all(
        lab.address(),
        4,
        USERS,
        |index| visit(HOST, &user(index)),
        |_, answer| answer.variant().unwrap(),
    );
    for (index, variant) in answers.await.unwrap().into_iter().enumerate() {
        let bucket = bucketer.bucket(user(index).as_bytes()).bucket.number();
        let expected = if bucket < 500_000 { "canary" } else { "stable" };
        assert_eq!(variant, expected, "{}", user(index));
    }
    for variant in ["canary", "stable"] {
        let token = token(SECRET, "keyed", variant, 60).unwrap();
        let answer = lab.ask(get(HOST).header(USER, user(0)).header("x-over", token)).await.unwrap();
        assert_eq!(answer.variant(), Some(variant));
    }
}

/// Everything that the proxy says about itself, its log apart.
async fn pages(lab: &Lab, with_config_dump: bool) -> String {
    let mut pages = String::new();
    let dump = with_config_dump.then_some("/config_dump?include_eds");
    let others =
        ["/stats", "/stats/prometheus", "/server_info", "/clusters", "/listeners", "/contention", "/runtime"];
    for page in others.into_iter().chain(dump) {
        let _ = writeln!(pages, "{page}: {}", lab.envoy().admin(page).await.unwrap_or_default());
    }
    pages
}

/// Where this text is seen.
fn seen<'t>(text: &'t str, secret: &str) -> Option<&'t str> {
    text.lines().find(|line| line.to_lowercase().contains(&secret.to_lowercase()))
}

fn from_environment() -> LabBuilder {
    Lab::builder()
        .unwrap()
        .variable("COALMINE_KEY", KEY)
        .variable("COALMINE_OVERRIDE_SECRET", SECRET)
        .vm_environment("{host_env_keys: [COALMINE_KEY, COALMINE_OVERRIDE_SECRET]}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_environment_of_the_proxy_they_are_seen_nowhere() {
    let policy = keyed(1, &env("COALMINE_KEY"), &env("COALMINE_OVERRIDE_SECRET"));
    let lab = from_environment().log_level(EVERYTHING).start(&policy).await.unwrap();
    is_in_force(&lab).await;
    let mut seen_names = String::new();
    for secret in [KEY, SECRET] {
        let log = lab.envoy().log().unwrap();
        assert!(log.len() > 100_000, "the log has everything");
        assert_eq!(seen(&log, secret), None, "in the log");
        let pages = pages(&lab, true).await;
        assert_eq!(seen(&pages, secret), None, "on a page of the admin interface");
        seen_names = pages;
    }
    assert!(seen(&seen_names, "COALMINE_KEY").is_some(), "the name is no secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_vms_own_environment_and_from_the_policy_they_work_as_well() {
    let variables =
        format!("{{key_values: {{COALMINE_KEY: \"{KEY}\", COALMINE_OVERRIDE_SECRET: \"{SECRET}\"}}}}");
    let policies = [
        keyed(1, &env("COALMINE_KEY"), &env("COALMINE_OVERRIDE_SECRET")),
        keyed(2, &json!(KEY), &json!([SECRET])),
        keyed(3, &json!(KEY.to_uppercase()), &json!([env("COALMINE_OVERRIDE_SECRET"), "x".repeat(32)])),
    ];
    let lab = Lab::builder().unwrap().vm_environment(&variables).start(&policies[0]).await.unwrap();
    for policy in &policies {
        lab.accept_policy(&policy.replace("\"revision\":", "\"version\":1,\"revision\":1")).await.unwrap();
        is_in_force(&lab).await;
    }
    // What stands in a configuration is shown by whoever shows configurations, and by nobody else.
    let dump = lab.envoy().admin("/config_dump").await.unwrap();
    for secret in [KEY, SECRET] {
        assert!(seen(&dump, secret).is_some(), "a text in the configuration is in /config_dump");
        assert_eq!(seen(&pages(&lab, false).await, secret), None);
        assert_eq!(seen(&lab.envoy().log().unwrap(), secret), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_is_missing_is_named_and_switches_its_rollout_off() {
    let good = keyed(1, &env("COALMINE_KEY"), &env("COALMINE_OVERRIDE_SECRET"));
    let lab = from_environment().start(&good).await.unwrap();
    is_in_force(&lab).await;
    let told = "switched off here: ";
    // The second one the process has, but nobody has handed it to the VM.
    for (revision, name) in [(2, "COALMINE_OTHER_KEY"), (4, "PATH")] {
        let since = lab.envoy().log().unwrap().len();
        lab.accept_policy(&keyed(revision, &env(name), &env("COALMINE_OVERRIDE_SECRET"))).await.unwrap();
        let place = format!("the environment has no variable \"{name}\"");
        lab.envoy().logged(since, &[told, &place]).await.unwrap();
        for index in 0..USERS {
            let answer = lab.ask(get(HOST).header(USER, user(index))).await.unwrap();
            assert_eq!(answer.variant(), Some("stable"), "{}", user(index));
        }
        lab.metrics_when("the gauge", |metrics| {
            metrics.sum("coalmine_rollout_disabled", &[("rollout", "keyed")]) == Some(1.0)
        })
        .await
        .unwrap();
        lab.accept_policy(&good.replace("\"revision\":1", &format!("\"revision\":{}", revision + 1)))
            .await
            .unwrap();
        is_in_force(&lab).await;
    }
    for (revision, secret, place) in [
        (6, env("NO_SECRET"), "the environment has no variable \"NO_SECRET\""),
        (7, json!([SECRET, env("NO_SECRET")]), "the environment has no variable \"NO_SECRET\""),
    ] {
        let since = lab.envoy().log().unwrap().len();
        lab.accept_policy(&keyed(revision, &env("COALMINE_KEY"), &secret)).await.unwrap();
        lab.envoy().logged(since, &[told, place]).await.unwrap();
    }
    is_in_force(&lab).await;
    let log = lab.envoy().log().unwrap();
    assert_eq!((seen(&log, KEY), seen(&log, SECRET)), (None, None));
}

/// Keys and secrets that will not do. Each has a mark that nothing else in a log has.
const BAD: [&str; 12] = [
    "zq7f",
    "zq7f5ca1ab1e0ddba11cafef00dbadc0ff",
    "zq7f1ab1e0ddba11cafef00dbadc0ffe",
    "zq7f5ca1ab1e0ddba11cafef00dbadc0ffee5ca1",
    "0xzq7fab1e0ddba11cafef00dbadc0ff",
    " zq7fab1e0ddba11cafef00dbadc0ff ",
    "zq7f-\u{e9}\u{1f511}",
    "zq7f\"}, {\"",
    "zq7f{env: NAME}",
    "${zq7f}",
    "zq7f\nsecond line",
    "zq7f\u{1b}[31m",
];
const MARK: &str = "zq7f";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_will_not_do_is_never_shown() {
    let good = keyed(1, &json!(KEY), &json!(SECRET));
    let mut builder = Lab::builder().unwrap().variable("OVERRIDE_SECRET", SECRET);
    for (index, bad) in BAD.iter().enumerate() {
        builder = builder.variable(&format!("BAD_{index}"), bad);
    }
    let names: Vec<String> = (0..BAD.len()).map(|index| format!("BAD_{index}")).collect();
    let lab = builder
        .vm_environment(&format!("{{host_env_keys: [OVERRIDE_SECRET, {}]}}", names.join(", ")))
        .start(&good)
        .await
        .unwrap();
    let mut documents = Vec::new();
    for bad in BAD {
        documents.push(keyed(2, &json!(bad), &json!(SECRET)));
        // Too short for a secret, or a secret of the wrong kind.
        let short: String = bad.chars().take(20).collect();
        documents.push(keyed(2, &json!(KEY), &json!([SECRET, short])));
        // What is no name of a variable may be a secret in the wrong place.
        let no_name = format!("{bad}-");
        documents.push(keyed(2, &json!(KEY), &json!({"env": no_name})));
        documents.push(keyed(2, &json!([bad]), &json!({"value": bad})));
        documents.push(keyed(2, &json!(KEY), &json!([[bad], {"env": [bad]}, {"env": {"env": bad}}])));
        documents.push(keyed(2, &json!({"env": no_name}), &json!([])));
    }
    // A key in the place of the name of a variable.
    let misplaced = "5ca1ab1e0ddba11cafef00dbad00000f";
    documents.push(keyed(2, &env(misplaced), &json!(SECRET)));
    for document in &documents {
        lab.refuse_policy(document).await.unwrap();
    }
    for (revision, name) in (3..).zip(&names) {
        lab.accept_policy(&keyed(revision, &env(name), &json!(SECRET))).await.unwrap();
    }
    lab.accept_policy(&keyed(100, &json!(KEY), &json!(SECRET))).await.unwrap();
    println!("{} documents refused", documents.len());
    is_in_force(&lab).await;
    let log = lab.envoy().log().unwrap();
    for secret in [MARK, misplaced, KEY, SECRET] {
        assert_eq!(seen(&log, secret), None, "in the log");
        assert_eq!(seen(&pages(&lab, false).await, secret), None, "on a page");
    }
}
