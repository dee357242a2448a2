//! What history records, as Events of the cluster: `kubectl describe` shows them with the rollout.

use std::sync::Arc;
use std::time::Duration;

use coalmine_steer::What;
use coalmine_steer::text::percent;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::{MANAGER, sentence};
use crate::ending::Ending;
use crate::rollout::Name;
use crate::server::Server;
use crate::store::Recorded;

/// How many lines are read at a time.
const LINES: u32 = 100;
/// How long the API may take for one.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a store that does not answer is left alone.
const RETRY: Duration = Duration::from_secs(5);
/// The most characters that an Event takes.
const MAX_NOTE: usize = 1_000;
const MAX_ACTION: usize = 128;

/// Makes Events of history, of what is recorded from now on, until the server ends. Nothing waits for it, and what the API does
/// not take is not said again: history has it. Of several servers, the one that ticks does it.
pub async fn record_always(server: Arc<Server>, client: Client, mut ending: Ending) {
    tokio::select! {
        () = record(server, client) => {}
        () = ending.comes() => {}
    }
}

async fn record(server: Arc<Server>, client: Client) {
    let instance = std::env::var("HOSTNAME").ok();
    let recorder = Recorder::new(client.clone(), Reporter { controller: MANAGER.to_owned(), instance });
    let mut recorded = server.recorded();
    let mut position = None;
    let mut trouble = None;
    loop {
        recorded.mark_unchanged();
        let lines = match position {
            None => server.store().last_line().await.map(|last| {
                position = Some(last);
                Vec::new()
            }),
            Some(after) => server.store().lines(after, LINES).await,
        };
        match lines {
            Ok(lines) if lines.is_empty() => {
                if recorded.changed().await.is_err() {
                    return;
                }
            }
            Ok(lines) => {
                for line in lines {
                    position = Some(line.position);
                    if !server.view().leads {
                        continue;
                    }
                    let told = tell(&server, &client, &recorder, &line).await.err();
                    if let Some(why) = told.as_ref().filter(|_| told != trouble) {
                        tracing::warn!(rollout = %line.rollout, "the cluster takes no Events: {why}");
                    }
                    trouble = told;
                }
            }
            // The server says that the store is away.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn tell(server: &Server, client: &Client, recorder: &Recorder, line: &Recorded) -> Result<(), String> {
    let told = async {
        let Some(regarding) = regarding(server, client, &line.rollout).await? else { return Ok(()) };
        recorder.publish(&event(line), &regarding).await.map_err(|error| sentence(&error))
    };
    let told = tokio::time::timeout(WITHIN, told).await;
    told.unwrap_or_else(|_| Err("the Kubernetes API does not answer in time".to_owned()))
}

/// The object that a rollout's Events are of: its custom resource, or where there is none the canary's Deployment.
async fn regarding(server: &Server, client: &Client, name: &Name) -> Result<Option<ObjectReference>, String> {
    let rollout = ApiResource::from_gvk(&GroupVersionKind::gvk("coalmine.dev", "v1alpha1", "CanaryRollout"));
    let snapshot = server.snapshot().await.map_err(|error| error.to_string())?;
    let spec = snapshot.rollouts.get(name).and_then(|parsed| parsed.spec.as_ref().ok());
    let canary = spec.and_then(|spec| spec.workloads.as_ref()).map(|workloads| workloads.canary.clone());
    let canary = canary.filter(|canary| !canary.is_empty());
    let deployment = ApiResource::erase::<Deployment>(&());
    let candidates = [(rollout, Some(name.name().to_owned())), (deployment, canary)];
    for (resource, object) in candidates {
        let Some(object) = object else { continue };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), name.namespace(), &resource);
        let found = match api.get_metadata(&object).await {
            Ok(found) => Some(found),
            // Neither the object nor, perhaps, its kind.
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => return Err(sentence(&error)),
        };
        if let Some(found) = found {
            return Ok(Some(ObjectReference {
                api_version: Some(resource.api_version),
                kind: Some(resource.kind),
                namespace: Some(name.namespace().to_owned()),
                name: Some(object),
                uid: found.metadata.uid,
                ..ObjectReference::default()
            }));
        }
    }
    Ok(None)
}

fn event(line: &Recorded) -> Event {
    let logged = &line.logged;
    let by = logged.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    let note = format!("{} (canary {} %{by})", logged.why, percent(logged.weight));
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let (reason, type_) = match logged.what {
        What::Started => ("Started", EventType::Normal),
        What::Advanced => ("Advanced", EventType::Normal),
        What::Lowered => ("Lowered", EventType::Normal),
        What::RollsBack => ("RollsBack", EventType::Warning),
        What::RolledBack => ("RolledBack", EventType::Warning),
        What::Promotes => ("Promotes", EventType::Normal),
        What::Promoted => ("Promoted", EventType::Normal),
        What::Superseded => ("Superseded", EventType::Normal),
        What::NewLife => ("EvidenceAnew", EventType::Normal),
        What::PolicyChanged => ("PolicyChanged", EventType::Normal),
        What::Verb => ("Verb", EventType::Normal),
    };
    Event {
        type_,
        reason: reason.to_owned(),
        // Events of one reason and one action become one, with a count: only those that say the same are the same.
        action: cut(&note, MAX_ACTION),
        note: Some(cut(&note, MAX_NOTE)),
        secondary: None,
    }
}
