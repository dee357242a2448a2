//! A Kubernetes cluster: what the server knows of it, says in it and does in it. Everything is read by watches, so that a tick
//! asks nobody.
//!
//! | file | what is in it |
//! |---|---|
//! | `client` | how its API is reached |
//! | `forward` | how the server in it is reached, by a port-forward |
//! | `removal` | what takes Coalmine out of it |
//! | `resource` | [`CanaryRollout`]: a rollout as an object of the cluster |
//! | `watch` | the objects of one kind, kept by a watch |
//! | `workloads` | Deployments and Services: versions, replicas, what is missing; stable renewed, the canary scaled down |
//! | `pods` | the proxies that are there, and why pods are not ready |
//! | `mesh` | whether Istio's routes obey the answer of the filter |
//! | `recorder` | what history records, as Events |
//! | `review` | who has a token, and what they may do |
//! | `lease` | who holds the lease of the server that steers |
//! | `held` | the weight that Flagger or Argo Rollouts holds |

mod client;
#[cfg(test)]
pub(crate) mod fake;
mod forward;
mod held;
mod lease;
mod mesh;
mod pods;
mod recorder;
mod removal;
mod resource;
mod review;
mod watch;
mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, Resource};

use crate::cluster::{Cluster, Observed, Sidecars};
use crate::ending::Ending;
use crate::publish::istio::Plugin;
use crate::rollout::{Holder, Name, Operator, Spec, WorkloadNames};
use crate::routes::Table;

use mesh::{Asked, Mesh};
use watch::Watched;
use workloads::{Found, Selector};

pub use client::{ApiAddress, Connection, Credentials, Kubectl, NotConnected, Reached};
pub(crate) use client::{Trouble, within};
pub use forward::{Forward, Forwarded, NotForwarded};
pub(crate) use lease::{LEASE, holder_of};
pub use recorder::record_always;
pub use removal::{Left, Removal};
pub use resource::{
    CanaryRollout, CanaryRolloutSpec, CanaryRolloutStatus, Condition, FINALIZER, HistoryLine, definition,
    definition_text,
};
pub use review::Reviews;
pub(crate) use watch::watching;

/// What the server is called in the objects that it changes.
pub(crate) const MANAGER: &str = "coalmine";
/// The namespace whose configuration Istio takes for all namespaces, unless the operator says another one.
const ROOT_NAMESPACE: &str = "istio-system";

/// Which part of a cluster is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The only namespace; all where none is given.
    pub namespace: Option<String>,
    /// Istio's root namespace.
    pub root_namespace: String,
    /// The plugins that bring each fleet its policy, by fleet.
    pub plugins: BTreeMap<String, Vec<Plugin>>,
}

/// A cluster that is followed.
pub struct Kubernetes {
    client: Client,
    settings: Settings,
    deployments: Arc<Watched<workloads::Seen>>,
    services: Arc<Watched<Selector>>,
    pods: Arc<Watched<pods::Seen>>,
    plugins: BTreeMap<Plugin, Arc<Watched<pods::Reach>>>,
    virtual_services: Arc<Watched<Table>>,
    destination_rules: Arc<Watched<mesh::Rule>>,
    canaries: Arc<Watched<held::Told>>,
    rollouts: Arc<Watched<held::Told>>,
}

/// What a client of the Kubernetes API says, as a sentence. Neither addresses with passwords nor tokens are in it.
pub(crate) fn sentence(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.message.is_empty() {
            true => format!("the Kubernetes API answers {}", status.code),
            false => status.message.clone(),
        };
    }
    // What a program of a kubeconfig prints may hold a token.
    if let kube::Error::Auth(_) = error {
        return "the Kubernetes API cannot be asked: the credentials for it cannot be had".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("the Kubernetes API cannot be asked: {cause}")
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self { namespace: None, root_namespace: ROOT_NAMESPACE.to_owned(), plugins: BTreeMap::new() }
    }
}

// === impl Kubernetes ===

impl Kubernetes {
    /// A cluster of which nothing is known before [`Kubernetes::follow`].
    pub fn new(client: Client, settings: Settings) -> Arc<Self> {
        let plugins = settings.plugins.values().flatten();
        let plugins = plugins.map(|it| (it.clone(), Watched::one(it.kind.plural(), &it.name))).collect();
        Arc::new(Self {
            client,
            settings,
            plugins,
            deployments: Watched::new("Deployments"),
            services: Watched::new("Services"),
            pods: Watched::new("Pods"),
            virtual_services: Watched::new("VirtualServices"),
            destination_rules: Watched::new("DestinationRules"),
            canaries: Watched::new("Canaries of Flagger"),
            rollouts: Watched::new("Rollouts of Argo"),
        })
    }

