//! The one policy of a command that works on one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coalmine_core::policy::{Environment, Policy, Rollout};

use crate::failure::Failure;
use crate::found::{Found, Scan};
use crate::report;
use crate::text::Source;

/// A policy, and the file that it came from.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    pub(crate) policy: Policy,
    pub(crate) scan: Scan,
    /// The place in `scan` of the policy.
    pub(crate) found: Found,
}

// === impl PolicyFile ===

impl PolicyFile {
    /// Reads a policy for checking and changing: secrets that stand in the environment stay there.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let scan = Scan::of(Source::read(path).map_err(Failure::refused(path))?);
        let found = Self::only(path, &scan)?.clone();
        Self::of_scan(path, scan, found)
    }

    /// The policy at this place of a file that has been scanned.
    pub(crate) fn of_scan(path: &Path, scan: Scan, found: Found) -> Result<Self, Failure> {
        let policy = Self::policy(path, &scan, &found, Environment::Unread)?;
        Ok(Self { path: path.to_owned(), policy, scan, found })
    }

    /// Reads a policy for drawing by it at this time: with the secrets that it names.
    pub(crate) fn load_to_draw(path: &Path, at: Duration) -> Result<Self, Failure> {
        let mut file = Self::load(path)?;
        let look_up = |name: &str| std::env::var(name).ok();
        if let Some(missing) = file.policy.unread().iter().find(|name| look_up(name).is_none()) {
            return Err(Failure::usage(
                format!("{} needs the environment variable {missing}", path.display()),
                format!("export {missing}, as the proxies have it"),
            ));
        }
        if !file.policy.unread().is_empty() {
            file.policy = Self::policy(path, &file.scan, &file.found, Environment::Read(&look_up))?;
        }
        file.policy.follow_clock(at);
        Ok(file)
    }

    fn policy(
        path: &Path,
        scan: &Scan,
        found: &Found,
        environment: Environment<'_>,
    ) -> Result<Policy, Failure> {
        found.policy(&scan.source, environment).map_err(|findings| {
            let (summary, excerpts) = (report::count(&findings), report::excerpts(&scan.source, &findings));
            Failure::Problems(format!("{}: {summary}\n\n{excerpts}", path.display()))
        })
    }

    /// The policy of a file: the only one, or one of several that say the same, as a gateway's and its sidecars' do.
    fn only<'s>(path: &Path, scan: &'s Scan) -> Result<&'s Found, Failure> {
        if !scan.findings.is_empty() {
            let summary = report::count(&scan.findings);
            let excerpts = report::excerpts(&scan.source, &scan.findings);
            return Err(Failure::Problems(format!("{}: {summary}\n\n{excerpts}", path.display())));
        }
        let Some((first, others)) = scan.policies.split_first() else {
            return Err(Failure::Problems(format!("{}: no policy in it", path.display())));
        };
        let node = |found: &Found| found.tree.clone().without_places();
        if others.iter().any(|other| node(other) != node(first)) {
            let titles: Vec<String> =
                scan.policies.iter().map(|found| found.where_in(&scan.source)).collect();
            return Err(Failure::usage(
                format!(
                    "{} has {} policies that differ: {}",
                    path.display(),
                    titles.len(),
                    titles.join(", ")
                ),
                "give a file with one of them",
            ));
        }
        Ok(first)
    }

    /// The rollout that was asked for, or the only one.
    pub(crate) fn rollout(&self, name: Option<&str>) -> Result<&Rollout, Failure> {
        let rollouts = self.policy.rollouts();
        let path = self.path.display();
        let names = rollouts.iter().map(Rollout::name).collect::<Vec<_>>().join(", ");
        match (name, rollouts) {
            (_, []) => Err(Failure::usage(format!("{path} has no rollouts"), "")),
            (Some(name), _) => rollouts.iter().find(|rollout| rollout.name() == name).ok_or_else(|| {
                Failure::usage(format!("{path} has no rollout {name:?}"), format!("it has: {names}"))
            }),
            (None, [only]) => Ok(only),
            (None, _) => Err(Failure::usage(
                format!("{path} has several rollouts"),
                format!("say which with --rollout NAME: {names}"),
            )),
        }
    }
}
