//! The Deployments of a rollout and the Service before them: what they are, what is missing, and what is done to them.

use std::collections::BTreeMap;

use coalmine_steer::inputs::{Workload, Workloads};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Service};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::pods;
use super::watch::Watched;
use super::{MANAGER, sentence};
use crate::rollout::WorkloadNames;

/// The annotation of a pod template that says which version it is, instead of its images.
const VERSION: &str = "coalmine.dev/version";
/// How many characters of the digest of the images are shown: enough that two versions never have the same.
const DIGITS: usize = 12;

/// What is kept of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// As steering sees it.
    pub(super) workload: Workload,
    /// The labels of its pods.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) is_paused: bool,
}

/// What is kept of a Service: the labels of the pods that it selects.
pub(super) type Selector = BTreeMap<String, String>;

/// The objects that a rollout names, as far as they are there.
pub(super) struct Found<'a> {
    pub(super) namespace: &'a str,
    pub(super) names: &'a WorkloadNames,
    pub(super) stable: Option<&'a Seen>,
    pub(super) canary: Option<&'a Seen>,
    pub(super) service: Option<&'a Selector>,
    pub(super) pods: &'a Watched<pods::Seen>,
}

// === impl Seen ===

impl Seen {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let status = deployment.status.as_ref();
        let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
        let all = status.and_then(|status| status.replicas);
        let new = status.and_then(|status| status.updated_replicas);
        // Until the controller has seen the latest template, the numbers are those of the one before.
        let observed = status.and_then(|status| status.observed_generation);
        let template = spec.map(|spec| &spec.template);
        let metadata = template.and_then(|template| template.metadata.as_ref());
        Self {
            workload: Workload {
                version: template.map(version).unwrap_or_default(),
                replicas: spec.map_or(0, |spec| number(spec.replicas).unwrap_or(1)),
                ready: number(status.and_then(|status| status.ready_replicas)).unwrap_or_default(),
                updating: observed < deployment.metadata.generation || new.unwrap_or(0) < all.unwrap_or(0),
                // What its pods say.
                trouble: None,
            },
            labels: metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default(),
            is_paused: spec.and_then(|spec| spec.paused).unwrap_or_default(),
        }
    }
}

/// Version of a pod template: what its annotation says, otherwise a digest of the names and the images of its containers.
fn version(template: &PodTemplateSpec) -> String {
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    if let Some(version) = annotations.and_then(|annotations| annotations.get(VERSION)) {
        return version.clone();
    }
    let Some(spec) = &template.spec else { return String::new() };
    let pair = |container: &Container| {
        format!("{}\n{}\n", container.name, container.image.as_deref().unwrap_or_default())
    };
    let mut pairs: Vec<String> =
        spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(pair).collect();
    pairs.sort();
    let digest = Sha256::digest(pairs.concat().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(DIGITS).collect()
}

/// The selector of a Service.
pub(super) fn selector(service: &Service) -> Selector {
    service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default()
}

/// Whether these labels are among those.
pub(super) fn covers(asked: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    asked.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Labels for a sentence.
pub(super) fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "empty".to_owned() } else { pairs.join(",") }
}

// === impl Found ===

impl Found<'_> {
    /// As steering sees them. A Deployment that is not there has no replicas, and a version that no other one has.
    pub(super) fn workloads(&self) -> Workloads {
        let of = |seen: Option<&Seen>, name: &str| match seen {
            Some(seen) if seen.workload.is_settled() => seen.workload.clone(),
            Some(seen) => Workload {
                trouble: pods::trouble(self.pods, self.namespace, &seen.labels),
                ..seen.workload.clone()
            },
            None => Workload { version: format!("no Deployment {name}"), ..Workload::default() },
        };
        Workloads { stable: of(self.stable, &self.names.stable), canary: of(self.canary, &self.names.canary) }
    }

    /// What is missing for a release, each as a sentence.
    pub(super) fn obstacles(&self) -> Vec<String> {
        let Workloads { stable, canary } = self.workloads();
        // A canary that has nothing new may be scaled to 0 between two releases. Another controller scales it, and says which pods
        // its Services have.
        let is_own = self.names.held_by.is_none();
        let must_run = is_own && stable.version != canary.version;
        let mut obstacles = Vec::new();
        obstacles.extend(self.lacks(self.stable, &self.names.stable, true));
        obstacles.extend(self.lacks(self.canary, &self.names.canary, must_run));
        let (namespace, name) = (self.namespace, &self.names.service);
        let Some(selector) = self.service else {
            obstacles.push(format!("there is no Service {namespace}/{name}"));
            return obstacles;
        };
        for (seen, deployment) in [(self.stable, &self.names.stable), (self.canary, &self.names.canary)] {
            if is_own && seen.is_some_and(|seen| selector.is_empty() || !covers(selector, &seen.labels)) {
                obstacles.push(format!(
                    "the Service {namespace}/{name} does not select the pods of {deployment}: its selector is {}",
                    shown(selector)
                ));
            }
        }
        obstacles
    }

    fn lacks(&self, seen: Option<&Seen>, name: &str, must_run: bool) -> Option<String> {
        let deployment = format!("Deployment {}/{name}", self.namespace);
        let Some(seen) = seen else { return Some(format!("there is no {deployment}")) };
        if seen.is_paused {
            return Some(format!("the {deployment} is paused, so its pods do not change; resume it"));
        }
        (must_run && seen.workload.replicas == 0)
            .then(|| format!("the {deployment} wants no replica; scale it up"))
    }
}