    /// Follows the cluster until the server ends. What it does not have, as Flagger, is looked for again and again.
    pub async fn follow(self: Arc<Self>, ending: Ending) {
        let of = |group: &str, version: &str, kind: &str, plural: &str| {
            let kind = GroupVersionKind::gvk(group, version, kind);
            self.dynamic(&ApiResource::from_gvk_with_plural(&kind, plural))
        };
        let mut watches: Vec<BoxFuture<'_, ()>> = vec![
            Box::pin(self.deployments.clone().follow(self.typed(), workloads::Seen::of, ending.clone())),
            Box::pin(self.services.clone().follow(self.typed(), workloads::selector, ending.clone())),
            Box::pin(self.pods.clone().follow(self.typed(), pods::Seen::of, ending.clone())),
        ];
        let (services, rules) = (
            of("networking.istio.io", "v1", "VirtualService", "virtualservices"),
            of("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
        );
        watches.push(Box::pin(self.virtual_services.clone().follow(services, mesh::table, ending.clone())));
        watches.push(Box::pin(self.destination_rules.clone().follow(rules, mesh::rule, ending.clone())));
        let (flagger, argo) = (
            of("flagger.app", "v1beta1", "Canary", "canaries"),
            of("argoproj.io", "v1alpha1", "Rollout", "rollouts"),
        );
        watches.push(Box::pin(self.canaries.clone().follow(flagger, held::of_flagger, ending.clone())));
        watches.push(Box::pin(self.rollouts.clone().follow(argo, held::of_argo, ending.clone())));
        for (plugin, watched) in &self.plugins {
            let api = plugin.api(&self.client);
            watches.push(Box::pin(watched.clone().follow(api, pods::reach, ending.clone())));
        }
        join_all(watches).await;
    }

    fn typed<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.settings.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn dynamic(&self, resource: &ApiResource) -> Api<DynamicObject> {
        match &self.settings.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    /// What another controller says, or why it is not known.
    fn held(&self, namespace: &str, holder: &Holder) -> Result<held::Told, String> {
        let (watched, name, kind) = match holder {
            Holder::Flagger(name) => (&self.canaries, name, "Canary of Flagger"),
            Holder::Argo(name) => (&self.rollouts, name, "Rollout of Argo"),
        };
        if let Some(trouble) = watched.trouble() {
            return Err(trouble);
        }
        let found = watched.get(namespace, name);
        found
            .map(|told| held::Told::clone(&told))
            .ok_or_else(|| format!("there is no {kind} {namespace}/{name}"))
    }

    fn plugin(&self, plugin: &Plugin) -> Option<pods::Reach> {
        let reach = self.plugins.get(plugin)?.get(&plugin.namespace, &plugin.name)?;
        Some(pods::Reach::clone(&reach))
    }
}

#[async_trait]
impl Cluster for Kubernetes {
    fn observe(&self, name: &Name, spec: &Spec, operator: &Operator) -> Observed {
        let Some(names) = &spec.workloads else { return Observed::default() };
        let namespace = name.namespace();
        let mut observed = Observed::default();
        if let Some(only) = self.settings.namespace.as_deref().filter(|only| *only != namespace) {
            let why = format!(
                "the server follows the namespace {only} alone, and the workloads are in {namespace}"
            );
            observed.obstacles.push(why);
            return observed;
        }
        if let Some(holder) = &names.held_by {
            match self.held(namespace, holder) {
                Ok(told) => (observed.held, observed.holder) = (told.weight, Some(told.holder)),
                Err(why) => observed.obstacles.push(why),
            }
        }
        if !names.has_deployments() {
            return observed;
        }
        let troubles = [self.deployments.trouble(), self.services.trouble()];
        observed.obstacles.extend(troubles.into_iter().flatten());
        // What is old is not steered by: the canary may have no pods, or another version.
        if self.deployments.trouble().is_some() {
            return observed;
        }
        let stable = self.deployments.get(namespace, &names.stable);
        let canary = self.deployments.get(namespace, &names.canary);
        let service = self.services.get(namespace, &names.service);
        let found = Found {
            namespace,
            names,
            stable: stable.as_deref(),
            canary: canary.as_deref(),
            service: service.as_deref(),
            pods: &self.pods,
        };
        observed.workloads = Some(found.workloads());
        if observed.obstacles.is_empty() {
            observed.obstacles = found.obstacles();
        }
        // Where an object is missing, there is nothing to lead to.
        if let (true, Some(stable), Some(canary)) = (observed.obstacles.is_empty(), &stable, &canary) {
            let mesh = Mesh {
                virtual_services: &self.virtual_services,
                rules: &self.destination_rules,
                services: &self.services,
            };
            observed.obstacles = mesh.obstacles(&Asked { spec, operator, stable, canary });
        }
        observed
    }

    fn sidecars(&self, fleet: &str) -> Option<Sidecars> {
        let plugins = self.settings.plugins.get(fleet)?;
        let plugins: Vec<_> = plugins.iter().map(|plugin| (plugin, self.plugin(plugin))).collect();
        let pods = pods::sidecars(&self.pods, &plugins, &self.settings.root_namespace)?;
        Some(Sidecars { namespace: self.settings.namespace.clone(), pods })
    }

    async fn copy_to_stable(
        &self,
        namespace: &str,
        names: &WorkloadNames,
        version: &str,
    ) -> Result<(), String> {
        workloads::copy_to_stable(&self.client, namespace, names, version).await
    }

    async fn scale_down_canary(&self, namespace: &str, names: &WorkloadNames) -> Result<(), String> {
        workloads::scale_down_canary(&self.client, namespace, names).await
    }
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
