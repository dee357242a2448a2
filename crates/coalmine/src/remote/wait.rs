//! Waiting for the end of a release.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use coalmine_control::api::shapes::Release;

use super::client::Client;
use super::percent;
use crate::args::Format;
use crate::failure::Failure;
use crate::output;

/// How often the release is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// How to wait.
#[derive(Args)]
pub(crate) struct WaitArguments {
    /// Wait until the release ends
    #[arg(long, help_heading = "Waiting")]
    wait: bool,
    /// Wait until it is in this phase: Progressing, WaitingForApproval, Promoting, RollingBack
    #[arg(long, value_name = "PHASE", help_heading = "Waiting")]
    wait_for: Option<String>,
    /// Wait so long at most, as 30m or 2h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time, help_heading = "Waiting")]
    timeout: Duration,
}

pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a time is expected, as 30m or 2h".to_owned())
}

// === impl WaitArguments ===

impl WaitArguments {
    /// For a verb that begins and ends nothing.
    pub(crate) fn never() -> Self {
        Self { wait: false, wait_for: None, timeout: Duration::ZERO }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.wait || self.wait_for.is_some()
    }
}

/// Waits for the release at this place. A line says what changes; `good` is the end that is no failure.
pub(super) fn wait(
    client: &Client,
    location: &str,
    waits: &WaitArguments,
    good: &str,
    format: Format,
) -> Result<(), Failure> {
    // The address as others see the server may be another one than ours.
    let path = location.find("/v1/").and_then(|at| location.get(at..)).unwrap_or(location);
    let began = Instant::now();
    let mut shown = String::new();
    loop {
        let release: Release = client.get(path)?;
        let line = format!(
            "{:>8}  {:<18} {:>7}  {}",
            humantime::format_duration(Duration::from_secs(began.elapsed().as_secs())).to_string(),
            release.phase,
            percent(release.weight),
            output::visible(&release.message)
        );
        // The time alone is no news.
        let news = line.get(10..).unwrap_or_default().to_owned();
        if news != shown {
            output::note(&line);
            shown = news;
        }
        let is_reached = waits.wait_for.as_ref() == Some(&release.phase);
        if release.outcome.is_some() || is_reached {
            if format == Format::Json {
                output::json(&release)?;
            }
            let is_good = is_reached || release.phase == good;
            return if is_good { Ok(()) } else { Err(Failure::Ended(ended(&release))) };
        }
        if began.elapsed() + PAUSE > waits.timeout {
            let timeout = humantime::format_duration(waits.timeout);
            return Err(Failure::Late(format!(
                "not over after {timeout}, and it goes on: {}",
                release.message
            )));
        }
        sleep(PAUSE);
    }
}

fn ended(release: &Release) -> String {
    format!("{} release {}: {}", release.rollout, release.release, output::visible(&release.message))
}
