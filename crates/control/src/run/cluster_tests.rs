//! A server whose rollouts are objects of a cluster, on a real API of Kubernetes: `make test-kubernetes` starts one.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::tests::config;
use super::*;
use crate::kubernetes::CanaryRollout;
use crate::store::kubernetes::tests::{address, prepare, until};

const PLUGIN: &str = "served";

/// The document of the policy in the plugin.
async fn policy(plugins: &Api<DynamicObject>) -> Value {
    let plugin = plugins.get(PLUGIN).await.unwrap();
    plugin.data.pointer("/spec/wasm/pluginConfig").cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn kubernetes_has_a_whole_release() {
    prepare("served").await;
    let kubernetes = address("served").connect().await.unwrap().client;
    let apply = PatchParams::apply("argocd").force();
    let gvk = GroupVersionKind::gvk("extensions.istio.io", "v1alpha1", "TrafficExtension");
    let plugins = ApiResource::from_gvk_with_plural(&gvk, "trafficextensions");
    let plugins: Api<DynamicObject> = Api::namespaced_with(kubernetes.clone(), "default", &plugins);
    let plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension", "metadata": {"name": PLUGIN},
        "spec": {"phase": "AUTHZ", "wasm": {"url": "oci://registry/coalmine:1"}},
    });
    plugins.patch(PLUGIN, &apply, &Patch::Apply(&plugin)).await.unwrap();
    let rollouts: Api<CanaryRollout> = Api::namespaced(kubernetes, "shop");
    let rollout = |header: &str| {
        json!({
            "apiVersion": "coalmine.dev/v1alpha1", "kind": "CanaryRollout", "metadata": {"name": "checkout"},
            "spec": {
                "workloads": {
                    "service": "checkout", "stable": {"deployment": "checkout"}, "canary": {"deployment": "checkout-canary"},
                },
                "policy": {"match": {"hosts": ["checkout.shop"]}, "identity": [{"header": header}], "variants": [{"name": "canary"}]},
                "plan": {"start": "manual", "promote": "manual", "steps": [50]},
            },
        })
    };
    rollouts.patch("checkout", &apply, &Patch::Apply(&rollout("x-user"))).await.unwrap();

    let ready = Ready::new(config(&format!(
        "{{listen: '127.0.0.1:0', admin: '127.0.0.1:0', tick: 1s, store: {{kubernetes: {{namespace: served, \
         kubeconfig: '{}'}}}}, plugins: [{{kind: TrafficExtension, namespace: default, name: {PLUGIN}}}]}}",
        std::env::var("COALMINE_TEST_KUBECONFIG").unwrap()
    )))
    .await
    .unwrap();
    let url = format!("http://{}/v1/rollouts/shop/checkout", ready.address().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(ready.run(async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let say = async |verb: &str| client.post(format!("{url}/{verb}")).send().await.unwrap().status().as_u16();
    let weight = async || {
        let policy = policy(&plugins).await;
        policy.pointer("/rollouts/0/variants/0/weight").and_then(Value::as_f64)
    };
    until("Git's rollout is accepted", async || client.get(&url).send().await.unwrap().status() == 200).await;
    until("the plugin has it", async || weight().await == Some(0.0)).await;
    assert_eq!(say("start").await, 202);
    until("the plugin has the first step", async || weight().await == Some(50.0)).await;

    // What Git has and the server does not accept changes nothing, and says so.
    let mut refused = rollout("x-user");
    refused["spec"]["policy"]["identity"] = json!([{"heder": "x-user"}]);
    rollouts.patch("checkout", &apply, &Patch::Apply(&refused)).await.unwrap();
    let accepted = async || {
        let status = rollouts.get("checkout").await.unwrap().status.unwrap();
        status.conditions.into_iter().find(|it| it.r#type == "Accepted").unwrap()
    };
    until("the status says what is wrong", async || accepted().await.message.contains("heder")).await;
    assert_eq!(weight().await, Some(50.0));
    rollouts.patch("checkout", &apply, &Patch::Apply(&rollout("x-user"))).await.unwrap();
    until("it is accepted again", async || accepted().await.status == "True").await;

    let release = async || {
        let answer = client.get(format!("{url}/releases/1")).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    until("it is promoted", async || {
        say("promote").await;
        release().await["outcome"] == "Promoted"
    })
    .await;
    until("everybody is on stable, the new version", async || weight().await == Some(0.0)).await;
    let object = rollouts.get("checkout").await.unwrap();
    let author = object.status.unwrap().history.first().unwrap().by.clone();
    assert_eq!(author.as_deref(), Some("argocd"));

    // Deleted with users on the canary: they go to stable first.
    assert_eq!(say("start").await, 202);
    until("there are users on the canary", async || weight().await == Some(50.0)).await;
    rollouts.delete("checkout", &kube::api::DeleteParams::default()).await.unwrap();
    until("the object is gone", async || rollouts.get_opt("checkout").await.unwrap().is_none()).await;
    until("the plugin has no rollout", async || {
        policy(&plugins).await["rollouts"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    assert!(plugins.get(PLUGIN).await.unwrap().annotations().contains_key("coalmine.dev/revision"));
    drop(stop);
    running.await.unwrap();
}
