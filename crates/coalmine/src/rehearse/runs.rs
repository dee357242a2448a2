//! Many rehearsals: how they end.

use std::fmt::Write as _;

use coalmine_judge::simulate::repeat;
use coalmine_steer::Outcome;
use coalmine_steer::text::{duration, percent, thousands};
use serde::Serialize;

use super::play::{Setup, play};
use crate::failure::Failure;

/// How one rehearsal ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// None where it was given up.
    pub(super) outcome: Option<Outcome>,
    pub(super) seconds: u64,
    requests: u64,
    bad: u64,
    most: u32,
}

/// How many rehearsals ended.
pub(super) struct Ends {
    pub(super) name: String,
    pub(super) all: Vec<End>,
    pub(super) limit: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunsOutput<'a> {
    rollout: &'a str,
    seed: u64,
    runs: usize,
    ends: Vec<EndOutput>,
}

/// What those have in common that ended alike. Medians, unless it says otherwise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndOutput {
    outcome: &'static str,
    /// From 0 to 1.
    share: f64,
    seconds: Option<u64>,
    /// 90 % of them ended by then.
    seconds_ninety_percent: Option<u64>,
    canary_requests: Option<u64>,
    canary_bad: Option<u64>,
    canary_bad_ninety_percent: Option<u64>,
    /// In percent.
    largest_weight: Option<f64>,
}

const OUTCOMES: [(Option<Outcome>, &str); 4] = [
    (Some(Outcome::Promoted), "promoted"),
    (Some(Outcome::RolledBack), "rolled back"),
    (Some(Outcome::Superseded), "superseded"),
    (None, "not over"),
];

/// Rehearses so many times.
pub(super) fn ends(setup: &Setup, runs: u64, seed: u64, done: impl Fn() + Sync) -> Result<Ends, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let one = |_: u64, random: &mut coalmine_steer::simulate::Random| {
        play(setup, random, false).map(|played| End {
            outcome: played.outcome,
            seconds: played.seconds,
            requests: played.exposure.requests,
            bad: played.exposure.bad,
            most: played.most,
        })
    };
    let all = repeat(runs, seed, threads, one, done).into_iter().collect::<Result<Vec<End>, Failure>>()?;
    Ok(Ends { name: setup.name.clone(), all, limit: setup.limit })
}

// === impl Ends ===

impl Ends {
    fn of(&self, outcome: Option<Outcome>) -> Vec<End> {
        self.all.iter().copied().filter(|end| end.outcome == outcome).collect()
    }

    fn rows(&self) -> Vec<EndOutput> {
        let row = |(outcome, name): (Option<Outcome>, &'static str)| {
            let ends = self.of(outcome);
            let quantile = |part: f64, of: &dyn Fn(&End) -> u64| {
                let mut values: Vec<u64> = ends.iter().map(of).collect();
                values.sort_unstable();
                let place = (part * values.len() as f64).ceil() as usize;
                values.get(place.saturating_sub(1)).copied()
            };
            EndOutput {
                outcome: name,
                share: ends.len() as f64 / self.all.len().max(1) as f64,
                seconds: quantile(0.5, &|end| end.seconds),
                seconds_ninety_percent: quantile(0.9, &|end| end.seconds),
                canary_requests: quantile(0.5, &|end| end.requests),
                canary_bad: quantile(0.5, &|end| end.bad),
                canary_bad_ninety_percent: quantile(0.9, &|end| end.bad),
                largest_weight: quantile(0.5, &|end| end.most.into()).map(|weight| weight as f64 / 10_000.0),
            }
        };
        OUTCOMES.into_iter().map(row).filter(|row| row.share > 0.0 || row.outcome != "superseded").collect()
    }
}

pub(super) fn text(ends: &Ends, seed: u64) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} rehearsals of {}, seed {seed}\n", thousands(ends.all.len() as u64), ends.name);
    let _ = writeln!(
        text,
        "{:<12} {:>8} {:>12} {:>12} {:>16} {:>11} {:>13} {:>14}",
        "", "share", "half by", "90 % by", "canary requests", "bad, half", "bad, 90 %", "users, at most"
    );
    for row in ends.rows() {
        let time = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), duration);
        let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), thousands);
        let weight = row.largest_weight.map_or_else(
            || "-".to_owned(),
            |weight| format!("{} %", percent((weight * 10_000.0).round() as u32)),
        );
        let _ = writeln!(
            text,
            "{:<12} {:>8} {:>12} {:>12} {:>16} {:>11} {:>13} {:>14}",
            row.outcome,
            format!("{:.1} %", 100.0 * row.share),
            time(row.seconds),
            time(row.seconds_ninety_percent),
            count(row.canary_requests),
            count(row.canary_bad),
            count(row.canary_bad_ninety_percent),
            weight
        );
    }
    text
}

pub(super) fn output<'a>(ends: &'a Ends, seed: u64) -> RunsOutput<'a> {
    RunsOutput { rollout: &ends.name, seed, runs: ends.all.len(), ends: ends.rows() }
}
