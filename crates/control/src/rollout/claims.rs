//! Claims on hosts: a host pattern belongs to one namespace. Who has it keeps it; where nobody has, the older one takes it.

use std::collections::BTreeMap;

use coalmine_document::Node;

use super::Name;

/// What a rollout without hosts claims: every request that no other rollout is more specific about.
const EVERY_HOST: &str = "*";

/// The host patterns that are taken, each with the first rollout that has it.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    owners: BTreeMap<String, &'a Name>,
}

// === impl Claims ===

impl<'a> Claims<'a> {
    /// Keeps the hosts that a rollout has in the policy that is in force; older rollouts come first.
    pub(super) fn keep(&mut self, name: &'a Name, rollout: &Node) {
        for host in hosts(rollout) {
            self.owners.entry(host.to_owned()).or_insert(name);
        }
    }

    /// Takes the hosts of a rollout; older rollouts come first.
    ///
    /// # Errors
    /// One of them belongs to another namespace; the sentence says whose it is.
    pub(super) fn take(&mut self, name: &'a Name, rollout: &Node) -> Result<(), String> {
        let hosts = hosts(rollout);
        for host in &hosts {
            if let Some(owner) = self.owners.get(*host).filter(|owner| owner.namespace() != name.namespace())
            {
                let what = if *host == EVERY_HOST { "what no host names" } else { host };
                return Err(format!(
                    "{what} belongs to {owner}, which had it first and is of another namespace"
                ));
            }
        }
        for host in hosts {
            self.owners.entry(host.to_owned()).or_insert(name);
        }
        Ok(())
    }
}

/// The host patterns that a rollout of a policy names.
fn hosts(rollout: &Node) -> Vec<&str> {
    let listed = rollout.descend(&["match", "hosts"]);
    let mut hosts: Vec<&str> =
        listed.map_or(&[][..], |hosts| hosts.items()).iter().filter_map(|it| it.text()).collect();
    if hosts.is_empty() {
        hosts.push(EVERY_HOST);
    }
    hosts
}
