//! `coalmine explain`: the whole decision about one user, as a story.

mod request;
mod story;

use clap::Args;
use coalmine_core::policy::Source;

use crate::cli::{AtArgument, Format, PolicyArgument, RolloutArgument};
use crate::failure::Failure;
use crate::policy_file::PolicyFile;
use crate::terminal;
use request::{RequestArguments, RequestLine};
use story::Story;

const AFTER: &str = "\
Examples:
  coalmine explain policy.yaml --user alice
  coalmine explain policy.yaml --request GET https://shop.example/api/cart -H 'x-user-id: alice'
  coalmine explain policy.yaml --user alice --request POST shop.example/api/cart
  coalmine explain policy.yaml --request GET shop.example/ --claim sub=alice --format json

With --request the rollout is found as the filter finds it. --user then stands where the rollout's first identity
source looks for it.";

/// Tell how a user comes to a variant: rollout, identity, bucket, ranges, reason
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
        let file = PolicyFile::load_to_draw(&self.policy.path, self.at.time())?;
        let user = self.user.as_deref();
        let story = match self.request.line() {
            Some(line) => {
                if self.rollout.name.is_some() {
                    return Err(Failure::usage(
                        "--rollout and --request exclude each other",
                        "the request finds its rollout itself",
                    ));
                }
                let request = self.request.written(line, &file.policy)?.at(self.at.time());
                let trace = file.policy.trace(&request);
                let first = trace.outcome.decision.rollout.and_then(|rollout| rollout.sources().first());
                match user.zip(first) {
                    Some((user, source)) => {
                        let path = request::path_with_user(line.path, source, user);
                        let line = RequestLine { path: &path, ..line };
                        let request = self.request.written(line, &file.policy)?.at(self.at.time());
                        let request = request::with_user(request, source, user);
                        let given = Some((user, source));
                        Story::of_request(&file.policy, line, &file.policy.trace(&request), given)
                    }
                    None => Story::of_request(&file.policy, line, &trace, None),
                }
            }
            None => {
                let rollout = file.rollout(self.rollout.name.as_deref())?;
                let user = user.unwrap_or_default();
                Story::of_user(rollout, user)
            }
        };
        match self.format {
            Format::Text => terminal::print(&story.to_string()),
            Format::Json => terminal::json(&story),
        }
    }
}

/// A source of identity in a few words.
fn source_name(source: &Source) -> String {
    match source {
        Source::Header(name) => format!("header {name}"),
        Source::Cookie(name) => format!("cookie {name}"),
        Source::JwtClaim { path, .. } => format!("jwtClaim {}", path.join(".")),
        Source::QueryParameter(name) => format!("queryParameter {name}"),
        Source::Peer => "peer".to_owned(),
        Source::SourceIp => "sourceIp".to_owned(),
        Source::IssuedCookie(name) => format!("issued cookie {name}"),
    }
}
