//! The command and a cluster, on a real API of Kubernetes: `make test-kubernetes` starts one. Its node runs nothing: a Pod there
//! has the ports of this host's loopback.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Lab, Run, shipped};
use crate::server::Serving;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Two versions of a shop, and routes by the filter's header.
const SHOP: &str = include_str!("cluster/shop.yaml");
/// Whose tokens the server gets: one may do everything to a rollout, the other may look.
const ACCOUNTS: &str = include_str!("cluster/accounts.yaml");
/// What a port-forward needs, for both.
const FORWARD: &str = include_str!("cluster/forward.yaml");
const ROLLOUT: &str = include_str!("cluster/checkout.yaml");
const PLUGIN: &str = include_str!("cluster/plugin.yaml");

/// A cluster with a shop and with Coalmine in it, but for the server.
struct Cluster {
    lab: Lab,
    admin: String,
}

impl Cluster {
    /// What a test before has left is taken away first.
    fn new() -> Self {
        let admin = std::env::var("COALMINE_TEST_KUBECONFIG").unwrap();
        let cluster = Self { lab: Lab::new().with("checkout.yaml", ROLLOUT), admin };
        cluster.apply(&cluster.lab.run("crd").stdout);
        cluster
            .kubectl("wait --for=condition=Established customresourcedefinition/canaryrollouts.coalmine.dev");
        // A definition that is new has no storage for a moment.
        cluster.until("nothing is left", || cluster.admin("uninstall --force --yes").code == 0);
        cluster.try_kubectl("delete namespace shop coalmine-system", "");
        for namespace in ["shop", "coalmine-system"] {
            cluster.kubectl(&format!("create namespace {namespace}"));
            let account = format!("get serviceaccount default -n {namespace}");
            cluster.until("pods can be made", || cluster.try_kubectl(&account, "").is_some());
        }
        for objects in [PLUGIN, ACCOUNTS, SHOP] {
            cluster.apply(objects);
        }
        cluster.until("the shop is ready", || {
            for pod in cluster.json("get pods -n shop")["items"].as_array().unwrap() {
                cluster.get_ready("shop", pod["metadata"]["name"].as_str().unwrap());
            }
            let all = cluster.json("get deployments -n shop");
            all["items"].as_array().unwrap().iter().all(|it| it["status"]["readyReplicas"] == 1)
        });
        cluster
    }

    fn try_kubectl(&self, words: &str, input: &str) -> Option<String> {
        let mut child = Command::new(shipped(".tools/mesh/kubectl"))
            .args(words.split_whitespace())
            .env("KUBECONFIG", &self.admin)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    fn kubectl(&self, words: &str) -> String {
        self.try_kubectl(words, "").unwrap_or_else(|| panic!("kubectl {words}"))
    }

    fn apply(&self, objects: &str) {
        let applied = self.try_kubectl("apply --server-side -f -", objects);
        applied.unwrap_or_else(|| panic!("not applied: {objects}"));
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("{words} -o json"))).unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "never: {what}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Says that a Pod is ready, as a kubelet would. It may be gone by now.
    fn get_ready(&self, namespace: &str, pod: &str) {
        let ready = json!({"type": "Ready", "status": "True"});
        let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
        self.try_kubectl(
            &format!("patch pod {pod} -n {namespace} --subresource=status --patch {status}"),
            "",
        );
    }

    /// A server that keeps its rollouts in the cluster, as a process of this host.
    fn serve(&self, more: &str) -> Serving {
        let config = format!(
            "store: {{kubernetes: {{kubeconfig: {0}, namespace: coalmine-system}}}}\n\
             kubernetes: {{kubeconfig: {0}, tokens: {{}}}}\n\
             plugins: [{{kind: TrafficExtension, namespace: coalmine-system, name: coalmine}}]\n{more}",
            self.admin
        );
        Serving::start(&config)
    }

