//! `coalmine freeze`: nothing goes up.

use clap::Args;
use coalmine_control::api::shapes;
use ureq::http::Method;

use super::ServerArguments;
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, visible};

/// Freeze all rollouts of a server: judging and rollbacks go on, no weight goes up
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine freeze --message \"an incident\"
  coalmine freeze --end")]
pub(crate) struct Freeze {
    /// Why
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    /// End it
    #[arg(long, conflicts_with = "message")]
    end: bool,
    #[command(flatten)]
    server: ServerArguments,
}

// === impl Freeze ===

impl Freeze {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let reason = shapes::Reason { message: self.message.clone() };
        let body = serde_json::to_string(&reason).map_err(|error| Failure::Write(error.into()))?;
        let answer = match self.end {
            true => client.send(Method::DELETE, "/v1/freeze", &[], "")?,
            false => client.send(Method::PUT, "/v1/freeze", &[], &body)?,
        };
        let now: shapes::Freeze = client.read(&answer.text)?;
        match (self.server.format, &now.message) {
            (Format::Json, _) => output::json(&now),
            (Format::Text, Some(message)) => output::print(&format!("frozen {}\n", visible(message))),
            (Format::Text, None) => output::print("nothing is frozen\n"),
        }
    }
}
