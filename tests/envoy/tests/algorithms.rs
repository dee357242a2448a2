//! Every algorithm gives every user one answer: in Envoy, in core, and from the command.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use coalmine_core::bucketing::Algorithm;
use coalmine_envoy_tests::alive::decided;
use coalmine_envoy_tests::{compile, expected, rollout, user, visit};
use coalmine_harness::{Lab, load, tools};
use serde_json::{Value, json};

/// Every user is one of so many, unless the environment says otherwise: `make proof-agreement` asks for 100,000.
const USERS: usize = 5_000;
const CONNECTIONS: usize = 32;
const WEIGHT: u32 = 25;

fn host(algorithm: &str) -> String {
    format!("{algorithm}.test")
}

fn policy() -> String {
    let rollouts = Algorithm::ALL.map(|(name, algorithm)| {
        let mut rollout = rollout(name, &host(name), f64::from(WEIGHT));
        rollout["algorithm"] = json!(name);
        if algorithm == Algorithm::Siphash24 {
            rollout["key"] = json!("000102030405060708090a0b0c0d0e0f");
        }
        rollout
    });
    json!({"revision": 1, "rollouts": rollouts}).to_string()
}

/// What the command says about every user in this file, in order.
fn previewed(policy: &Path, rollout: &str, users: &Path) -> Vec<String> {
    let output = Command::new(tools::command().unwrap())
        .arg("assign")
        .arg(policy)
        .args(["--rollout", rollout, "--format", "json", "--users"])
        .arg(users)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let variant = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["variant"].as_str().unwrap().to_owned()
    };
    lines.lines().map(variant).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_the_core_and_the_command_agree_on_every_user() {
    let users = tools::users(USERS).unwrap();
    let document = policy();
    let compiled = compile(&document).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (policy_file, user_file) = (folder.path().join("policy.json"), folder.path().join("users.txt"));
    std::fs::write(&policy_file, &document).unwrap();
    let mut lines = String::new();
    for index in 0..users {
        writeln!(lines, "{}", user(index)).unwrap();
    }
    std::fs::write(&user_file, lines).unwrap();

    let lab = Lab::builder().unwrap().without_access_log().workers(2).start(&document).await.unwrap();
    for (name, _) in Algorithm::ALL {
        let request = move |index| visit(&host(name), &user(index));
        let variant = |_, answer: coalmine_harness::Answer| answer.variant();
        let routed = load::send_all(lab.address(), CONNECTIONS, users, request, variant).await.unwrap();
        let previewed = previewed(&policy_file, name, &user_file);
        assert_eq!(previewed.len(), users, "{name}");
        for (index, (routed, previewed)) in routed.iter().zip(&previewed).enumerate() {
            let user = user(index);
            let expected = expected(&compiled, &host(name), &user).unwrap();
            assert_eq!((*routed, previewed.as_str()), (Some(expected), expected), "{user} by {name}");
        }
        let canary = routed.iter().filter(|variant| **variant == Some("canary")).count();
        println!("{name}: {canary} of {users} users in the canary");
    }
    decided(&lab, Algorithm::ALL.len() * users).await.unwrap();
}
