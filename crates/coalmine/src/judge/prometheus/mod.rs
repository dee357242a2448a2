//! Evidence from Prometheus: raw counters, subtracted series by series.

mod client;
mod counters;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use coalmine_judge::GuardConfig;

use super::line::Line;
use crate::args::{now, parse_time};
use crate::failure::Failure;
use client::Client;
use counters::Counters;

/// How far before the beginning a counter is looked for, so that the first batch has something to subtract.
const BEFORE: Duration = Duration::from_secs(300);
/// How much one query reads.
const AT_ONCE: Duration = Duration::from_secs(1800);
/// A scrape that begins before a look may be stored after it: the next query reads so much again.
const AGAIN: Duration = Duration::from_secs(60);

/// Where the counters are and which of them count.
#[derive(Args)]
pub(crate) struct PrometheusArguments {
    /// Read the filter's counters from this Prometheus
    #[arg(long, value_name = "URL", requires = "rollout")]
    prometheus: Option<String>,
    /// The rollout, as its counters name it
    #[arg(long, value_name = "NAME", requires = "prometheus")]
    rollout: Option<String>,
    /// The canary's weight in percent while these counters were read; without it, less can be checked
    #[arg(long, value_name = "PERCENT", requires = "prometheus")]
    weight: Option<f64>,
    /// The variant that is judged
    #[arg(long, value_name = "NAME", default_value = "canary", requires = "prometheus")]
    canary: String,
    /// The variant to compare with; baseline where the rollout has one
    #[arg(long, value_name = "NAME", default_value = "stable", requires = "prometheus")]
    stable: String,
    /// Count a proxy from when it runs this revision of the policy
    #[arg(long, value_name = "NUMBER", requires = "prometheus")]
    revision: Option<u64>,
    /// Begin at this time, as 2026-11-21T09:00:00Z; an hour ago, or with --follow now, unless given
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "prometheus")]
    from: Option<Duration>,
    /// End at this time; now, unless given
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "prometheus", conflicts_with = "follow")]
    to: Option<Duration>,
    /// Look so often
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s", requires = "prometheus")]
    step: Duration,
    /// Go on with what comes, until the verdict is rollback
    #[arg(long, requires = "prometheus")]
    pub(crate) follow: bool,
    /// Send the first line of this file as a bearer token
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    bearer: Option<PathBuf>,
}

/// Batches from a Prometheus, one after another.
pub(super) struct Reader<'a> {
    arguments: &'a PrometheusArguments,
    client: Client,
    selector: String,
    counters: Counters,
    /// End of the next batch.
    next: Duration,
    /// Samples have been read until here.
    read_until: Duration,
    /// End of the last batch; none while it follows.
    last_look: Option<Duration>,
}

// === impl PrometheusArguments ===

impl PrometheusArguments {
    /// Reader of batches that have counts for these guards.
    pub(super) fn reader(&self, guards: &[GuardConfig]) -> Result<Reader<'_>, Failure> {
        let (Some(url), Some(rollout)) = (&self.prometheus, &self.rollout) else {
            return Err(Failure::usage("no evidence is given", "give a file, or --prometheus and --rollout"));
        };
        if self.step.is_zero() {
            return Err(Failure::usage("--step is 0", "give the time between two looks, as 60s"));
        }
        let hour = if self.follow { Duration::ZERO } else { Duration::from_secs(3600) };
        let from = self.from.unwrap_or_else(|| now().saturating_sub(hour));
        let selector = format!(
            "{{__name__=~\"coalmine_(all|bad|slow)_total|coalmine_policy_revision\",rollout=~{}}}",
            // A gauge of the proxy has no rollout.
            quoted(&format!("|{}", regex_syntax::escape(rollout)))
        );
        Ok(Reader {
            arguments: self,
            client: Client::new(url, self.bearer.as_deref())?,
            selector,
            counters: Counters::new(&self.stable, &self.canary, self.revision, guards, from),
            next: from + self.step,
            read_until: from.saturating_sub(BEFORE),
            last_look: (!self.follow).then(|| self.to.unwrap_or_else(now)),
        })
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// Counts until the next look; none after the last one. It waits for a look that is to come.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        let end = self.next;
        if self.arguments.follow {
            std::thread::sleep(end.saturating_sub(now()));
        }
        if self.last_look.is_some_and(|last| end > last) {
            return Ok(None);
        }
        while self.read_until < end {
            let until = self.last_look.unwrap_or(end).min(self.read_until + AT_ONCE);
            let seconds = (until.saturating_sub(self.read_until) + AGAIN).as_secs_f64().ceil() as u64;
            self.counters.read(self.client.query(&format!("{}[{seconds}s]", self.selector), until)?);
            if let Some(jobs) = self.counters.jobs() {
                // Whether a proxy was scraped before its first count.
                let query = format!("up{{job=~{}}}[{seconds}s]", quoted(&jobs));
                self.counters.read(self.client.query(&query, until)?);
            }
            self.read_until = until;
        }
        self.next = end + self.arguments.step;
        let time = humantime::format_rfc3339_seconds(std::time::SystemTime::UNIX_EPOCH + end).to_string();
        Ok(Some(self.counters.take(end, time, self.arguments.weight)))
    }
}

/// A text as a string of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