    /// The pod of a server that listens there.
    fn pod(&self, name: &str, url: &str) {
        let (scheme, address) = url.split_once("://").unwrap();
        let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "coalmine-system", "labels": {"app.kubernetes.io/name": "coalmine"},
            },
            "spec": {
                "nodeName": "loopback", "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "coalmine", "image": "coalmine", "ports": [{"name": scheme, "containerPort": port}],
                }],
            },
        });
        self.apply(&pod.to_string());
        self.get_ready("coalmine-system", name);
    }

    /// A kubeconfig with a token of a ServiceAccount.
    fn kubeconfig(&self, account: &str) -> PathBuf {
        let token = self.kubectl(&format!("create token {account} -n shop"));
        let of_admin = self.json("config view --flatten --raw");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": account, "clusters": of_admin["clusters"],
            "users": [{"name": account, "user": {"token": token.trim()}}],
            "contexts": [{
                "name": account, "context": {"cluster": of_admin["clusters"][0]["name"], "user": account},
            }],
        });
        let path = self.lab.path().join(format!("{account}.kubeconfig"));
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }

    /// Runs the command with the kubeconfig of an account.
    fn run_as(&self, account: &str, words: &str) -> Run {
        let kubeconfig = self.lab.path().join(format!("{account}.kubeconfig"));
        let variables = [("COALMINE_KUBECONFIG", kubeconfig.to_str().unwrap())];
        let run = self.lab.run_in(&variables, &words.split_whitespace().collect::<Vec<_>>(), b"");
        let written: Value = serde_json::from_slice(&std::fs::read(&kubeconfig).unwrap()).unwrap();
        let token = written["users"][0]["user"]["token"].as_str().unwrap();
        assert!(!format!("{run}").contains(token), "the token is shown");
        run
    }

    /// Runs it with the kubeconfig of the administrator, which shows a certificate.
    fn admin(&self, words: &str) -> Run {
        let words: Vec<_> = words.split_whitespace().chain(["--kubeconfig", &self.admin]).collect();
        self.lab.run_with(&words, b"")
    }

    fn done(&self, words: &str) -> String {
        let run = self.run_as("pipeline", words);
        assert_eq!(run.code, 0, "{words}: {run}");
        run.stdout
    }

    /// The canary's weight in the policy of the plugin; none where the rollout is not in it.
    fn weight(&self) -> Option<f64> {
        let plugin = self.json("get trafficextension coalmine -n coalmine-system");
        plugin.pointer("/spec/wasm/pluginConfig/rollouts/0/variants/0/weight").and_then(Value::as_f64)
    }

    /// A rollout with users on the canary.
    fn with_users(&self) {
        self.until("it can be started", || {
            self.done("apply checkout.yaml");
            self.run_as("pipeline", "start shop/checkout").code == 0
        });
        self.until("the plugin has users on the canary", || self.weight() == Some(50.0));
    }
}

#[test]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
fn a_kubeconfig_is_the_way_to_a_server_in_a_cluster() {
    let cluster = Cluster::new();
    let server = cluster.serve("");
    for account in ["pipeline", "reader"] {
        cluster.kubeconfig(account);
    }
    let refused = |code: i32, run: Run, says: &[&str]| {
        assert_eq!(run.code, code, "{run}");
        says.iter().for_each(|what| assert!(run.stderr.contains(what), "{what}: {run}"));
    };

    // What is missing is said: rights, the namespace, a pod, a ready one.
    let forbidden = ["cannot list resource \"pods\"", "hint: --server-namespace"];
    refused(2, cluster.run_as("pipeline", "status"), &forbidden);
    cluster.apply(&FORWARD.replace("pods/portforward", "pods/log"));
    cluster.pod("first", &server.url);
    cluster
        .until("it may list pods", || !cluster.run_as("pipeline", "status").stderr.contains("cannot list"));
    refused(2, cluster.run_as("pipeline", "status"), &["pods/portforward", "hint: --server-namespace"]);
    cluster.apply(FORWARD);
    cluster.until("it may forward", || !cluster.run_as("pipeline", "status").stderr.contains("forbidden"));
    refused(2, cluster.admin("status --server-namespace nowhere"), &["there is no namespace nowhere"]);
    refused(2, cluster.admin("status --server-namespace shop"), &["there is no pod of the server in shop"]);
    refused(2, cluster.admin("status --context nothing"), &["has no context \"nothing\""]);

    // The verbs, as the people whom the Roles name.
    assert_eq!(cluster.done("status"), "no rollouts; `coalmine apply` gives the server one\n");
    cluster.with_users();
    let status = cluster.done("status shop/checkout");
    assert!(status.starts_with("shop/checkout: Progressing at 50 %\n"), "{status}");
    assert!(cluster.run_as("reader", "status shop/checkout").stdout.contains("Progressing at 50 %"));
    refused(1, cluster.run_as("reader", "rollback shop/checkout"), &["shop/checkout"]);
    let history = cluster.done("history shop/checkout");
    assert!(history.contains("[system:serviceaccount:shop:pipeline]"), "{history}");

    // A certificate is nothing that the server could be shown; a token is.
    refused(1, cluster.admin("status"), &["hint: the kubeconfig has no bearer token"]);
    let token = cluster.kubectl("create token reader -n shop");
    std::fs::write(cluster.lab.path().join("token"), token).unwrap();
    assert_eq!(cluster.admin("status --token-file token").code, 0);
    let audience = cluster.kubectl("create token reader -n shop --audience another");
    std::fs::write(cluster.lab.path().join("token"), audience).unwrap();
    refused(1, cluster.admin("status --token-file token"), &["this token is refused"]);

    // Waiting goes on when the connection is lost and another pod is there.
    let wait = {
        let kubeconfig = cluster.lab.path().join("pipeline.kubeconfig");
        let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
        command.args(["status", "shop/checkout", "--watch", "--kubeconfig"]).arg(&kubeconfig);
        crate::server_watched::Watching::of(command)
    };
    wait.shows("Progressing", PATIENCE);
    cluster.pod("second", &server.url);
    cluster.kubectl("delete pod first -n coalmine-system --force");
    assert!(cluster.done("rollback shop/checkout --wait").contains("RollingBack"));
    // Unasked it would look again after 15 seconds.
    wait.shows("RolledBack", Duration::from_secs(10));

    // A pod that is ready, and does not listen where it says.
    drop(server);
    refused(2, cluster.run_as("pipeline", "status"), &["error forwarding port"]);
    cluster.kubectl("delete pod second -n coalmine-system --force");
    let pki = PathBuf::from(&cluster.admin).parent().unwrap().display().to_string();
    let server = cluster.serve(&format!("tls: {{certificate: {pki}/admin.pem, key: {pki}/admin-key.pem}}"));
    assert!(server.url.starts_with("https://"));
    cluster.pod("third", &server.url);
    assert!(cluster.done("status").contains("shop/checkout"), "by TLS");
}

