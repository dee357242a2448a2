//! On a real Kubernetes API: `tests/kubernetes.sh` starts one. Each test has a namespace of its own in it.

use std::sync::Arc;
use std::time::Duration;

use coalmine_steer::inputs::Workloads;
use coalmine_steer::{Request, Verb};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{Kubernetes, Plugin, Reviews, Settings};
use crate::access::{Deed, Denial, May, Tokens};
use crate::cluster::{Cluster as _, Observed, Sidecars};
use crate::config::{Config as Settled, Surroundings};
use crate::ending::{End, ending};
use crate::fleets::Fleets;
use crate::operations::{self, Asked};
use crate::publish::istio::PluginKind;
use crate::rollout::{Name, Operator, Spec, read_text};
use crate::run::Ready;
use crate::server::Server;
use crate::store::{Address, Sql};

/// The longest that is waited for something.
const WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn client() -> Client {
    crate::tls::choose_provider();
    let path = std::env::var("COALMINE_TEST_KUBECONFIG").unwrap();
    let config = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A namespace with a shop in it, and a server that follows it.
struct Shop {
    client: Client,
    namespace: String,
    cluster: Arc<Kubernetes>,
    spec: Spec,
    _end: End,
}

impl Shop {
    async fn open(namespace: &str, plugins: Vec<Plugin>) -> Self {
        let client = client().await;
        let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
        let plugins = plugins.into_iter().map(|plugin| Plugin { namespace: namespace.to_owned(), ..plugin });
        let plugins = [("default".to_owned(), plugins.collect())].into();
        let settings = Settings { plugins, ..Settings::default() };
        let cluster = Kubernetes::new(client.clone(), settings);
        let (end, ending) = ending();
        tokio::spawn(cluster.clone().follow(ending));
        let spec = spec(namespace);
        Self { client, namespace: namespace.to_owned(), cluster, spec, _end: end }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn deploy(&self, version: &str, image: &str) {
        let name = format!("checkout-{version}");
        let labels = json!({"app": "checkout", "version": version});
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"of": version}},
                    "spec": {"containers": [{"name": "checkout", "image": image}]}
                }
            }
        }));
        self.deployments().create(&PostParams::default(), &deployment.unwrap()).await.unwrap();
    }

    /// The Service, and routes that obey the header.
    async fn serve(&self) {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "checkout"}, "spec": {"selector": {"app": "checkout"}, "ports": [{"port": 80}]}
        }))
        .unwrap();
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        services.create(&PostParams::default(), &service).await.unwrap();
        let to = |subset: &str| json!([{"destination": {"host": "checkout", "subset": subset}}]);
        let is_canary = json!([{"headers": {"x-coalmine-variant": {"exact": "canary"}}}]);
        let host = format!("checkout.{}.svc.cluster.local", self.namespace);
        let http = json!([{"match": is_canary, "route": to("canary")}, {"route": to("stable")}]);
        self.route("VirtualService", json!({"hosts": [host], "http": http})).await;
        let subset = |name: &str| json!({"name": name, "labels": {"version": name}});
        let subsets = json!([subset("stable"), subset("canary")]);
        self.route("DestinationRule", json!({"host": "checkout", "subsets": subsets})).await;
    }

    fn istio(&self, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
        let plural = format!("{}s", kind.kind.to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    async fn route(&self, kind: &str, spec: Value) {
        let object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "checkout"}, "spec": spec
        });
        let parameters = PatchParams::apply("test").force();
        self.istio(kind).patch("checkout", &parameters, &Patch::Apply(&object)).await.unwrap();
    }

    async fn patch(&self, version: &str, patch: Value) {
        let name = format!("checkout-{version}");
        self.deployments().patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Says that all Pods of a Deployment are ready, as a kubelet would.
    async fn get_ready(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        for pod in pods.list(&Default::default()).await.unwrap() {
            let status = json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ]}});
            let name = pod.metadata.name.unwrap();
            // It may be gone by now.
            let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await;
        }
    }

    fn observe(&self) -> Observed {
        let name: Name = format!("{}/checkout", self.namespace).parse().unwrap();
        self.cluster.observe(&name, &self.spec, &Operator::default())
    }

    fn workloads(&self) -> Workloads {
        self.observe().workloads.unwrap_or_default()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Observed) -> bool) -> Observed {
        let waits = async {
            loop {
                self.get_ready().await;
                let observed = self.observe();
                if holds(&observed) {
                    return observed;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(WITHIN, waits).await;
        waited.unwrap_or_else(|_| panic!("{what}: never; at last: {:?}", self.observe()))
    }

    async fn until_settled(&self) -> Workloads {
        let are_settled = |observed: &Observed| {
            let workloads = observed.workloads.as_ref();
            workloads.is_some_and(|it| it.stable.is_settled() && it.canary.is_settled())
        };
        self.until("both are ready", are_settled).await.workloads.unwrap()
    }
}

const TEXT: &str = "
workloads: {service: checkout, stable: {deployment: checkout-stable}, canary: {deployment: checkout-canary}}
policy: {match: {hosts: [checkout.NAMESPACE]}, identity: [{header: x-user}], variants: [{name: canary}]}
plan: {}
";

fn spec(namespace: &str) -> Spec {
    let text = TEXT.replace("NAMESPACE", namespace);
    Spec::of_name(&format!("{namespace}/checkout").parse().unwrap(), &read_text(&text).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn what_is_missing_is_said_until_it_is_there() {
    let shop = Shop::open("missing", Vec::new()).await;
    let all = [
        "there is no Deployment missing/checkout-stable",
        "there is no Deployment missing/checkout-canary",
        "there is no Service missing/checkout",
    ];
    shop.until("nothing is there", |observed| observed.obstacles == all).await;
    shop.deploy("stable", "shop:1").await;
    shop.deploy("canary", "shop:2").await;
    shop.serve().await;
    shop.until("everything is there", |observed| observed.obstacles.is_empty()).await;
    let stable = json!([{"route": [{"destination": {"host": "checkout", "subset": "stable"}}]}]);
    shop.route("VirtualService", json!({"hosts": ["checkout"], "http": stable})).await;
    shop.until("no route obeys", |observed| {
        observed
            .obstacles
            .first()
            .is_some_and(|why| why.starts_with("VirtualService missing/checkout: no route takes"))
    })
    .await;
    shop.patch("canary", json!({"spec": {"paused": true}})).await;
    let paused = "the Deployment missing/checkout-canary is paused, so its pods do not change; resume it";
    shop.until("it is paused", |observed| observed.obstacles == [paused]).await;
    shop.deployments().delete("checkout-canary", &DeleteParams::default()).await.unwrap();
    let observed = shop.until("it is deleted", |observed| observed.obstacles == [all[1]]).await;
    assert_eq!(observed.workloads.unwrap().canary.ready, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn versions_and_replicas_are_those_of_the_deployments() {
    let shop = Shop::open("replicas", Vec::new()).await;
    shop.deploy("stable", "shop:1").await;
    shop.deploy("canary", "shop:1").await;
    shop.serve().await;
    let workloads = shop.until_settled().await;
    assert_eq!(workloads.stable.version, workloads.canary.version);
    assert_eq!((workloads.canary.ready, workloads.canary.replicas), (2, 2));
    let container = json!({"name": "checkout", "image": "shop:2"});
    shop.patch("canary", json!({"spec": {"template": {"spec": {"containers": [container]}}}})).await;
    // The answer to the patch is older than what the watch knows by then, or not: the version is another one either way.
    shop.until("it is being changed", |observed| {
        let workloads = observed.workloads.clone().unwrap_or_default();
        workloads.canary.version != workloads.stable.version
    })
    .await;
    let workloads = shop.until_settled().await;
    assert_ne!(workloads.stable.version, workloads.canary.version);
    shop.patch("canary", json!({"spec": {"replicas": 0}})).await;
    shop.until("it has no pods", |observed| {
        observed.workloads.as_ref().is_some_and(|it| it.canary.ready == 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn stable_gets_the_canarys_template_and_stays_what_it_is() {
    let shop = Shop::open("copied", Vec::new()).await;
    shop.deploy("stable", "shop:1").await;
    shop.deploy("canary", "shop:2").await;
    shop.serve().await;
    let judged = shop.until_settled().await.canary.version;
    let names = shop.spec.workloads.clone().unwrap();
    let other = shop.cluster.copy_to_stable("copied", &names, "another").await.unwrap_err();
    assert_eq!(other, format!("the canary runs version {judged} now, and another was judged"));
    shop.cluster.copy_to_stable("copied", &names, &judged).await.unwrap();
    let stable = shop.deployments().get("checkout-stable").await.unwrap();
    let generation = stable.metadata.generation;
    let template = stable.spec.unwrap().template;
    assert_eq!(template.spec.unwrap().containers[0].image.as_deref(), Some("shop:2"));
    let metadata = template.metadata.unwrap();
    assert_eq!(metadata.labels.unwrap()["version"], "stable");
    assert_eq!(metadata.annotations.unwrap()["of"], "canary");
    shop.cluster.copy_to_stable("copied", &names, &judged).await.unwrap();
    let again = shop.deployments().get("checkout-stable").await.unwrap();
    assert_eq!(again.metadata.generation, generation, "the second time changes nothing");
    shop.until("stable is renewed", |observed| {
        observed.workloads.as_ref().is_some_and(|it| it.stable.version == judged && it.stable.is_settled())
    })
    .await;
    shop.cluster.scale_down_canary("copied", &names).await.unwrap();
    shop.until("the canary is scaled down", |observed| {
        observed.workloads.as_ref().is_some_and(|it| it.canary.replicas == 0 && it.canary.ready == 0)
    })
    .await;
    assert_eq!(shop.workloads().stable.ready, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn a_canary_with_something_new_is_not_scaled_down() {
    let shop = Shop::open("newer", Vec::new()).await;
    shop.deploy("stable", "shop:1").await;
    shop.deploy("canary", "shop:2").await;
    let names = shop.spec.workloads.clone().unwrap();
    let refused = shop.cluster.scale_down_canary("newer", &names).await.unwrap_err();
    assert!(refused.starts_with("it runs another version than stable by now"), "{refused}");
    assert_eq!(shop.deployments().get("checkout-canary").await.unwrap().spec.unwrap().replicas, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn proxies_are_the_running_pods_that_the_plugin_selects() {
    let plugin =
        Plugin { kind: PluginKind::WasmPlugin, namespace: String::new(), name: "coalmine".to_owned() };
    let shop = Shop::open("proxies", vec![plugin]).await;
    let pods: Api<Pod> = Api::namespaced(shop.client.clone(), "proxies");
    for (name, app, container) in
        [("web", "web", "istio-proxy"), ("other", "other", "istio-proxy"), ("bare", "web", "web")]
    {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [{"name": container, "image": "proxy"}], "terminationGracePeriodSeconds": 0}
        }));
        pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
    }
    let group = GroupVersionKind::gvk("extensions.istio.io", "v1alpha1", "WasmPlugin");
    let resource = ApiResource::from_gvk_with_plural(&group, "wasmplugins");
    let plugins: Api<DynamicObject> = Api::namespaced_with(shop.client.clone(), "proxies", &resource);
    let plugin = serde_json::from_value(json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "coalmine"},
        "spec": {"url": "file:///coalmine.wasm", "selector": {"matchLabels": {"app": "web"}}}
    }));
    plugins.create(&PostParams::default(), &plugin.unwrap()).await.unwrap();
    let expected = |sidecars: Option<Sidecars>| {
        let pods = sidecars?.pods.into_iter().filter(|pod| pod.is_expected);
        Some(pods.map(|pod| (pod.pod, pod.address)).collect::<Vec<_>>())
    };
    let web = vec![("web.proxies".to_owned(), "10.0.0.1".to_owned())];
    shop.until("the plugin selects one", |_| {
        expected(shop.cluster.sidecars("default")).as_ref() == Some(&web)
    })
    .await;
    pods.delete("web", &DeleteParams::default()).await.unwrap();
    shop.until("it is gone", |_| expected(shop.cluster.sidecars("default")) == Some(Vec::new())).await;
    assert_eq!(shop.cluster.sidecars("another fleet"), None);
}

/// Stops or starts the API, as tests/kubernetes.sh says how.
fn api(how: &str) {
    let command = std::env::var(format!("COALMINE_TEST_API_{how}")).unwrap();
    let done = std::process::Command::new("bash").args(["-c", &command]).status().unwrap();
    assert!(done.success(), "{command}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn while_the_api_is_away_nothing_is_known_and_that_is_said() {
    let shop = Shop::open("away", Vec::new()).await;
    shop.deploy("stable", "shop:1").await;
    shop.deploy("canary", "shop:2").await;
    shop.serve().await;
    shop.until_settled().await;
    api("STOP");
    let waits = async {
        while shop.observe().workloads.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(WITHIN, waits).await.unwrap();
    let obstacles = shop.observe().obstacles;
    assert!(
        obstacles[0].starts_with("the Deployments cannot be read: the Kubernetes API cannot be asked"),
        "{obstacles:?}"
    );
    api("START");
    let is_back = |observed: &Observed| observed.workloads.is_some() && observed.obstacles.is_empty();
    shop.until("it is back", is_back).await;
}

/// A ServiceAccount in a namespace of its own, which may say these verbs there.
struct Account(Api<ServiceAccount>);

impl Account {
    async fn open(client: &Client, namespace: &str, verbs: &[&str]) -> Self {
        let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let account = serde_json::from_value(json!({"metadata": {"name": "pipeline"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
        let rules = json!([{"apiGroups": ["coalmine.dev"], "resources": ["canaryrollouts"], "verbs": verbs}]);
        let role = serde_json::from_value(json!({"metadata": {"name": "pipeline"}, "rules": rules})).unwrap();
        roles.create(&PostParams::default(), &role).await.unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
        let binding = json!({
            "metadata": {"name": "pipeline"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pipeline"},
            "subjects": [{"kind": "ServiceAccount", "name": "pipeline", "namespace": namespace}]
        });
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
        Self(accounts)
    }

    async fn token(&self, audience: &str) -> String {
        let request = json!({"metadata": {}, "spec": {"audiences": [audience], "expirationSeconds": 600}});
        let request = serde_json::from_value(request).unwrap();
        let made = self.0.create_token_request("pipeline", &PostParams::default(), &request).await.unwrap();
        made.status.unwrap().token
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn a_server_follows_the_cluster_that_its_configuration_names() {
    let client = client().await;
    let account = Account::open(&client, "served", &["get", "update"]).await;
    let folder = tempfile::tempdir().unwrap();
    let (store, kubeconfig) =
        (folder.path().join("coalmine.db"), std::env::var("COALMINE_TEST_KUBECONFIG").unwrap());
    let text = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "store": store, "tick": "1s",
        "kubernetes": {"kubeconfig": kubeconfig, "tokens": {"audience": "coalmine"}}
    });
    let nothing = Surroundings { variable: &|_| None, file: &|path| std::fs::read_to_string(path) };
    let config = Settled::from_document(&read_text(&text.to_string()).unwrap(), &nothing).unwrap();
    let ready = Ready::new(config).await.unwrap();
    let url = format!("http://{}/v1/rollouts/served/checkout", ready.address().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(ready.run(async {
        let _ = stopped.await;
    }));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(http.get(&url).send().await.unwrap().status(), 401);
    let token = account.token("coalmine").await;
    let waits = async {
        loop {
            let sent =
                http.put(&url).bearer_auth(&token).body(TEXT.replace("NAMESPACE", "served")).send().await;
            match sent.unwrap().status().as_u16() {
                // The permission may take a moment to be known to the API itself.
                403 => tokio::time::sleep(Duration::from_secs(1)).await,
                status => return status,
            }
        }
    };
    assert_eq!(tokio::time::timeout(WITHIN, waits).await.unwrap(), 201);
    let pause = http.post(format!("{url}/pause")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(pause.status(), 403, "its Role has no such verb");
    let waits = async {
        loop {
            let shown = http.get(&url).bearer_auth(&token).send().await.unwrap().text().await.unwrap();
            let shown: Value = serde_json::from_str(&shown).unwrap();
            let conditions = shown["conditions"].to_string();
            if conditions.contains("there is no Deployment served/checkout-canary") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(WITHIN, waits).await.unwrap();
    let history = http.get(format!("{url}/history")).bearer_auth(&token).send().await.unwrap();
    let history = history.text().await.unwrap();
    assert!(history.contains("system:serviceaccount:served:pipeline"), "{history}");
    drop(stop);
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn a_token_and_a_role_of_the_cluster_say_who_may_do_what() {
    let client = client().await;
    let account = Account::open(&client, "reviewed", &["get", "rollback"]).await;
    let reviews = Reviews::new(client.clone(), Some("coalmine".to_owned()));
    let tokens = Tokens::new(Vec::new()).with_reviewer(Arc::new(reviews));
    let caller = tokens.caller(Some(&account.token("coalmine").await), 0).await.unwrap();
    assert_eq!(caller.name(), "system:serviceaccount:reviewed:pipeline");
    let may = async |deed: Deed, pattern: &str| caller.may(deed, &[pattern.parse().unwrap()]).await.unwrap();
    // The permission may take a moment to be known to the API itself.
    let waits = async {
        while !may(Deed::say("rollback"), "reviewed/checkout").await {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(WITHIN, waits).await.unwrap();
    assert!(may(May::Read.into(), "reviewed/*").await);
    for (deed, pattern) in [
        (Deed::say("promote"), "reviewed/checkout"),
        (May::Operate.into(), "reviewed/checkout"),
        (May::Write.into(), "reviewed/checkout"),
        (Deed::DELETE, "reviewed/checkout"),
        (May::Read.into(), "another/checkout"),
        (May::Read.into(), "*"),
    ] {
        assert!(!may(deed, pattern).await, "{deed:?} {pattern}");
    }
    for (token, said) in
        [(account.token("another").await, "audience"), ("made-up".to_owned(), "this token is refused: ")]
    {
        let denial = tokens.caller(Some(&token), 0).await.unwrap_err();
        assert!(
            matches!(&denial, Denial::Invalid(why) if why.contains(said) && !why.contains(&token)),
            "{denial}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API: tests/kubernetes.sh"]
async fn what_history_records_is_an_event_of_the_canary() {
    let shop = Shop::open("recorded", Vec::new()).await;
    shop.deploy("stable", "shop:1").await;
    shop.deploy("canary", "shop:2").await;
    shop.serve().await;
    shop.until_settled().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Sql::open(Address::File(folder.path().join("coalmine.db"))).await.unwrap();
    let server = Server::new(Arc::new(store), Operator::default(), Fleets::default(), 15, || 1_000_000);
    let server = Arc::new(server.with_cluster(shop.cluster.clone()));
    server.look(|view| view.leads = true);
    let (_end, ending) = ending();
    tokio::spawn(super::record_always(server.clone(), shop.client.clone(), ending));
    let asked = Asked { by: "ada", expected: None, release: None, dry_run: false, answer: None };
    let name: Name = "recorded/checkout".parse().unwrap();
    let text = TEXT.replace("NAMESPACE", "recorded");
    let events: Api<Event> = Api::namespaced(shop.client.clone(), "recorded");
    // What was recorded before the recorder began is not said, so a first line is tried until it is.
    let say = async |verb: Verb| {
        let request = Request { verb, by: "ada".to_owned(), message: String::new() };
        operations::act(&server, &name, &request, &asked).await.unwrap();
    };
    operations::write(&server, &name, &text, &asked).await.unwrap();
    let waits = async {
        loop {
            say(Verb::Pause).await;
            say(Verb::Resume).await;
            let all = events.list(&Default::default()).await.unwrap().items;
            let own = |event: &&Event| {
                let by = event.reporting_controller.as_deref() == Some("coalmine");
                by && event.reason.as_deref() == Some("Verb")
            };
            if all.iter().filter(own).count() > 1 {
                return all.into_iter().filter(|event| own(&event)).collect::<Vec<_>>();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let told = tokio::time::timeout(WITHIN, waits).await.unwrap();
    let canary = shop.deployments().get("checkout-canary").await.unwrap();
    for event in &told {
        let regarding = event.regarding.clone().unwrap();
        assert_eq!(
            (regarding.name.as_deref(), regarding.uid),
            (Some("checkout-canary"), canary.metadata.uid.clone())
        );
        assert_eq!(event.type_.as_deref(), Some("Normal"));
    }
    let said = |why: &str| told.iter().any(|event| event.note.as_deref() == Some(why));
    assert!(
        said("pause by ada (canary 0 %, by ada)") && said("resume by ada (canary 0 %, by ada)"),
        "{told:?}"
    );
    say(Verb::Start { new_users: false }).await;
    say(Verb::Rollback).await;
    let waits = async {
        loop {
            let all = events.list(&Default::default()).await.unwrap().items;
            if all.iter().any(|event| {
                event.reason.as_deref() == Some("RollsBack") && event.type_.as_deref() == Some("Warning")
            }) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(WITHIN, waits).await.unwrap();
}
