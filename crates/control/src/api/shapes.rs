//! What the API says, as JSON. Weights are in percent, times in RFC 3339 (UTC).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coalmine_steer::{Condition, Kind, Outcome, Verdict, What};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::description;
use crate::rollout::Name;

/// A time, in seconds since 1970; in JSON `2026-11-26T12:00:00Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Time(pub u64);

/// A rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Its name.
    pub name: Name,
    /// Version of the record: the `ETag`, without its quotes.
    pub version: u64,
    /// When it was first written.
    pub created: Time,
    /// `Idle`, `Progressing`, `Paused`, `WaitingForApproval`, `Promoting`, `RollingBack` or `RolledBack`.
    pub phase: String,
    /// Canary's weight.
    pub weight: f64,
    /// The weights of the plan's steps; none where the file owns the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<f64>>,
    /// The weights that the file owns, by variant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Salt of the draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// What the latest tick said.
    #[schema(schema_with = description::verdict)]
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub message: String,
    /// Since when the verdict has been this one.
    pub since: Time,
    /// The latest release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Canary's requests that were judged at this weight.
    pub requests: u64,
    /// Why it does not move, and what people should know.
    pub conditions: Vec<ShownCondition>,
    /// Why it is not in the policy as it should be, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// Whether it is to be deleted once everybody is on stable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The document as it was written.
    pub written: String,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownCondition {
    /// The kind.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Whether it holds the rollout where it is.
    pub holds: bool,
    /// A sentence.
    pub message: String,
}

/// A release, for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Its rollout.
    pub rollout: Name,
    /// Its number in the rollout, from 1.
    pub release: u64,
    /// When it began.
    pub started: Time,
    /// Where it is, never `Idle`; after the end it equals the outcome.
    pub phase: String,
    /// How it ended, once and for ever; null while it goes on.
    #[schema(schema_with = description::outcome, required)]
    pub outcome: Option<Outcome>,
    /// Canary's weight.
    pub weight: f64,
    /// A sentence, never empty.
    pub message: String,
}

/// What a verb or a change made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Whether anything changed.
    pub changed: bool,
    /// Whether the rollout is new.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Whether it was only asked what would happen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The rollout, as it is now or would be.
    pub rollout: Rollout,
    /// What is odd about the document and is no mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Place>,
}

/// The verdict on a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownVerdict {
    /// The rollout.
    pub rollout: Name,
    /// Number of its latest release; 0 before the first.
    pub release: u64,
    /// The word.
    #[schema(schema_with = description::verdict)]
    pub verdict: Verdict,
    /// The step of the plan, from 1; 0 before the first.
    pub step: usize,
    /// Canary's weight.
    pub weight: f64,
    /// Why, as a sentence.
    pub message: String,
    /// Since when the verdict has been this one.
    pub since: Time,
    /// Canary's requests that were judged at this weight.
    pub requests: u64,
}

/// A line of history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its number, from 1: the next page begins `before` the smallest.
    pub number: u64,
    /// The rollout.
    pub rollout: Name,
    /// When.
    pub at: Time,
    /// What happened.
    #[schema(value_type = String)]
    pub what: What,
    /// Canary's weight then.
    pub weight: f64,
    /// Who; none where the server acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, as a sentence.
    pub why: String,
}

/// A proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Its name: Envoy's `node.id`, or its address.
    pub name: String,
    /// Its fleet.
    pub fleet: String,
    /// The revision that it runs, as the filter itself says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When its metrics were read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Time>,
    /// Version of the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Whether it has a newer revision than the store knows, so that it is from another history: the store was lost or put
    /// back. The next revision is made higher than its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_history: bool,
    /// Rollouts that it has switched off, as without their key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<Name>,
    /// Since when it has been connected; none where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<Time>,
    /// The revision that it was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// The revision that it last said it has: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
    /// What it refused last, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// All proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxies {
    /// The fleets, by name.
    pub fleets: Vec<Fleet>,
    /// The proxies, by fleet and name.
    pub proxies: Vec<Proxy>,
}

/// A fleet: proxies that have the same policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// Its name.
    pub name: String,
    /// The revision that its proxies should run; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Why no evidence of it can be read, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// Whether everything is frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Freeze {
    /// Why; null where nothing is frozen.
    #[schema(required)]
    pub message: Option<String>,
}

/// Why everything is to be frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reason {
    /// Why, for everybody who wonders.
    #[schema(max_length = 1000)]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What a verb may say; every field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Said {
    /// Why, for history.
    #[schema(max_length = 1000)]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// With `start`: draw users anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new_users: bool,
    /// The release that the verb is about: another one is left alone. Not with `start`, which begins one.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
    /// With `weights`: canary's weight.
    #[schema(minimum = 0, maximum = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<f64>,
}

/// An error: `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// The status, once more.
    pub status: u16,
    /// What kind of trouble it is.
    pub title: String,
    /// What is wrong here, and what would be right.
    pub detail: String,
    /// Of a document, everything that is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Place>,
    /// Whether it is about a token that came along: a header says so.
    #[serde(skip)]
    pub is_bad_token: bool,
}

/// A problem in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The place in the document, as `plan.steps[1]`.
    pub path: String,
    /// Its line, from 1; 0 where it has none.
    pub line: usize,
    /// Its column, from 1; 0 where it has none.
    pub column: usize,
    /// The kind, for programs.
    pub kind: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

// === impl Time ===

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(self.0)).unwrap_or(UNIX_EPOCH);
        write!(f, "{}", humantime::format_rfc3339_seconds(time))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::Timestamp::from_str(&text).map_err(serde::de::Error::custom)?;
        let since = SystemTime::from(time).duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self(since.as_secs()))
    }
}

// === impl ShownCondition ===

impl From<&Condition> for ShownCondition {
    fn from(condition: &Condition) -> Self {
        Self { kind: condition.kind, holds: condition.holds, message: condition.message.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people_and_read_again() {
        let text = serde_json::to_string(&Time(1_795_694_400)).unwrap();
        assert_eq!(text, "\"2026-11-26T12:00:00Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), Time(1_795_694_400));
        assert!(serde_json::from_str::<Time>("\"soon\"").is_err());
    }
}
