//! `coalmine schema`: the form of a policy, for editors.

#[cfg(test)]
mod tests;

use clap::Args;

use crate::failure::Failure;
use crate::output;

/// The JSON Schema of a policy.
const SCHEMA: &str = include_str!("policy.schema.json");

const AFTER: &str = "\
Examples:
  coalmine schema > policy.schema.json
  # and in the first line of a policy, for editors that speak yaml-language-server:
  # yaml-language-server: $schema=policy.schema.json";

/// Print the JSON Schema of a policy, for editors
///
/// It knows every field. What a schema cannot say (that weights add up to at most 100, say) `coalmine validate` knows.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Schema {}

// === impl Schema ===

impl Schema {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        output::print_plain(SCHEMA)
    }
}
