//! What happens in a rehearsal, at a time.

use coalmine_steer::Verb;

use super::arguments::parse_weight;
use crate::args::parse_traffic;

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) struct Scheduled {
    /// Seconds since the beginning.
    pub(super) at: u64,
    pub(super) what: Happening,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Happening {
    /// Share of bad responses of stable, and of the canary.
    Errors {
        stable: Option<f64>,
        canary: Option<f64>,
    },
    Traffic(f64),
    CanaryVersion(String),
    StableVersion(String),
    CanaryReplicas(u32),
    RestartCanary,
    Lag(u64),
    ProxyLeaves,
    ProxyReturns,
    ServerAway(u64),
    SourceAway(u64),
    Clock(i64),
    Gates(bool),
    Frozen(bool),
    Deleted,
    Says(Verb),
}

// === impl Happening ===

impl Happening {
    /// Reads `NAME` or `NAME=VALUE`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let needed = || value.ok_or_else(|| format!("{name} needs a value, as {name}=.."));
        let share = || -> Result<f64, String> {
            let percent: f64 =
                needed()?.trim_end_matches('%').parse().map_err(|_| "a percentage is expected".to_owned())?;
            let is_share = (0.0..=100.0).contains(&percent);
            is_share.then_some(percent / 100.0).ok_or_else(|| "give a percentage from 0 to 100".to_owned())
        };
        let seconds = || -> Result<u64, String> {
            let time = humantime::parse_duration(needed()?);
            time.map(|time| time.as_secs()).map_err(|_| "a time is expected, as 10m".to_owned())
        };
        let happening = match name {
            "canary-errors" => Self::Errors { stable: None, canary: Some(share()?) },
            "stable-errors" => Self::Errors { stable: Some(share()?), canary: None },
            "errors" => Self::Errors { stable: Some(share()?), canary: Some(share()?) },
            "traffic" => Self::Traffic(parse_traffic(needed()?)?),
            "canary-version" => Self::CanaryVersion(needed()?.to_owned()),
            "stable-version" => Self::StableVersion(needed()?.to_owned()),
            "canary-replicas" => {
                Self::CanaryReplicas(needed()?.parse().map_err(|_| "a whole number is expected".to_owned())?)
            }
            "restart-canary" => Self::RestartCanary,
            "lag" => Self::Lag(seconds()?),
            "proxy-leaves" => Self::ProxyLeaves,
            "proxy-returns" => Self::ProxyReturns,
            "server-away" => Self::ServerAway(seconds()?),
            "source-away" => Self::SourceAway(seconds()?),
            "clock" => {
                let text = needed()?;
                let (sign, time) = match text.strip_prefix('-') {
                    Some(time) => (-1, time),
                    None => (1, text.trim_start_matches('+')),
                };
                let time = humantime::parse_duration(time).map_err(|_| "a time is expected, as 1h or -1h")?;
                Self::Clock(sign * i64::try_from(time.as_secs()).unwrap_or_default())
            }
            "gates" => match needed()? {
                "wait" => Self::Gates(false),
                "pass" => Self::Gates(true),
                _ => return Err("gates=wait or gates=pass is expected".to_owned()),
            },
            "freeze" => Self::Frozen(true),
            "unfreeze" => Self::Frozen(false),
            "delete" => Self::Deleted,
            "start" => Self::Says(Verb::Start { new_users: false }),
            "pause" => Self::Says(Verb::Pause),
            "hold" => Self::Says(Verb::HoldNoRollback),
            "resume" => Self::Says(Verb::Resume),
            "approve" => Self::Says(Verb::Approve),
            "advance" => Self::Says(Verb::Advance),
            "rollback" => Self::Says(Verb::Rollback),
            "promote" => Self::Says(Verb::Promote),
            "weight" => Self::Says(Verb::Weight(parse_weight(needed()?)?)),
            _ => return Err("coalmine rehearse --help lists what may happen".to_owned()),
        };
        Ok(happening)
    }
}
