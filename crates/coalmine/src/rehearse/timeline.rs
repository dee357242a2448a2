//! A rehearsal in words, and as JSON.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use coalmine_steer::text::{duration, percent, thousands};
use coalmine_steer::{Outcome, Verdict, What};
use serde::Serialize;

use super::play::{Line, Played, Said};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RehearsalOutput<'a> {
    rollout: &'a str,
    seed: u64,
    /// None where the rehearsal was given up.
    outcome: Option<Outcome>,
    message: &'a str,
    seconds: u64,
    canary_requests: u64,
    canary_bad: u64,
    /// In percent.
    largest_weight: f64,
    timeline: Vec<LineOutput<'a>>,
    /// Each change of the weight.
    weights: Vec<WeightOutput>,
}

#[derive(Serialize)]
struct LineOutput<'a> {
    seconds: u64,
    weight: f64,
    verdict: Verdict,
    what: String,
    why: &'a str,
}

#[derive(Serialize)]
struct WeightOutput {
    seconds: u64,
    weight: f64,
}

/// A line for all that happened, and how it ended.
pub(super) fn text(played: &Played, seed: u64) -> String {
    let mut text = String::new();
    for line in &played.lines {
        let Line { seconds, weight, what, why, .. } = line;
        let style = Style::new().fg_color(colour(*what).map(Into::into));
        let weight = format!("{} %", percent(*weight));
        let _ = writeln!(
            text,
            "{:>11}  {weight:>8}  {style}{:<13}{style:#}  {}",
            duration(*seconds),
            name(*what),
            crate::output::visible(why)
        );
    }
    let end = match played.outcome {
        Some(outcome) => format!("{} after {}", ended(outcome), duration(played.seconds)),
        None => format!("Not over after {}: {}", duration(played.seconds), played.message),
    };
    let exposure = played.exposure;
    let _ = writeln!(
        text,
        "\n{end}. The canary had {} requests, {} of them bad, and at most {} % of the users. Seed {seed}.",
        thousands(exposure.requests),
        thousands(exposure.bad),
        percent(played.most)
    );
    text
}

/// How a release ended, at the beginning of a sentence.
fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "Promoted",
        Outcome::RolledBack => "Rolled back",
        Outcome::Superseded => "Superseded",
    }
}

pub(super) fn output<'a>(played: &'a Played, seed: u64) -> RehearsalOutput<'a> {
    let in_percent = |weight: u32| f64::from(weight) / 10_000.0;
    let mut weights: Vec<WeightOutput> = Vec::new();
    for moved in &played.moves {
        let weight = in_percent(moved.weight);
        if weights.last().is_none_or(|last| last.weight != weight) {
            weights.push(WeightOutput { seconds: moved.seconds, weight });
        }
    }
    let timeline = played.lines.iter().map(|line| LineOutput {
        seconds: line.seconds,
        weight: in_percent(line.weight),
        verdict: line.verdict,
        what: name(line.what),
        why: &line.why,
    });
    RehearsalOutput {
        rollout: &played.name,
        seed,
        outcome: played.outcome,
        message: &played.message,
        seconds: played.seconds,
        canary_requests: played.exposure.requests,
        canary_bad: played.exposure.bad,
        largest_weight: in_percent(played.most),
        timeline: timeline.collect(),
        weights,
    }
}

pub(super) fn name(said: Said) -> String {
    match said {
        Said::Happened(what) => what.to_string(),
        Said::Holds => "holds".to_owned(),
        Said::Refused => "refused".to_owned(),
    }
}

fn colour(said: Said) -> Option<AnsiColor> {
    match said {
        Said::Happened(What::RollsBack | What::RolledBack) => Some(AnsiColor::Red),
        Said::Happened(What::Promotes | What::Promoted) => Some(AnsiColor::Green),
        Said::Happened(What::Advanced) => Some(AnsiColor::Blue),
        Said::Holds | Said::Refused => Some(AnsiColor::Yellow),
        Said::Happened(_) => None,
    }
}
