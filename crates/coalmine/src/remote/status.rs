//! `coalmine status` and `proxies`: what a server knows.

use std::io::{self, IsTerminal as _};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use coalmine_control::api::shapes::{Fleet, Proxies as AllProxies, Proxy, Rollout, Time};
use coalmine_control::rollout::Name;
use serde::Serialize;

use super::client::Client;
use super::events::Bell;
use super::{ServerArguments, parse_name, percent};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, visible};

/// How often a dashboard looks again though nothing has happened: requests are judged without a word in history.
const UNASKED: Duration = Duration::from_secs(15);
/// The same while it does not hear what happens.
const BLIND: Duration = Duration::from_secs(2);
/// How long it takes breath between two looks: what happens together is seen together.
const BREATH: Duration = Duration::from_millis(100);
/// Clears a terminal, and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Say where rollouts are, and why they do not move
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine status
  coalmine status shop/checkout --watch")]
pub(crate) struct Status {
    /// The rollout; without it, all
    #[arg(value_parser = parse_name)]
    name: Option<Name>,
    /// Show each change as it happens, until interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// List the proxies, and which policy each of them runs
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine proxies

\"runs\" is what the filter itself says; \"accepted\" is only what the proxy has acknowledged.
\"from another history\" is a proxy with a newer revision than the server knows, as after a lost store.")]
pub(crate) struct Proxies {
    #[command(flatten)]
    server: ServerArguments,
}

// === impl Status ===

impl Status {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let client = self.server.client()?;
        if !self.watch {
            return output::print(&self.look(&client)?);
        }
        let bell = Bell::of(self.server.client()?);
        let is_drawn = io::stdout().is_terminal() && self.server.format == Format::Text;
        let (mut shown, mut is_away) = (None, false);
        loop {
            match self.look(&client) {
                Ok(text) if is_away || shown.as_ref() != Some(&text) => {
                    if is_drawn {
                        output::print_plain(CLEAR)?;
                    }
                    output::print(&text)?;
                    (shown, is_away) = (Some(text), false);
                }
                Ok(_) => {}
                // It was there before, and may come back.
                Err(failure @ Failure::Usage(..)) if shown.is_some() => {
                    if !is_away {
                        output::note(&format!("coalmine: {failure}"));
                    }
                    is_away = true;
                }
                Err(failure) => return Err(failure),
            }
            sleep(BREATH);
            bell.wait(UNASKED, BLIND);
        }
    }

    /// What there is to show now.
    fn look(&self, client: &Client) -> Result<String, Failure> {
        let Some(name) = &self.name else {
            let rollouts: Vec<Rollout> = client.get("/v1/rollouts")?;
            return self.text(&rollouts, |rollouts| table(rollouts));
        };
        let rollout: Rollout = client.get(&format!("/v1/rollouts/{name}"))?;
        self.text(&rollout, one)
    }

    fn text<T: Serialize>(&self, value: &T, told: impl Fn(&T) -> String) -> Result<String, Failure> {
        match self.server.format {
            Format::Json => Ok(serde_json::to_string_pretty(value).map_err(io::Error::from)? + "\n"),
            Format::Text => Ok(told(value)),
        }
    }
}

fn table(rollouts: &[Rollout]) -> String {
    if rollouts.is_empty() {
        return "no rollouts; `coalmine apply` gives the server one\n".to_owned();
    }
    let rows = rollouts.iter().map(|rollout| {
        [
            rollout.name.to_string(),
            rollout.phase.clone(),
            percent(rollout.weight),
            rollout.verdict.to_string(),
            visible(&rollout.message).into_owned(),
        ]
    });
    columns(["rollout", "phase", "weight", "verdict", "why"], rows.collect())
}

fn one(rollout: &Rollout) -> String {
    let mut text = format!("{}: {} at {}\n", rollout.name, rollout.phase, percent(rollout.weight));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9} {value}\n"));
    if let Some(steps) = &rollout.steps {
        let steps: Vec<String> = steps.iter().map(|step| coalmine_document::number(*step)).collect();
        line("plan", &format!("{} %, then all users", steps.join(", ")));
    }
    for (variant, weight) in &rollout.weights {
        line("weight", &format!("{variant} {}", percent(*weight)));
    }
    line("verdict", &format!("{}, since {}", rollout.verdict, rollout.since));
    line("why", &visible(&rollout.message));
    if let Some(release) = &rollout.release {
        line("release", &format!("{}, {}, since {}", release.release, release.phase, release.started));
        line("judged", &format!("{} requests of the canary at this weight", rollout.requests));
    }
    for condition in rollout.conditions.iter().filter(|condition| !condition.holds) {
        line("note", &visible(&condition.message));
    }
    if let Some(why) = &rollout.left_out {
        line("left out", &visible(why));
    }
    text
}

// === impl Proxies ===

impl Proxies {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let all: AllProxies = self.server.client()?.get("/v1/proxies")?;
        match self.server.format {
            Format::Json => output::json(&all),
            Format::Text => output::print(&proxies(&all)),
        }
    }
}

fn proxies(all: &AllProxies) -> String {
    let has_several = all.fleets.len() > 1;
    let tables = all.fleets.iter().map(|fleet| {
        let of = if has_several { format!("fleet {}, ", fleet.name) } else { String::new() };
        let mut text = match fleet.revision {
            Some(revision) => format!("{of}revision {revision}\n"),
            None => format!("{of}nothing is published yet\n"),
        };
        if let Some(away) = &fleet.away {
            text.push_str(&format!("no evidence can be read: {}\n", visible(away)));
        }
        let rows = all.proxies.iter().filter(|proxy| proxy.fleet == fleet.name);
        let rows = rows.map(|proxy| row(proxy, fleet)).collect();
        text + &columns(["proxy", "runs", "accepted", "read", "connected since", ""], rows)
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn row(proxy: &Proxy, fleet: &Fleet) -> [String; 6] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let time = |time: Option<Time>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let disabled = proxy.disabled.iter().map(|name| format!("{name} is off in it"));
    let is_late = proxy.revision.is_some() && proxy.revision != fleet.revision;
    let late = if proxy.other_history { Some("from another history") } else { is_late.then_some("late") };
    let late = late.map(str::to_owned);
    let refused = proxy.refused.as_ref().map(|why| format!("refuses {}", visible(why)));
    let notes: Vec<String> = late.into_iter().chain(refused).chain(disabled).collect();
    [
        visible(&proxy.name).into_owned(),
        number(proxy.revision),
        number(proxy.accepted),
        time(proxy.seen),
        time(proxy.connected),
        notes.join("; "),
    ]
}

/// Rows below their heads, each column as wide as it has to be; the last one as it is.
fn columns<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut all = vec![heads.map(str::to_owned)];
    all.extend(rows);
    let width =
        |place: usize| all.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|place| width(place).unwrap_or_default()).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_does_not_run_the_latest_policy_is_late_or_from_another_history() {
        let fleet = Fleet { name: "default".to_owned(), revision: Some(7), away: None };
        let said = |revision: Option<u64>, other_history: bool| {
            let proxy = Proxy { revision, other_history, ..Proxy::default() };
            let [.., said] = row(&proxy, &fleet);
            said
        };
        assert_eq!(said(Some(7), false), "");
        assert_eq!(said(None, false), "");
        assert_eq!(said(Some(6), false), "late");
        assert_eq!(said(Some(9), true), "from another history");
        // It has told so by its stream, and its own metrics cannot be read.
        assert_eq!(said(None, true), "from another history");
    }
}
