//! The command as a client of a server: rollouts that `coalmine serve` holds.
//!
//! | module | what is in it |
//! |---|---|
//! | `arguments`, `token` | the server, and what is shown to it |
//! | `client` | requests and their answers |
//! | `documents` | `get`, `apply`, `delete`: what is written of rollouts |
//! | `verbs`, `wait` | `start`, `pause`, ...: what people say, and how a pipeline waits for the end |
//! | `events` | what happens, as it happens |
//! | `status`, `history` | `status`, `proxies`, `history`: what a server knows |
//! | `freeze` | `freeze`: nothing goes up |
//! | `health` | `health`: whether a server is ready |

mod arguments;
mod client;
mod documents;
mod events;
mod freeze;
mod health;
mod history;
mod status;
mod token;
mod verbs;
mod wait;

use coalmine_control::rollout::Name;

pub(crate) use arguments::ServerArguments;
pub(crate) use documents::{Apply, Delete, Get};
pub(crate) use freeze::Freeze;
pub(crate) use health::Health;
pub(crate) use history::History;
pub(crate) use status::{Proxies, Status};
pub(crate) use verbs::{Hold, Rollback, Start, Verb, say_weight};

/// The name of a rollout in an argument: `checkout` means `default/checkout`.
fn parse_name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|error| format!("a name {error}"))
}

/// A percentage as people write it.
fn percent(weight: f64) -> String {
    format!("{} %", coalmine_document::number(weight))
}
