//! What is known of a rollout at a moment, beside the evidence.

use std::sync::Arc;

use coalmine_steer::Inputs;
use coalmine_steer::inputs::{Policy, Published};

use crate::cluster::Observed;
use crate::evidence::Forms;
use crate::publish::Publication;
use crate::rollout::{Name, Record, Spec};
use crate::server::Server;
use crate::snapshot::Snapshot;
use crate::store::{Publications, StoreError};

/// What is known at a moment.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    server: &'a Server,
    /// The time.
    pub(crate) now: u64,
    /// What the store holds.
    pub(crate) snapshot: Arc<Snapshot>,
}

// === impl Known ===

impl<'a> Known<'a> {
    pub(crate) async fn read(server: &'a Server) -> Result<Self, StoreError> {
        Ok(Self { server, now: server.now(), snapshot: server.snapshot().await? })
    }

    /// Of each rollout of a fleet that is observed, the revision since which it stands as it does.
    pub(crate) fn forms(&self, fleet: &str) -> Forms {
        let published = self.snapshot.publications(fleet);
        let parts = published.latest.iter().flat_map(|latest| &latest.parts);
        parts.filter(|(_, part)| part.form.observe).map(|(name, part)| (name.clone(), part.since)).collect()
    }

    /// The inputs of a tick or a verb, without evidence and answers of gates. `spec` is what is written, and `policy` what
    /// steering knows of its policy part.
    pub(crate) fn inputs(&self, record: &Record, spec: &Spec, policy: Policy) -> Inputs {
        let published = self.published(&record.name);
        let latest = published.as_ref().and_then(|published| published.latest.as_ref());
        let held = latest.and_then(|latest| latest.held.get(&record.name));
        let observed = self.observed(&record.name, spec);
        let (published, unpublished) = self.brought(record, latest);
        Inputs {
            now: self.now,
            tick: self.server.tick(),
            name: record.name.to_string(),
            policy,
            workloads: observed.workloads,
            obstacles: observed.obstacles,
            held: observed.held,
            holder: observed.holder,
            published,
            unpublished,
            refused: held.map(|held| held.why.clone()),
            frozen: self.snapshot.frozen.clone(),
            deleted: record.deleted,
            ..Inputs::default()
        }
    }

    /// The form that is on its way to the proxies, and why the latest is not, where it is not. A management server hands out what
    /// is published; a plugin of Istio has to take it first.
    fn brought(&self, record: &Record, latest: Option<&Publication>) -> (Option<Published>, Option<String>) {
        let (view, name) = (self.server.view(), &record.name);
        let fleet = self.server.fleets().of_rollout(name);
        let delivery = fleet.and_then(|fleet| view.plugins.get(fleet));
        // Nobody is on the canary of a rollout that is to go, where the plugins went first.
        match delivery.filter(|delivery| !(record.deleted && delivery.is_missing())) {
            None => (latest.and_then(|latest| latest.published(name)), None),
            Some(delivery) => {
                let published = match &delivery.had {
                    Some(had) => had.published(name),
                    None => Some(Published::unknown()),
                };
                (published, delivery.trouble())
            }
        }
    }

    /// What the cluster knows of a rollout that names its workloads.
    fn observed(&self, name: &Name, spec: &Spec) -> Observed {
        match (self.server.cluster(), &spec.workloads) {
            (Some(cluster), Some(_)) => cluster.observe(name, spec, &self.server.operator()),
            _ => Observed::default(),
        }
    }

    fn published(&self, name: &Name) -> Option<Arc<Publications>> {
        let fleet = self.server.fleets().of_rollout(name)?;
        Some(self.snapshot.publications(fleet))
    }
}
