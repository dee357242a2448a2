//! What the proxies counted, between two readings.
//!
//! | file | what is in it |
//! |---|---|
//! | `proxies`, `admins` | [`Proxies`]: the pages of metrics of the proxies themselves; [`Admins`]: where those are |
//! | `prometheus` | [`Prometheus`]: a Prometheus that scrapes them |
//! | [`queries`] | what the operator's queries count beside |
//! | `answer` | the answer of a proxy or a Prometheus, within a limit |
//! | `exposition` | Prometheus' text format |
//! | `totals`, `table` | what a proxy has counted at one reading, and the proxies from reading to reading |
//! | `served`, `answered` | requests that a version's servers answered, by counters that are not the filter's |
//! | `turns` | in which order those are asked that may be asked in vain |
//! | `flights` | requests that have been open for long |
//! | `counted` | from a reading to what steering takes of it |

mod admins;
pub(crate) mod answer;
mod answered;
pub mod counted;
mod exposition;
mod flights;
mod prometheus;
mod proxies;
pub mod queries;
mod served;
mod table;
mod totals;
mod turns;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use coalmine_judge::GROUPS;

use crate::rollout::Name;

pub(crate) use admins::label;
pub use admins::{Admins, Streams};
pub use answered::Answered;
pub use prometheus::Prometheus;
pub use proxies::Proxies;
pub use queries::{Queries, Selector};
pub use served::{NotATemplate, ServedBy, Servers, Template};

/// Where readings come from.
#[async_trait]
pub trait Source: Send + fmt::Debug {
    /// Reads every proxy now. What was counted is the difference to the reading before, proxy by proxy and series by series.
    async fn read(&mut self, now: u64, forms: &Forms) -> Reading;

    /// Forgets the readings before, as another server may have judged what was counted since: the next reading counts
    /// nothing, as the first one after a start.
    fn forget(&mut self);
}

/// Of each rollout, the revision since which it stands as it does.
pub type Forms = BTreeMap<Name, u64>;

/// One reading of all proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Why nothing could be read, where that is so. It names no secret.
    pub away: Option<String>,
    /// The proxies that are known, also those that could not be read now.
    pub proxies: Vec<ProxyReading>,
    /// How [`Counted::served`] names what versions answered; none where that is not counted.
    pub served: Option<ServedBy>,
}

/// One proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyReading {
    /// Envoy's `node.id` where the filter told it, otherwise the address.
    pub name: String,
    /// Version of the filter, where it told it.
    pub filter: Option<String>,
    /// The revision that its own gauge shows.
    pub revision: Option<u64>,
    /// When it was read last, in seconds since 1970.
    pub seen: u64,
    /// Rollouts that it cannot run, as without their key.
    pub disabled: Vec<Name>,
    /// The revisions that it was seen with, each with the time of the first reading, the latest last; cut where its module
    /// or its process is another one.
    pub since: Vec<(u64, u64)>,
    /// What it counted since the reading before; none where this is the first one.
    pub counted: Option<Counted>,
}

/// What one proxy counted between two readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Time of the earlier reading, in seconds since 1970.
    pub from: u64,
    /// Time of the later one.
    pub until: u64,
    /// Of each rollout that is observed, what each variant had.
    pub rollouts: BTreeMap<Name, BTreeMap<String, VariantCounts>>,
    /// What the servers of each version answered, by [`ServedBy::key`]; empty where nobody says how that is counted.
    pub served: BTreeMap<String, Answered>,
}

/// What one variant had on one proxy between two readings: requests whose variant was drawn, unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantCounts {
    /// Requests that came.
    pub came: u64,
    /// Requests beside these to which a pin or an override gave this variant.
    pub forced: u64,
    /// Finished requests by hash group.
    pub all: [u64; GROUPS],
    /// Bad ones of them.
    pub bad: [u64; GROUPS],
    /// Those that were slower than so many milliseconds: by group where they are counted so.
    pub slow: BTreeMap<u64, Slow>,
    /// Requests that have been open for long; none before that can be known.
    pub open: Option<Open>,
}

/// Requests since the rollout stands as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Those that had come half a minute ago.
    pub begun: u64,
    /// At least so many of them have not ended.
    pub open: u64,
}

/// Slow requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// Of all users.
    Whole(u64),
    /// By hash group.
    Groups([u64; GROUPS]),
}
