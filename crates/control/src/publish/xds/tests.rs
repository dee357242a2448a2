//! The protocol, against a client in this process, over a real connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{Node as WireNode, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::{VmConfig, plugin_config::Vm};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_client::ExtensionConfigDiscoveryServiceClient;
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::pb::google::rpc;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::*;
use crate::publish::Publication;

const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for something wrong to arrive: what is sent here arrives within a millisecond.
const SILENCE: Duration = Duration::from_millis(150);

struct Lab {
    xds: Xds,
    proxies: Arc<ProxyTable>,
    publish: BTreeMap<&'static str, watch::Sender<Option<Arc<Publication>>>>,
    refusals: mpsc::Receiver<Refusal>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

fn publication(fleet: &str, revision: u64) -> Arc<Publication> {
    let document = format!("{{\"version\":1,\"revision\":{revision},\"rollouts\":[]}}");
    let parts = BTreeMap::new();
    Arc::new(Publication {
        fleet: fleet.to_owned(),
        revision,
        at: 0,
        document,
        filter: String::new(),
        parts,
        held: BTreeMap::new(),
        refused: None,
    })
}

// === impl Lab ===

impl Lab {
    async fn start() -> Self {
        Self::with(Settings::default(), Arc::new(ByCluster)).await
    }

    async fn with(settings: Settings, gate: Arc<dyn Gate>) -> Self {
        let filter =
            Filter { module: Module::Path("/filter.wasm".to_owned()), environment: Default::default() };
        let (mut publish, mut fleets) = (BTreeMap::new(), BTreeMap::new());
        for name in ["shop", "bank"] {
            let (sender, latest) = watch::channel(None);
            publish.insert(name, sender);
            fleets.insert(name.to_owned(), Fleet { filter: filter.clone(), latest });
        }
        let (sender, refusals) = mpsc::channel(16);
        let proxies = Arc::<ProxyTable>::default();
        let xds = Xds::new(fleets, gate, settings, Arc::new(|| 1_000), proxies.clone(), sender);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = tonic::service::Routes::new(xds.service()).into_axum_router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { xds, proxies, publish, refusals, address, server }
    }

    fn publish(&self, fleet: &'static str, revision: u64) {
        self.publish[fleet].send_replace(Some(publication(fleet, revision)));
    }

