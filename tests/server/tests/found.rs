//! Proxies that nobody has listed: the server finds their admin interfaces by their streams.

use coalmine_harness::fleet::{Fleet, FleetParts, ROLLOUT, Served};
use coalmine_harness::wait;

use crate::release::was_rolled_back_for;
use crate::story::{all_follow, done, json, parts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_judged_by_the_proxies_that_are_connected() {
    let parts = FleetParts { proxies: 1, has_own_addresses: true, ..parts() };
    let mut fleet = Fleet::without_server(parts).await.unwrap();
    let port = fleet.admin_port().unwrap();
    fleet.serve(Served::Evidence(format!("{{proxies: {{streams: {port}}}}}")));
    fleet.start_server().await.unwrap();
    fleet.write("checkout.yaml", ROLLOUT).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    let is_read = wait::until("the first proxy is read", || async {
        let known = json(&fleet, "proxies").await;
        let rows = known["proxies"].as_array()?;
        (rows.len() == 1 && rows[0]["name"] == "edge-1" && rows[0]["seen"].is_string()).then_some(())
    });
    is_read.await.unwrap();

    // Another one comes later. What it runs its own metrics say, so that is known once it is read.
    fleet.add_proxy().await.unwrap();
    all_follow(&fleet).await;
    let traffic = fleet.traffic(400, 6);
    done(&fleet, "start shop/checkout --wait-for Promoting --timeout 100s").await;
    done(&fleet, "promote shop/checkout --wait --timeout 50s").await;
    assert!(traffic.stop().await.iter().all(|visit| visit.status == 200), "a request has failed");

    // It ends, and what the other one counts is enough.
    fleet.end_proxy();
    fleet.canary_fails(30);
    let traffic = fleet.traffic(400, 6);
    let ran = fleet.run("start shop/checkout --wait --timeout 100s").await.unwrap();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    was_rolled_back_for(&fleet, "errors: the canary has").await;
    traffic.stop().await;
    let known = json(&fleet, "proxies").await;
    let names: Vec<&str> =
        known["proxies"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["edge-1", "edge-2"]);
    assert!(
        known["fleets"].as_array().unwrap().len() == 1 && known["fleets"][0]["away"].is_null(),
        "{known}"
    );
    assert!(
        known["proxies"][0]["connected"].is_string() && known["proxies"][1]["connected"].is_null(),
        "{known}"
    );

    fleet.add_proxy().await.unwrap();
    all_follow(&fleet).await;
}
