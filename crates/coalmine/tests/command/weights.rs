//! `coalmine weights`: the text around a weight stays as it is written.

use insta::assert_snapshot;

use crate::harness::{Lab, shipped};

/// Two variants, in the block style, with comments everywhere.
const BLOCK: &str = r#"# Ours. Ask #checkout before changing.
version: 1
revision: 41      # counted by hand
rollouts:
- name: 'checkout'   # quoted, as we like it
  identity:
  - header: "x-user-id"

  # Five percent to begin with.
  variants:
  - name: canary     # the new one
    weight: 5        # grows
  - weight: 5.0
    name: baseline

  pins: {stable: ["bob"]}
observe: {accessLog: true}
"#;

const FLOW: &str = "rollouts: [{name: r, identity: [{peer: true}], variants: [{name: canary, weight: 5}], salt: x}]  # one\n";

/// What a dry run shows of this change.
fn dry(policy: &str, words: &str) -> String {
    Lab::new().with("policy.yaml", policy).run(&format!("weights policy.yaml {words} --dry-run")).to_string()
}

#[test]
fn one_weight_in_its_place() {
    assert_snapshot!(dry(BLOCK, "canary=10"));
}

#[test]
fn two_weights() {
    assert_snapshot!(dry(BLOCK, "canary=0.5 baseline=0.5%"));
}

#[test]
fn a_third_variant_brings_ranges() {
    assert_snapshot!(dry(
        BLOCK.replace("- weight: 5.0\n    name: baseline", "- name: baseline\n    weight: 5.0").as_str(),
        "blue=10"
    ));
}

#[test]
fn a_second_variant_in_the_flow_style() {
    assert_snapshot!(dry(FLOW, "baseline=5"));
    assert_snapshot!(dry(FLOW, "baseline=5 blue=1"));
}

#[test]
fn a_comment_that_would_be_lost_is_a_refusal() {
    let policy = BLOCK.replace("- weight: 5.0\n", "- weight: 5.0  # mine\n");
    assert_snapshot!(dry(&policy, "blue=10"));
}

#[test]
fn ranges_stay_ranges() {
    let policy = "rollouts:\n- name: r\n  identity: [{peer: true}]\n  variants: [{name: canary}]\n  ranges:\n  - [50000, canary]\n  - [1000000, stable]\n  salt: x # y\n";
    assert_snapshot!(dry(policy, "canary=10"));
    assert_snapshot!(dry(policy, "canary=1 green=9"));
    assert_snapshot!(dry(
        &policy
            .replace("\n  - [50000, canary]\n  - [1000000, stable]", " [[50000, canary], [1000000, stable]]"),
        "canary=100"
    ));
}

#[test]
fn json_in_one_line_and_in_many() {
    let policy = r#"{"revision": 3, "rollouts": [{"name": "r", "identity": [{"peer": true}], "variants": [{"name": "canary", "weight": 5}]}]}"#;
    assert_snapshot!(dry(policy, "canary=7 blue=1 green=1"));
    let policy = "{\n  \"rollouts\": [\n    {\n      \"name\": \"r\",\n      \"identity\": [{\"peer\": true}],\n      \"variants\": [\n        {\"name\": \"canary\", \"weight\": 5}\n      ]\n    }\n  ]\n}\n";
    assert_snapshot!(dry(policy, "canary=7 blue=1 green=1"));
}

#[test]
fn a_policy_inside_a_resource_of_envoy() {
    let text = std::fs::read_to_string(shipped("envoy/coalmine.yaml")).unwrap();
    let lab = Lab::new().with("coalmine.yaml", &text);
    let run = lab.run("weights coalmine.yaml canary=10");
    assert_eq!(run.code, 0, "{run}");
    let changed = std::fs::read_to_string(lab.path().join("coalmine.yaml")).unwrap();
    assert!(changed.contains("\"weight\": 10"), "{changed}");
    assert_eq!(
        changed.replace("\"weight\": 10", "\"weight\": 5").replace("\"revision\": 2", "\"revision\": 1"),
        text
    );
}

