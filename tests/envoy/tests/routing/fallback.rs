//! A canary that is gone costs nobody a request.

use coalmine_envoy_tests::{USER, compile};
use coalmine_harness::{Connection, Lab, PolicyFile, Protocol, Server, get, wait};
use http_body_util::Empty;
use serde_json::Value;

use super::{HOST, server, those_of};

const EXAMPLE: &str = "envoy/fallback";

/// The server that answers this user; it must be one.
async fn served(connection: &mut Connection, user: &str, method: &str) -> String {
    let request = get(HOST).method(method).header(USER, user).body(Empty::new()).unwrap();
    server(&connection.send(request).await.unwrap())
}

/// Waits until this user is served by this server.
async fn served_by(lab: &Lab, user: &str, name: &str) {
    wait::until(&format!("{user} to be served by {name}"), || async {
        let answer = lab.ask(get(HOST).header(USER, user)).await.ok()?;
        (answer.variant() == Some(name)).then_some(())
    })
    .await
    .unwrap();
}

async fn canary_stat(lab: &Lab, name: &str, value: u64) {
    wait::until(&format!("cluster.canary.{name} to be {value}"), || async {
        (lab.envoy().stat(&format!("cluster.canary.{name}")).await.ok()? == value).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_dead_canary_get_stable_until_it_lives_again() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let policy = compile(&document).unwrap();
    let users = those_of(&policy, "canary", 30);
    let others = those_of(&policy, "stable", 30);
    let (stable, canary) =
        (Server::start("stable", 0).await.unwrap(), Server::start("canary", 0).await.unwrap());
    let port = canary.address().port();
    let lab = Lab::example(EXAMPLE).unwrap().servers(stable.address(), canary.address());
    let lab = lab.start(&document).await.unwrap();
    served_by(&lab, &users[0], "canary").await;
    let mut connection = lab.connect(Protocol::Http1).await.unwrap();
    for (user, other) in users.iter().zip(&others) {
        assert_eq!(served(&mut connection, user, "GET").await, "canary");
        assert_eq!(served(&mut connection, other, "GET").await, "stable");
    }

    canary.end().await;
    // What is under way on a connection that breaks is lost; this is about everybody who comes later.
    canary_stat(&lab, "upstream_cx_active", 0).await;
    for (user, other) in users.iter().zip(&others) {
        assert_eq!(served(&mut connection, user, "GET").await, "stable", "before a health check notices");
        assert_eq!(served(&mut connection, user, "POST").await, "stable");
        assert_eq!(served(&mut connection, other, "GET").await, "stable");
    }
    let retried = lab.envoy().stat("cluster.canary-or-stable.upstream_rq_retry").await.unwrap();
    canary_stat(&lab, "membership_healthy", 0).await;
    for user in &users {
        assert_eq!(served(&mut connection, user, "GET").await, "stable", "when it is known to be dead");
    }
    println!("{retried} requests were tried again before the health check noticed");

    let _canary = Server::start("canary", port).await.unwrap();
    served_by(&lab, &users[0], "canary").await;
    for user in &users {
        assert_eq!(served(&mut connection, user, "GET").await, "canary", "as before");
    }

    // The price: the filter knows what it decided, not who answered; the log knows by the address alone.
    let entries = lab.logged_requests(users.len() * 5).await.unwrap();
    assert!(entries.iter().all(|entry| entry.rollout.as_deref() == Some("checkout")));
    let log = std::fs::read_to_string(lab.access_log()).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_canary: Vec<Value> = lines.filter(|line| line["variant"] == "canary").collect();
    assert!(of_canary.iter().all(|line| line["cluster"] == "canary-or-stable"));
    let fell_back = of_canary.iter().filter(|line| line["upstream"] == stable.address().to_string()).count();
    println!("{fell_back} requests of the canary's users were answered by stable");
    assert!(fell_back >= 3 * users.len());
    let metrics = lab.envoy().metrics().await.unwrap();
    let errors = metrics.sum(
        "envoy_http_downstream_rq_xx",
        &[("envoy_response_code_class", "5"), ("envoy_http_conn_manager_prefix", "public")],
    );
    assert_eq!(errors, Some(0.0));
}
