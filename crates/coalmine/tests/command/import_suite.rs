//! `coalmine import` on files that have everything that the documentation of ingress-nginx and of `split_clients` has.
//!
//! What is expected stands in comments at the end of each file:
//!
//! | comment | meaning |
//! |---|---|
//! | `#= NAME: VARIANT PERCENT, ..` | a rollout, and the share that the source gives each side; these are all rollouts |
//! | `#> HOST/PATH -> NAME` | the rollout that decides this request, or `none` |
//! | `#~ TEXT` | a note has this text |
//! | `#^ TEXT` | no note has this text |
//! | `#! LINE TEXT` | a problem in this line, `-` where it has none: nothing is imported, and these are all problems |

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Lab, Run};

/// The finest weight of a policy, in percent.
const FINEST: f64 = 0.0001;
/// Users that are drawn in each rollout.
const USERS: u32 = 20_000;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) lab: Lab,
    text: String,
    /// The subcommand of `import`.
    source: &'static str,
}

/// The percent of each variant.
type Shares = BTreeMap<String, f64>;

// === impl Case ===

impl Case {
    pub(crate) fn of(path: &Path, source: &'static str) -> Self {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        Self { lab: Lab::new().with(&name, &text), name, text, source }
    }

    pub(crate) fn expected(&self, mark: &str) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix(mark)?.strip_prefix(' ')).collect()
    }

    pub(crate) fn import(&self, options: &str) -> Run {
        self.lab.run(&format!("import {} {} {options}", self.source, self.name))
    }

    fn check(&self) {
        let run = self.import("");
        let problems = self.expected("#!");
        if problems.is_empty() {
            self.check_policy(&run);
        } else {
            self.check_problems(&run, &problems);
        }
    }

    pub(crate) fn check_problems(&self, run: &Run, problems: &[&str]) {
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}: {run}", self.name);
        let mut with_lines = 0;
        for problem in problems {
            let (line, text) = problem.split_once(' ').unwrap();
            assert!(run.stderr.contains(text), "{}: no {text}: {run}", self.name);
            if line != "-" {
                with_lines += 1;
                let place = format!("--> {}:{line}:", self.name);
                let message = run.stderr.split("\nerror: ").find(|message| message.contains(text)).unwrap();
                assert!(message.contains(&place), "{}: {text}: not in line {line}: {run}", self.name);
            }
        }
        assert_eq!(run.stderr.matches("\nerror: ").count(), with_lines, "{}: {run}", self.name);
    }

    /// Checks the notes, and returns how many there are.
    pub(crate) fn check_notes(&self, run: &Run) -> usize {
        let name = &self.name;
        let comments: Vec<&str> = run.stdout.lines().take_while(|line| line.starts_with("# - ")).collect();
        for note in self.expected("#~") {
            assert!(comments.iter().any(|comment| comment.contains(note)), "{name}: no note {note}: {run}");
        }
        for note in self.expected("#^") {
            assert!(!comments.iter().any(|comment| comment.contains(note)), "{name}: a note {note}: {run}");
        }
        comments.len()
    }

    fn check_policy(&self, run: &Run) {
        let name = &self.name;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}: {run}");
        let notes = self.check_notes(run);
        let valid = self.lab.run_with(&["validate", "-"], run.stdout.as_bytes());
        assert_eq!(valid.code, 0, "{name}: {valid}{run}");

        // With and without notes it is one policy, whatever their texts have in them.
        let json: Value = serde_json::from_str(&self.import("--format json").stdout).unwrap();
        assert_eq!(json["notes"].as_array().unwrap().len(), notes, "{name}: {run}");
        let policy = json["policy"].to_string();
        let drawn = simulate(&self.lab, policy.as_bytes());
        assert_eq!(drawn, simulate(&self.lab, run.stdout.as_bytes()), "{name}");

        let expected: BTreeMap<String, Shares> = self.expected("#=").into_iter().map(shares).collect();
        assert_eq!(drawn.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}: {run}");
        for (rollout, shares) in &expected {
            let found = &drawn[rollout];
            assert_eq!(found.keys().collect::<Vec<_>>(), shares.keys().collect::<Vec<_>>(), "{name}: {run}");
            for (variant, share) in shares {
                let off = (found[variant] - share).abs();
                assert!(off <= FINEST, "{name}: {rollout}: {variant} has {}, not {share}", found[variant]);
            }
        }
        for request in self.expected("#>") {
            let (address, rollout) = request.split_once(" -> ").unwrap();
            let address = format!("http://{address}");
            let words = ["explain", "-", "--request", "GET", &address, "--format", "json"];
            let explained = self.lab.run_with(&words, policy.as_bytes());
            let explained: Value = serde_json::from_str(&explained.stdout).unwrap();
            assert_eq!(
                explained["rollout"].as_str().unwrap_or("none"),
                rollout,
                "{name}: {address}: {explained}"
            );
        }
    }
}

/// `NAME: VARIANT PERCENT, ..`
fn shares(line: &str) -> (String, Shares) {
    let (rollout, shares) = line.split_once(": ").unwrap();
    let share = |share: &str| {
        let (variant, percent) = share.split_once(' ').unwrap();
        (variant.to_owned(), percent.parse().unwrap())
    };
    (rollout.to_owned(), shares.split(", ").map(share).collect())
}

/// The exact weights of a policy's rollouts. The split of many users is as these weights say.
fn simulate(lab: &Lab, policy: &[u8]) -> BTreeMap<String, Shares> {
    let count = USERS.to_string();
    let run = lab.run_with(&["simulate", "-", "--count", &count, "--format", "json"], policy);
    let simulated: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    let rollout = |rollout: &Value| {
        let p = rollout["split"]["p"].as_f64();
        assert!(p.is_none_or(|p| p > 1e-6), "{rollout}");
        let variant = |variant: &Value| {
            let weight = variant["weight"].as_str().unwrap().parse().unwrap();
            (variant["name"].as_str().unwrap().to_owned(), weight)
        };
        let variants = rollout["variants"].as_array().unwrap().iter().map(variant).collect();
        (rollout["rollout"].as_str().unwrap().to_owned(), variants)
    };
    simulated["rollouts"].as_array().unwrap().iter().map(rollout).collect()
}

fn check_all(folder: &str, source: &'static str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command/import").join(folder);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        Case::of(&entry.unwrap().path(), source).check();
        count += 1;
    }
    assert!(count >= 40, "{count} files");
}

#[test]
fn ingresses_are_what_ingress_nginx_says() {
    check_all("ingress", "ingress-nginx");
}

#[test]
fn blocks_are_what_nginx_says() {
    check_all("split", "split-clients");
}
