//! Evidence as a file has it: one batch a line, as JSON or CSV.

use std::collections::BTreeMap;
use std::io::BufRead;

use coalmine_judge::batch::{Open, Served};
use coalmine_judge::{Arms, Batch, Counts, GROUPS, GuardConfig, Tally};
use serde::Deserialize;

/// Counts between two looks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// When the batch ended, as people want to see it.
    #[serde(default)]
    pub(super) time: String,
    /// Canary's weight, in percent.
    pub(super) weight: Option<f64>,
    pub(super) stable: Counters,
    pub(super) canary: Counters,
    pub(super) served: Option<ServedLine>,
    pub(super) open: Option<OpenLine>,
}

/// Counts of one arm by name: `all`, and one for each guard.
pub(super) type Counters = BTreeMap<String, Numbers>;

/// One number, or one for each hash group.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a whole number from 0, or 16 of them, is expected")]
pub(super) enum Numbers {
    One(u64),
    Groups([u64; GROUPS]),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServedLine {
    assigned: u64,
    served: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenLine {
    stable: OpenArm,
    canary: OpenArm,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenArm {
    begun: u64,
    open: u64,
}

/// Reads all lines of a text. Where something is wrong, the sentence says in which line.
pub(super) fn read(text: &str) -> Result<Vec<Line>, String> {
    let first = text.trim_start();
    if first.is_empty() {
        return Err("there is no batch; one a line is expected, as JSON or as CSV with a header".to_owned());
    }
    if first.starts_with('{') { read_json(text) } else { read_csv(text) }
}

fn read_json(text: &str) -> Result<Vec<Line>, String> {
    let lines = text.as_bytes().lines().map_while(Result::ok).enumerate();
    let filled = lines.filter(|(_, line)| !line.trim().is_empty());
    filled
        .map(|(place, line)| {
            serde_json::from_str(&line).map_err(|error| {
                // Each line is a document of its own: its place in itself says nothing.
                let error = error.to_string();
                let what = error.split(" at line ").next().unwrap_or_default();
                format!("line {}: {what}", place + 1)
            })
        })
        .collect()
}

fn read_csv(text: &str) -> Result<Vec<Line>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    for name in &header {
        let known = matches!(name, "time" | "weight");
        let arm = name.strip_prefix("stable_").or(name.strip_prefix("canary_"));
        if !known && arm.is_none_or(str::is_empty) {
            return Err(format!(
                "line 1: column {name:?}; time, weight, stable_all, stable_errors, canary_all, canary_errors and others \
                 that begin with stable_ or canary_ are expected"
            ));
        }
    }
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let place = record.position().map_or(0, csv::Position::line);
        let mut line = Line::default();
        for (name, value) in header.iter().zip(&record) {
            let wrong = |expected: &str| format!("line {place}: {name} is {value:?}; {expected} is expected");
            let arm = match name.split_once('_') {
                Some(("stable", guard)) => Some((&mut line.stable, guard)),
                Some(("canary", guard)) => Some((&mut line.canary, guard)),
                _ => None,
            };
            match (name, arm) {
                (_, Some((arm, guard))) => {
                    let number = value.parse().map_err(|_| wrong("a whole number from 0"))?;
                    arm.insert(guard.to_owned(), Numbers::One(number));
                }
                ("weight", None) if value.is_empty() => {}
                ("weight", None) => {
                    line.weight = Some(value.parse().map_err(|_| wrong("a number from 0 to 100"))?);
                }
                _ => value.clone_into(&mut line.time),
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

// === impl Line ===

impl Line {
    /// Names of the guards that both arms have counts for.
    pub(super) fn guards(&self) -> Vec<&str> {
        let names = self.canary.keys().filter(|name| *name != "all" && self.stable.contains_key(*name));
        names.map(String::as_str).collect()
    }

    /// Whether the counts of this guard come by group.
    pub(super) fn has_groups(&self, guard: &str) -> bool {
        let grouped =
            |name| [&self.stable, &self.canary].map(|arm| matches!(arm.get(name), Some(Numbers::Groups(_))));
        grouped(guard) == [true; 2] && grouped("all") == [true; 2]
    }

    /// Batch for these guards.
    pub(super) fn batch(&self, guards: &[GuardConfig]) -> Result<Batch, String> {
        let weight = match self.weight {
            Some(weight) if (0.0..=100.0).contains(&weight) => Some((weight * 10_000.0).round() as u32),
            Some(weight) => return Err(format!("weight is {weight}; a number from 0 to 100 is expected")),
            None => None,
        };
        let open = |arm: OpenArm| Open { begun: arm.begun, open: arm.open };
        Ok(Batch {
            weight,
            guards: guards.iter().map(|guard| self.tally(guard)).collect::<Result<_, _>>()?,
            served: self.served.map(|served| Served { assigned: served.assigned, served: served.served }),
            open: self.open.map(|arms| Arms { stable: open(arms.stable), canary: open(arms.canary) }),
        })
    }

    fn tally(&self, guard: &GuardConfig) -> Result<Tally, String> {
        let pair = |arm: &'_ str, counters: &Counters| {
            let find = |name: &str| {
                counters
                    .get(name)
                    .cloned()
                    .ok_or_else(|| format!("{arm} has no count {name:?}; it is needed at every line"))
            };
            Ok::<_, String>((find("all")?, find(&guard.name)?))
        };
        let (stable, canary) = (pair("stable", &self.stable)?, pair("canary", &self.canary)?);
        if !guard.groups {
            let counts = |(all, bad): (Numbers, Numbers)| Counts::new(all.sum(), bad.sum());
            return Ok(Tally::Whole(Arms { stable: counts(stable), canary: counts(canary) }));
        }
        let (
            (Numbers::Groups(stable_all), Numbers::Groups(stable_bad)),
            (Numbers::Groups(canary_all), Numbers::Groups(canary_bad)),
        ) = (stable, canary)
        else {
            return Err(format!("guard {:?} has no counts by group; the first line has them", guard.name));
        };
        let mut groups = Box::new([Arms::default(); GROUPS]);
        let stable = stable_all.into_iter().zip(stable_bad);
        for ((slot, stable), canary) in
            groups.iter_mut().zip(stable).zip(canary_all.into_iter().zip(canary_bad))
        {
            *slot = Arms { stable: Counts::new(stable.0, stable.1), canary: Counts::new(canary.0, canary.1) };
        }
        Ok(Tally::Groups(groups))
    }
}

// === impl Numbers ===

impl Numbers {
    pub(super) fn sum(&self) -> u64 {
        match self {
            Self::One(number) => *number,
            Self::Groups(groups) => groups.iter().fold(0, |sum, number| sum.saturating_add(*number)),
        }
    }
}
