//! The whole of what a tick may know. It is recorded with each decision, so that the decision can be made again.

use std::collections::BTreeMap;

use coalmine_judge::{Arms, Counts, GROUPS, Tally};
use serde::{Deserialize, Serialize};

use crate::actions::Form;
use crate::state::Outcome;

/// Seconds after which a proxy that nobody has seen is gone, not late.
pub const GONE_AFTER: u64 = 120;

/// What is known at one moment. All times are seconds since 1970 by the server's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The time.
    pub now: u64,
    /// Seconds between two ticks, as the server means to tick.
    pub tick: u64,
    /// Name of the rollout, from which salts are made.
    pub name: String,
    /// The policy part of the rollout, as it is written now.
    pub policy: Policy,
    /// The workloads, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<Workloads>,
    /// What is missing around the workloads for a release, each as a sentence: nothing goes up until it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
    /// This rollout's form in the latest publication that was brought on its way to the proxies, and the revision since which it
    /// is in that form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
    /// Why the latest form cannot be brought to the proxies, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpublished: Option<String>,
    /// Why the latest publication was refused by a proxy, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The proxies, with what each of them counted since the last tick.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<Proxy>,
    /// What the queries of the operator counted that guards of the plan name, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queried: BTreeMap<String, Queried>,
    /// Why no evidence can be read, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_away: Option<String>,
    /// What gates answered, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, GateAnswer>,
    /// Why the whole server is frozen, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// Whether the rollout is to be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Canary's weight in parts per million that another controller holds, with `mode: judge`, where it is read there. Where
    /// it is not, somebody tells it, and the state remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u32>,
    /// What that controller says of its release beside, where it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Numbers of the notices that were delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<u64>,
}

/// What another controller says of its release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// How its latest release ended, where it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Outcome>,
    /// The version that it releases, where it says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The policy part of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Digest of all of it.
    pub digest: String,
    /// Digest of what says which user is drawn where: identity, algorithm, key, a fixed salt.
    pub draw: String,
    /// A salt that is fixed, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Whether there is a `baseline`, which is compared in stable's place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub baseline: bool,
}

/// The workloads of both versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workloads {
    /// The version that is there already.
    pub stable: Workload,
    /// The new version.
    pub canary: Workload,
}

/// One workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Version of its template.
    pub version: String,
    /// Replicas that it wants.
    pub replicas: u32,
    /// Replicas that are ready, of whatever version.
    pub ready: u32,
    /// Whether replicas of another version than the template's are still there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub updating: bool,
    /// Why replicas are not ready, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// What it says of this rollout.
    pub form: Form,
    /// Revision of the first publication that said so.
    pub revision: u64,
}

impl Published {
    /// Something that is not what is wanted: nobody knows yet what the proxies have.
    pub fn unknown() -> Self {
        let form = Form { weight: None, salt: None, policy: String::new(), observe: false };
        Self { form, revision: 0 }
    }
}

/// One proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// Revision that its own gauge shows; none where it shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Since when it has run this rollout's form with the module that it has.
    pub running_since: u64,
    /// When it was seen last.
    pub seen: u64,
    /// Whether it cannot run this rollout, as without its key: there everybody is on stable, and nothing is counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// What it counted since the last tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
}

/// Counts of one proxy between two readings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// Time of the earlier reading.
    pub from: u64,
    /// Time of the later reading.
    pub until: u64,
    /// Counts of each guard, by its name.
    pub guards: BTreeMap<String, GuardCounts>,
    /// Requests that the draw gave to the canary, and those that the canary's servers answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<[u64; 2]>,
    /// Of each arm, requests that had begun some time ago and those of them that have not finished: stable, canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<[[u64; 2]; 2]>,
}

/// Counts of one guard: of each arm `[all, bad]`, once for everybody or once for each of 16 hash groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardCounts {
    /// Stable's, or the baseline's.
    pub stable: Vec<[u64; 2]>,
    /// The canary's.
    pub canary: Vec<[u64; 2]>,
}

/// What a query of the operator says of a rollout as a whole: of no proxy, and of no group of users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queried {
    /// What it counted between two answers; none where there is no later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<QueryCounts>,
    /// Why it says nothing, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// Counts of both arms, `[all, bad]`, between two times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryCounts {
    /// From when on all of it was counted.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// Stable's, or the baseline's.
    pub stable: [u64; 2],
    /// The canary's.
    pub canary: [u64; 2],
}

/// What a gate answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateAnswer {
    /// Number of the release that was asked about.
    pub release: u64,
    /// Weight that was asked about.
    pub weight: u32,
    /// When the weight that was asked about came into force.
    pub entered: u64,
    /// Whether it passed.
    pub passed: bool,
    /// What it said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

// === impl Workload ===

impl Workload {
    /// Whether all replicas that it wants are ready, and of its version.
    pub fn is_settled(&self) -> bool {
        !self.updating && self.ready > 0 && self.ready >= self.replicas
    }

    /// Why replicas are not ready, to be written behind the words that say so.
    pub(crate) fn why(&self) -> String {
        self.trouble.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    }
}

// === impl Proxy ===

impl Proxy {
    /// Whether nobody has seen it for so long that it is gone.
    pub(crate) fn is_gone(&self, now: u64) -> bool {
        now.saturating_sub(self.seen) > GONE_AFTER
    }
}

// === impl GuardCounts ===

impl GuardCounts {
    /// Counts of both arms as a whole.
    pub fn whole(stable: Counts, canary: Counts) -> Self {
        let pair = |counts: Counts| vec![[counts.all, counts.bad]];
        Self { stable: pair(stable), canary: pair(canary) }
    }

    /// Counts of a tally.
    pub fn of(tally: &Tally) -> Self {
        match tally {
            Tally::Whole(arms) => Self::whole(arms.stable, arms.canary),
            Tally::Groups(groups) => {
                let pair = |counts: Counts| [counts.all, counts.bad];
                Self {
                    stable: groups.iter().map(|arms| pair(arms.stable)).collect(),
                    canary: groups.iter().map(|arms| pair(arms.canary)).collect(),
                }
            }
        }
    }

    /// The tally; none where it is neither for everybody nor for 16 groups.
    pub fn tally(&self) -> Option<Tally> {
        let counts = |[all, bad]: &[u64; 2]| Counts::new(*all, *bad);
        let arms: Vec<Arms<Counts>> = self
            .stable
            .iter()
            .zip(&self.canary)
            .map(|(stable, canary)| Arms { stable: counts(stable), canary: counts(canary) })
            .collect();
        if self.stable.len() != self.canary.len() {
            return None;
        }
        if let [whole] = arms.as_slice() {
            return Some(Tally::Whole(*whole));
        }
        let groups: [Arms<Counts>; GROUPS] = arms.try_into().ok()?;
        Some(Tally::Groups(Box::new(groups)))
    }
}
