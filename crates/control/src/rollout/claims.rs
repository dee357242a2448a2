//! Claims on hosts: a host pattern belongs to one namespace, and the older rollout keeps it.

use std::collections::BTreeMap;

use super::{Name, Spec};

/// What a rollout without hosts claims: every request that no other rollout is more specific about.
const EVERY_HOST: &str = "*";

/// The host patterns that are taken, each with the first rollout that has it.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    owners: BTreeMap<String, &'a Name>,
}

// === impl Claims ===

impl<'a> Claims<'a> {
    /// Takes the hosts of a rollout; older rollouts come first.
    ///
    /// # Errors
    /// One of them belongs to another namespace; the sentence says whose it is.
    pub(super) fn take(&mut self, name: &'a Name, spec: &Spec) -> Result<(), String> {
        let listed = spec.policy.descend(&["match", "hosts"]);
        let mut hosts: Vec<&str> =
            listed.map_or(&[][..], |hosts| hosts.items()).iter().filter_map(|it| it.text()).collect();
        if hosts.is_empty() {
            hosts.push(EVERY_HOST);
        }
        for host in &hosts {
            if let Some(owner) = self.owners.get(*host).filter(|owner| owner.namespace() != name.namespace())
            {
                let what = if *host == EVERY_HOST { "what no host names" } else { host };
                return Err(format!("{what} belongs to {owner}, which is older and of another namespace"));
            }
        }
        for host in hosts {
            self.owners.entry(host.to_owned()).or_insert(name);
        }
        Ok(())
    }
}
