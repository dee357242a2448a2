//! What people say to a rollout: `start`, `pause`, `hold`, `resume`, `advance`, `approve`, `rollback`, `promote`, and the
//! weight of a canary.

use clap::Args;
use coalmine_control::api::shapes::{Done, Said};
use coalmine_control::rollout::Name;
use ureq::http::Method;

use super::client::Client;
use super::wait::{WaitArguments, wait};
use super::{ServerArguments, parse_name, percent};
use crate::args::Format;
use crate::failure::Failure;
use crate::output;

/// What all verbs take.
#[derive(Args)]
struct Common {
    /// The rollout
    #[arg(value_parser = parse_name)]
    name: Name,
    /// Why, for history
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Which release a verb is about.
#[derive(Args)]
struct About {
    /// The release that is meant, by its number: another one is left alone
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    release: Option<u64>,
}

/// A verb that begins or ends something, so that one can wait for its end.
#[derive(Args)]
pub(crate) struct Verb {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Forbid rollbacks that nobody asks for, until resume
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine hold shop/checkout --no-rollback --message \"a known error, the fix is on its way\"")]
pub(crate) struct Hold {
    #[command(flatten)]
    common: Common,
    /// Where harm is proved, raise the alarm and stay
    #[arg(long, required = true)]
    no_rollback: bool,
}

/// Begin a release, or retry one that was rolled back
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine start shop/checkout --message \"build 4711\"
  coalmine start shop/checkout --wait --timeout 2h

Exit codes with --wait: 0 promoted, or the phase of --wait-for is reached; 3 rolled back or superseded; 4 the time is over.
The release goes on when the command is interrupted.")]
pub(crate) struct Start {
    #[command(flatten)]
    common: Common,
    /// Draw users anew, where a retry would have the same ones
    #[arg(long)]
    new_users: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Send all users back to stable
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine rollback shop/checkout --message \"support sees failed payments\"
  coalmine rollback shop/checkout --wait

Exit codes with --wait: 0 rolled back; 4 the time is over.")]
pub(crate) struct Rollback {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    wait: WaitArguments,
}

// === impl About ===

impl About {
    fn said(&self, common: &Common) -> Said {
        Said { message: common.message.clone(), release: self.release, ..Said::default() }
    }
}

// === impl Verb ===

impl Verb {
    pub(crate) fn run(&self, verb: &str) -> Result<(), Failure> {
        self.common.say(verb, &self.about.said(&self.common), &self.wait, "Promoted")
    }
}

// === impl Hold ===

impl Hold {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let said = Said { message: self.common.message.clone(), ..Said::default() };
        self.common.say("hold", &said, &WaitArguments::never(), "Promoted")
    }
}

// === impl Start ===

impl Start {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let said =
            Said { message: self.common.message.clone(), new_users: self.new_users, ..Said::default() };
        self.common.say("start", &said, &self.wait, "Promoted")
    }
}

// === impl Rollback ===

impl Rollback {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.common.say("rollback", &self.about.said(&self.common), &self.wait, "RolledBack")
    }
}

// === impl Common ===

impl Common {
    /// Says the verb, and waits where that is asked for; `good` is the end that the verb is meant to have.
    fn say(&self, verb: &str, said: &Said, waits: &WaitArguments, good: &str) -> Result<(), Failure> {
        let client = self.server.client()?;
        let (done, location) = say(&client, &self.name, verb, said, self.dry_run)?;
        if self.server.format == Format::Text {
            output::print(&told(&done))?;
        }
        let release = location.filter(|_| waits.is_asked() && !self.dry_run);
        match release {
            Some(location) => wait(&client, &location, waits, good, self.server.format),
            None if self.server.format == Format::Json => output::json(&done),
            None => Ok(()),
        }
    }
}

/// Says a verb under a key of its own: however often it is sent, it is one.
fn say(
    client: &Client,
    name: &Name,
    verb: &str,
    said: &Said,
    dry_run: bool,
) -> Result<(Done, Option<String>), Failure> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| Failure::Write(std::io::Error::other(error.to_string())))?;
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = serde_json::to_string(said).map_err(|error| Failure::Write(error.into()))?;
    let query = if dry_run { "?dryRun=true" } else { "" };
    let headers = [("idempotency-key", key.as_str()), ("content-type", "application/json")];
    let answer = client.send(Method::POST, &format!("/v1/rollouts/{name}/{verb}{query}"), &headers, &body)?;
    Ok((client.read(&answer.text)?, answer.location))
}

fn told(done: &Done) -> String {
    let rollout = &done.rollout;
    let unchanged = if done.changed { "" } else { ", as before" };
    let would = if done.dry_run { "would be " } else { "" };
    format!(
        "{}: {would}{} at {}{unchanged}: {}\n",
        rollout.name,
        rollout.phase,
        percent(rollout.weight),
        output::visible(&rollout.message)
    )
}

/// Sets the weight of the canary of a server's rollout by hand.
pub(crate) fn say_weight(
    server: &ServerArguments,
    name: &str,
    canary: f64,
    dry_run: bool,
) -> Result<(), Failure> {
    let name = parse_name(name)
        .map_err(|why| Failure::usage(why, "with --server or --kubeconfig, the first word is a rollout"))?;
    let said = Said { canary: Some(canary), ..Said::default() };
    let (done, _) = say(&server.client()?, &name, "weights", &said, dry_run)?;
    match server.format {
        Format::Json => output::json(&done),
        Format::Text => output::print(&told(&done)),
    }
}
