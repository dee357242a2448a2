//! Guards that are counted by what Envoy says of its clusters, and not by the filter.

use coalmine_harness::fleet::{Fleet, ROLLOUT, Served};

use crate::release::was_rolled_back_for;
use crate::story::{done, parts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_judged_by_envoys_own_counters() {
    let mut fleet = Fleet::without_server(parts()).await.unwrap();
    let admins: Vec<String> = fleet.evidence().iter().map(|it| format!("'{}'", it.address())).collect();
    let served = "served: {cluster: '{variant}'}, counters: served";
    let evidence = format!("{{proxies: [{}], {served}}}", admins.join(", "));
    fleet.serve(Served::Evidence(evidence));
    fleet.start_server().await.unwrap();
    let guards = "  guards: {errors: {}, slow: {slowerThan: 250ms}}\n";
    fleet.write("checkout.yaml", &format!("{ROLLOUT}{guards}")).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    let traffic = fleet.traffic(400, 6);
    done(&fleet, "start shop/checkout --wait-for Promoting --timeout 100s").await;
    done(&fleet, "promote shop/checkout --wait --timeout 50s").await;
    assert!(traffic.seen().iter().all(|visit| visit.status == 200), "a request has failed");

    fleet.canary_fails(30);
    let ran = fleet.run("start shop/checkout --wait --timeout 100s").await.unwrap();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    was_rolled_back_for(&fleet, "errors: the canary has").await;
    traffic.stop().await;
}