#[test]
fn every_copy_of_a_policy_is_changed() {
    let plugin = |name: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: {name}}}\nspec:\n  \
         failStrategy: FAIL_OPEN\n  pluginConfig:\n    rollouts:\n    - name: r\n      identity: [{{peer: true}}]\n      variants:\n      - {{name: canary, weight: 5}}\n"
        )
    };
    assert_snapshot!(dry(&format!("{}---\n{}", plugin("a"), plugin("b")), "canary=6"));
    assert_snapshot!(dry(
        &format!("{}---\n{}", plugin("a"), plugin("b").replace("weight: 5", "weight: 4")),
        "canary=6"
    ));
}

#[test]
fn the_file_is_written_and_the_answer_is_for_programs() {
    let lab = Lab::new().with("policy.yaml", BLOCK);
    assert_snapshot!(lab.run("weights policy.yaml canary=10 --format json"));
    let changed = std::fs::read_to_string(lab.path().join("policy.yaml")).unwrap();
    assert_eq!(
        changed,
        BLOCK.replace("weight: 5        #", "weight: 10        #").replace("revision: 41", "revision: 42")
    );
    assert_eq!(std::fs::read_dir(lab.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn through_standard_input() {
    let run = Lab::new().run_with(&["weights", "-", "canary=10"], FLOW.as_bytes());
    assert_snapshot!(run);
}

#[test]
fn what_cannot_be() {
    assert_snapshot!(dry(BLOCK, "canary=96"));
    assert_snapshot!(dry(BLOCK, "canary=105"));
    assert_snapshot!(dry(BLOCK, "canary=x"));
    assert_snapshot!(dry(BLOCK, "canary"));
    assert_snapshot!(dry(BLOCK, "stable=50"));
    assert_snapshot!(dry(BLOCK, "canary=1 canary=2"));
    assert_snapshot!(dry(BLOCK, "Blue=1"));
    assert_snapshot!(dry(&BLOCK.replace("weight: 5  ", "weight: &w 5  "), "canary=1"));
    let ramp = "variants:\n  - name: canary\n  ramp: {start: 2026-11-21T09:00:00Z, steps: [{at: 0s, weight: 1}]}\n  salt: x\n";
    let variants = BLOCK.split("  variants:\n").next().unwrap();
    assert_snapshot!(dry(&format!("{variants}  {ramp}"), "canary=1"));
    assert_snapshot!(dry(
        &format!("{variants}  route: {{bucketHeader: {{name: x-bucket, total: 100}}}}\n"),
        "canary=1"
    ));
    let steps = FLOW.replace("salt: x", "algorithm: unleash");
    assert_snapshot!(dry(&steps, "canary=5.5"));
}

/// The published cases of the movement rule, through the text of a document.
#[test]
fn the_movement_rule() {
    let text = std::fs::read_to_string(shipped("tests/vectors/movement.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for case in vectors["moves"].as_array().unwrap() {
        let names: Vec<&str> =
            case["order"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let variants: Vec<String> = names.iter().map(|name| format!("{{\"name\": \"{name}\"}}")).collect();
        let policy = format!(
            "{{\"rollouts\": [{{\"name\": \"r\", \"identity\": [{{\"peer\": true}}], \"variants\": [{}], \"ranges\": {}}}]}}",
            variants.join(", "),
            case["from"]
        );
        let weights: Vec<String> = names
            .iter()
            .map(|name| format!("{name}={}", case["weights_ppm"][*name].as_f64().unwrap() / 10_000.0))
            .collect();
        let lab = Lab::new().with("policy.json", policy);
        let run = lab.run(&format!("weights policy.json {} --format json", weights.join(" ")));
        assert_eq!(run.code, 0, "{run}");
        let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((&answer["movedPpm"], &answer["leastPpm"]), (&case["moved_ppm"], &case["moved_ppm"]));
        let changed = std::fs::read_to_string(lab.path().join("policy.json")).unwrap();
        let changed: serde_json::Value = serde_json::from_str(&changed).unwrap();
        assert_eq!(changed["rollouts"][0]["ranges"], case["to"]);
        checked += 1;
    }
    assert!(checked > 3);
}
