//! A policy in Istio: the `pluginConfig` of a TrafficExtension or of a WasmPlugin, which istiod hands to the proxies.
//!
//! Only that field and three annotations are written, under a field manager of our own, so that whoever owns the rest of the
//! plugin goes on with it. A plugin is read first, and written at the version that it was read at, and never with a revision
//! below the one that it shows: an older policy never takes the place of a newer one, whichever server is late.
//!
//! A plugin is of one server, which it names. Another one does not write it: of two that did, each would undo the other, and the
//! one with the lower revisions would wait for ever.
//!
//! Istio tells nobody whether a proxy has taken a policy; the revision in its metrics does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::Publication;
use crate::ending::Ending;
use crate::kubernetes::{MANAGER, Trouble, within};
use crate::rollout::digest;
use crate::server::Server;

const GROUP: &str = "extensions.istio.io";
const VERSION: &str = "v1alpha1";
/// The revision of the policy in a plugin.
const REVISION: &str = "coalmine.dev/revision";
/// SHA-256 of its document.
const DIGEST: &str = "coalmine.dev/digest";
/// The server that writes a plugin: the namespace that it runs in, or that of its kubeconfig's context.
const SERVER: &str = "coalmine.dev/server";
/// How often it is seen whether a plugin still has its policy.
const LOOK: Duration = Duration::from_secs(5);
/// How often a plugin is read anew when somebody else writes it meanwhile.
const ATTEMPTS: usize = 5;

/// What kind of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginKind {
    /// Since Istio 1.30.
    TrafficExtension,
    /// Before it.
    WasmPlugin,
}

/// A plugin of Istio that runs the filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plugin {
    /// Its kind.
    pub kind: PluginKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What became of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It had the policy already.
    Same,
    /// It has the policy now.
    Written,
    /// It had this revision and another content: somebody had edited it.
    PutBack,
    /// It has a newer revision, which stays.
    Newer(u64),
    /// The server of this other namespace writes it, and nobody else.
    Anothers(String),
}

/// A plugin with a policy that a server has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The plugin.
    pub plugin: Plugin,
    /// The revision of the policy.
    pub revision: u64,
    /// The rollouts in it.
    pub rollouts: Vec<String>,
}

/// Why a plugin has not got its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotBrought {
    /// A sentence.
    pub why: String,
    /// Whether there is no such plugin: then there is no filter either, and everybody gets stable.
    pub is_missing: bool,
}

/// Brings the policy of a fleet to its plugins, whenever it changes or somebody edits one of them, until the server ends. What
/// they have is in the server's view.
pub async fn publish_always(
    server: Arc<Server>,
    fleet: String,
    client: Client,
    plugins: Vec<Plugin>,
    mut ending: Ending,
) {
    let Some(mut published) = server.publication(&fleet) else { return };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = published.changed() => if changed.is_err() { return },
            _ = look.tick() => {}
            () = ending.comes() => return,
        }
        let Some(publication) = published.borrow_and_update().clone() else { continue };
        let mut troubles = BTreeMap::new();
        for plugin in &plugins {
            let brought = plugin.bring(&client, &publication, Some(client.default_namespace())).await;
            let revision = publication.revision;
            let trouble = match brought {
                Ok(Brought::Same) => continue,
                Ok(Brought::Written) => {
                    tracing::info!(%plugin, revision, "the plugin has the policy");
                    continue;
                }
                Ok(Brought::PutBack) => {
                    tracing::warn!(%plugin, revision, "somebody had edited the plugin's policy; it is put back");
                    continue;
                }
                Ok(Brought::Newer(newer)) => {
                    let why =
                        format!("it has revision {newer}, which is newer than {revision}, and keeps it");
                    NotBrought::of(why)
                }
                Ok(Brought::Anothers(other)) => NotBrought::of(plugin.anothers(&other)),
                Err(trouble) => trouble,
            };
            let view = server.view();
            let before = view.plugins.get(&fleet).and_then(|delivery| delivery.troubles.get(plugin));
            if before != Some(&trouble) {
                tracing::error!(%plugin, revision, "the plugin has not got the policy: {trouble}");
            }
            troubles.insert(plugin.clone(), trouble);
        }
        let mut is_news = false;
        server.look(|view| {
            let delivery = view.plugins.entry(fleet.clone()).or_default();
            is_news = delivery.brought != Some(publication.revision) || delivery.troubles != troubles;
            if troubles.is_empty() {
                delivery.had = Some(publication.clone());
            }
            delivery.brought = Some(publication.revision);
            delivery.troubles = troubles;
        });
        // A deleted rollout may wait for that.
        if is_news {
            server.wake();
        }
    }
}

