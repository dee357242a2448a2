//! `coalmine rehearse`: a plan played in seconds, before anything is live.

mod arguments;
mod happening;
mod picture;
mod play;
mod runs;
mod timeline;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use coalmine_control::rollout::Spec;
use coalmine_steer::plan::Mode;

use crate::args::{Format, parse_traffic};
use crate::failure::Failure;
use crate::{output, scan};
use arguments::{ArmNumbers, GuardRates, parse_arms, parse_guard_rates, parse_weight};
use happening::{Happening, Scheduled};
use play::Setup;

const AFTER: &str = "\
What may happen, at a time since the beginning:
  canary-errors=PERCENT, stable-errors=PERCENT, errors=PERCENT   bad responses from then on
  traffic=RATE                                                   requests from then on, as 50/s
  canary-version=NAME, stable-version=NAME                       another version is deployed
  canary-replicas=NUMBER, restart-canary                         replicas of the canary; all of them gone and back
  lag=TIME, proxy-leaves, proxy-returns                          the last proxy runs changes so much later; is away
  server-away=TIME, source-away=TIME                             no tick, or no evidence, for so long
  clock=TIME, clock=-TIME                                        the server's clock jumps
  gates=wait, gates=pass                                         what gates answer
  freeze, unfreeze, delete                                       the server is frozen; the rollout is deleted
  start, pause, hold, resume, approve, advance, rollback, promote, weight=PERCENT   a person says it

Examples:
  coalmine rehearse rollout.yaml
  coalmine rehearse rollout.yaml --errors stable=0.2,canary=0.2 --at 30m canary-errors=3 --svg rehearsal.svg
  coalmine rehearse rollout.yaml --proxies 40 --at 0s lag=10m --at 5m server-away=20m --at 40m pause --at 1h resume
  coalmine rehearse rollout.yaml --errors canary=1 --runs 1000

The plan is steered by the same rules as on a server; the service, its proxies and its workloads are simulated. Requests are
independent of one another here.";

/// Play the plan of a rollout against a simulated service
///
/// Prints the weights, what was decided and why, or with --runs how such rollouts end.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Rehearse {
    /// The rollout, with its plan, as JSON or YAML; - for standard input
    #[arg(value_name = "ROLLOUT")]
    path: PathBuf,
    /// The rollout; needed where the file has several
    #[arg(long = "rollout", value_name = "NAME")]
    name: Option<String>,
    /// Requests per second, of both versions together
    #[arg(long, value_name = "RATE", default_value = "50/s", value_parser = parse_traffic)]
    traffic: f64,
    /// Bad responses of each version in percent, for every guard that --bad does not name
    #[arg(long, value_name = "stable=PERCENT,canary=PERCENT", default_value = "stable=0.2,canary=0.2", value_parser = parse_arms)]
    errors: ArmNumbers,
    /// Bad requests of one guard, as latency:stable=5,canary=7; may be repeated
    #[arg(long, value_name = "GUARD:stable=PERCENT,canary=PERCENT", value_parser = parse_guard_rates)]
    bad: Vec<GuardRates>,
    /// Proxies
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    proxies: u16,
    /// Replicas of each version, where the rollout names workloads
    #[arg(long, value_name = "stable=NUMBER,canary=NUMBER", default_value = "stable=4,canary=4", value_parser = parse_arms)]
    replicas: ArmNumbers,
    /// Something that happens at a time; may be repeated
    #[arg(long = "at", value_names = ["TIME", "WHAT"], num_args = 2, action = clap::ArgAction::Append)]
    at: Vec<String>,
    /// How long people take: to approve, and to renew stable when the canary has all users
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    people: Duration,
    /// With `mode: judge`, the weights in percent that the other controller takes, each when it may
    #[arg(long, value_name = "PERCENTS", default_value = "1,5,25,50", value_delimiter = ',', value_parser = parse_weight)]
    elsewhere: Vec<u32>,
    /// The time between two ticks
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// When a rehearsal that does not end is given up
    #[arg(long = "for", value_name = "TIME", default_value = "2d", value_parser = humantime::parse_duration)]
    limit: Duration,
    /// Rehearse so many times, and print how they end
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: Option<u64>,
    /// Seed of the simulation: the same one gives the same rehearsal
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Also draw the weights, or with --runs the ends, to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Also write the history to this file: a JSON value for each moment, with all that was known and the step
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    history: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

// === impl Rehearse ===

