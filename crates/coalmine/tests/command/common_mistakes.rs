//! Mistakes that are made at first: what the command says, whole. Where it marks each of a policy's problems is asserted in
//! `problems`.

use insta::assert_snapshot;

use crate::harness::Lab;

const GOOD: &str = "\
version: 1
rollouts:
- name: checkout
  identity:
  - header: x-user-id
  variants:
  - name: canary
    weight: 5
";

/// The good policy with one thing done wrong.
fn tried(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    Lab::new().with("policy.yaml", GOOD.replace(from, to)).run("validate policy.yaml").to_string()
}

#[test]
fn nothing_wrong() {
    assert_snapshot!(tried("version: 1", "version: 1"));
}

#[test]
fn a_mistyped_field() {
    assert_snapshot!(tried("weight", "wieght"));
}

#[test]
fn a_wrong_indent() {
    assert_snapshot!(tried("    weight", "     weight"));
}

#[test]
fn a_tab() {
    assert_snapshot!(tried("    weight", "\tweight"));
}

#[test]
fn a_forgotten_blank_after_the_colon() {
    assert_snapshot!(tried("weight: 5", "weight:5"));
}

#[test]
fn an_unclosed_quote() {
    assert_snapshot!(tried("x-user-id", "\"x-user-id"));
}

#[test]
fn a_template_that_was_not_filled_in() {
    assert_snapshot!(tried("weight: 5", "weight: {{ .Values.weight }}"));
}

#[test]
fn everything_at_once() {
    let policy = "version: 2\nrevison: 7\nrollouts:\n- name: Checkout\n  salt: a:b\n  variants:\n  - {name: stable, weight: 105}\n";
    assert_snapshot!(Lab::new().with("policy.yaml", policy).run("validate policy.yaml"));
}

#[test]
fn json_with_a_trailing_comma() {
    let policy = "{\n  \"version\": 1,\n  \"rollouts\": [],\n}\n";
    assert_snapshot!(Lab::new().with("policy.json", policy).run("validate policy.json"));
}

#[test]
fn json_with_a_comment() {
    let policy = "{\n  // ours\n  \"rollouts\": []\n}\n";
    assert_snapshot!(Lab::new().with("policy.json", policy).run("validate policy.json"));
}

#[test]
fn json_that_breaks_off() {
    assert_snapshot!(Lab::new().with("policy.json", "{\"rollouts\": [{").run("validate policy.json"));
}

#[test]
fn an_empty_file() {
    assert_snapshot!(Lab::new().with("policy.yaml", "").run("validate policy.yaml"));
    assert_snapshot!(Lab::new().with("policy.yaml", "# later\n").run("validate policy.yaml"));
    assert_snapshot!(Lab::new().with("policy.json", "").run("validate policy.json"));
}

#[test]
fn an_empty_policy() {
    assert_snapshot!(Lab::new().with("policy.json", "{}").run("validate policy.json"));
}

#[test]
fn a_file_of_50_megabytes() {
    let lab = Lab::new().with("big.yaml", vec![b' '; 50_000_000]);
    assert_snapshot!(lab.run("validate big.yaml"));
}

#[test]
fn a_policy_of_more_than_a_megabyte() {
    let policy = format!("{GOOD}  pins:\n    stable: [\"{}\"]\n", "x".repeat(1 << 20));
    assert_snapshot!(Lab::new().with("policy.yaml", policy).run("validate policy.yaml"));
}

#[test]
fn a_binary_file() {
    assert_snapshot!(Lab::new().with("module.wasm", b"\0asm\x01\0\0\0\xff\xfe").run("validate module.wasm"));
    assert_snapshot!(Lab::new().with("zeros", [0; 64]).run("validate zeros"));
    assert_snapshot!(Lab::new().with("utf16", b"\xff\xfer\0o\0").run("validate utf16"));
}

#[test]
fn a_file_that_is_not_there() {
    assert_snapshot!(Lab::new().run("validate nowhere.yaml"));
}

#[test]
fn a_folder() {
    let lab =
        Lab::new().with("b.yaml", GOOD).with("a.yml", GOOD.replace("weight", "wieght")).with("c.JSON", "{}");
    let lab = lab.with(".hidden.yaml", "rollouts: 5").with("notes.txt", "Dear all").with("users", "alice");
    std::fs::create_dir(lab.path().join("below.yaml")).unwrap();
    std::fs::write(lab.path().join("below.yaml/d.yaml"), "rollouts: 5").unwrap();
    assert_snapshot!(lab.run("validate ."));
    assert_snapshot!(lab.run("validate b.yaml below.yaml"));
    assert_snapshot!(Lab::new().run("validate ."));
}

