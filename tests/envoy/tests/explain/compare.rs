//! One request, as the proxy took it and as the command previews it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use coalmine_core::policy::Rollout;
use coalmine_harness::access_log::{Entry, written};

use super::policies::RandomPolicy;
use super::preview::{Preview, Previewed};
use super::proxy::Outcome;
use super::requests::RandomRequest;

/// How many identities are tried to find one that leaves stable.
const TRIED: u32 = 100_000;

/// A request that was sent.
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) policy: Arc<RandomPolicy>,
    /// The file with the policy.
    pub(crate) file: PathBuf,
    pub(crate) request: RandomRequest,
    pub(crate) outcome: Outcome,
}

// === impl Case ===

impl Case {
    /// What the proxy and the command disagree about, with all that it takes to see it again; `None` where they agree.
    pub(crate) fn disagreement(&self, entry: &Entry) -> Result<Option<String>> {
        let issued = self.outcome.issued()?.map(str::to_owned).or_else(|| self.guessed(entry));
        let preview = Preview::new(&self.file, &self.request, self.outcome.address, issued.as_deref())?;
        let line = preview.line(&written(entry.start));
        let previewed = preview.run().with_context(|| line.clone())?;
        let differences = self.differences(entry, &previewed)?;
        if differences.is_empty() {
            return Ok(None);
        }
        let (number, request, policy) = (self.number, &self.request, &self.policy.document);
        let mut told = format!("request {number}: {request:?}\n");
        for difference in differences {
            writeln!(told, "  {difference}")?;
        }
        Ok(Some(format!("{told}  {line}\n  {} is {policy}\n", self.file.display())))
    }

    /// Whoever repeats a header is issued an identity only where that is stable. So the one that was drawn for a request
    /// that has none was not stable.
    fn guessed(&self, entry: &Entry) -> Option<String> {
        let mut rollouts = self.policy.policy.rollouts().iter();
        let rollout = rollouts.find(|rollout| Some(rollout.name()) == entry.rollout.as_deref())?;
        if !rollout.issues_cookie() || entry.reason.as_deref() != Some("noIdentity") {
            return None;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (0..TRIED).map(|number| format!("{number:032x}")).find(|identity| leaves(rollout, identity, now))
    }

    fn differences(&self, entry: &Entry, previewed: &Previewed) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut compare = |what: &str, real: &str, previewed: &str| {
            if real != previewed {
                found.push(format!("{what}: {real} in the proxy, {previewed} in the preview"));
            }
        };
        let logged = [&entry.rollout, &entry.variant, &entry.reason].map(Option::as_deref);
        compare("assignment", &format!("{logged:?}"), &format!("{:?}", previewed.assignment()));
        let revision = self.policy.policy.revision().map_or("-".to_owned(), |revision| revision.to_string());
        compare("revision", entry.revision.as_deref().unwrap_or("none"), &revision);
        let issued = self.outcome.issued()?;
        compare("issued", &format!("{issued:?}"), &format!("{:?}", previewed.issued()));
        let changes = previewed.changes();
        let mut names: Vec<&str> = self.policy.policy.rollouts().iter().flat_map(managed).collect();
        names.push("cookie");
        names.extend(changes.iter().map(|(name, _)| *name));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let change = changes.iter().find(|(changed, _)| *changed == name);
            let expected: Vec<&str> = match change {
                Some((_, value)) => value.iter().copied().collect(),
                None if name == "cookie" => values(&self.request.headers, name),
                None => Vec::new(),
            };
            // HTTP/2 makes one header of several with cookies, and drops an empty one in front.
            let line = |values: &[&str]| match name {
                "cookie" => format!("{:?}", values.join("; ").trim_matches([' ', '\t', ';'])),
                _ => format!("{values:?}"),
            };
            let seen = values(&self.outcome.seen, name);
            compare(name, &line(&seen), &line(&expected));
        }
        Ok(found)
    }
}

/// The headers that only Coalmine may set, or that end with it.
fn managed(rollout: &Rollout) -> impl Iterator<Item = &str> {
    std::iter::once(rollout.route().header()).chain(rollout.override_header())
}

fn leaves(rollout: &Rollout, identity: &str, now: Duration) -> bool {
    rollout.assign(Some(identity.as_bytes()), now).variant_name() != "stable"
}

/// Every value of a header.
fn values<'h>(headers: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    let named = headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}
