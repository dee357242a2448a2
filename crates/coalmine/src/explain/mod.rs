//! `coalmine explain`: the whole decision about one user, step by step.

mod explanation;
mod request;

use std::time::Duration;

use clap::Args;
use coalmine_core::policy::{IdentitySource, Policy};

use crate::args::{AtArgument, Format, PolicyArgument, RolloutArgument};
use crate::failure::Failure;
use crate::output;
use crate::policy_file::PolicyFile;
use explanation::Explanation;
use request::{RequestArguments, RequestLine};

const AFTER: &str = "\
Examples:
  coalmine explain policy.yaml --user alice
  coalmine explain policy.yaml --request GET https://shop.example/api/cart -H 'x-user-id: alice'
  coalmine explain policy.yaml --user alice --request POST shop.example/api/cart
  coalmine explain policy.yaml --request GET shop.example/ --claim sub=alice --format json

With --request the rollout is found as the filter finds it. --user then stands where the rollout's first identity
source looks for it.";

/// Show how a user comes to a variant: rollout, identity, bucket, ranges, reason
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Explain {
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    rollout: RolloutArgument,
    #[command(flatten)]
    at: AtArgument,
    /// The identity, its bytes as they are
    #[arg(long, value_name = "ID", required_unless_present = "request")]
    user: Option<String>,
    #[command(flatten)]
    request: RequestArguments,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

// === impl Explain ===

impl Explain {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let file = PolicyFile::load_with_secrets(&self.policy.path)?;
        let at = self.at.time();
        let explanation = match self.request.line() {
            Some(_) if self.rollout.name.is_some() => {
                return Err(Failure::usage(
                    "--rollout and --request exclude each other",
                    "the request finds its rollout itself",
                ));
            }
            Some(line) => {
                let mut explanation = self.of_request(&file.policy, line, at)?;
                explanation.is_random = !self.request.names_issued();
                explanation
            }
            None => {
                let rollout = file.rollout(self.rollout.name.as_deref())?;
                Explanation::of_user(rollout, self.user.as_deref().unwrap_or_default(), at)
            }
        };
        match self.format {
            Format::Text => output::print(&explanation.to_string()),
            Format::Json => output::json(&explanation),
        }
    }

    /// The explanation of a request. A user is put where the first source of the rollout that matches looks for one.
    fn of_request(
        &self,
        policy: &Policy,
        line: RequestLine<'_>,
        at: Duration,
    ) -> Result<Explanation, Failure> {
        let request = self.request.request(line, policy)?;
        let explained = policy.explain(&request, at);
        let first = explained.outcome.assignment.rollout.and_then(|rollout| rollout.sources().first());
        let Some((user, source)) = self.user.as_deref().zip(first) else {
            return Ok(Explanation::of_request(policy, line, &explained, None, at));
        };
        let path = request::path_with_user(line.path, source, user);
        let line = RequestLine { path: &path, ..line };
        let request = request::with_user(self.request.request(line, policy)?, source, user);
        let given = Some((user, source));
        Ok(Explanation::of_request(policy, line, &policy.explain(&request, at), given, at))
    }
}

/// A source of identity in a few words.
fn source_name(source: &IdentitySource) -> String {
    match source {
        IdentitySource::Header(name) => format!("header {name}"),
        IdentitySource::Cookie(name) => format!("cookie {name}"),
        IdentitySource::JwtClaim { path, .. } => format!("jwtClaim {}", path.join(".")),
        IdentitySource::QueryParameter(name) => format!("queryParameter {name}"),
        IdentitySource::Peer => "peer".to_owned(),
        IdentitySource::SourceIp => "sourceIp".to_owned(),
        IdentitySource::IssuedCookie(name) => format!("issued cookie {name}"),
    }
}
