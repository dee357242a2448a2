//! `coalmine assign`.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};

const POLICY: &str = "\
rollouts:
- name: checkout
  identity: [{header: x-user-id}]
  salt: checkout-7
  variants: [{name: canary, weight: 40}, {name: baseline, weight: 40}]
  pins: {stable: [bob]}
- name: search
  enabled: false
  identity: [{header: x-user-id}]
  variants: [{name: canary, weight: 40}]
";

const USERS: &[u8] = b"alice\nbob\n\nwith,comma \"quoted\"\n\xff\xfe\nlast";

fn lab() -> Lab {
    Lab::new().with("policy.yaml", POLICY).with("users", USERS)
}

#[test]
fn as_a_table() {
    assert_snapshot!(lab().run("assign policy.yaml --rollout checkout --users users"));
}

#[test]
fn as_csv() {
    assert_snapshot!(lab().run("assign policy.yaml --rollout checkout --users users --format csv"));
}

#[test]
fn as_json_from_standard_input() {
    let arguments = ["assign", "policy.yaml", "--rollout", "checkout", "--users", "-", "--format", "json"];
    assert_snapshot!(lab().run_with(&arguments, USERS));
}

#[test]
fn of_a_killed_rollout() {
    assert_snapshot!(lab().run("assign policy.yaml --rollout search --users users --format csv"));
}

#[test]
fn which_rollout() {
    assert_snapshot!(lab().run("assign policy.yaml --users users"));
    assert_snapshot!(lab().run("assign policy.yaml --users users --rollout chekout"));
}

#[test]
fn with_a_bad_policy() {
    assert_snapshot!(
        lab().with("policy.yaml", POLICY.replace("40", "60")).run("assign policy.yaml --users users")
    );
}

#[test]
fn without_users() {
    assert_snapshot!(lab().run("assign policy.yaml --rollout checkout --users nowhere"));
}

#[test]
fn with_the_lines_of_another_system() {
    let run =
        lab().with("users", "alice\r\nbob\r\n").run("assign policy.yaml --rollout checkout --users users");
    assert_snapshot!(run);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let users: String = (0..200_000).map(|n| format!("user-{n}\n")).collect();
    let lab = lab().with("users", users);
    let command = format!(
        "'{}' assign policy.yaml --rollout checkout --users users | head -n 2; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_coalmine")
    );
    let output =
        std::process::Command::new("bash").args(["-c", &command]).current_dir(lab.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\n0\n"));
}

/// The published vectors, through a policy file and the command.
#[test]
fn the_users_of_the_vectors() {
    let text = std::fs::read_to_string(shipped("tests/vectors/assignment.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for case in vectors["coalmine_v1"].as_array().unwrap() {
        let (salt, user) = (case["salt"].as_str().unwrap(), case["identity"].as_str().unwrap());
        if user.is_empty() || user.contains('\n') {
            continue;
        }
        let policy = format!(
            "rollouts: [{{name: r, identity: [{{cookie: s}}], salt: {salt:?}, variants: [{{name: c, weight: 1}}]}}]"
        );
        let arguments = ["assign", "policy.yaml", "--users", "-", "--format", "json"];
        let run = Lab::new().with("policy.yaml", policy).run_with(&arguments, user.as_bytes());
        let line: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
        assert_eq!(line["bucket"], case["bucket"], "{salt} {user}");
        checked += 1;
    }
    assert!(checked > 5);
}