impl Rehearse {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let setup = self.setup()?;
        match self.runs {
            Some(runs) => self.many(&setup, runs),
            None => self.once(&setup),
        }
    }

    fn once(&self, setup: &Setup) -> Result<(), Failure> {
        let played = play::once(setup, self.seed, self.history.is_some())?;
        if let Some(path) = &self.history {
            output::save(path, &played.history)?;
        }
        output::picture(self.svg.as_deref(), || picture::of_one(&played))?;
        match self.format {
            Format::Text => output::print(&timeline::text(&played, self.seed)),
            Format::Json => output::json(&timeline::output(&played, self.seed)),
        }
    }

    fn many(&self, setup: &Setup, runs: u64) -> Result<(), Failure> {
        let bar = output::progress(Some(runs), "rehearsals");
        let ends = runs::ends(setup, runs, self.seed, || bar.inc(1));
        bar.finish_and_clear();
        let ends = ends?;
        output::picture(self.svg.as_deref(), || picture::of_many(&ends))?;
        match self.format {
            Format::Text => output::print(&runs::text(&ends, self.seed)),
            Format::Json => output::json(&runs::output(&ends, self.seed)),
        }
    }

    fn setup(&self) -> Result<Setup, Failure> {
        let rollout = load(&self.path, self.name.as_deref())?;
        let Some(plan) = rollout.plan else {
            let wrong = format!("{} has no plan: its file owns the weights", rollout.name);
            return Err(Failure::usage(wrong, "give it a plan, as plan: {}"));
        };
        let every = self.every.as_secs();
        if !(1..=600).contains(&every) || self.every.subsec_nanos() != 0 {
            return Err(Failure::usage("--every is out of range", "give whole seconds, from 1s to 10m"));
        }
        let limit = self.limit.as_secs();
        if limit / every > 100_000 {
            let wrong = format!("--for has {} ticks", limit / every);
            return Err(Failure::usage(wrong, "give at most 100000 times --every"));
        }
        let happenings = self.happenings()?;
        if plan.mode == Mode::Judge && happenings.iter().any(|it| matches!(it.what, Happening::Says(_))) {
            let hint = "only pause, resume and hold are heard there";
            output::note(&format!(
                "coalmine: the plan has mode: judge, and another controller moves; {hint}"
            ));
        }
        let mut rates = Vec::new();
        for guard in &plan.guards {
            let given = self.bad.iter().find(|rates| rates.guard == guard.name);
            let percents = given.map_or(self.errors, |given| given.percents);
            rates.push((guard.name.clone(), percents.shares(0.2)?));
        }
        if let Some(unknown) = self.bad.iter().find(|it| !rates.iter().any(|(name, _)| *name == it.guard)) {
            let names: Vec<&str> = rates.iter().map(|(name, _)| name.as_str()).collect();
            let wrong = format!("the plan has no guard {:?}", unknown.guard);
            return Err(Failure::usage(wrong, format!("it has: {}", names.join(", "))));
        }
        let has_workloads = rollout.workloads.is_some();
        Ok(Setup {
            name: rollout.name,
            plan,
            has_baseline: rollout.has_baseline,
            traffic: self.traffic,
            rates,
            proxies: self.proxies.into(),
            replicas: has_workloads.then(|| self.replicas.whole(4)).transpose()?,
            happenings,
            people: self.people.as_secs(),
            elsewhere: self.elsewhere.clone(),
            every,
            limit,
        })
    }

    fn happenings(&self) -> Result<Vec<Scheduled>, Failure> {
        let mut happenings = Vec::new();
        for pair in self.at.chunks(2) {
            let [time, what] = pair else { continue };
            let at = humantime::parse_duration(time).map_err(|_| {
                Failure::usage(format!("--at {time} is not a time"), "give a time since the beginning, as 2h")
            })?;
            let what = Happening::parse(what)
                .map_err(|hint| Failure::usage(format!("--at {time} {what}: not known"), hint))?;
            happenings.push(Scheduled { at: at.as_secs(), what });
        }
        happenings.sort_by_key(|happening| happening.at);
        Ok(happenings)
    }
}

/// The rollout of a file: the one of this name, or the only one.
fn load(path: &Path, name: Option<&str>) -> Result<Spec, Failure> {
    let (_, mut rollouts) = scan::load(path)?;
    let shown = path.display();
    let names: Vec<String> = rollouts.iter().map(|rollout| rollout.name.clone()).collect();
    match name {
        Some(name) => rollouts.into_iter().find(|rollout| rollout.name == name).ok_or_else(|| {
            Failure::usage(
                format!("{shown} has no rollout {name:?}"),
                format!("it has: {}", names.join(", ")),
            )
        }),
        None if rollouts.len() > 1 => Err(Failure::usage(
            format!("{shown} has several rollouts"),
            format!("say which with --rollout NAME: {}", names.join(", ")),
        )),
        None => rollouts.pop().ok_or_else(|| {
            Failure::usage(
                format!("{shown} has no rollout with a plan"),
                "a rollout has name, policy and plan; a policy alone is for simulate and power",
            )
        }),
    }
}
