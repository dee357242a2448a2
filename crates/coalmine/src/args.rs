//! Arguments that several subcommands share.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};

/// The policy of a command that works on one.
#[derive(Args)]
pub(crate) struct PolicyArgument {
    /// The policy, as JSON or YAML, or what holds it; - for standard input
    ///
    /// On its own, or inside a WasmPlugin, a TrafficExtension, an EnvoyExtensionPolicy, a ConfigMap or a configuration
    /// of Envoy.
    #[arg(value_name = "POLICY")]
    pub(crate) path: PathBuf,
}

/// The rollout of a command that works on one.
#[derive(Args)]
pub(crate) struct RolloutArgument {
    /// The rollout; needed where the policy has several
    #[arg(long = "rollout", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// The time of a command whose answer a ramp changes.
#[derive(Args)]
pub(crate) struct AtArgument {
    /// Evaluate ramps at this time, as 2026-11-21T09:00:00Z; now, unless given
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Duration>,
}

/// Output for people, or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON value, described in docs/command.md
    Json,
}

/// A point in time of an argument, since 1970.
pub(crate) fn parse_time(text: &str) -> Result<Duration, &'static str> {
    coalmine_core::time::parse_rfc3339(text)
        .ok_or("RFC 3339 with an offset is expected, as 2026-11-21T09:00:00Z")
}

/// Requests per second of an argument: `50/s`, `3000/m`.
pub(crate) fn parse_traffic(text: &str) -> Result<f64, &'static str> {
    const FORM: &str = "a rate is expected, as 50/s or 3000/m, at most 10000000/s";
    let (number, unit) = text.split_once('/').ok_or(FORM)?;
    let number: f64 = number.parse().map_err(|_| FORM)?;
    let rate = match unit {
        "s" => number,
        "m" => number / 60.0,
        "h" => number / 3600.0,
        _ => return Err(FORM),
    };
    if rate > 0.0 && rate <= 1e7 { Ok(rate) } else { Err(FORM) }
}

// === impl AtArgument ===

impl AtArgument {
    /// That time, since 1970.
    pub(crate) fn time(&self) -> Duration {
        self.at.unwrap_or_else(now)
    }
}

/// The time, since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
