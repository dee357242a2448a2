//! `coalmine token`, `schema`, `completions`, `man`, and what all commands do alike.

use std::process::Command;

use insta::assert_snapshot;

use crate::harness::Lab;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn policy(secret: &str) -> String {
    format!(
        "rollouts:\n- name: checkout\n  identity: [{{peer: true}}]\n  variants: [{{name: canary, weight: 5}}]\n  \
         override: {{header: x-coalmine-override, cookie: o, secret: {secret}}}\n"
    )
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn a_minted_token_is_accepted_by_the_filter_s_own_reader() {
    let lab = Lab::new().with("policy.yaml", policy(SECRET));
    let run = lab.run("token policy.yaml --variant canary --for 10m");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let header = format!("x-coalmine-override: {}", run.stdout.trim());
    let explain = ["explain", "policy.yaml", "--request", "GET", "h/", "-H", &header, "--format", "json"];
    let explanation = json(&lab.run_with(&explain, b"").stdout);
    assert_eq!((&explanation["variant"], &explanation["reason"]), (&"canary".into(), &"override".into()));
    let later = [&explain[..], &["--at", "2100-01-01T00:00:00Z"]].concat();
    let explanation = json(&lab.run_with(&later, b"").stdout);
    assert_eq!(
        (&explanation["variant"], &explanation["overrideToken"]),
        (&"stable".into(), &"expired".into())
    );
    let answer = json(&lab.run("token policy.yaml --variant stable --format json").stdout);
    assert_eq!((&answer["header"], &answer["cookie"]), (&"x-coalmine-override".into(), &"o".into()));
}

/// A Secret that `echo` has made ends in a line break, which a shell's `$(..)` takes off.
#[test]
fn a_line_break_at_the_end_of_a_variable_is_no_part_of_the_secret() {
    let policy = policy("{env: SECRET}")
        .replace("  override", "  algorithm: siphash-2-4\n  key: {env: KEY}\n  override");
    let lab = Lab::new().with("policy.yaml", policy).with("users.txt", "alice\nbob\n");
    let (key, secret) = ("000102030405060708090a0b0c0d0e0f", SECRET);
    let run = |end: &str, words: &str| {
        let (key, secret) = (format!("{key}{end}"), format!("{secret}{end}"));
        lab.run_in(&[("KEY", &key), ("SECRET", &secret)], &words.split(' ').collect::<Vec<_>>(), b"")
    };
    for end in ["\n", "\r\n"] {
        let (plain, ended) = (
            run("", "assign policy.yaml --users users.txt"),
            run(end, "assign policy.yaml --users users.txt"),
        );
        assert_eq!((ended.code, ended.stdout), (0, plain.stdout));
        let token = run(end, "token policy.yaml --variant canary").stdout;
        let header = format!("x-coalmine-override: {}", token.trim());
        let explain = ["explain", "policy.yaml", "--request", "GET", "h/", "-H", &header, "--format", "json"];
        let explained = lab.run_in(&[("KEY", key), ("SECRET", secret)], &explain, b"");
        assert_eq!(json(&explained.stdout)["reason"], "override", "{explained}");
    }
    let ended = run("\n\n", "assign policy.yaml --users users.txt");
    let message =
        "the variable \"KEY\" must be 32 hexadecimal digits; it has 34 bytes, the last of them a line break";
    assert!(ended.code == 1 && ended.stderr.contains(message), "{ended}");
    assert!(!ended.to_string().contains(key) && !ended.to_string().contains(secret), "{ended}");
}

#[test]
fn a_token_that_cannot_be() {
    let lab = Lab::new().with("policy.yaml", policy("{env: COALMINE_SECRET}"));
    assert_snapshot!(lab.run("token policy.yaml --variant canary"));
    let lab = Lab::new().with("policy.yaml", policy(SECRET));
    assert_snapshot!(lab.run("token policy.yaml --variant blue"));
    assert_snapshot!(lab.run("token policy.yaml --variant canary --for 2d"));
    let without =
        policy(SECRET).lines().filter(|line| !line.contains("override")).collect::<Vec<_>>().join("\n");
    assert_snapshot!(Lab::new().with("policy.yaml", without).run("token policy.yaml --variant canary"));
}

#[test]
fn a_schema_is_json_and_whole_in_itself() {
    let lab = Lab::new();
    assert_eq!(json(&lab.run("schema").stdout)["title"], "Coalmine policy");
    for of in ["policy", "rollout", "server"] {
        let printed = lab.run(&format!("schema {of}")).stdout;
        let schema = json(&printed);
        assert_eq!(schema["title"], format!("Coalmine {of}"));
        for reference in printed.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(schema.pointer(reference).is_some(), "{of}: {reference}");
        }
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = lab.run(&format!("completions {shell}"));
        assert!(run.code == 0 && run.stdout.contains("simulate"), "{run}");
    }
    assert!(lab.run("man").stdout.contains("coalmine\\-weights(1)"));
    for command in
        ["validate", "explain", "assign", "simulate", "diff", "weights", "token", "schema", "completions"]
    {
        let page = lab.run(&format!("man {command}"));
        assert!(page.code == 0 && page.stdout.contains(".SH SYNOPSIS"), "{page}");
        let (short, long) = (lab.run(&format!("{command} -h")), lab.run(&format!("{command} --help")));
        assert!(short.stdout.len() < long.stdout.len(), "{command}");
        assert!(long.stdout.contains("Examples:") && !short.stdout.contains("Examples:"), "{command}");
    }
    assert_snapshot!(lab.run("man nothing"));
    let page = lab.run("man import ingress-nginx");
    assert!(page.stdout.contains("coalmine\\-import\\-ingress\\-nginx") && page.code == 0, "{page}");
    assert!(lab.run("man render envoy").stdout.contains(".SH SYNOPSIS"));
    assert_snapshot!(lab.run("man import nothing"));
    assert_snapshot!(lab.run("man validate nothing"));
}

#[test]
fn the_short_help() {
    assert_snapshot!(Lab::new().run("-h"));
    assert_snapshot!(Lab::new().run("weights --help"));
}

/// Colours are for terminals. A terminal is made here by `script`, where there is one.
#[test]
fn colours_are_for_terminals_and_never_with_no_color() {
    let lab = Lab::new().with("policy.yaml", "rollouts: 5\n");
    assert!(!lab.run("validate policy.yaml").stdout.contains('\x1b'));
    let on_a_terminal = |variables: &[(&str, &str)]| {
        let command = format!("'{}' validate policy.yaml", env!("CARGO_BIN_EXE_coalmine"));
        let mut script = Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .current_dir(lab.path())
            .env_remove("NO_COLOR")
            .env("TERM", "xterm");
        script.envs(variables.iter().copied());
        script.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(plain) = on_a_terminal(&[]) else { return };
    assert!(plain.contains("\x1b["), "{plain}");
    assert!(!on_a_terminal(&[("NO_COLOR", "1")]).unwrap().contains("\x1b["));
}
