//! What takes Coalmine out of a cluster: `coalmine uninstall`. It needs no server.
//!
//! The finalizer of a rollout keeps the object until its users are on stable. A server takes it off. Where no server does, the
//! rollouts are taken out of the plugins' policies first, so that everybody is on stable, and the finalizers come off then.

use std::fmt;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::{CanaryRollout, FINALIZER, LEASE, MANAGER, Trouble, holder_of, within};
use crate::publish::istio::{Plugin, Written, written};

/// How often an object is read anew when somebody else writes it meanwhile.
const ATTEMPTS: usize = 5;

/// Takes Coalmine out of a cluster, or out of one namespace of it.
#[derive(Clone)]
pub struct Removal {
    client: Client,
    server_namespace: String,
    namespace: Option<String>,
}

/// A rollout that is still there.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it is, as its status says.
    pub phase: Option<String>,
    /// The canary's share of users, in percent.
    pub weight: Option<f64>,
    /// Whether it is deleted already.
    pub is_being_deleted: bool,
    /// Whether the finalizer of Coalmine keeps it.
    pub is_held: bool,
}

// === impl Removal ===

impl Removal {
    /// A removal of everything, or of what is in one namespace, from a cluster whose server is in this namespace.
    pub fn new(client: Client, server_namespace: String, namespace: Option<String>) -> Self {
        Self { client, server_namespace, namespace }
    }

    /// Who steers the rollouts at this time, in seconds since 1970; nobody where no server runs.
    ///
    /// # Errors
    /// The API does not say so: a sentence.
    pub async fn server(&self, now: u64) -> Result<Option<String>, String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.server_namespace);
        let lease = within(leases.get_opt(LEASE)).await.map_err(|trouble| trouble.to_string())?;
        let spec = lease.and_then(|lease| lease.spec).unwrap_or_default();
        Ok(holder_of(&spec, now).map(str::to_owned))
    }

    /// The rollouts that are there.
    ///
    /// # Errors
    /// The API does not say so: a sentence.
    pub async fn rollouts(&self) -> Result<Vec<Left>, String> {
        let rollouts: Api<CanaryRollout> = match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        match within(rollouts.list(&ListParams::default())).await {
            Ok(listed) => Ok(listed.iter().map(Left::of).collect()),
            // The definition is gone, and the objects with it.
            Err(Trouble::Said(kube::Error::Api(status))) if status.code == 404 => Ok(Vec::new()),
            Err(trouble) => Err(trouble.to_string()),
        }
    }

    /// The plugins with a policy of a server.
    ///
    /// # Errors
    /// The API does not say so: a sentence.
    pub async fn plugins(&self) -> Result<Vec<Written>, String> {
        written(&self.client).await.map_err(|why| why.to_string())
    }

    /// Whether a rollout of a policy is to be taken out of it.
    pub fn concerns(&self, rollout: &str) -> bool {
        let namespace = rollout.split_once('/').map(|(namespace, _)| namespace);
        self.namespace.is_none() || self.namespace.as_deref() == namespace
    }

    /// Deletes a rollout. The finalizer keeps it for now.
    ///
    /// # Errors
    /// The API does not do it: a sentence.
    pub async fn delete(&self, rollout: &Left) -> Result<(), String> {
        let api = self.api(rollout);
        match within(api.delete(&rollout.name, &DeleteParams::default())).await {
            Err(Trouble::Said(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            done => done.map(drop).map_err(|trouble| trouble.to_string()),
        }
    }

    /// Takes the rollouts out of the policy of a plugin at this time, in seconds since 1970. The new revision; none where none
    /// was in it.
    ///
    /// # Errors
    /// The API does not do it: a sentence.
    pub async fn leave_out(&self, plugin: &Plugin, now: u64) -> Result<Option<u64>, String> {
        let left = plugin.leave_out(&self.client, |rollout| self.concerns(rollout), now).await;
        left.map_err(|why| why.to_string())
    }

    /// Takes the finalizer off a rollout.
    ///
    /// # Errors
    /// The API does not do it: a sentence.
    pub async fn let_go(&self, rollout: &Left) -> Result<(), String> {
        let api = self.api(rollout);
        for _ in 0..ATTEMPTS {
            let found =
                within(api.get_metadata_opt(&rollout.name)).await.map_err(|trouble| trouble.to_string())?;
            let Some(found) = found else { return Ok(()) };
            let others: Vec<_> = found.finalizers().iter().filter(|it| *it != FINALIZER).collect();
            if others.len() == found.finalizers().len() {
                return Ok(());
            }
            let version = &found.metadata.resource_version;
            let patch = json!({"metadata": {"resourceVersion": version, "finalizers": others}});
            let by = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            match within(api.patch_metadata(&rollout.name, &by, &Patch::Merge(&patch))).await {
                Err(Trouble::Said(kube::Error::Api(status))) if status.code == 409 => {}
                Err(Trouble::Said(kube::Error::Api(status))) if status.code == 404 => return Ok(()),
                done => return done.map(drop).map_err(|trouble| trouble.to_string()),
            }
        }
        Err(format!("somebody else writes {rollout} all the time"))
    }

    fn api(&self, rollout: &Left) -> Api<CanaryRollout> {
        Api::namespaced(self.client.clone(), &rollout.namespace)
    }
}

impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

// === impl Left ===

impl Left {
    fn of(object: &CanaryRollout) -> Self {
        let status = object.status.as_ref();
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            phase: status.and_then(|status| status.phase.clone()),
            weight: status.and_then(|status| status.weight),
            is_being_deleted: object.metadata.deletion_timestamp.is_some(),
            is_held: object.finalizers().iter().any(|it| it == FINALIZER),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
