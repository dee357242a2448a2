//! Many changes of the policy in a short time, under load: no request fails, and each is decided by the policy that is
//! logged with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::{compile, expected, rollout, user, visit};
use coalmine_harness::load::{Load, Shape, Visit};
use coalmine_harness::{Lab, tools};
use coalmine_server_tests::{DIALECTS, HOST, Server, in_force, local_module, logging_proxy};
use serde_json::json;

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Five changes a second, whatever the proxies do meanwhile.
const PACE: Duration = Duration::from_millis(200);
const USERS: usize = 200;
/// As much as the machine can: no lane rests.
const LOAD: Shape = Shape { http1: 4, http2: 1, streams: 4, pause: Duration::ZERO };

/// How often: `COALMINE_PUSHES`, or 40.
fn pushes() -> u64 {
    tools::number("COALMINE_PUSHES", 40).unwrap()
}

/// The policy of a revision: another weight each time, all over the scale. The golden ratio spreads them.
fn policy(revision: u64) -> String {
    let weight = (revision as f64 * 61.8).rem_euclid(100.0).round();
    let rollout = rollout("checkout", HOST, weight);
    json!({"version": 1, "revision": revision, "rollouts": [rollout], "observe": {"accessLog": true}})
        .to_string()
}

/// Holds every line of the access log against the draw under the revision that is logged with it. Which revisions have
/// decided something.
async fn agree(lab: &Lab, visits: Vec<Visit>, policies: &[Policy]) -> usize {
    let entries = lab.logged_requests(visits.len()).await.unwrap();
    assert_eq!(entries.len(), visits.len(), "as many requests are logged as were sent");
    let mut entries: HashMap<_, _> =
        entries.into_iter().map(|entry| (entry.request_id.clone(), entry)).collect();
    let mut draws: HashMap<(usize, usize), &'static str> = HashMap::new();
    for visit in visits {
        assert_eq!(visit.failure, None, "a request has failed");
        let entry = entries.remove(visit.request_id.as_deref().unwrap()).unwrap();
        let revision: usize = entry.revision.as_deref().unwrap().parse().unwrap();
        let drawn = *draws
            .entry((revision, visit.user))
            .or_insert_with(|| expected(&policies[revision - 1], HOST, &user(visit.user)).unwrap());
        let said = (visit.variant, entry.variant.as_deref(), entry.cluster.as_deref());
        assert_eq!(
            said,
            (Some(drawn), Some(drawn), Some(drawn)),
            "user {} at revision {revision}",
            visit.user
        );
    }
    let mut decided: Vec<usize> = draws.into_keys().map(|(revision, _)| revision).collect();
    decided.sort_unstable();
    decided.dedup();
    decided.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_decided_by_the_policy_that_is_logged_with_it() {
    let server = Server::start(ANYWHERE, local_module().unwrap()).await.unwrap();
    server.publish(1, policy(1));
    let mut proxies = Vec::new();
    for dialect in DIALECTS {
        let lab = logging_proxy(server.address(), dialect).await.unwrap();
        lab.reloaded(0).await.unwrap();
        let load = Load::start(lab.address(), LOAD, USERS, |it| visit(HOST, &user(it))).await.unwrap();
        proxies.push((lab, load));
    }
    let last = pushes() + 1;
    let mut pace = tokio::time::interval(PACE);
    let began = pace.tick().await;
    for revision in 2..=last {
        pace.tick().await;
        server.publish(revision, policy(revision));
    }
    let took = began.elapsed();
    let policies: Vec<Policy> = (1..=last).map(|revision| compile(&policy(revision)).unwrap()).collect();
    for (lab, load) in proxies {
        in_force(&lab, last).await.unwrap();
        load.go_on(100).await.unwrap();
        let visits = load.stop().await.unwrap();
        let count = visits.len();
        let decided = agree(&lab, visits, &policies).await;
        println!(
            "{} pushes in {took:?}: {count} requests, none failed, decided by {decided} revisions",
            last - 1
        );
        // A proxy may skip one that is followed at once by the next, and then takes the latest.
        assert!(decided as u64 > last / 2, "only {decided} of {last} revisions were in force");
    }
    assert!(server.proxies.list(0).iter().all(|row| row.acked == Some(last) && row.refused.is_none()));
}
