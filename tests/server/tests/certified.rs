//! A server that takes nobody without a certificate, and proxies that it knows by theirs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use coalmine_harness::certificates::{Authority, Files};
use coalmine_harness::{Envoy, LOG_LEVEL, Launch, Port, end_with_us, tools, wait};
use serde_json::Value;

const HOST: &str = "127.0.0.1";
const ROLLOUT: &str = "
name: shop/checkout
policy: {identity: [{header: x-user-id}], variants: [{name: canary}]}
weights: {canary: 100}
";

/// A server, who may ask it, and a folder with everything.
struct World {
    authority: Authority,
    operator: Files,
    server: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let files = |name: &str, uris: &[&str]| {
            let place = place(folder.path(), name);
            authority.write_of(&authority.certify(Some(HOST), uris).unwrap(), &place).unwrap()
        };
        let (its, operator) = (files("server", &[]), files("operator", &["spiffe://a/ns/ops/sa/operator"]));
        let (listen, admin) = (Port::hold().unwrap(), Port::hold().unwrap());
        let config = format!(
            "listen: {}
admin: {}
tls: {{certificate: {}, key: {}, clientCa: {}}}
tokens: [{{name: admins, value: {{env: ADMINS}}, may: write}}]
fleets:
  edge: {{spiffe: [\"spiffe://a/ns/edge/*\"], rollouts: [\"*\"], xds: {{inline: {}}}}}
",
            listen.address(),
            admin.address(),
            its.certificate.display(),
            its.key.display(),
            its.authority.display(),
            tools::filter().unwrap().display()
        );
        let path = folder.path().join("server.yaml");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(tools::command().unwrap());
        command.args(["serve", "--config"]).arg(&path).current_dir(folder.path()).env("ADMINS", TOKEN);
        end_with_us(&mut command);
        let server = command.stdin(Stdio::null()).spawn().unwrap();
        let world =
            Self { authority, operator, server, url: format!("https://{}", listen.address()), folder };
        wait::until("the server", || async { (world.run("status").0 == 0).then_some(()) }).await.unwrap();
        world
    }

    /// Runs the command with the operator's certificate: its exit code, and what it said.
    fn run(&self, words: &str) -> (i32, String) {
        let mut command = Command::new(tools::command().unwrap());
        command.args(words.split_ascii_whitespace()).current_dir(self.folder.path());
        command.env("COALMINE_SERVER", &self.url).env("COALMINE_TOKEN", TOKEN);
        command.env("COALMINE_CA", &self.operator.authority);
        command
            .env("COALMINE_CERTIFICATE", &self.operator.certificate)
            .env("COALMINE_CERTIFICATE_KEY", &self.operator.key);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code().unwrap_or(-1), text.concat())
    }

    fn done(&self, words: &str) -> String {
        let (code, said) = self.run(words);
        assert_eq!(code, 0, "{words}: {said}");
        said
    }

    /// A proxy with this id, as `render` writes it.
    async fn proxy(&self, node: &str, id: &str) -> Envoy {
        let place = place(self.folder.path(), node);
        let shown = self.authority.certify(None, &[id]).unwrap();
        let files = self.authority.write_of(&shown, &place).unwrap();
        let (_, address) = self.url.split_once("//").unwrap();
        let [ca, certificate, key] =
            [files.authority, files.certificate, files.key].map(|path| path.display().to_string());
        self.done(&format!(
            "render envoy --out {} --listen 127.0.0.1:0 --admin 127.0.0.1:0 --xds {address} --ca {ca} --certificate \
             {certificate} --key {key} --node {node} --fleet edge",
            place.display()
        ));
        let bootstrap = std::fs::read_to_string(place.join("bootstrap.yaml")).unwrap();
        let launch = Launch {
            binary: tools::envoy().unwrap(),
            workers: 1,
            log_level: LOG_LEVEL,
            variables: Vec::new(),
        };
        Envoy::start(&launch, &bootstrap, &place).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

const TOKEN: &str = "admins-0123456789";

/// A folder of its own.
fn place(folder: &Path, name: &str) -> PathBuf {
    let place = folder.join(name);
    std::fs::create_dir(&place).unwrap();
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_follows_by_the_spiffe_id_of_its_certificate_and_another_one_does_not() {
    let world = World::start().await;
    std::fs::write(world.folder.path().join("checkout.yaml"), ROLLOUT).unwrap();
    world.done("apply checkout.yaml");
    let proxy = world.proxy("edge-1", "spiffe://a/ns/edge/sa/gateway").await;
    let stranger = world.proxy("stranger", "spiffe://a/ns/edges/sa/gateway").await;
    // Neither has a token: the first one needs none, and the other one's node.cluster is no proof.
    stranger.logged(0, &["gRPC config stream to coalmine closed: 16"]).await.unwrap();
    let rows = wait::until("the proxy follows", || async {
        let known: Value = serde_json::from_str(&world.done("proxies --format json")).unwrap();
        let its = known["proxies"].as_array()?.clone();
        let revision = known["fleets"][0]["revision"].as_u64();
        let follows = its.iter().any(|row| row["name"] == "edge-1" && row["accepted"].as_u64() == revision);
        follows.then_some(its)
    });
    let rows = rows.await.unwrap();
    assert!(rows.iter().all(|row| row["name"] != "stranger"), "{rows:?}");
    let runs = wait::until("the filter runs it", || async {
        let revision = proxy.metrics().await.ok()?.sum("coalmine_policy_revision", &[])?;
        (revision > 0.0).then_some(())
    });
    runs.await.unwrap();
}
