//! What only a real API of Kubernetes shows: `make test-kubernetes` starts one.

use std::process::Command;
use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use serde_json::json;

use super::*;
use crate::kubernetes::{CanaryRolloutSpec, FINALIZER, definition};
use crate::rollout::Record;
use crate::store::contract;

/// The longest that a call may take while the API does not answer.
const AT_MOST: Duration = Duration::from_secs(16);

pub(crate) fn address(namespace: &str) -> ApiAddress {
    let kubeconfig = std::env::var("COALMINE_TEST_KUBECONFIG").unwrap().into();
    ApiAddress { namespace: Some(namespace.to_owned()), kubeconfig: Some(kubeconfig) }
}

/// A store of its own namespace in a cluster without rollouts.
async fn opened(namespace: &str) -> Kubernetes {
    prepare(namespace).await;
    Kubernetes::open(&address(namespace), None).await.unwrap()
}

/// A namespace, and a cluster that knows rollouts and has none.
pub(crate) async fn prepare(namespace: &str) {
    let client = address(namespace).connect().await.unwrap().client;
    let apply = PatchParams::apply("test").force();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = "canaryrollouts.coalmine.dev";
    definitions.patch(name, &apply, &Patch::Apply(definition())).await.unwrap();
    await_condition(definitions, name, is_crd_established()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in [namespace, "shop", "bank"] {
        let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        namespaces.patch(name, &apply, &Patch::Apply(&wanted)).await.unwrap();
    }
    let (rollouts, all) = (Api::<CanaryRollout>::all(client.clone()), ListParams::default());
    // A definition that is new has no storage for a moment.
    until("rollouts can be listed", async || rollouts.list(&all).await.is_ok()).await;
    for left in rollouts.list(&all).await.unwrap() {
        let api: Api<CanaryRollout> = Api::namespaced(client.clone(), &left.namespace().unwrap());
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        api.patch(&left.name_any(), &PatchParams::default(), &free).await.unwrap();
        let _ = api.delete(&left.name_any(), &DeleteParams::default()).await;
    }
}

/// Starts or stops the API.
fn api(how: &str) {
    let command = std::env::var(format!("COALMINE_TEST_API_{how}")).unwrap();
    assert!(Command::new("bash").arg("-c").arg(&command).status().unwrap().success(), "{command}");
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn spec() -> CanaryRolloutSpec {
    object::spec_of(contract::WRITTEN).unwrap()
}

/// An object as Git or a person writes it.
async fn applied(store: &Kubernetes, of: &str, spec: CanaryRolloutSpec) -> CanaryRollout {
    let name = name(of);
    let object = CanaryRollout::new(name.name(), spec);
    let by = PostParams { field_manager: Some("argocd-controller".to_owned()), ..PostParams::default() };
    store.inner.rollouts(&name).create(&by, &object).await.unwrap()
}

#[test]
fn what_the_api_says_is_told_by_its_reason_and_not_by_names() {
    let said = |code: u16, reason: &str, kind: &str, message: &str| {
        let status = json!({
            "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
            "details": {"kind": kind},
        });
        let status: kube::core::Status = serde_json::from_value(status).unwrap();
        told(Trouble::Said(kube::Error::Api(status.boxed())))
    };
    for (code, reason) in [(409, "Conflict"), (409, "AlreadyExists"), (404, "NotFound")] {
        let told = said(code, reason, "canaryrollouts", "about \"namespace-sync\"");
        assert!(matches!(told, StoreError::Moved), "{told:?}");
    }
    let told = said(404, "NotFound", "namespaces", "namespaces \"nowhere\" not found");
    assert!(matches!(told, StoreError::Refused(_)), "{told:?}");
    let told = said(404, "", "", "404 page not found");
    assert!(matches!(told, StoreError::Away(_)), "{told:?}");
    let told = said(403, "Forbidden", "configmaps", "exceeded quota: small");
    assert!(matches!(told, StoreError::Full(_)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn it_does_what_every_store_must() {
    contract::holds(Arc::new(opened("contract").await)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn one_of_several_that_race_wins() {
    let mut servers: Vec<Arc<dyn Store>> = vec![Arc::new(opened("raced").await)];
    for _ in 0..3 {
        servers.push(Arc::new(Kubernetes::open(&address("raced"), None).await.unwrap()));
    }
    contract::races(&servers, contract::how_often()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn what_is_written_is_there_when_it_is_opened_again() {
    let store = opened("again").await;
    contract::step(&store, "shop/again").await.unwrap();
    contract::step(&store, "shop/again").await.unwrap();
    contract::publish_next(&store, contract::FLEET).await;
    let again = Kubernetes::open(&address("again"), None).await.unwrap();
    assert_eq!(contract::whole(&again, "shop/again").await, 2);
    assert_eq!(again.records().await.unwrap(), store.records().await.unwrap());
    let known = store.publications(contract::FLEET).await.unwrap();
    assert!(known.latest.is_some());
    assert_eq!(again.publications(contract::FLEET).await.unwrap(), known);
    assert_eq!(again.lines(0, 99).await.unwrap(), store.lines(0, 99).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn what_git_writes_is_an_intent_until_it_is_accepted() {
    let store = opened("intents").await;
    applied(&store, "shop/git", spec()).await;
    until("the object is seen", async || !store.intents().is_empty()).await;
    assert_eq!(store.record(&name("shop/git")).await.unwrap(), None);
    assert!(store.versions().await.unwrap().is_empty());
    // What is not accepted stands in nobody's way.
    store.publish(&contract::publication(1), &Versions::new()).await.unwrap();
    let intent = store.intents().remove(0);
    assert_eq!((intent.by.as_str(), &intent.refused), ("argocd-controller", &None));
    store.answer_intent(&intent, Some("no such header"), 5).await.unwrap();
    assert_eq!(store.intents().remove(0).refused.as_deref(), Some("no such header"));
    let mut change = contract::new("shop/git");
    change.record.written = intent.written.unwrap();
    store.commit(change).await.unwrap();
    assert_eq!(store.intents(), []);
    let kept = store.inner.rollouts(&name("shop/git")).get("git").await.unwrap();
    assert_eq!(kept.finalizers(), [FINALIZER]);
    let status = kept.status.unwrap();
    let accepted = status.conditions.iter().find(|it| it.r#type == "Accepted").unwrap();
    assert_eq!((accepted.status.as_str(), status.observed_generation), ("True", kept.metadata.generation));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn a_deleted_object_stays_until_its_record_is_removed() {
    let store = opened("deleted").await;
    let of = name("shop/deleted");
    let mut change = contract::new("shop/deleted");
    change.record.state.weight = 50_000;
    store.commit(change).await.unwrap();
    let objects = store.inner.rollouts(&of);
    objects.delete("deleted", &DeleteParams::default()).await.unwrap();
    until("the deletion is seen", async || store.intents().iter().any(|it| it.written.is_none())).await;
    let stored = store.record(&of).await.unwrap().unwrap();
    let mut record = stored.record;
    record.deleted = true;
    let change = Change { record, expected: stored.version, ..contract::new("shop/deleted") };
    let version = store.commit(change.clone()).await.unwrap();
    assert_eq!(store.intents(), [], "it is on its way");
    // Written anew while it goes: not before it is gone.
    let record = Record { deleted: false, ..change.record };
    let again = Change { record, expected: version, ..contract::new("shop/deleted") };
    assert!(
        matches!(store.commit(again).await, Err(StoreError::Refused(why)) if why.contains("being deleted"))
    );
    store.remove(&of, version).await.unwrap();
    assert_eq!(store.record(&of).await.unwrap(), None);
    assert!(objects.get_opt("deleted").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn of_one_namespace_it_keeps_those_rollouts_alone() {
    let every = opened("alone").await;
    contract::step(&every, "bank/alone").await.unwrap();
    contract::step(&every, "shop/alone").await.unwrap();
    let one = Kubernetes::open(&address("alone"), Some("shop")).await.unwrap();
    let known: Vec<_> = one.versions().await.unwrap().into_keys().collect();
    assert_eq!(known, [name("shop/alone")]);
    contract::step(&one, "shop/alone").await.unwrap();
    one.publish(&contract::publication(1), &one.versions().await.unwrap()).await.unwrap();
    match one.commit(contract::new("bank/other")).await {
        Err(StoreError::Refused(said)) => {
            assert_eq!(said, "this server has the rollouts of the namespace shop alone")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn what_the_definition_refuses_is_told() {
    let store = opened("refused").await;
    for (written, why) in [
        ("policy: {}\nplan: {}", "workloads"),
        (&format!("{}weights: {{canary: 5}}\n", contract::WRITTEN), "keep one"),
        (&contract::WRITTEN.replace("plan: {}\n", ""), "keep one"),
        (&contract::WRITTEN.replace("plan: {}", "weights: {canary: 500}"), "100"),
    ] {
        let mut change = contract::new("shop/refused");
        written.clone_into(&mut change.record.written);
        match store.commit(change).await {
            Err(StoreError::Refused(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{written}: {other:?}"),
        }
    }
    // Every field of the workloads, of which the API would drop what the definition does not know.
    let held = "workloads: {service: checkout, heldBy: {rollout: checkout}}";
    let both = contract::WRITTEN.replace("}}\n", "}, heldBy: {flagger: checkout}}\n");
    let (policy, _) = contract::WRITTEN.split_once("workloads:").unwrap();
    for (number, written) in [both, format!("{policy}{held}\n")].into_iter().enumerate() {
        let of = format!("shop/held-{number}");
        let mut change = contract::new(&of);
        change.record.written = written.clone();
        store.commit(change).await.unwrap();
        let kept = store.inner.rollouts(&name(&of)).get(name(&of).name()).await.unwrap();
        assert!(kept.spec.is_same(&object::spec_of(&written).unwrap()), "{:?}", kept.spec);
    }
    // What the API takes as the name of an object, and no rollout has.
    let dotted = CanaryRollout::new("checkout.v2", spec());
    let refused = store.inner.rollouts(&name("shop/any")).create(&PostParams::default(), &dotted).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("the name of a rollout has at most 63 characters, and no dot"), "{said}");
    match store.commit(contract::new("nowhere/refused")).await {
        Err(StoreError::Refused(said)) => assert!(said.contains("nowhere"), "{said}"),
        other => panic!("{other:?}"),
    }
}

/// Written by a release that knew no history, no releases and no conditions, and by one that knows more.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn an_object_of_another_release_is_read() {
    let store = opened("older").await;
    let record = serde_json::to_string(&contract::new("shop/older").record).unwrap();
    applied(&store, "shop/older", spec()).await;
    let status = json!({"status": {"record": record}});
    let objects = store.inner.rollouts(&name("shop/older"));
    objects.patch_status("older", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    until("the record is seen", async || store.record(&name("shop/older")).await.unwrap().is_some()).await;
    contract::step(&store, "shop/older").await.unwrap();
    assert_eq!(contract::whole(&store, "shop/older").await, 1);
    let newer =
        json!({"metadata": {"name": "x", "namespace": "shop"}, "spec": {"lane": 1}, "status": {"lane": 2}});
    let newer: CanaryRollout = serde_json::from_value(newer).unwrap();
    assert!(object::Kept::new(newer, None).is_unaccepted());
}

/// It takes the API away from all others: these tests run one after the other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn it_recovers_when_the_api_is_back() {
    let store = opened("back").await;
    contract::step(&store, "shop/back").await.unwrap();
    api("STOP");
    until("the API is missed", async || matches!(store.counter().await, Err(StoreError::Away(_)))).await;
    let begin = Instant::now();
    let error = contract::step(&store, "shop/back").await.unwrap_err();
    assert!(matches!(error, StoreError::Away(_)), "{error:?}");
    assert!(begin.elapsed() < AT_MOST, "{:?}", begin.elapsed());
    eprintln!("after {:?}: {error}", begin.elapsed());
    assert!(matches!(Kubernetes::open(&address("back"), None).await, Err(StoreError::Away(_))));
    api("START");
    until("it answers again", async || store.counter().await.is_ok()).await;
    contract::step(&store, "shop/back").await.unwrap();
    assert_eq!(contract::whole(&store, "shop/back").await, 2);
    let other = Kubernetes::open(&address("back"), None).await.unwrap();
    let before = store.counter().await.unwrap();
    contract::step(&other, "shop/back").await.unwrap();
    until("what another server writes is seen", async || contract::steps(&store, "shop/back").await == 3)
        .await;
    assert!(store.counter().await.unwrap() > before);
}
