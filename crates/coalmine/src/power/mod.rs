//! `coalmine power`: what a plan finds, before a rollout.

mod picture;
mod simulation;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use coalmine_judge::Judge;
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::judge::guards::{GuardArguments, usual, wrong};
use crate::output;
use simulation::{Row, Setup};

const AFTER: &str = "\
Examples:
  coalmine power --rps 50 --errors 0.2 --weights 1 --dwell 10m
  coalmine power --rps 50 --errors 0.2 --fault 0.5 --fault 1 --fault 5 --weights 1,5,25,50 --dwell 30m --svg power.svg
  coalmine power --rps 10 --errors 20 --fault 30 --guard 250ms

The errors of a guard that is a duration are slow requests. The first line of the table is a canary that is as good as
stable: what it shows under \"rolled back\" is the risk of the plan. Requests are independent of one another here; how
users who cluster change that is in docs/judge.md.";

/// Simulate a plan: how long until a fault is found, and with what chance
///
/// Answers questions such as whether 1 % for 10 minutes is enough, by simulated rollouts that the judge judges.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Power {
    /// Requests per second, of both versions together
    #[arg(long, value_name = "NUMBER")]
    rps: f64,
    /// Stable's bad requests, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.2)]
    errors: f64,
    /// The canary's bad requests with a fault, in percent; may be repeated. Unless given: 2, 5, 10 and 50 times stable's
    #[arg(long = "fault", value_name = "PERCENT")]
    faults: Vec<f64>,
    /// The canary's weights in percent, one step after the other
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', default_value = "1,5,25,50")]
    weights: Vec<f64>,
    /// How long each step lasts
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10m")]
    dwell: Duration,
    /// The time between two looks
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "15s")]
    every: Duration,
    #[command(flatten)]
    guards: GuardArguments,
    /// Judge without hash groups, as evidence of other sources is judged
    #[arg(long)]
    without_groups: bool,
    /// Simulated rollouts for each fault
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// Seed of the simulation: the same one gives the same table
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Also write a picture to this file: the chance of a rollback over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PowerOutput<'a> {
    runs: u64,
    seed: u64,
    duration_seconds: f64,
    rows: &'a [Row],
}

// === impl Power ===

impl Power {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let setup = self.setup()?;
        let rates = self.rates()?;
        let bar = output::progress(Some(self.runs * rates.len() as u64), "rollouts");
        let rows: Vec<Row> = rates
            .iter()
            .map(|rate| simulation::row(&setup, *rate, self.runs, self.seed, || bar.inc(1)))
            .collect();
        bar.finish_and_clear();
        output::picture(self.svg.as_deref(), || picture::drawing(&setup, &rows))?;
        match self.format {
            Format::Text => output::print(&picture::text(&setup, &rows, self.runs, self.seed)),
            Format::Json => output::json(&PowerOutput {
                runs: self.runs,
                seed: self.seed,
                duration_seconds: setup.duration(),
                rows: &rows,
            }),
        }
    }

    /// Rates of the canary, from 0 to 1: first that of stable, then those of faults.
    fn rates(&self) -> Result<Vec<f64>, Failure> {
        let usual: Vec<f64> = [2.0, 5.0, 10.0, 50.0].map(|times| (times * self.errors).min(100.0)).to_vec();
        let mut faults = if self.faults.is_empty() { usual } else { self.faults.clone() };
        faults.dedup();
        faults.insert(0, self.errors);
        match faults.iter().find(|fault| !(0.0..=100.0).contains(*fault)) {
            Some(fault) => Err(Failure::usage(format!("a rate is {fault} %"), "give a number from 0 to 100")),
            None => Ok(faults.iter().map(|fault| fault / 100.0).collect()),
        }
    }

    fn setup(&self) -> Result<Setup, Failure> {
        if !(self.rps > 0.0 && self.rps <= 1e7) {
            return Err(Failure::usage(
                format!("--rps is {}", self.rps),
                "give a number above 0, at most 10000000",
            ));
        }
        if let Some(weight) = self.weights.iter().find(|weight| !(**weight > 0.0 && **weight < 100.0)) {
            return Err(Failure::usage(
                format!("a weight is {weight} %"),
                "give weights above 0 and below 100: at 100 there is no stable to compare with",
            ));
        }
        let looks = self.dwell.as_secs_f64() / self.every.as_secs_f64();
        if !(1.0..=100_000.0).contains(&looks) {
            return Err(Failure::usage(
                format!("a step has {looks:.1} looks"),
                "give a --dwell of at least one and at most 100000 times --every",
            ));
        }
        let mut guards = self.guards.guards.clone();
        if guards.is_empty() {
            guards.push(usual("errors"));
        }
        guards.iter_mut().for_each(|guard| guard.groups = !self.without_groups);
        let config = self.guards.config(guards);
        Judge::new(config.clone()).map_err(|problem| wrong(&problem))?;
        Ok(Setup {
            config,
            requests: self.rps * self.every.as_secs_f64(),
            stable: self.errors / 100.0,
            weights: self.weights.iter().map(|weight| weight / 100.0).collect(),
            looks_per_step: looks.round() as u32,
            every: self.every.as_secs_f64(),
        })
    }
}
