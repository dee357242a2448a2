//! Most of it on a real API of Kubernetes, with Istio's own definitions: `make test-kubernetes` starts one.

use super::*;
use crate::kubernetes::ApiAddress;
use crate::kubernetes::fake::Fake;
use crate::store::contract::publication;

/// A server, and another one.
const ONE: Option<&str> = Some("one");
const TWO: Option<&str> = Some("two");

#[tokio::test]
async fn a_plugin_has_one_server() {
    let fake = Fake::default();
    let kind = PluginKind::TrafficExtension;
    let plugin = Plugin { kind, namespace: "mesh".to_owned(), name: "coalmine".to_owned() };
    let path = "/apis/extensions.istio.io/v1alpha1/namespaces/mesh/trafficextensions/coalmine";
    // As a release before this one left it.
    fake.put(
        path,
        json!({
            "metadata": {"name": "coalmine", "namespace": "mesh", "annotations": {REVISION: "7"}},
            "spec": {"wasm": {"pluginConfig": {"revision": 7}}},
        }),
    );
    let client = fake.client();
    assert_eq!(plugin.bring(&client, &publication(7), ONE).await.unwrap(), Brought::Written, "it is taken");
    assert_eq!(plugin.bring(&client, &publication(7), ONE).await.unwrap(), Brought::Same);
    for revision in [6, 7, 8] {
        let brought = plugin.bring(&client, &publication(revision), TWO).await.unwrap();
        assert_eq!(brought, Brought::Anothers("one".to_owned()));
    }
    let object = plugin.api(&client).get("coalmine").await.unwrap();
    assert_eq!(plugin.policy(&object), Some(&json!({"revision": 7})));
    assert_eq!(object.annotations()[SERVER], "one");
    assert!(
        plugin.anothers("one").ends_with(
            "run: kubectl annotate trafficextensions --namespace mesh coalmine coalmine.dev/server-"
        )
    );
    assert_eq!(plugin.bring(&client, &publication(8), None).await.unwrap(), Brought::Written, "uninstall");
}

async fn client() -> Client {
    let kubeconfig = std::env::var("COALMINE_TEST_KUBECONFIG").unwrap().into();
    let address = ApiAddress { namespace: Some("plugins".to_owned()), kubeconfig: Some(kubeconfig) };
    address.connect().await.unwrap().client
}

/// A plugin as an operator writes it.
async fn applied(client: &Client, kind: PluginKind, name: &str) -> Plugin {
    let plugin = Plugin { kind, namespace: "default".to_owned(), name: name.to_owned() };
    let filter = json!({"url": "oci://registry/coalmine:1", "failStrategy": "FAIL_OPEN"});
    let spec = match kind {
        PluginKind::TrafficExtension => json!({"phase": "AUTHZ", "wasm": filter}),
        PluginKind::WasmPlugin => filter,
    };
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind.to_string(), "metadata": {"name": name}, "spec": spec,
    });
    let apply = PatchParams::apply("operator").force();
    plugin.api(client).patch(name, &apply, &Patch::Apply(&object)).await.unwrap();
    plugin
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn a_plugin_gets_its_policy_and_keeps_the_rest() {
    let client = client().await;
    for kind in [PluginKind::TrafficExtension, PluginKind::WasmPlugin] {
        let plugin = applied(&client, kind, "written").await;
        assert_eq!(plugin.bring(&client, &publication(7), ONE).await.unwrap(), Brought::Written);
        assert_eq!(plugin.bring(&client, &publication(7), ONE).await.unwrap(), Brought::Same);
        assert_eq!(plugin.bring(&client, &publication(6), ONE).await.unwrap(), Brought::Newer(7));
        assert_eq!(plugin.bring(&client, &publication(8), ONE).await.unwrap(), Brought::Written);
        let object = plugin.api(&client).get("written").await.unwrap();
        assert_eq!(plugin.policy(&object), Some(&json!({"revision": 8})));
        assert_eq!(object.annotations()[REVISION], "8");
        // The operator applies the same again: nothing of the policy is lost.
        applied(&client, kind, "written").await;
        let object = plugin.api(&client).get("written").await.unwrap();
        assert_eq!(plugin.policy(&object), Some(&json!({"revision": 8})));
        assert_eq!(plugin.bring(&client, &publication(8), ONE).await.unwrap(), Brought::Same);
        let anothers = Brought::Anothers("one".to_owned());
        assert_eq!(plugin.bring(&client, &publication(9), TWO).await.unwrap(), anothers);
        // What takes Coalmine out writes it all the same, and the next server may have it.
        assert_eq!(plugin.bring(&client, &publication(9), None).await.unwrap(), Brought::Written);
        assert_eq!(plugin.bring(&client, &publication(10), TWO).await.unwrap(), Brought::Written);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn an_edit_by_hand_is_put_back() {
    let client = client().await;
    let plugin = applied(&client, PluginKind::TrafficExtension, "edited").await;
    plugin.bring(&client, &publication(7), ONE).await.unwrap();
    for edit in [json!({"revision": 5}), json!({"rollouts": [{"name": "mine"}]}), json!({"revision": null})] {
        let edit = json!({"spec": {"wasm": {"pluginConfig": edit}}});
        let by = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        plugin.api(&client).patch("edited", &by, &Patch::Merge(&edit)).await.unwrap();
        assert_eq!(plugin.bring(&client, &publication(7), ONE).await.unwrap(), Brought::PutBack);
        let object = plugin.api(&client).get("edited").await.unwrap();
        assert_eq!(plugin.policy(&object), Some(&json!({"revision": 7})));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn of_servers_that_write_at_once_the_newest_revision_stays() {
    let client = client().await;
    let plugin = applied(&client, PluginKind::TrafficExtension, "raced").await;
    for round in 0..10 {
        let writing = (1..=4).map(|server| {
            let (client, plugin) = (client.clone(), plugin.clone());
            tokio::spawn(async move { plugin.bring(&client, &publication(round * 4 + server), ONE).await })
        });
        for written in writing.collect::<Vec<_>>() {
            written.await.unwrap().unwrap();
        }
        let object = plugin.api(&client).get("raced").await.unwrap();
        assert_eq!(plugin.policy(&object), Some(&json!({"revision": round * 4 + 4})));
    }
}

#[tokio::test]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
async fn a_plugin_that_is_missing_is_told() {
    let plugin =
        Plugin { kind: PluginKind::WasmPlugin, namespace: "default".to_owned(), name: "nowhere".to_owned() };
    let why = plugin.bring(&client().await, &publication(7), ONE).await.unwrap_err().to_string();
    assert_eq!(why, "it is not there; apply it, and it gets its policy");
}
