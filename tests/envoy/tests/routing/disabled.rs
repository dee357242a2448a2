//! What `coalmine render envoy` writes for a policy whose rollouts name their hosts: the filter runs for those, and for no
//! other.

use std::process::Command;

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::{USER, compile, rollout, user, user_with, visit};
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Lab, Protocol, get, tools};
use serde_json::{Value, json};
use tempfile::TempDir;

const HOST: &str = "shop.example";
const OTHER: &str = "other.example";
const TOKEN: &str = "x-coalmine-override";
const REQUESTS: &str = "coalmine_requests_total";

fn policy(revision: u32, weight: f64) -> Value {
    let mut rollout = rollout("shop", HOST, weight);
    rollout["match"]["hosts"] = json!([HOST, "*.eu.example"]);
    rollout["override"] = json!({"secret": "a secret of at least 32 bytes, for tests", "header": TOKEN});
    json!({"revision": revision, "rollouts": [rollout], "observe": {"accessLog": true}})
}

/// What is rendered for the policy, in a folder of its own.
fn rendered(policy: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("policy.json"), policy.to_string()).unwrap();
    let mut command = Command::new(tools::command().unwrap());
    command.args(["render", "envoy"]).arg(path.join("policy.json")).arg("--out").arg(path);
    let output = command.arg("--config-path").arg(path.join("coalmine.yaml")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    folder
}

/// A virtual host that is added by hand, with these routes before the one to stable. It tells what it got as a token.
fn added(routes: &str) -> String {
    format!(
        "            virtual_hosts:
            - name: other
              domains: [{OTHER}]
              response_headers_to_add: [{{header: {{key: x-token, value: \"%REQ({TOKEN})%\"}}}}]
              routes:
{routes}              - match: {{prefix: /}}
                route: {{cluster: stable}}
"
    )
}

const ROUTE: &str =
    "              - match: {prefix: /, headers: [{name: x-coalmine-variant, string_match: {exact: canary}}]}
                route: {cluster: canary}
";

struct Setup {
    early_removal: bool,
    routes: &'static str,
}

async fn start(setup: &Setup, policy: &Value) -> (Lab, TempDir) {
    let folder = rendered(policy);
    let lab = Lab::example(folder.path().to_str().unwrap()).unwrap();
    let lab = lab.edit(|bootstrap| {
        let bootstrap = bootstrap.replace("            virtual_hosts:\n", &added(setup.routes))?;
        if setup.early_removal { Ok(bootstrap) } else { bootstrap.without_early_removal() }
    });
    (lab.unwrap().start(&policy.to_string()).await.unwrap(), folder)
}

fn forged(host: &str, user: &str) -> RawRequest {
    RawRequest::get(host, "/").header(USER, user).header("x-coalmine-variant", "canary")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_runs_for_the_hosts_of_the_policy_alone() {
    let policy = policy(1, 50.0);
    let compiled = compile(&policy.to_string()).unwrap();
    let [canary, stable] = ["canary", "stable"].map(|name| user_with(&compiled, HOST, name).unwrap());
    for early_removal in [true, false] {
        let (lab, _folder) = start(&Setup { early_removal, routes: "" }, &policy).await;
        let mut drawn = 0;
        for host in ["shop.example", "SHOP.example:10000", "shop.example.", "a.eu.example.:443"] {
            for (user, variant) in [(&canary, "canary"), (&stable, "stable")] {
                assert_eq!(
                    lab.ask(get(host).header(USER, user)).await.unwrap().variant(),
                    Some(variant),
                    "{host}"
                );
                let answer = forged(host, user).send(lab.address()).await.unwrap();
                assert_eq!(answer.body, format!("{variant}\n"), "forged at {host}");
                drawn += 2;
            }
        }
        for user in [&canary, &stable] {
            let request = get(OTHER).header(USER, user).header(TOKEN, "shown");
            let answer = lab.ask(request).await.unwrap();
            assert_eq!(answer.variant(), Some("stable"));
            assert_eq!(answer.headers["x-token"], "shown", "nothing removes a token here");
            let answer = forged(OTHER, user).send(lab.address()).await.unwrap();
            assert_eq!(answer.body, "stable\n");
        }
        // Neither the requests to the other host nor what they forged are counted.
        let metrics = decided(&lab, drawn).await.unwrap();
        assert_eq!(by_reason(&metrics, "none", "noMatch"), 0);
        let forged = metrics.sum("coalmine_forged_total", &[]).unwrap_or_default();
        assert_eq!(forged, if early_removal { 0.0 } else { drawn as f64 / 2.0 });
        let entries = lab.logged_requests(drawn + 4).await.unwrap();
        let seen = entries.iter().filter(|entry| entry.rollout.as_deref() == Some("shop")).count();
        let unseen =
            entries.iter().filter(|entry| entry.rollout.is_none() && entry.revision.is_none()).count();
        assert_eq!((seen, unseen), (drawn, 4));
    }
}

/// What `coalmine validate` refuses, and why: such a route is open to every client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_by_the_header_without_the_filter_is_open_to_every_client() {
    let policy = policy(1, 50.0);
    let compiled = compile(&policy.to_string()).unwrap();
    let stable = user_with(&compiled, HOST, "stable").unwrap();
    for (early_removal, gets) in [(false, "canary\n"), (true, "stable\n")] {
        let (lab, folder) = start(&Setup { early_removal, routes: ROUTE }, &policy).await;
        let answer = forged(OTHER, &stable).send(lab.address()).await.unwrap();
        assert_eq!(answer.body, gets, "early removal: {early_removal}");
        let text = std::fs::read_to_string(folder.path().join("bootstrap.yaml")).unwrap();
        let text = text.replace("            virtual_hosts:\n", &added(ROUTE));
        std::fs::write(folder.path().join("bootstrap.yaml"), text).unwrap();
        let mut command = Command::new(tools::command().unwrap());
        let files = ["bootstrap.yaml", "coalmine.yaml"].map(|name| folder.path().join(name));
        let output = command.args(["validate", "--format", "json"]).args(files).output().unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["problems"][0]["code"], "filterDisabled", "{found}");
        assert_eq!(found["errors"], 1, "{found}");
    }
}

/// A policy arrives as ever: a good one at the next request of an open connection, while a bad one changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_arrive_as_ever() {
    let (lab, _folder) = start(&Setup { early_removal: true, routes: "" }, &policy(1, 0.0)).await;
    let mut connection = lab.connect(Protocol::Http1).await.unwrap();
    for (weight, variant) in [(0.0, "stable"), (100.0, "canary")] {
        lab.accept_policy(&policy(2, weight).to_string()).await.unwrap();
        for host in [HOST, OTHER] {
            let expected = if host == HOST { variant } else { "stable" };
            let answer = connection.send(visit(host, &user(0)).unwrap()).await.unwrap();
            assert_eq!(answer.variant(), Some(expected), "{host} at {weight} %");
        }
    }
    lab.refuse_policy("{\"rollouts\": 1}").await.unwrap();
    let answer = connection.send(visit(HOST, &user(0)).unwrap()).await.unwrap();
    assert_eq!(answer.variant(), Some("canary"));
    let metrics = lab.metrics_when("three requests", |it| it.sum(REQUESTS, &[]) == Some(3.0)).await.unwrap();
    assert_eq!(by_reason(&metrics, "shop", "bucket"), 3);
}