    async fn client(&self) -> ExtensionConfigDiscoveryServiceClient<tonic::transport::Channel> {
        ExtensionConfigDiscoveryServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    async fn delta(&self, cluster: &str, names: &[&str], has: Option<u64>) -> Delta {
        let (requests, stream) = mpsc::channel(16);
        requests.send(Delta::first(cluster, names, has)).await.unwrap();
        let responses = self.client().await.delta_extension_configs(ReceiverStream::new(stream)).await;
        Delta { requests, responses: responses.unwrap().into_inner() }
    }

    async fn world(&self, cluster: &str, names: &[&str], has: &str) -> World {
        let (requests, stream) = mpsc::channel(16);
        requests.send(World::request(Some(node(cluster)), names, has, "", None)).await.unwrap();
        let responses = self.client().await.stream_extension_configs(ReceiverStream::new(stream)).await;
        World { requests, responses: responses.unwrap().into_inner() }
    }

    /// Waits until the rows are as they should be.
    async fn rows(&self, fine: impl Fn(&[Proxy]) -> bool) -> Vec<Proxy> {
        let found = timeout(PATIENCE, async {
            loop {
                let rows = self.proxies.list(1_000);
                if fine(&rows) {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("the rows are {:?}", self.proxies.list(1_000)))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn node(cluster: &str) -> WireNode {
    WireNode { id: format!("{cluster}-1"), cluster: cluster.to_owned(), ..WireNode::default() }
}

fn error(why: &str) -> rpc::Status {
    rpc::Status { code: 13, message: why.to_owned(), details: Vec::new() }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

struct Delta {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

// === impl Delta ===

impl Delta {
    fn first(cluster: &str, names: &[&str], has: Option<u64>) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: Some(node(cluster)),
            resource_names_subscribe: owned(names),
            initial_resource_versions: has.map(|it| (NAME.to_owned(), it.to_string())).into_iter().collect(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    async fn next(&mut self) -> DeltaDiscoveryResponse {
        let response = timeout(PATIENCE, self.responses.message()).await.unwrap().unwrap().unwrap();
        assert!(response.removed_resources.is_empty(), "never removed");
        assert_eq!(response.resources.len(), 1);
        response
    }

    async fn revision(&mut self, revision: u64) -> String {
        let response = self.next().await;
        assert_eq!(response.resources[0].version, revision.to_string());
        assert_eq!(document(&response.resources[0].resource.as_ref().unwrap().value).1["revision"], revision);
        response.nonce
    }

    async fn is_silent(&mut self) {
        let said = timeout(SILENCE, self.responses.message()).await;
        assert!(said.is_err(), "silence was expected, not {said:?}");
    }

    async fn answer(&self, nonce: String, refuses: Option<&str>) {
        let error_detail = refuses.map(error);
        let request =
            DeltaDiscoveryRequest { response_nonce: nonce, error_detail, ..DeltaDiscoveryRequest::default() };
        self.requests.send(request).await.unwrap();
    }

    async fn ask(&self, subscribe: &[&str], unsubscribe: &[&str]) {
        let request = DeltaDiscoveryRequest {
            resource_names_subscribe: owned(subscribe),
            resource_names_unsubscribe: owned(unsubscribe),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn ends(&mut self) -> Status {
        timeout(PATIENCE, self.responses.message()).await.unwrap().unwrap_err()
    }
}

struct World {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

// === impl World ===

impl World {
    fn request(
        node: Option<WireNode>,
        names: &[&str],
        version: &str,
        nonce: &str,
        refuses: Option<&str>,
    ) -> DiscoveryRequest {
        DiscoveryRequest {
            node,
            version_info: version.to_owned(),
            resource_names: owned(names),
            response_nonce: nonce.to_owned(),
            error_detail: refuses.map(error),
            ..DiscoveryRequest::default()
        }
    }

    async fn revision(&mut self, revision: u64) -> String {
        let response = timeout(PATIENCE, self.responses.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(response.version_info, revision.to_string());
        assert_eq!(document(&response.resources[0].value).1["revision"], revision);
        response.nonce
    }

    async fn answer(&self, version: &str, nonce: &str, refuses: Option<&str>) {
        self.requests.send(Self::request(None, &[NAME], version, nonce, refuses)).await.unwrap();
    }

    async fn is_silent(&mut self) {
        let said = timeout(SILENCE, self.responses.message()).await;
        assert!(said.is_err(), "silence was expected, not {said:?}");
    }
}

/// The VM and the policy in a resource.
fn document(bytes: &[u8]) -> (VmConfig, serde_json::Value) {
    let extension = TypedExtensionConfig::decode(bytes).unwrap();
    assert_eq!(extension.name, NAME);
    let config = extension.typed_config.unwrap();
    assert_eq!(config.type_url, "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm");
    let plugin = Wasm::decode(config.value.as_slice()).unwrap().config.unwrap();
    #[expect(deprecated, reason = "it is what the examples say")]
    let fails_open = plugin.fail_open;
    assert!(fails_open);
    let Some(Vm::VmConfig(vm)) = plugin.vm else { panic!("no VM") };
    let text = plugin.configuration.unwrap();
    assert_eq!(text.type_url, "type.googleapis.com/google.protobuf.StringValue");
    let text = StringValue::decode(text.value.as_slice()).unwrap().value;
    (vm, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn delta_gets_each_revision_and_its_answers_are_written_down() {
    let lab = Lab::start().await;
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    proxy.is_silent().await;
    lab.publish("shop", 5);
    let nonce = proxy.revision(5).await;
    proxy.answer(nonce, None).await;
    let rows = lab.rows(|rows| rows[0].acked == Some(5)).await;
    assert_eq!((rows[0].node.as_str(), rows[0].fleet.as_str(), rows[0].sent), ("shop-1", "shop", Some(5)));
    lab.publish("shop", 6);
    proxy.revision(6).await;
    drop(proxy);
    let rows = lab.rows(|rows| rows[0].ended.is_some()).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(lab.proxies.list(1_120), [], "forgotten after two minutes");
}

#[tokio::test]
async fn world_gets_each_revision_and_its_answers_are_written_down() {
    let lab = Lab::start().await;
    lab.publish("shop", 5);
    let mut proxy = lab.world("shop", &[NAME], "").await;
    let nonce = proxy.revision(5).await;
    proxy.answer("5", &nonce, None).await;
    lab.rows(|rows| rows[0].acked == Some(5)).await;
    proxy.is_silent().await;
    lab.publish("shop", 6);
    proxy.revision(6).await;
}

#[tokio::test]
async fn a_refusal_is_told_and_the_bytes_do_not_come_again() {
    let mut lab = Lab::start().await;
    lab.publish("shop", 5);
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    let nonce = proxy.revision(5).await;
    proxy.answer(nonce, Some("Unable to create\nWasm plugin coalmine")).await;
    let refusal = timeout(PATIENCE, lab.refusals.recv()).await.unwrap().unwrap();
    let why = "Unable to create Wasm plugin coalmine".to_owned();
    let expected = Refusal { fleet: "shop".to_owned(), revision: 5, node: "shop-1".to_owned(), why };
    assert_eq!(refusal, expected);
    // Not when it asks again, not on another stream of the same proxy, and in no dialect.
    proxy.ask(&[NAME], &[]).await;
    proxy.is_silent().await;
    drop(proxy);
    let mut delta = lab.delta("shop", &[NAME], None).await;
    delta.is_silent().await;
    // A proxy that says it has them is not believed.
    let mut world = lab.world("shop", &[NAME], "5").await;
    world.is_silent().await;
    assert!(lab.rows(|rows| rows.len() == 2).await.iter().all(|row| row.acked.is_none()));
    lab.publish("shop", 6);
    delta.revision(6).await;
    world.revision(6).await;
}

#[tokio::test]
async fn a_world_refusal_is_told_once() {
    let mut lab = Lab::start().await;
    lab.publish("bank", 5);
    let mut proxy = lab.world("bank", &[NAME], "").await;
    let nonce = proxy.revision(5).await;
    proxy.answer("", &nonce, Some("no")).await;
    proxy.answer("", &nonce, Some("no")).await;
    assert_eq!(timeout(PATIENCE, lab.refusals.recv()).await.unwrap().unwrap().revision, 5);
    proxy.is_silent().await;
    assert!(lab.refusals.try_recv().is_err());
}

#[tokio::test]
async fn what_is_marked_as_refused_goes_to_nobody() {
    let lab = Lab::start().await;
    let refused =
        Publication { refused: Some("no".to_owned()), ..Publication::clone(&publication("shop", 5)) };
    lab.publish["shop"].send_replace(Some(Arc::new(refused)));
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    proxy.is_silent().await;
    lab.publish("shop", 6);
    proxy.revision(6).await;
}

#[tokio::test]
async fn who_has_the_latest_or_more_gets_nothing() {
    let lab = Lab::start().await;
    lab.publish("shop", 5);
    let mut same = lab.delta("shop", &[NAME], Some(5)).await;
    same.is_silent().await;
    let mut world = lab.world("shop", &[NAME], "5").await;
    world.is_silent().await;
    let mut other_history = lab.delta("shop", &[NAME], Some(9)).await;
    other_history.is_silent().await;
    let rows = lab.rows(|rows| rows.len() == 3 && rows[2].reported.is_some()).await;
    assert_eq!(rows.iter().map(|row| row.reported).collect::<Vec<_>>(), [Some(5), Some(5), Some(9)]);
    let mut older = lab.delta("shop", &[NAME], Some(4)).await;
    older.revision(5).await;
    lab.publish("shop", 10);
    same.revision(10).await;
    world.revision(10).await;
    other_history.revision(10).await;
}

#[tokio::test]
async fn who_subscribes_again_gets_it_again() {
    let lab = Lab::start().await;
    lab.publish("shop", 5);
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    let nonce = proxy.revision(5).await;
    proxy.answer(nonce, None).await;
    proxy.ask(&[NAME], &[]).await;
    let nonce = proxy.revision(5).await;
    proxy.answer(nonce, None).await;
    proxy.ask(&[], &[NAME]).await;
    proxy.is_silent().await;
    lab.publish("shop", 6);
    proxy.is_silent().await;
    proxy.ask(&[NAME], &[]).await;
    proxy.revision(6).await;
}

#[tokio::test]
async fn names_that_are_not_served_get_silence() {
    let lab = Lab::start().await;
    lab.publish("shop", 5);
    lab.delta("shop", &["other", "*"], None).await.is_silent().await;
    lab.world("shop", &["other"], "").await.is_silent().await;
}

#[tokio::test]
async fn each_fleet_gets_its_own() {
    let lab = Lab::start().await;
    let (mut shop, mut bank) =
        (lab.delta("shop", &[NAME], None).await, lab.delta("bank", &[NAME], None).await);
    lab.publish("shop", 5);
    lab.publish("bank", 7);
    shop.revision(5).await;
    bank.revision(7).await;
    let mut nobody = lab.delta("no-such-fleet", &[NAME], None).await;
    let status = nobody.ends().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("no-such-fleet"), "{status}");
}

#[tokio::test]
async fn a_slow_proxy_gets_the_latest_only() {
    let lab = Lab::start().await;
    lab.publish("shop", 5);
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    let nonce = proxy.revision(5).await;
    for revision in 6..=500 {
        lab.publish("shop", revision);
        tokio::task::yield_now().await;
    }
    proxy.is_silent().await;
    proxy.answer(nonce, None).await;
    proxy.revision(500).await;
}

#[tokio::test]
async fn limits_hold() {
    let settings = Settings { max_streams: 1, max_node_text: 3, max_requests: 5 };
    let lab = Lab::with(settings, Arc::new(ByCluster)).await;
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    assert_eq!(lab.rows(|rows| rows.len() == 1).await[0].node, "sho");
    let (_requests, stream) = mpsc::channel(1);
    let second = lab.client().await.delta_extension_configs(ReceiverStream::new(stream)).await;
    assert_eq!(second.unwrap_err().code(), Code::ResourceExhausted);
    for _ in 0..5 {
        proxy.ask(&[], &[]).await;
    }
    assert_eq!(proxy.ends().await.code(), Code::ResourceExhausted);
    lab.rows(|rows| rows[0].ended.is_some()).await;
}

#[tokio::test]
async fn the_end_of_the_server_is_said_and_no_stream_is_left() {
    let lab = Lab::start().await;
    let mut proxy = lab.delta("shop", &[NAME], None).await;
    lab.rows(|rows| rows.len() == 1).await;
    timeout(PATIENCE, lab.xds.shut_down()).await.unwrap();
    assert_eq!(proxy.ends().await.code(), Code::Unavailable);
    let (_requests, stream) = mpsc::channel(1);
    let late = lab.client().await.delta_extension_configs(ReceiverStream::new(stream)).await;
    assert_eq!(late.unwrap_err().code(), Code::Unavailable);
}

struct Locked;

#[async_trait::async_trait]
impl Gate for Locked {
    async fn enter(&self, caller: Caller<'_>) -> Result<(), Denied> {
        assert!(!format!("{caller:?}").contains("secret"), "no token in what is shown");
        match caller.metadata.get("authorization").map(|it| it.as_bytes()) {
            Some(b"Bearer secret") => Ok(()),
            _ => Err(Denied::Unknown("a token is expected".to_owned())),
        }
    }

    async fn fleet(&self, _: Caller<'_>, node: &Node) -> Result<Option<String>, Denied> {
        match node.cluster.as_str() {
            "bank" => Err(Denied::Forbidden("not this fleet".to_owned())),
            _ => Ok(Some("shop".to_owned())),
        }
    }
}

#[tokio::test]
async fn the_gate_decides_who_comes_in_and_into_which_fleet() {
    let lab = Lab::with(Settings::default(), Arc::new(Locked)).await;
    lab.publish("shop", 5);
    let open = async |cluster: &str, token: Option<&'static str>| {
        let (requests, stream) = mpsc::channel(1);
        requests.send(Delta::first(cluster, &[NAME], None)).await.unwrap();
        let mut request = tonic::Request::new(ReceiverStream::new(stream));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token.parse().unwrap());
        }
        let responses = lab.client().await.delta_extension_configs(request).await?.into_inner();
        Ok::<_, Status>(Delta { requests, responses })
    };
    assert_eq!(open("x", None).await.err().unwrap().code(), Code::Unauthenticated);
    assert_eq!(open("x", Some("Bearer other")).await.err().unwrap().code(), Code::Unauthenticated);
    open("x", Some("Bearer secret")).await.unwrap().revision(5).await;
    let denied = open("bank", Some("Bearer secret")).await.unwrap().ends().await;
    assert_eq!(denied.code(), Code::PermissionDenied);
    // Evidence is read from every proxy in this table.
    lab.rows(|rows| {
        !rows.is_empty() && rows.iter().all(|row| (row.fleet.as_str(), row.node.as_str()) == ("shop", "x-1"))
    })
    .await;
}

#[test]
fn the_resource_is_that_of_the_examples_with_the_variables_that_the_policy_names() {
    let rollout = |name: &str, variable: &str| {
        serde_json::json!({
            "name": name, "salt": name, "match": {"hosts": [name]}, "identity": [{"header": "x-user-id"}],
            "algorithm": "siphash-2-4", "key": {"env": variable}, "variants": [{"name": "canary", "weight": 5}],
        })
    };
    let rollouts = [rollout("b", "B_KEY"), rollout("a", "A_KEY"), rollout("c", "B_KEY")];
    let text = serde_json::json!({"version": 1, "revision": 3, "rollouts": rollouts}).to_string();
    let publication = Publication { document: text, ..Publication::clone(&publication("shop", 3)) };
    let environment = ["STABLE".to_owned()].into();
    let path = Filter { module: Module::Path("/filter.wasm".to_owned()), environment };
    let (vm, _) = document(&path.resource(&publication).value);
    assert_eq!((vm.vm_id.as_str(), vm.runtime.as_str()), ("coalmine", "envoy.wasm.runtime.v8"));
    assert!(!vm.allow_precompiled && !vm.nack_on_code_cache_miss);
    assert_eq!(vm.environment_variables.as_ref().unwrap().host_env_keys, ["A_KEY", "B_KEY", "STABLE"]);
    assert!(format!("{vm:?}").contains("Filename(\"/filter.wasm\")"), "{vm:?}");
    let inline = Filter { module: Module::Inline(Bytes::from_static(b"\0asm")), ..path };
    let (vm, _) = document(&inline.resource(&publication).value);
    assert!(format!("{vm:?}").contains("InlineBytes([0, 97, 115, 109])"), "{vm:?}");
}
