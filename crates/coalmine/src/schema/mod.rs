//! `coalmine schema`: the form of what people write, for editors.

#[cfg(test)]
mod tests;

use clap::{Args, ValueEnum};
use coalmine_document::{Entry, Node, Problem, Span, Value, json};

use crate::failure::Failure;
use crate::output;

/// The JSON Schema of a policy.
const POLICY: &str = include_str!("policy.schema.json");
/// Those of a rollout and of a server, without what they share with a policy.
const ROLLOUT: &str = include_str!("rollout.schema.json");
const SERVER: &str = include_str!("server.schema.json");

/// Where the definitions of a schema stand, and how references to them begin.
const DEFINITIONS: &str = "$defs";
const REFERENCE: &str = "#/$defs/";

const AFTER: &str = "\
Examples:
  coalmine schema > policy.schema.json
  coalmine schema rollout > rollout.schema.json
  coalmine schema server > server.schema.json
  # and in the first line of a document, for editors that speak yaml-language-server:
  # yaml-language-server: $schema=policy.schema.json";

/// Print the JSON Schema of a policy, a rollout or a server's configuration, for editors
///
/// It knows every field. What a schema cannot say (that weights add up to at most 100, say) `coalmine validate` knows.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Schema {
    /// What the schema is of
    #[arg(value_enum, value_name = "WHAT", default_value_t)]
    of: Of,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Of {
    /// What a proxy reads: all rollouts, with their weights
    #[default]
    Policy,
    /// What a server holds: a rollout with its plan
    Rollout,
    /// The configuration of a server
    Server,
}

// === impl Schema ===

impl Schema {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let schema = self.of.schema().map_err(|problem| Failure::Problems(problem.to_string()))?;
        output::print_plain(&schema)
    }
}

// === impl Of ===

impl Of {
    /// The schema, whole in itself.
    fn schema(self) -> Result<String, Problem> {
        match self {
            Self::Policy => Ok(POLICY.to_owned()),
            Self::Rollout => with_policy(ROLLOUT),
            Self::Server => with_policy(SERVER),
        }
    }
}

/// A schema with the definitions of the policy's that it refers to.
fn with_policy(schema: &str) -> Result<String, Problem> {
    let policy = json::read(POLICY.as_bytes())?;
    let mut schema = json::read(schema.as_bytes())?;
    let mut wanted = references(&schema);
    while let Some(name) = wanted.pop() {
        let Some(definition) = policy.descend(&[DEFINITIONS, &name]) else { continue };
        let Value::Map(fields) = &mut schema.value else { continue };
        let known = fields.iter_mut().find(|field| field.key == DEFINITIONS);
        let Some(Value::Map(known)) = known.map(|field| &mut field.node.value) else { continue };
        if known.iter().all(|field| field.key != name) {
            wanted.extend(references(definition));
            known.push(Entry::new(name, Span::default(), definition.clone()));
        }
    }
    Ok(json::pretty(&schema, 0) + "\n")
}

/// The names of the definitions that this refers to.
fn references(schema: &Node) -> Vec<String> {
    let own = schema.text_at(&["$ref"]).and_then(|text| text.strip_prefix(REFERENCE));
    let own = own.map(|rest| rest.split('/').next().unwrap_or_default().to_owned());
    let inner = schema.entries().iter().map(|entry| &entry.node).chain(schema.items());
    own.into_iter().chain(inner.flat_map(references)).collect()
}
