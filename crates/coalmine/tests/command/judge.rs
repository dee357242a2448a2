//! `coalmine judge` and `coalmine power`.

use serde_json::Value;

use crate::harness::Lab;

const HEADER: &str = "time,weight,stable_all,stable_errors,canary_all,canary_errors\n";

/// Batches in which the canary has these errors each.
fn csv(errors: u64, batches: usize) -> String {
    let lines = (0..batches).map(|batch| format!("10:{batch:02},5,5700,11,300,{errors}\n"));
    HEADER.to_owned() + &lines.collect::<String>()
}

/// The same by group: the canary's errors are all in so many groups.
fn json(errors: u64, groups: usize, batches: usize) -> String {
    let list = |value: u64, groups: usize| {
        let all: Vec<u64> = (0..16).map(|group| if group < groups { value } else { 0 }).collect();
        serde_json::to_string(&all).unwrap()
    };
    let line = format!(
        "{{\"weight\": 5, \"stable\": {{\"all\": {}, \"errors\": {}}}, \"canary\": {{\"all\": {}, \"errors\": {}}}}}\n",
        list(380, 16),
        list(1, 16),
        list(20, 16),
        list(errors, groups)
    );
    line.repeat(batches)
}

fn lab(name: &str, text: &str) -> Lab {
    Lab::new().with(name, text)
}

#[test]
fn a_bad_canary_is_rolled_back_and_said_in_words() {
    let lab = lab("evidence.csv", &csv(9, 6));
    let run = lab.run("judge evidence.csv --explain --changes --svg judge.svg");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.contains("rollback (errors: harm is proved)"), "{}", run.stdout);
    assert!(run.stdout.contains("Harm was proved at look"), "{}", run.stdout);
    assert!(run.stdout.contains("no hash groups, so one noisy user cannot be told"), "{}", run.stdout);
    let drawing = std::fs::read_to_string(lab.path().join("judge.svg")).unwrap();
    for part in [
        "harm is proved",
        "safety is proved",
        "canary",
        "stable",
        "verdict at every look",
        "from 10:00 to 10:05",
    ] {
        assert!(drawing.contains(part), "{part}");
    }
    assert!(!drawing.contains("NaN"));
}

#[test]
fn a_good_canary_goes_on() {
    let run = lab("evidence.csv", &csv(0, 4)).run("judge evidence.csv --format json");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let looks: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(looks[0]["verdict"], "hold");
    assert_eq!(looks[0]["reasons"][0], "300 of 500 requests");
    assert_eq!(looks[3]["verdict"], "promote");
    assert_eq!(looks[3]["guards"][0]["canary"]["all"], 1200);
}

/// Counts of a real Envoy with the filter, which the judge's own test describes.
#[test]
fn what_the_filter_has_counted() {
    let verdicts = |lines: &str| {
        let run = lab("evidence.jsonl", lines).run("judge evidence.jsonl --format json");
        let looks: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
        let verdicts: Vec<String> =
            looks.iter().map(|look| look["verdict"].as_str().unwrap().to_owned()).collect();
        (verdicts.join(" "), run.code)
    };
    let harmful = verdicts(include_str!("../../../judge/tests/filter/harmful.jsonl"));
    let rollback = "hold hold rollback rollback rollback rollback rollback rollback";
    assert_eq!(harmful, (rollback.to_owned(), 1));
    let harmless = verdicts(include_str!("../../../judge/tests/filter/harmless.jsonl"));
    assert_eq!(harmless, ("hold hold hold advance advance advance promote promote".to_owned(), 0));
}

#[test]
fn errors_of_a_few_users_are_no_bad_version() {
    let verdict = |groups: usize| {
        let run = lab("evidence.jsonl", &json(10, groups, 20)).run("judge evidence.jsonl --format json");
        let looks: Value = serde_json::from_str(&run.stdout).unwrap();
        (looks[19]["verdict"].as_str().unwrap().to_owned(), run.code)
    };
    assert_eq!(verdict(16), ("rollback".to_owned(), 1));
    assert_eq!(verdict(2).1, 0);
}

#[test]
fn several_guards_and_their_margins() {
    let text = "stable_all,stable_errors,stable_250ms,canary_all,canary_errors,canary_250ms\n".to_owned()
        + &"1000,2,100,1000,2,300\n".repeat(5);
    let lab = lab("evidence.csv", &text);
    let run = lab.run("judge evidence.csv");
    assert!(
        run.stdout.lines().last().unwrap().contains("rollback (250ms: harm is proved)"),
        "{}",
        run.stdout
    );
    let run = lab.run("judge evidence.csv --guard errors");
    assert_eq!(run.code, 0, "{}", run.stdout);
    let run = lab.run("judge evidence.csv --guard 250ms:4/1:5/1");
    assert_eq!(run.code, 0, "{}", run.stdout);
}

