//! `coalmine judge`: what the evidence of a rollout says, at every look.

mod explain;
pub(crate) mod guards;
mod line;
mod look;
mod plan;
mod prometheus;
mod svg;

use std::path::PathBuf;

use clap::Args;
use coalmine_judge::{Config, GuardConfig, Judge as Judging};

use crate::args::Format;
use crate::failure::Failure;
use crate::{input, output};
use coalmine_steer::Verdict;
use guards::GuardArguments;
use line::Line;
use look::Look;
use plan::Step;
use prometheus::PrometheusArguments;

const AFTER: &str = "\
A file has one batch a line: what was counted since the line before. As JSON:
  {\"time\": \"10:01\", \"weight\": 5, \"stable\": {\"all\": 5700, \"errors\": 11}, \"canary\": {\"all\": 300, \"errors\": 1}}
A count may be a list of 16 numbers, one for each hash group. As CSV, without groups:
  time,weight,stable_all,stable_errors,canary_all,canary_errors

Examples:
  coalmine judge evidence.jsonl --explain
  coalmine judge evidence.csv --guard errors:1.25/0.1:2/1 --svg judge.svg
  coalmine judge --prometheus http://localhost:9090 --rollout checkout --weight 5 \\
    --from 2026-11-25T09:00:00Z --to 2026-11-25T10:00:00Z --step 60s --guard errors --guard 250ms
  coalmine judge --prometheus http://localhost:9090 --rollout checkout --weight 5 --follow

Exit code 1 says rollback. What is promised and what is assumed: docs/judge.md.";

/// Judge the evidence of a rollout: roll back, hold, advance or promote
///
/// Prints the verdict as it stood at every look. Looking often does not make false alarms more likely.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Judge {
    /// Evidence, as JSON lines or CSV; - for standard input
    #[arg(value_name = "EVIDENCE", required_unless_present = "prometheus", conflicts_with = "prometheus")]
    path: Option<PathBuf>,
    #[command(flatten)]
    prometheus: PrometheusArguments,
    #[command(flatten)]
    guards: GuardArguments,
    /// Say in words why the last verdict is as it is
    #[arg(long)]
    explain: bool,
    /// Print only looks at which the verdict or its reason differs from the one before
    #[arg(long)]
    changes: bool,
    /// Also write a picture to this file: evidence, rates with intervals, verdicts
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Looks so far.
struct Session<'a> {
    arguments: &'a Judge,
    judge: Judging,
    step: Step,
    looks: Vec<Look>,
}

// === impl Judge ===

impl Judge {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let session = match &self.path {
            Some(path) => {
                let source = input::read(path).map_err(Failure::refused(path))?;
                let lines =
                    line::read(source.text()).map_err(|problem| Failure::Unfit(path.clone(), problem))?;
                let first = lines.first().cloned().unwrap_or_default();
                let mut session = Session::new(self, self.choose(&first)?)?;
                for (place, line) in lines.iter().enumerate() {
                    session.observe(line).map_err(|problem| {
                        Failure::Unfit(path.clone(), format!("batch {}: {problem}", place + 1))
                    })??;
                }
                session
            }
            None => {
                let mut reader = self.prometheus.reader(&self.guards.guards)?;
                let mut session = None;
                while let Some(line) = reader.next_line()? {
                    let session = match &mut session {
                        Some(session) => session,
                        none => none.insert(Session::new(self, self.choose(&line)?)?),
                    };
                    session.observe(&line).map_err(|problem| {
                        Failure::usage(
                            format!("the batch until {} makes no sense: {problem}", line.time),
                            "look at the counters in Prometheus",
                        )
                    })??;
                    if self.prometheus.follow && session.is_over() {
                        break;
                    }
                }
                session.ok_or_else(|| {
                    Failure::usage("there is no look between --from and --to", "give a smaller --step")
                })?
            }
        };
        session.finish()
    }

    /// Guards as they were asked for, or those that the evidence has.
    fn choose(&self, first: &Line) -> Result<Vec<GuardConfig>, Failure> {
        let mut guards = self.guards.guards.clone();
        if guards.is_empty() {
            guards = first.guards().into_iter().map(guards::usual).collect();
        }
        if guards.is_empty() {
            return Err(Failure::usage(
                "the evidence has no count beside \"all\" in both arms",
                "give one, as errors: {\"stable\": {\"all\": 5700, \"errors\": 11}, \"canary\": ..}",
            ));
        }
        guards.iter_mut().for_each(|guard| guard.groups = first.has_groups(&guard.name));
        Ok(guards)
    }
}

// === impl Session ===

impl<'a> Session<'a> {
    fn new(arguments: &'a Judge, guards: Vec<GuardConfig>) -> Result<Self, Failure> {
        let judge =
            Judging::new(arguments.guards.config(guards)).map_err(|problem| guards::wrong(&problem))?;
        Ok(Self { arguments, judge, step: Step::default(), looks: Vec::new() })
    }

    fn config(&self) -> &Config {
        self.judge.config()
    }

    /// Takes in a batch and prints what stands then. The outer error is about the batch, the inner one about the output.
    fn observe(&mut self, line: &Line) -> Result<Result<(), Failure>, String> {
        let batch = line.batch(&self.config().guards)?;
        self.judge.observe(&batch).map_err(|refusal| {
            let guard = refusal.guard().and_then(|place| self.judge.config().guards.get(place));
            guard.map_or_else(|| refusal.to_string(), |guard| format!("{}: {refusal}", guard.name))
        })?;
        let requests = batch.guards.first().map(|tally| tally.total().canary.all).unwrap_or_default();
        self.step.count(batch.weight, requests);
        let assessment = self.judge.assess();
        let (verdict, reasons) = self.step.verdict(&assessment, self.arguments.guards.min_requests);
        let look = Look { time: line.time.clone(), weight: line.weight, verdict, reasons, assessment };
        let last = self.looks.last();
        let changed = last.is_none_or(|last| (last.verdict, &last.reasons) != (look.verdict, &look.reasons));
        let shown = match self.arguments.format {
            Format::Text if changed || !self.arguments.changes => output::print(&look.text()),
            Format::Json if self.arguments.prometheus.follow => output::json(&look.output()),
            Format::Text | Format::Json => Ok(()),
        };
        self.looks.push(look);
        Ok(shown)
    }

    fn is_over(&self) -> bool {
        self.looks.last().is_some_and(|look| look.verdict == Verdict::Rollback)
    }

    fn finish(self) -> Result<(), Failure> {
        if self.arguments.format == Format::Json && !self.arguments.prometheus.follow {
            output::json(&self.looks.iter().map(Look::output).collect::<Vec<_>>())?;
        }
        if let (Format::Text, true, Some(look)) =
            (self.arguments.format, self.arguments.explain, self.looks.last())
        {
            output::print(&explain::text(look, self.config()))?;
        }
        output::picture(self.arguments.svg.as_deref(), || svg::drawing(&self.looks, self.config()))?;
        match self.is_over() {
            true => Err(Failure::Reported),
            false => Ok(()),
        }
    }
}
