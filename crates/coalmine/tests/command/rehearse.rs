//! `coalmine rehearse`: the plan played, how it is told, and that its history gives itself.

use coalmine_document::Notation;
use coalmine_steer::plan::Setting;
use coalmine_steer::{Moment, Plan, State};
use serde_json::Value;

use crate::harness::Lab;

const ROLLOUT: &str = "\
name: shop/checkout
workloads: {service: checkout, stable: {deployment: checkout-stable}, canary: {deployment: checkout-canary}}
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {}
";

fn lab(plan: &str) -> Lab {
    Lab::new().with("rollout.yaml", ROLLOUT.replace("plan: {}", &format!("plan: {plan}")))
}

fn json(lab: &Lab, words: &str) -> Value {
    let run = lab.run(&format!("rehearse rollout.yaml --format json {words}"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn weights(rehearsed: &Value) -> Vec<f64> {
    rehearsed["weights"].as_array().unwrap().iter().map(|it| it["weight"].as_f64().unwrap()).collect()
}

#[test]
fn a_harmless_canary_is_promoted_and_a_bad_one_is_rolled_back() {
    let lab = lab("{}");
    let rehearsed = json(&lab, "");
    assert_eq!(rehearsed["outcome"], "Promoted");
    assert_eq!(weights(&rehearsed), [1.0, 5.0, 25.0, 50.0, 100.0, 50.0, 25.0, 5.0, 1.0, 0.0]);
    let rehearsed = json(&lab, "--at 30m canary-errors=20");
    assert_eq!((&rehearsed["outcome"], &rehearsed["largestWeight"]), (&"RolledBack".into(), &25.0.into()));
    let line =
        rehearsed["timeline"].as_array().unwrap().iter().find(|it| it["what"] == "rolls back").unwrap();
    assert!(line["why"].as_str().unwrap().starts_with("errors: the canary has "), "{line}");
    assert!(line["seconds"].as_u64().unwrap() < 2000, "{line}");
}

#[test]
fn the_same_seed_gives_the_same_rehearsal() {
    let lab = lab("{}");
    let print = |seed: u32| lab.run(&format!("rehearse rollout.yaml --seed {seed}")).stdout;
    assert_eq!(print(7), print(7));
    assert_ne!(print(7), print(8));
}

#[test]
fn what_happens_is_told() {
    let lab = lab("{steps: [{weight: 5, approval: true}, 50], dwell: 2m, minRequests: 50}");
    let run = lab.run(
        "rehearse rollout.yaml --proxies 4 --at 0s lag=1h --at 3m pause --at 6m resume --at 7m canary-version=v3 \
         --at 13m source-away=5m --at 1h freeze --at 65m unfreeze",
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in [
        "1 of 4 proxies does not run revision 101 and is left out: proxy-4",
        "paused by a person",
        "waits for approval at 5 %",
        "approve by a person",
        "the canary changed from v2 to v3",
        "no evidence can be read: Prometheus does not answer",
    ] {
        assert!(run.stdout.contains(part), "{part}:\n{}", run.stdout);
    }
}

#[test]
fn a_history_fed_back_tick_by_tick_gives_itself() {
    let lab = lab("{deadline: 2h}");
    let story = "--at 10m canary-version=v3 --at 30m server-away=20m --at 50m pause --at 52m resume --at 55m clock=-3h \
                 --at 1h stable-version=v1.1 --at 100m canary-errors=1 --at 3h resume";
    let run = lab.run(&format!("rehearse rollout.yaml --proxies 5 --seed 3 --history history.jsonl {story}"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let plan = Notation::Yaml.read("deadline: 2h").unwrap();
    let plan = Plan::from_document(&plan[0], Setting { workloads: true }).unwrap();
    let history = std::fs::read_to_string(lab.path().join("history.jsonl")).unwrap();
    let mut state = State::default();
    let mut moments = 0;
    for line in history.lines() {
        let written: Value = serde_json::from_str(line).unwrap();
        let moment: Moment = serde_json::from_value(written.clone()).unwrap();
        let step = moment.play(&plan, &state).unwrap();
        assert_eq!(serde_json::to_value(&step).unwrap(), written["step"], "moment {moments}");
        state = step.state;
        // The rehearsal delivers notices at once.
        state.notices.clear();
        moments += 1;
    }
    assert!(moments > 400, "{moments} moments");
}

#[test]
fn many_rehearsals_say_how_they_end() {
    let lab = lab("{steps: [5, 50], dwell: 2m}");
    let rehearsed = json(&lab, "--traffic 500/s --errors stable=0.2,canary=5 --runs 20");
    let ends = rehearsed["ends"].as_array().unwrap();
    let back = ends.iter().find(|end| end["outcome"] == "rolled back").unwrap();
    assert_eq!((rehearsed["runs"].as_u64(), back["share"].as_f64()), (Some(20), Some(1.0)));
    assert_eq!(back["largestWeight"], 5.0);
    let run = lab.run("rehearse rollout.yaml --traffic 500/s --runs 20 --svg ends.svg");
    assert!(run.stdout.contains("promoted      100.0 %"), "{}", run.stdout);
    let picture = std::fs::read_to_string(lab.path().join("ends.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains(">promoted</text>"));
}

#[test]
fn a_rehearsal_is_drawn() {
    let lab = lab("{steps: [5, 50], dwell: 2m}");
    let run = lab.run("rehearse rollout.yaml --errors stable=0.1,canary=30 --svg one.svg");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let picture = std::fs::read_to_string(lab.path().join("one.svg")).unwrap();
    for part in [">weight</text>", ">rolls back</text>", ">bad requests</text>"] {
        assert!(picture.contains(part), "{part}");
    }
}

#[test]
fn another_controller_moves_where_the_plan_only_judges() {
    let rehearsed = json(&lab("{mode: judge, dwell: 2m}"), "--traffic 500/s --elsewhere 10,30,60");
    assert_eq!(rehearsed["outcome"], "Promoted");
    assert_eq!(weights(&rehearsed), [10.0, 30.0, 60.0, 100.0, 0.0]);
}

#[test]
fn without_workloads_people_start_and_promote() {
    let rollout =
        ROLLOUT.lines().filter(|line| !line.starts_with("workloads")).collect::<Vec<_>>().join("\n");
    let lab = Lab::new().with("rollout.yaml", rollout);
    let rehearsed = json(&lab, "");
    assert_eq!(rehearsed["outcome"], "Promoted");
    let run = lab.run("rehearse rollout.yaml --at 5m restart-canary");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("the rollout names no workloads"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_rehearsed_is_told() {
    let lab = lab("{}")
        .with("two.yaml", format!("{ROLLOUT}---\n{}", ROLLOUT.replace("checkout\nw", "cart\nw")))
        .with("weights.yaml", ROLLOUT.replace("plan: {}", "weights: {canary: 5}"))
        .with("policy.yaml", "rollouts: []")
        .with("wrong.yaml", ROLLOUT.replace("plan: {}", "plan: {step: [5]}"));
    for (words, code, part) in [
        ("two.yaml", 2, "say which with --rollout NAME: shop/checkout, shop/cart"),
        ("two.yaml --rollout shop/basket", 2, "it has: shop/checkout, shop/cart"),
        ("weights.yaml", 2, "its file owns the weights"),
        ("policy.yaml", 2, "has no rollout with a plan"),
        ("wrong.yaml", 1, "plan.step: unknown field; did you mean \"steps\"?"),
        ("rollout.yaml --at 5m nothing", 2, "coalmine rehearse --help lists what may happen"),
        ("rollout.yaml --at soon pause", 2, "--at soon is not a time"),
        ("rollout.yaml --at 5m canary-errors=200", 2, "give a percentage from 0 to 100"),
        ("rollout.yaml --traffic 50", 2, "a rate is expected, as 50/s"),
        ("rollout.yaml --bad latency:stable=5,canary=5", 2, "the plan has no guard \"latency\""),
        ("rollout.yaml --every 1500ms", 2, "give whole seconds"),
    ] {
        let run = lab.run(&format!("rehearse {words}"));
        assert_eq!(run.code, code, "{words}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{words}: {}", run.stderr);
    }
    assert_eq!(lab.run("rehearse two.yaml --rollout shop/cart").code, 0);
}