/// The plugins of a cluster that have a policy of a server.
///
/// # Errors
/// The API does not say so.
pub async fn written(client: &Client) -> Result<Vec<Written>, NotBrought> {
    let mut found = Vec::new();
    for (_, kind) in PluginKind::WORDS {
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
        let listed = match within(all.list(&ListParams::default())).await {
            // A cluster without Istio, or with one that has the other kind alone.
            Err(Trouble::Said(kube::Error::Api(status))) if status.code == 404 => continue,
            listed => listed.map_err(|trouble| NotBrought::of(trouble.to_string()))?,
        };
        found.extend(listed.iter().filter_map(|object| Written::of(kind, object)));
    }
    Ok(found)
}

// === impl Written ===

impl Written {
    fn of(kind: PluginKind, object: &DynamicObject) -> Option<Self> {
        let revision = revision(object)?;
        let plugin = Plugin { kind, namespace: object.namespace()?, name: object.name_any() };
        let named = |rollout: &Value| rollout.get("name").and_then(Value::as_str).map(str::to_owned);
        let rollouts = plugin.policy(object).and_then(|policy| policy.get("rollouts")?.as_array());
        let rollouts = rollouts.into_iter().flatten().filter_map(named).collect();
        Some(Self { plugin, revision, rollouts })
    }
}

/// The revision of the policy that a plugin shows.
fn revision(object: &DynamicObject) -> Option<u64> {
    object.annotations().get(REVISION)?.parse().ok()
}

// === impl Plugin ===