#[test]
#[ignore = "needs the API of Kubernetes: make test-kubernetes"]
fn coalmine_leaves_a_cluster_with_everybody_on_stable() {
    let cluster = Cluster::new();
    cluster.apply(FORWARD);
    cluster.kubeconfig("pipeline");
    let start = || {
        let server = cluster.serve("");
        cluster.pod("server", &server.url);
        cluster.until("the server answers", || cluster.run_as("pipeline", "status").code == 0);
        server
    };
    let server = start();
    cluster.with_users();
    let rollouts = || cluster.json("get canaryrollouts -A")["items"].as_array().unwrap().len();

    // Without --yes it is only said.
    let asked = cluster.admin("uninstall");
    assert_eq!((asked.code, rollouts(), cluster.weight()), (2, 1, Some(50.0)), "{asked}");
    for line in ["a server runs: ", "CanaryRollout shop/checkout, Progressing at 50 %", "with shop/checkout"]
    {
        assert!(asked.stdout.contains(line), "{line}: {asked}");
    }

    // The server does its part.
    let done = cluster.admin("uninstall --yes");
    assert_eq!((done.code, rollouts(), cluster.weight()), (0, 0, None), "{done}");
    assert!(done.stdout.contains("shop/checkout is gone") && !done.stdout.contains("finalizer"), "{done}");
    assert!(done.stdout.ends_with("kubectl delete trafficextension coalmine -n coalmine-system\n"), "{done}");
    assert_eq!(cluster.admin("uninstall --yes").code, 0, "it can be repeated");

    // A server that hangs: what is not over in time is said, and --force does it.
    cluster.with_users();
    server.signal("STOP");
    let late = cluster.admin("uninstall --yes --timeout 1s");
    assert_eq!((late.code, rollouts()), (4, 1), "{late}");
    assert!(
        late.stderr.contains("still are CanaryRollout shop/checkout") && late.stderr.contains("--force"),
        "{late}"
    );
    let revision = || {
        let plugin = cluster.json("get trafficextension coalmine -n coalmine-system");
        plugin["metadata"]["annotations"]["coalmine.dev/revision"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let before = revision();
    let done = cluster.admin("uninstall --yes --force");
    assert_eq!((done.code, rollouts(), cluster.weight()), (0, 0, None), "{done}");
    let (stable, off) =
        (done.stdout.find("stable for all").unwrap(), done.stdout.find("the finalizer is off").unwrap());
    assert!(stable < off && revision() > before, "{done}");

    // A server that comes back goes on above what was written meanwhile.
    server.signal("CONT");
    cluster.with_users();

    // A namespace that hangs, as no server is there any more.
    server.signal("TERM");
    cluster.until("the server is gone", || cluster.admin("uninstall").stdout.contains("no server runs"));
    cluster.kubectl("delete namespace shop --wait=false");
    let deletion =
        "get namespace shop -o jsonpath={.status.conditions[?(@.reason==\"SomeFinalizersRemain\")].status}";
    cluster.until("it hangs", || cluster.kubectl(deletion) == "True");
    let done = cluster.admin("uninstall --namespace shop --yes");
    assert_eq!((done.code, cluster.weight()), (0, None), "{done}");
    assert!(done.stdout.ends_with("nothing of Coalmine is left in shop\n"), "{done}");
    cluster.until("it is gone", || cluster.try_kubectl("get namespace shop", "").is_none());
}