#[test]
fn evidence_that_makes_no_sense_is_refused_with_its_place() {
    let refused = |name: &str, text: &str| {
        let run = lab(name, text).run(&format!("judge {name}"));
        (run.stderr.trim().trim_start_matches("coalmine: ").to_owned(), run.code)
    };
    let line = |canary: &str| format!("{HEADER}10:00,5,5700,11,300,1\n10:01,5,5700,11,{canary}\n");
    for (text, problem, code) in [
        (
            line("3,4"),
            "evidence.csv: batch 2: errors: there are 4 bad requests of 3; at most all of them can be bad",
            1,
        ),
        (
            line("300,NaN"),
            "evidence.csv: line 3: canary_errors is \"NaN\"; a whole number from 0 is expected",
            1,
        ),
        (
            line("300,-1"),
            "evidence.csv: line 3: canary_errors is \"-1\"; a whole number from 0 is expected",
            1,
        ),
        (
            String::new(),
            "evidence.csv: there is no batch; one a line is expected, as JSON or as CSV with a header",
            1,
        ),
    ] {
        assert_eq!(refused("evidence.csv", &text), (problem.to_owned(), code));
    }
    let wrong = refused(
        "e.jsonl",
        "{\"stable\": {\"all\": 5, \"errors\": -1}, \"canary\": {\"all\": 5, \"errors\": 0}}",
    );
    assert_eq!(wrong, ("e.jsonl: line 1: a whole number from 0, or 16 of them, is expected".to_owned(), 1));
    assert!(refused("e.csv", "when,stable_all\n1,2\n").0.contains("column \"when\""));
    assert!(
        refused("e.csv", &format!("{HEADER}x,101,1,1,1,1\n"))
            .0
            .contains("a number from 0 to 100 is expected")
    );
}

#[test]
fn data_that_is_not_to_be_believed_holds() {
    let reasons = |more: &str| {
        let line = json(0, 0, 1).replace("\"weight\": 5", &format!("\"weight\": 5, {more}"));
        let run = lab("evidence.jsonl", &line.repeat(4)).run("judge evidence.jsonl --format json");
        let looks: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
        assert_eq!((looks[3]["verdict"].as_str(), run.code), (Some("hold"), 0));
        looks[3]["reasons"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(
        reasons("\"served\": {\"assigned\": 320, \"served\": 100}"),
        "320 requests were assigned to the canary and it served 100: a fault of routing or telemetry"
    );
    assert_eq!(
        reasons(
            "\"open\": {\"stable\": {\"begun\": 6080, \"open\": 6}, \"canary\": {\"begun\": 320, \"open\": 90}}"
        ),
        "at least 90 of 320 requests to the canary do not end; stable has 6 of 6080"
    );
}

#[test]
fn arguments_that_cannot_be() {
    let lab = lab("evidence.csv", &csv(1, 1));
    for (words, problem) in [
        ("judge", "required arguments"),
        ("judge evidence.csv --guard errors:2", "TIMES/PLUS is expected, as 1.25/0.1"),
        ("judge evidence.csv --guard errors:2/NaN", "times goes from 0.01 to 100"),
        ("judge evidence.csv --alpha 0", "alpha is 0"),
        ("judge evidence.csv --guard payments", "stable has no count \"payments\""),
        ("judge --prometheus http://127.0.0.1:1 --rollout checkout", "cannot read from http://127.0.0.1:1"),
        ("power --rps 0", "--rps is 0"),
        ("power --rps 10 --weights 100", "at 100 there is no stable to compare with"),
        ("power --rps 10 --every 0s", "a step has"),
    ] {
        let run = lab.run(words);
        assert_ne!(run.code, 0, "{words}");
        assert!(run.stderr.contains(problem), "{words}: {}", run.stderr);
    }
}

#[test]
fn a_plan_is_simulated_alike_for_one_seed() {
    let lab = Lab::new();
    let run = || {
        lab.run("power --rps 20 --weights 5,50 --dwell 5m --every 1m --runs 40 --format json --svg power.svg")
    };
    let (one, other) = (run(), run());
    assert_eq!(one.stdout, other.stdout);
    let answer: Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(answer["rows"][0]["rolledBack"], 0.0);
    assert_eq!(answer["rows"][4]["rolledBack"], 1.0);
    assert!(std::fs::read_to_string(lab.path().join("power.svg")).unwrap().contains("chance of a rollback"));
}