/// Gives stable the canary's pod template, which must have this version.
///
/// Stable keeps the labels of its pods, which say what they are: its selector and the subsets go by them. Everything else is
/// the canary's. It is written at the version that it was read at, so nobody's change in between is undone.
pub(super) async fn copy_to_stable(
    client: &kube::Client,
    namespace: &str,
    names: &WorkloadNames,
    wanted: &str,
) -> Result<(), String> {
    // As they are: a field that is newer than this server is kept.
    let resource = ApiResource::erase::<Deployment>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let canary = read(&api, namespace, &names.canary).await?;
    let mut template = template(&canary)?;
    let runs = version_of(&template)?;
    if runs != wanted {
        return Err(format!("the canary runs version {runs} now, and {wanted} was judged"));
    }
    let mut stable = read(&api, namespace, &names.stable).await?;
    let before = self::template(&stable)?;
    if version_of(&before)? == wanted {
        return Ok(());
    }
    let labels = before.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let metadata = template.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.ok_or_else(|| format!("the pods of {} have no labels", names.canary))?;
    metadata.insert("labels".to_owned(), labels);
    let place = stable.data.pointer_mut("/spec/template");
    *place.ok_or_else(|| format!("{} has no pod template", names.stable))? = template;
    let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    api.replace(&names.stable, &parameters, &stable).await.map_err(|error| sentence(&error))?;
    tracing::info!(
        "{namespace}/{} gets the pod template of {}, version {wanted}",
        names.stable,
        names.canary
    );
    Ok(())
}

/// Scales the canary to 0 if it still runs stable's version.
pub(super) async fn scale_down_canary(
    client: &kube::Client,
    namespace: &str,
    names: &WorkloadNames,
) -> Result<(), String> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let read = async |name: &str| api.get(name).await.map_err(|error| sentence(&error));
    let (stable, canary) = (read(&names.stable).await?, read(&names.canary).await?);
    let seen = Seen::of(&canary).workload;
    if seen.replicas == 0 {
        return Ok(());
    }
    if seen.version != Seen::of(&stable).workload.version {
        return Err(format!("it runs another version than stable by now, {}", seen.version));
    }
    let version = canary.metadata.resource_version;
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": 0}});
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let scaled = api.patch_scale(&names.canary, &parameters, &Patch::Merge(&patch)).await;
    scaled.map_err(|error| sentence(&error))?;
    tracing::info!("{namespace}/{} is scaled to 0", names.canary);
    Ok(())
}

async fn read(api: &Api<DynamicObject>, namespace: &str, name: &str) -> Result<DynamicObject, String> {
    let found = api.get_opt(name).await.map_err(|error| sentence(&error))?;
    found.ok_or_else(|| format!("there is no Deployment {namespace}/{name}"))
}

fn template(deployment: &DynamicObject) -> Result<Value, String> {
    let template = deployment.data.pointer("/spec/template").cloned();
    template.ok_or_else(|| "a Deployment has no pod template".to_owned())
}

