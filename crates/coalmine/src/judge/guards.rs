//! Guards as arguments: `errors`, `250ms`, `errors:1.25/0.1:2/1`.

use clap::Args;
use coalmine_judge::{Config, GuardConfig, Margin, Process};

use crate::failure::Failure;

/// What is judged, and how sure one has to be.
#[derive(Args)]
pub(crate) struct GuardArguments {
    /// A guard, as NAME, NAME:WORSE or NAME:WORSE:SAFE; may be repeated
    ///
    /// NAME is errors, a duration (requests slower than it, as 250ms), or a count of the evidence. WORSE is the margin
    /// for harm, SAFE that for safety, each as TIMES/PLUS with PLUS in percentage points: 1.25/0.1 is the canary's rate
    /// above 1.25 times stable's plus 0.1 points. Unless given: 1.25/0.1 and 2/1; of a duration 1.25/1 and 1.5/2.
    #[arg(long = "guard", value_name = "GUARD", value_parser = parse)]
    pub(crate) guards: Vec<GuardConfig>,
    /// Chance in percent that a harmless canary is ever rolled back
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    alpha: f64,
    /// Chance in percent that a canary that is not good enough is ever called safe
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    beta: f64,
    /// Requests of the canary at each weight before anything but a rollback
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub(crate) min_requests: u64,
}

// === impl GuardArguments ===

impl GuardArguments {
    /// Configuration with these guards.
    pub(crate) fn config(&self, guards: Vec<GuardConfig>) -> Config {
        Config { guards, alpha: self.alpha / 100.0, beta: self.beta / 100.0, min_requests: self.min_requests }
    }
}

/// Guard of this name with its usual margins.
pub(crate) fn usual(name: &str) -> GuardConfig {
    let usual = match humantime::parse_duration(name) {
        Ok(_) => GuardConfig::latency(),
        Err(_) => GuardConfig::errors(),
    };
    GuardConfig { name: name.to_owned(), ..usual }
}

/// A wrong configuration as a failure.
pub(crate) fn wrong(problem: &coalmine_judge::config::ConfigProblem) -> Failure {
    Failure::usage(problem.to_string(), "see coalmine judge --help for guards, --alpha and --beta")
}

fn parse(text: &str) -> Result<GuardConfig, String> {
    let mut parts = text.split(':');
    let guard = usual(parts.next().filter(|name| !name.is_empty()).ok_or("a name is expected, as errors")?);
    let mut margin = |usual: Margin| parts.next().map_or(Ok(usual), parse_margin);
    let worse_than = margin(guard.worse_than)?;
    let safe_within = margin(guard.safe_within)?;
    match parts.next() {
        Some(_) => Err("NAME:WORSE:SAFE is expected, as errors:1.25/0.1:2/1".to_owned()),
        None => Ok(GuardConfig { worse_than, safe_within, ..guard }),
    }
}

fn parse_margin(text: &str) -> Result<Margin, String> {
    let number = |text: &str| text.parse::<f64>().ok();
    let parts = text.split_once('/').and_then(|(times, plus)| Some((number(times)?, number(plus)?)));
    match parts {
        Some((times, plus)) => Ok(Margin { times, plus: plus / 100.0 }),
        None => Err(format!("the margin is {text:?}; TIMES/PLUS is expected, as 1.25/0.1")),
    }
}

/// A guard as a person says it.
pub(crate) fn words(guard: &GuardConfig) -> String {
    let what = match guard.process {
        Process::Share => "bad requests",
        Process::Exact => "slow requests",
    };
    let margin =
        |margin: Margin| format!("{} times stable plus {:.3} points", margin.times, 100.0 * margin.plus);
    format!(
        "share of {what}: harm above {}, safe below {}",
        margin(guard.worse_than),
        margin(guard.safe_within)
    )
}