impl Plugin {
    /// Takes rollouts out of the policy of the plugin at this time, in seconds since 1970, for a server that is gone: their users
    /// get stable. The new revision; none where none of them was in it.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub async fn leave_out(
        &self,
        client: &Client,
        is_out: impl Fn(&str) -> bool,
        now: u64,
    ) -> Result<Option<u64>, NotBrought> {
        let found = within(self.api(client).get(&self.name)).await;
        let found = found.map_err(|trouble| NotBrought::of(trouble.to_string()))?;
        let Some(mut policy) = self.policy(&found).and_then(Value::as_object).cloned() else {
            return Ok(None);
        };
        let Some(rollouts) = policy.get_mut("rollouts").and_then(Value::as_array_mut) else {
            return Ok(None);
        };
        let before = rollouts.len();
        rollouts.retain(|rollout| !rollout.get("name").and_then(Value::as_str).is_some_and(&is_out));
        if rollouts.len() == before {
            return Ok(None);
        }
        let revision = revision(&found).map_or(now, |revision| now.max(revision.saturating_add(1)));
        policy.insert("revision".to_owned(), json!(revision));
        let publication = Publication {
            fleet: String::new(),
            revision,
            at: now,
            document: Value::Object(policy).to_string(),
            filter: String::new(),
            parts: BTreeMap::new(),
            held: BTreeMap::new(),
            refused: None,
        };
        match self.bring(client, &publication, None).await? {
            Brought::Newer(newer) => {
                Err(NotBrought::of(format!("somebody has written revision {newer} meanwhile; try again")))
            }
            Brought::Same | Brought::Written | Brought::PutBack | Brought::Anothers(_) => Ok(Some(revision)),
        }
    }

    /// Brings a policy to the plugin, for this server. Without one it is written whoever's it is, and is nobody's then.
    ///
    /// # Errors
    /// It is not there, or the API does not let it be written.
    pub async fn bring(
        &self,
        client: &Client,
        publication: &Publication,
        server: Option<&str>,
    ) -> Result<Brought, NotBrought> {
        let document: Value = serde_json::from_str(&publication.document)
            .map_err(|error| NotBrought::of(format!("the policy is no JSON: {error}")))?;
        for _ in 0..ATTEMPTS {
            match self.bring_once(client, publication, server, &document).await {
                Err(Trouble::Said(kube::Error::Api(status))) if status.code == 409 => {}
                Err(Trouble::Said(kube::Error::Api(status))) if status.code == 404 => {
                    let why = "it is not there; apply it, and it gets its policy".to_owned();
                    return Err(NotBrought { why, is_missing: true });
                }
                Err(trouble) => return Err(NotBrought::of(trouble.to_string())),
                Ok(brought) => return Ok(brought),
            }
        }
        Err(NotBrought::of("somebody else writes it all the time".to_owned()))
    }

    async fn bring_once(
        &self,
        client: &Client,
        publication: &Publication,
        server: Option<&str>,
        document: &Value,
    ) -> Result<Brought, Trouble> {
        let api = self.api(client);
        let found = within(api.get(&self.name)).await?;
        let shown = revision(&found);
        let has_policy = self.policy(&found) == Some(document);
        let owner = found.annotations().get(SERVER);
        if let Some(other) = owner.filter(|owner| server.is_some_and(|server| server != owner.as_str())) {
            return Ok(Brought::Anothers(other.clone()));
        }
        let is_shown = shown == Some(publication.revision);
        match shown {
            Some(shown) if shown > publication.revision => return Ok(Brought::Newer(shown)),
            Some(_) if is_shown && has_policy && owner.map(String::as_str) == server => {
                return Ok(Brought::Same);
            }
            _ => {}
        }
        let digest = digest(&publication.document);
        let revision = publication.revision.to_string();
        let mut annotations = BTreeMap::from([(REVISION, revision.as_str()), (DIGEST, digest.as_str())]);
        annotations.extend(server.map(|server| (SERVER, server)));
        let wanted = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": self.kind.to_string(),
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "resourceVersion": found.metadata.resource_version,
                "annotations": annotations,
            },
            "spec": match self.kind {
                PluginKind::TrafficExtension => json!({"wasm": {"pluginConfig": document}}),
                PluginKind::WasmPlugin => json!({"pluginConfig": document}),
            },
        });
        let apply = PatchParams::apply(MANAGER).force();
        let written = within(api.patch(&self.name, &apply, &Patch::Apply(&wanted))).await?;
        if self.policy(&written) != Some(document) {
            // Somebody else's fields stand between ours: the policy is one whole.
            let version = written.metadata.resource_version.clone().unwrap_or_default();
            let replace = json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                {"op": "replace", "path": self.kind.path(), "value": document},
            ]);
            let replace = serde_json::from_value(replace)
                .map_err(|error| Trouble::Said(kube::Error::SerdeError(error)))?;
            let by = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            within(api.patch(&self.name, &by, &Patch::<()>::Json(replace))).await?;
        }
        Ok(if is_shown && !has_policy { Brought::PutBack } else { Brought::Written })
    }

    /// Why it is not written where the server of another namespace writes it.
    fn anothers(&self, other: &str) -> String {
        let (kind, Self { namespace, name, .. }) = (self.kind.plural().to_lowercase(), self);
        format!(
            "the server of the namespace {other} writes it, and a plugin has one server; if that one is gone, run: \
             kubectl annotate {kind} --namespace {namespace} {name} {SERVER}-"
        )
    }

    /// Plugins of its kind in its namespace.
    pub(crate) fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &self.namespace, &self.kind.resource())
    }

    fn policy<'a>(&self, object: &'a DynamicObject) -> Option<&'a Value> {
        object.data.pointer(self.kind.path())
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

// === impl PluginKind ===

impl PluginKind {
    /// The kinds by their names.
    pub const WORDS: [(&str, Self); 2] =
        [("TrafficExtension", Self::TrafficExtension), ("WasmPlugin", Self::WasmPlugin)];

    /// Several of them.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::TrafficExtension => "TrafficExtensions",
            Self::WasmPlugin => "WasmPlugins",
        }
    }

    /// How the API calls plugins of this kind.
    fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, &self.to_string());
        ApiResource::from_gvk_with_plural(&kind, &self.plural().to_lowercase())
    }

    fn path(self) -> &'static str {
        match self {
            Self::TrafficExtension => "/spec/wasm/pluginConfig",
            Self::WasmPlugin => "/spec/pluginConfig",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrafficExtension => "TrafficExtension",
            Self::WasmPlugin => "WasmPlugin",
        })
    }
}

// === impl NotBrought ===

impl NotBrought {
    fn of(why: String) -> Self {
        Self { why, is_missing: false }
    }
}

impl fmt::Display for NotBrought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NotBrought {}

#[cfg(test)]
#[path = "istio_tests.rs"]
mod tests;
