//! The command as a client of a server: rollouts that `coalmine serve` holds.
//!
//! | module | what is in it |
//! |---|---|
//! | `arguments`, `token` | the server, and what is shown to it |
//! | `cluster`, `tunnel` | a server in a cluster, by a port-forward |
//! | `client` | requests and their answers |
//! | `documents` | `get`, `apply`, `delete`: what is written of rollouts |
//! | `verbs`, `wait` | `start`, `pause`, ...: what people say, and how a pipeline waits for the end |
//! | `events` | what happens, as it happens |
//! | `status`, `history` | `status`, `proxies`, `history`: what a server knows |
//! | `freeze` | `freeze`: nothing goes up |
//! | `health` | `health`: whether a server is ready |

mod arguments;
mod client;
mod cluster;
mod documents;
mod events;
mod freeze;
mod health;
mod history;
mod status;
mod token;
mod tunnel;
mod verbs;
mod wait;

use coalmine_control::rollout::Name;

pub(crate) use arguments::{AddressArguments, ServerArguments};
pub(crate) use cluster::ClusterArguments;
pub(crate) use documents::{Apply, Delete, Get};
pub(crate) use freeze::Freeze;
pub(crate) use health::Health;
pub(crate) use history::History;
pub(crate) use status::{Proxies, Status};
pub(crate) use verbs::{Hold, Rollback, Start, Verb, say_weight};
pub(crate) use wait::parse_time;

/// The name of a rollout in an argument: `checkout` means `default/checkout`.
fn parse_name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|error| format!("a name {error}"))
}

/// A variable of the environment that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A percentage as people write it.
fn percent(weight: f64) -> String {
    format!("{} %", coalmine_document::number(weight))
}
