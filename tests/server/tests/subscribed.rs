//! What the management server and a proxy say to one another.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coalmine_control::publish::xds::Module;
use coalmine_envoy_tests::{user, visit};
use coalmine_harness::load::{Load, Shape};
use coalmine_harness::{Port, tools, wait};
use coalmine_server_tests::{
    DIALECTS, HOST, Server, all_get, connections, everybody, in_force, local_module, proxy, variants,
};

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// What everybody gets at this revision of a policy that goes to and fro.
fn turn(revision: u64) -> (f64, &'static str) {
    if revision.is_multiple_of(2) { (100.0, "canary") } else { (0.0, "stable") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pushes_under_load_fail_no_request() {
    let server = Server::start(ANYWHERE, local_module().unwrap()).await.unwrap();
    server.publish(1, everybody(1, 0.0));
    let [delta, world] = [
        proxy(server.address(), DIALECTS[0]).await.unwrap(),
        proxy(server.address(), DIALECTS[1]).await.unwrap(),
    ];
    let mut loads = Vec::new();
    for lab in [&delta, &world] {
        in_force(lab, 1).await.unwrap();
        let shape = Shape { http1: 4, http2: 1, streams: 2, pause: Duration::from_millis(5) };
        loads.push(Load::start(lab.address(), shape, 50, |it| visit(HOST, &user(it))).await.unwrap());
    }
    let mut open = [connections(&delta, 8).await.unwrap(), connections(&world, 8).await.unwrap()];
    for revision in 2..=101 {
        let (weight, variant) = turn(revision);
        server.publish(revision, everybody(revision, weight));
        for (lab, connections) in [&delta, &world].into_iter().zip(&mut open) {
            in_force(lab, revision).await.unwrap();
            // The gauge is written by the worker that is first; the others follow within milliseconds.
            let start = Instant::now();
            while variants(connections).await.unwrap().iter().any(|found| *found != variant) {
                assert!(start.elapsed() < Duration::from_secs(5), "revision {revision} is not everywhere");
            }
        }
    }
    let mut requests = 0;
    for load in loads {
        for visit in load.stop().await.unwrap() {
            assert_eq!(visit.failure, None);
            requests += 1;
        }
    }
    println!("{requests} requests, none failed");
    let rows = server.proxies.list(0);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.acked == Some(101) && row.refused.is_none()), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_everybody_is_stable_until_it_comes() {
    for dialect in DIALECTS {
        let port = Port::hold().unwrap();
        let start = Instant::now();
        let lab = proxy(port.address(), dialect).await.unwrap();
        let took = start.elapsed();
        println!("{dialect}: ready after {took:?} without a server");
        assert!(took < Duration::from_secs(3), "{dialect}: ready after {took:?}");
        all_get(&lab, "stable").await.unwrap();
        let server = Server::start(port.address(), local_module().unwrap()).await.unwrap();
        server.publish(7, everybody(7, 100.0));
        in_force(&lab, 7).await.unwrap();
        all_get(&lab, "canary").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_or_ends_is_not_missed_and_its_successor_is_found() {
    for dialect in DIALECTS {
        let port = Port::hold().unwrap();
        let first = Server::start(port.address(), local_module().unwrap()).await.unwrap();
        first.publish(1, everybody(1, 100.0));
        let lab = proxy(port.address(), dialect).await.unwrap();
        in_force(&lab, 1).await.unwrap();
        first.kill().await.unwrap();
        all_get(&lab, "canary").await.unwrap();

        let second = Server::start(port.address(), local_module().unwrap()).await.unwrap();
        second.publish(1, everybody(1, 100.0));
        let row = wait::until("the proxy", || async { second.proxies.list(0).into_iter().next() });
        let row = row.await.unwrap();
        wait::until("what it has", || async {
            second.proxies.list(0).first().filter(|row| row.reported == Some(1)).map(|_| ())
        })
        .await
        .unwrap();
        assert_eq!((row.node.as_str(), row.sent), (dialect, None), "it has the latest");
        second.publish(2, everybody(2, 0.0));
        in_force(&lab, 2).await.unwrap();
        all_get(&lab, "stable").await.unwrap();

        tokio::time::timeout(Duration::from_secs(10), second.xds.shut_down()).await.unwrap();
        second.kill().await.unwrap();
        let start = Instant::now();
        let third = Server::start(port.address(), local_module().unwrap()).await.unwrap();
        third.publish(3, everybody(3, 100.0));
        in_force(&lab, 3).await.unwrap();
        println!("{dialect}: {:?} from a server's orderly end to its successor's policy", start.elapsed());
        all_get(&lab, "canary").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_policy_is_told_and_touches_nobody() {
    for dialect in DIALECTS {
        let mut server = Server::start(ANYWHERE, local_module().unwrap()).await.unwrap();
        server.publish(1, everybody(1, 100.0));
        let lab = proxy(server.address(), dialect).await.unwrap();
        in_force(&lab, 1).await.unwrap();
        server.publish(2, "{\"version\": 1, \"rollouts\": 7}".to_owned());
        let refusal = tokio::time::timeout(wait::PATIENCE, server.refusals.recv()).await.unwrap().unwrap();
        assert_eq!((refusal.revision, refusal.node.as_str()), (2, dialect));
        assert!(refusal.why.contains("coalmine"), "{refusal:?}");
        all_get(&lab, "canary").await.unwrap();
        server.publish(3, everybody(3, 0.0));
        in_force(&lab, 3).await.unwrap();
        all_get(&lab, "stable").await.unwrap();
        assert!(server.refusals.try_recv().is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_module_may_come_with_the_policy() {
    let module = Module::Inline(std::fs::read(tools::filter().unwrap()).unwrap().into());
    let server = Server::start(ANYWHERE, module).await.unwrap();
    server.publish(1, everybody(1, 100.0));
    let lab = proxy(server.address(), DIALECTS[0]).await.unwrap();
    in_force(&lab, 1).await.unwrap();
    all_get(&lab, "canary").await.unwrap();
}