/// Every other command takes one file, and says so alike.
#[test]
fn a_folder_where_a_file_belongs() {
    let lab = Lab::new().with("policy.yaml", GOOD);
    for words in [
        "explain . --user u",
        "assign . --users policy.yaml",
        "assign policy.yaml --users .",
        "simulate . --count 5",
        "diff . policy.yaml --count 1",
        "diff policy.yaml . --count 1",
        "weights . canary=6",
        "token . --variant canary",
        "render envoy . --out out",
        "render istio . --out out",
        "import ingress-nginx .",
        "import split-clients .",
    ] {
        let run = lab.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words}\n{run}");
        assert_eq!(run.stderr, "coalmine: . is a folder\nhint: give a file\n", "{words}");
    }
}

#[test]
fn something_else_altogether() {
    assert_snapshot!(
        Lab::new().with("notes.txt", "Dear all,\nthe rollout is on.\n").run("validate notes.txt")
    );
    assert_snapshot!(Lab::new().with("list.yaml", "- a\n- b\n").run("validate list.yaml"));
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n";
    assert_snapshot!(Lab::new().with("deployment.yaml", deployment).run("validate deployment.yaml"));
}

#[test]
fn from_standard_input() {
    let lab = Lab::new();
    assert_snapshot!(lab.run_with(&["validate", "-"], GOOD.replace("weight", "wieght").as_bytes()));
}

#[test]
fn for_programs() {
    let lab = Lab::new().with("bad.yaml", GOOD.replace("weight", "wieght")).with("good.yaml", GOOD);
    assert_snapshot!(lab.run("validate bad.yaml good.yaml --format json"));
}

#[test]
fn a_line_of_a_megabyte() {
    let pins: Vec<String> = (0..9_000).map(|n| format!("\"user-{n}-{}\"", "x".repeat(90))).collect();
    let policy = format!(
        r#"{{"rollouts": [{{"name": "r", "identity": [{{"header": "h"}}], "pins": {{"stable": [{}], "gold": []}}, "variants": [{{"name": "c", "weight": 500}}]}}]}}"#,
        pins.join(", ")
    );
    assert_snapshot!(Lab::new().with("policy.json", policy).run("validate policy.json"));
}

#[test]
fn no_arguments_at_all() {
    let run = Lab::new().run("");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("Usage: coalmine <COMMAND>"), "{run}");
}

/// A `List` as `kubectl get -o json` may print it, with characters of several bytes in it.
#[test]
fn a_list_of_three_megabytes_in_one_line() {
    let filler = "x".repeat(150);
    let map = |number: usize| {
        let note = if number.is_multiple_of(5_000) { "é" } else { "e" };
        format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "map-{number}", "labels": {{"note": "{note}"}}}}, "data": {{"x": "{filler}"}}}}"#
        )
    };
    let maps: Vec<String> = (1..15_001).map(map).collect();
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [{}, {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "policy"}}, "data": {{"policy.json": "{{\"rollouts\": 5}}"}}}}]}}"#,
        maps.join(", ")
    );
    assert!(list.len() > 3_000_000 && list.matches('é').count() == 3);
    let column = list[..list.find("5}\"").unwrap()].chars().count() + 1;
    let run = Lab::new().with("list.json", &list).run("validate list.json --format json");
    let output: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    let problem = &output["problems"][0];
    assert_eq!((&output["errors"], &problem["line"]), (&1.into(), &1.into()), "{run}");
    assert_eq!(problem["column"], column);
    assert_eq!(problem["place"], "items[15000].data[\"policy.json\"].rollouts");
}

/// A document of so many values is refused for that, and not read any further.
#[test]
fn a_policy_of_half_a_million_values() {
    for (name, before, behind) in [("policy.json", "", ""), ("policy.json", "{\"rollouts\": ", "}")] {
        let room = (1 << 20) - before.len() - behind.len() - 1;
        let policy = format!("{before}[{}]{behind}", vec!["1"; room / 2].join(","));
        assert!((1 << 20) - policy.len() < 2);
        let run = Lab::new().with(name, policy).run(&format!("validate {name} --format json"));
        let output: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
        let kinds: Vec<&str> = output["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["kind"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(kinds, ["tooLarge"], "{before}");
    }
}