fn version_of(value: &Value) -> Result<String, String> {
    let template: PodTemplateSpec = serde_json::from_value(value.clone())
        .map_err(|error| format!("the pod template cannot be read: {error}"))?;
    Ok(version(&template))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(name: &str, image: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": name, "generation": 2},
            "spec": {
                "replicas": 4, "selector": {"matchLabels": {"app": "checkout", "version": name}},
                "template": {
                    "metadata": {"labels": {"app": "checkout", "version": name}},
                    "spec": {"containers": [{"name": "checkout", "image": image}]}
                }
            },
            "status": {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4, "readyReplicas": 3}
        }))
        .unwrap()
    }

    fn seen(name: &str, image: &str) -> Seen {
        Seen::of(&deployment(name, image))
    }

    fn names() -> WorkloadNames {
        let [service, stable, canary] = ["checkout", "stable", "canary"].map(str::to_owned);
        WorkloadNames { service, stable, canary, ..WorkloadNames::default() }
    }

    fn obstacles(stable: Option<&Seen>, canary: Option<&Seen>, service: Option<&Selector>) -> Vec<String> {
        Found { namespace: "shop", names: &names(), stable, canary, service, pods: &Watched::of([]) }
            .obstacles()
    }

    #[test]
    fn a_version_is_that_of_the_images_or_what_the_annotation_says() {
        let version = |deployment: &Deployment| Seen::of(deployment).workload.version;
        let one = deployment("stable", "shop:1");
        assert_eq!(version(&one), version(&deployment("canary", "shop:1")));
        assert_ne!(version(&one), version(&deployment("canary", "shop:2")));
        assert_eq!(version(&one), "076a77c9e4e7", "it is recorded, and must stay what it is");
        let mut configured = one.clone();
        let template = &mut configured.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().termination_grace_period_seconds = Some(7);
        assert_eq!(version(&configured), version(&one));
        let template = &mut configured.spec.as_mut().unwrap().template;
        let annotations = BTreeMap::from([(VERSION.to_owned(), "v7".to_owned())]);
        template.metadata.as_mut().unwrap().annotations = Some(annotations);
        assert_eq!(version(&configured), "v7");
    }

    #[test]
    fn a_deployment_is_updating_until_every_pod_has_its_template() {
        let mut deployment = deployment("stable", "shop:1");
        let workload = |deployment: &Deployment| Seen::of(deployment).workload;
        assert_eq!((workload(&deployment).ready, workload(&deployment).updating), (3, false));
        deployment.status.as_mut().unwrap().updated_replicas = Some(3);
        assert!(workload(&deployment).updating);
        deployment.status.as_mut().unwrap().updated_replicas = Some(4);
        deployment.metadata.generation = Some(3);
        assert!(workload(&deployment).updating, "the controller has not seen it yet");
        deployment.status = None;
        deployment.spec.as_mut().unwrap().replicas = None;
        assert_eq!((workload(&deployment).ready, workload(&deployment).replicas), (0, 1));
    }

    #[test]
    fn what_is_missing_is_said() {
        let (stable, canary) = (seen("stable", "shop:1"), seen("canary", "shop:2"));
        let service = Selector::from([("app".to_owned(), "checkout".to_owned())]);
        assert_eq!(obstacles(Some(&stable), Some(&canary), Some(&service)), [""; 0]);
        assert_eq!(
            obstacles(None, None, None),
            [
                "there is no Deployment shop/stable",
                "there is no Deployment shop/canary",
                "there is no Service shop/checkout",
            ]
        );
        let narrow = Selector::from([("version".to_owned(), "stable".to_owned())]);
        assert_eq!(
            obstacles(Some(&stable), Some(&canary), Some(&narrow)),
            ["the Service shop/checkout does not select the pods of canary: its selector is version=stable"]
        );
        let mut scaled = canary.clone();
        scaled.workload.replicas = 0;
        assert_eq!(
            obstacles(Some(&stable), Some(&scaled), Some(&service)),
            ["the Deployment shop/canary wants no replica; scale it up"]
        );
        scaled.workload.version.clone_from(&stable.workload.version);
        assert_eq!(obstacles(Some(&stable), Some(&scaled), Some(&service)), [""; 0], "nothing is new");
        let paused = Seen { is_paused: true, ..canary };
        assert_eq!(
            obstacles(Some(&stable), Some(&paused), Some(&service)),
            ["the Deployment shop/canary is paused, so its pods do not change; resume it"]
        );
    }

    #[test]
    fn a_deployment_that_is_not_there_has_no_replicas_and_no_version_of_another() {
        let stable = seen("stable", "shop:1");
        let (names, pods) = (names(), Watched::of([]));
        let stable = Some(&stable);
        let found =
            Found { namespace: "shop", names: &names, stable, canary: None, service: None, pods: &pods };
        let canary = found.workloads().canary;
        assert_eq!((canary.version.as_str(), canary.ready, canary.replicas), ("no Deployment canary", 0, 0));
    }
}
