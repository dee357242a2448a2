//! `coalmine token`: a token that forces a variant for its bearer.

use std::time::Duration;

use clap::Args;
use coalmine_core::token::MAX_LIFETIME;
use serde::Serialize;

use crate::args::{Format, PolicyArgument, RolloutArgument, now};
use crate::failure::Failure;
use crate::output;
use crate::policy_file::PolicyFile;

const AFTER: &str = "\
Examples:
  coalmine token policy.yaml --variant canary
  curl -H \"x-coalmine-override: $(coalmine token policy.yaml --variant canary --for 10m)\" https://shop.example/
  coalmine token policy.yaml --rollout checkout --variant stable --for 8h --format json

The secret is the first that the rollout's override names; {env: NAME} is read from this command's environment.
Its bearer gets the variant until it expires: hand it over as you would a password.";

/// Mint an override token: a variant for its bearer, for a while
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Token {
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    rollout: RolloutArgument,
    /// The variant to force
    #[arg(long, value_name = "NAME")]
    variant: String,
    /// How long it is good for, as 30m or 8h; at most a day
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenOutput<'a> {
    token: &'a str,
    rollout: &'a str,
    variant: &'a str,
    /// RFC 3339.
    expires: String,
    /// Where the policy lets it in.
    header: Option<&'a str>,
    cookie: Option<&'a str>,
}

// === impl Token ===

impl Token {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let now = now();
        let file = PolicyFile::load_with_secrets(&self.policy.path)?;
        let rollout = file.rollout(self.rollout.name.as_deref())?;
        let name = rollout.name();
        let Some(secret) = rollout.override_secrets().first() else {
            return Err(Failure::usage(
                format!("{name} takes no override tokens"),
                "give it an \"override\" with a header or a cookie, and a secret",
            ));
        };
        let variants: Vec<&str> = rollout.variants().map(|(_, name)| name).collect();
        if !variants.contains(&self.variant.as_str()) {
            let hint = format!("it has: {}", variants.join(", "));
            return Err(Failure::usage(format!("{name} has no variant {:?}", self.variant), hint));
        }
        if self.lifetime > MAX_LIFETIME || self.lifetime < Duration::from_secs(1) {
            return Err(Failure::usage(
                "a token is good for at least a second and at most a day",
                "say --for 8h",
            ));
        }
        // A filter whose clock is a little behind must not find it too far ahead.
        let expiry = Duration::from_secs((now + self.lifetime).as_secs());
        let token = secret.mint(name, &self.variant, expiry);
        if !rollout.is_enabled() {
            output::note(&format!(
                "note: {name} is switched off (enabled: false), and ignores tokens until it is on"
            ));
        }
        match self.format {
            Format::Text => output::print_plain(&format!("{token}\n")),
            Format::Json => output::json(&TokenOutput {
                token: &token,
                rollout: name,
                variant: &self.variant,
                expires: humantime::format_rfc3339_seconds(std::time::SystemTime::UNIX_EPOCH + expiry)
                    .to_string(),
                header: rollout.override_header(),
                cookie: rollout.override_cookie(),
            }),
        }
    }
}
