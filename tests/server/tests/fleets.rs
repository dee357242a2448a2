//! Two fleets of one server: each proxy has the policy of its own.

use coalmine_harness::fleet::{Fleet, Served};
use coalmine_harness::{Connection, Protocol, get};
use coalmine_harness::{tools, wait};
use http_body_util::Empty;

use crate::story::{done, json, parts};

const ROLLOUT: &str = "
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
weights: {canary: 0}
";

/// The revision that a fleet should have, once its proxy, of the same name, runs it.
async fn followed(fleet: &Fleet, name: &str) -> u64 {
    let followed = wait::until("the proxy follows", || async {
        let known = json(fleet, "proxies").await;
        let row = known["proxies"].as_array()?.iter().find(|row| row["name"] == name)?.clone();
        let its = known["fleets"].as_array()?.iter().find(|fleet| fleet["name"] == name)?.clone();
        let follows =
            row["fleet"] == name && row["connected"].is_string() && row["revision"] == its["revision"];
        its["revision"].as_u64().filter(|_| follows)
    });
    followed.await.unwrap()
}

/// What a user gets from each proxy.
async fn variants(fleet: &Fleet) -> Vec<Option<&'static str>> {
    let mut variants = Vec::new();
    for proxy in fleet.proxies() {
        let request = get("checkout.example").header("x-user-id", "ada").body(Empty::new()).unwrap();
        let mut connection = Connection::open(proxy.address(), Protocol::Http1).await.unwrap();
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.status, 200);
        variants.push(answer.variant());
    }
    variants
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_proxy_has_the_policy_of_its_fleet() {
    let mut fleet = Fleet::without_server(parts()).await.unwrap();
    let module = tools::filter().unwrap();
    let its =
        ["shop", "bank"].into_iter().zip(fleet.evidence()).enumerate().map(|(index, (namespace, admin))| {
            format!(
                "edge-{}: {{rollouts: [{namespace}/*], xds: {{inline: {}}}, evidence: {{proxies: ['{}']}}}}",
                index + 1,
                module.display(),
                admin.address()
            )
        });
    let fleets: Vec<String> = its.collect();
    fleet.serve(Served::Fleets(format!("{{{}}}", fleets.join(", "))));
    fleet.start_server().await.unwrap();
    let apply = async |name: &str, weight: &str| {
        let text = ROLLOUT.replace("canary: 0", &format!("canary: {weight}"));
        fleet.write("rollout.yaml", &format!("name: {name}\n{text}")).unwrap();
        done(&fleet, "apply rollout.yaml").await;
    };
    apply("shop/checkout", "0").await;
    apply("bank/checkout", "0").await;
    followed(&fleet, "edge-1").await;
    let before = followed(&fleet, "edge-2").await;
    assert_eq!(variants(&fleet).await, [Some("stable"), Some("stable")]);

    apply("shop/checkout", "100").await;
    let is_canary = wait::until("the canary, at the first proxy only", || async {
        (variants(&fleet).await == [Some("canary"), Some("stable")]).then_some(())
    });
    is_canary.await.unwrap();
    assert_eq!(followed(&fleet, "edge-2").await, before, "nothing new was sent to the other fleet");

    fleet.write("rollout.yaml", &format!("name: other/checkout\n{ROLLOUT}")).unwrap();
    let refused = fleet.run("apply rollout.yaml").await.unwrap();
    assert!(refused.stderr.contains("other/checkout is of no fleet of this server"), "{}", refused.stderr);
    let shown = done(&fleet, "proxies").await.stdout;
    assert!(
        shown.contains("fleet edge-1, revision ") && shown.contains("fleet edge-2, revision "),
        "{shown}"
    );
}
