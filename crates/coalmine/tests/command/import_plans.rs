//! `coalmine import flagger` and `argo` on files in the forms that the documentation of both has.
//!
//! What is expected stands in comments at the end of each file:
//!
//! | comment | meaning |
//! |---|---|
//! | `#= ROLLOUT` | what `coalmine validate` says of a rollout; these are all rollouts |
//! | `#| LINE` | the output has this line, at any depth |
//! | `#~ TEXT`, `#^ TEXT`, `#! LINE TEXT` | as in `import_suite` |

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Lab;
use crate::import_suite::Case;

fn cases(source: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command/import").join(source)
}

fn check(case: &Case) {
    let name = &case.name;
    let run = case.import("");
    let problems = case.expected("#!");
    if !problems.is_empty() {
        return case.check_problems(&run, &problems);
    }
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}: {run}");
    let notes = case.check_notes(&run);
    for line in case.expected("#|") {
        assert!(run.stdout.lines().any(|found| found.trim() == line), "{name}: no line {line}: {run}");
    }
    let valid = case.lab.run_with(&["validate", "-"], run.stdout.as_bytes());
    assert_eq!(valid.code, 0, "{name}: {valid}{run}");
    let said: Vec<&str> =
        valid.stdout.lines().filter_map(|line| line.split_once("valid; ")).map(|it| it.1).collect();
    assert_eq!(said, case.expected("#="), "{name}: {valid}{run}");

    // With and without notes they are the same rollouts.
    let json: Value = serde_json::from_str(&case.import("--format json").stdout).unwrap();
    assert_eq!(json["notes"].as_array().unwrap().len(), notes, "{name}: {run}");
    for (rollout, said) in json["rollouts"].as_array().unwrap().iter().zip(&said) {
        let valid = case.lab.run_with(&["validate", "-"], rollout.to_string().as_bytes());
        assert!(valid.stdout.contains(said), "{name}: {valid}{run}");
    }
}

fn check_all(source: &'static str, least: usize) {
    let mut count = 0;
    for entry in std::fs::read_dir(cases(source)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            check(&Case::of(&path, source));
            count += 1;
        }
    }
    assert!(count >= least, "{count} files");
}

#[test]
fn canaries_become_rollouts() {
    check_all("flagger", 29);
}

#[test]
fn rollouts_of_argo_become_rollouts() {
    check_all("argo", 26);
}

/// The pointers to everything below `spec`, lists and maps too.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut inside = |key: String, value: &Value| {
        let pointer = format!("{at}/{key}");
        pointers(value, &pointer, found);
        found.push(pointer);
    };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| inside(key.replace('~', "~0").replace('/', "~1"), value))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| inside(index.to_string(), item))
        }
        _ => {}
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~")).unwrap()),
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        _ => unreachable!(),
    }
}

/// Without any one field the output is another one, so no field of these files is dropped in silence. What is inside
/// of a field that is noted as a whole is left out.
fn nothing_is_dropped(source: &str, whole: &[&str]) {
    let text = std::fs::read_to_string(cases(source).join("every-field.json")).unwrap();
    let documents: Value = serde_json::from_str(&text).unwrap();
    let run = |documents: &Value| {
        Lab::new().run_with(&["import", source, "-"], documents.to_string().as_bytes()).to_string()
    };
    let before = run(&documents);
    assert!(before.ends_with("[exit 0]\n"), "{before}");
    let mut found = Vec::new();
    for index in 0..documents["items"].as_array().unwrap().len() {
        let spec = format!("/items/{index}/spec");
        pointers(documents.pointer(&spec).unwrap(), &spec, &mut found);
    }
    let is_left_out = |pointer: &str| {
        let words: Vec<&str> = pointer.split('/').filter(|word| word.parse::<usize>().is_err()).collect();
        let path = words[3..].join(".");
        whole
            .iter()
            .any(|whole| path == *whole || path.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.')))
    };
    let mut count = 0;
    for pointer in found.iter().filter(|pointer| !is_left_out(pointer)) {
        let mut less = documents.clone();
        remove(&mut less, pointer);
        assert_ne!(run(&less), before, "{source}: {pointer} is dropped in silence");
        count += 1;
    }
    assert!(count > 60, "{count} fields");
}

#[test]
fn no_field_of_a_canary_is_dropped_in_silence() {
    // Kinds that are the usual ones, what stands behind a name, and a match that is left out as a whole.
    let usual = ["targetRef.apiVersion", "targetRef.kind", "autoscalerRef.apiVersion", "autoscalerRef.kind"];
    let others =
        ["analysis.sessionAffinity.httpOnly", "analysis.metrics.templateRef.namespace", "analysis.match"];
    nothing_is_dropped("flagger", &[&usual[..], &others].concat());
}

#[test]
fn no_field_of_a_rollout_is_dropped_in_silence() {
    nothing_is_dropped("argo", &["workloadRef.apiVersion", "workloadRef.kind", "metrics.provider"]);
}
