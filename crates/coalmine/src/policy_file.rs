//! The one policy of a command that works on one.

use std::path::{Path, PathBuf};

use coalmine_core::policy::{Environment, Policy, Rollout};

use crate::diagnostic::{Diagnostic, count, excerpts};
use crate::failure::Failure;
use crate::input;
use crate::scan::{EmbeddedPolicy, Scan};

/// A policy, and the file that it came from.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    pub(crate) policy: Policy,
    pub(crate) scan: Scan,
    /// The policy as it stands in the file.
    pub(crate) embedded: EmbeddedPolicy,
}

// === impl PolicyFile ===

impl PolicyFile {
    /// Reads a policy for checking and changing: secrets that stand in the environment stay there.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let scan = Scan::of(input::read(path).map_err(Failure::refused(path))?);
        let embedded = Self::only(path, &scan)?.clone();
        Self::of_scan(path, scan, embedded)
    }

    /// This policy of a file that has been scanned.
    pub(crate) fn of_scan(path: &Path, scan: Scan, embedded: EmbeddedPolicy) -> Result<Self, Failure> {
        let policy = Self::policy(path, &scan, &embedded, Environment::Unread)?;
        Ok(Self { path: path.to_owned(), policy, scan, embedded })
    }

    /// Reads a policy for assigning users by it: with the secrets that it names.
    pub(crate) fn load_with_secrets(path: &Path) -> Result<Self, Failure> {
        let mut file = Self::load(path)?;
        let look_up = |name: &str| std::env::var(name).ok();
        if let Some(missing) = file.policy.unread().iter().find(|name| look_up(name).is_none()) {
            return Err(Failure::usage(
                format!("{} needs the environment variable {missing}", path.display()),
                format!("export {missing}, as the proxies have it"),
            ));
        }
        if !file.policy.unread().is_empty() {
            file.policy = Self::policy(path, &file.scan, &file.embedded, Environment::Read(&look_up))?;
        }
        Ok(file)
    }

    fn policy(
        path: &Path,
        scan: &Scan,
        embedded: &EmbeddedPolicy,
        environment: Environment<'_>,
    ) -> Result<Policy, Failure> {
        embedded.policy(environment).map_err(|diagnostics| Self::problems(path, scan, &diagnostics))
    }

    fn problems(path: &Path, scan: &Scan, diagnostics: &[Diagnostic]) -> Failure {
        let (summary, excerpts) = (count(diagnostics), excerpts(&scan.source, diagnostics));
        Failure::Problems(format!("{}: {summary}\n\n{excerpts}", path.display()))
    }

    /// The policy of a file: the only one, or one of several that say the same, as a gateway's and its sidecars' do.
    fn only<'s>(path: &Path, scan: &'s Scan) -> Result<&'s EmbeddedPolicy, Failure> {
        if !scan.diagnostics.is_empty() {
            return Err(Self::problems(path, scan, &scan.diagnostics));
        }
        let Some((first, others)) = scan.policies.split_first() else {
            return Err(Failure::Problems(format!("{}: no policy in it", path.display())));
        };
        if others.iter().any(|other| !other.node.is_same(&first.node)) {
            let titles: Vec<String> =
                scan.policies.iter().map(|policy| policy.where_in(&scan.source)).collect();
            let (path, count) = (path.display(), titles.len());
            return Err(Failure::usage(
                format!("{path} has {count} policies that differ: {}", titles.join(", ")),
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
