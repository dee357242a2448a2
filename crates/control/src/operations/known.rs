//! What is known of a rollout at a moment, beside the evidence.

use coalmine_steer::Inputs;

use crate::evidence::Forms;
use crate::publish::Publication;
use crate::rollout::{Record, Spec};
use crate::server::Server;
use crate::store::StoreError;

/// What is the same for all rollouts at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The time.
    pub(crate) now: u64,
    /// The latest publication.
    pub(crate) latest: Option<Publication>,
    /// Why everything is frozen, where it is.
    pub(crate) frozen: Option<String>,
}

// === impl Known ===

impl Known {
    pub(crate) async fn read(server: &Server) -> Result<Self, StoreError> {
        let publications = server.store().publications(crate::server::FLEET).await?;
        Ok(Self { now: server.now(), latest: publications.latest, frozen: server.store().frozen().await? })
    }

    /// Of each rollout that is observed, the revision since which it stands as it does.
    pub(crate) fn forms(&self) -> Forms {
        let parts = self.latest.iter().flat_map(|latest| &latest.parts);
        parts.filter(|(_, part)| part.form.observe).map(|(name, part)| (name.clone(), part.since)).collect()
    }

    /// The inputs of a tick or a verb, without evidence and answers of gates.
    pub(crate) fn inputs(&self, server: &Server, record: &Record, spec: &Spec) -> Inputs {
        let held = self.latest.as_ref().and_then(|latest| latest.held.get(&record.name));
        Inputs {
            now: self.now,
            tick: server.tick(),
            name: record.name.to_string(),
            policy: spec.policy_inputs(),
            published: self.latest.as_ref().and_then(|latest| latest.published(&record.name)),
            refused: held.map(|held| held.why.clone()),
            frozen: self.frozen.clone(),
            deleted: record.deleted,
            ..Inputs::default()
        }
    }
}
