//! The policy names the cluster of every variant, and one route serves them all.

use coalmine_envoy_tests::alive::decided;
use coalmine_envoy_tests::{USER, compile, user};
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Lab, LabBuilder, PolicyFile, Server, get};

use super::{HOST, drawn, server, those_of};

pub(crate) const EXAMPLE: &str = "envoy/cluster-header";

/// The example, with its third server.
pub(crate) async fn example() -> (LabBuilder, Server) {
    let baseline = Server::start("baseline", 0).await.unwrap();
    let port = format!("port_value: {}", baseline.address().port());
    let lab = Lab::example(EXAMPLE).unwrap();
    (lab.edit(|bootstrap| bootstrap.replace("port_value: 8083", &port)).unwrap(), baseline)
}

/// Ways to name a cluster oneself.
const FORGERIES: [&[&str]; 6] =
    [&["canary"], &["baseline"], &["stable"], &["no-such-cluster"], &[""], &["canary", "canary"]];

/// Every forged request gets what it would get without the forgery.
async fn nobody_can_forge(lab: &Lab, expected: &[(Option<&str>, &str)]) -> usize {
    for (user, variant) in expected {
        for forgery in FORGERIES {
            let mut request = RawRequest::get(HOST, "/");
            if let Some(user) = user {
                request = request.header(USER, user);
            }
            for value in forgery {
                request = request.header("X-Coalmine-Cluster", value);
            }
            let answer = request.send(lab.address()).await.unwrap();
            assert_eq!((answer.status, answer.body.trim_end()), (200, *variant), "{forgery:?} of {user:?}");
        }
    }
    expected.len() * FORGERIES.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_variant_has_its_cluster_and_nobody_can_name_one() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let policy = compile(&document).unwrap();
    let (lab, _baseline) = example().await;
    let lab = lab.start(&document).await.unwrap();
    for user in (0..200).map(user) {
        let answer = lab.ask(get(HOST).header(USER, &user)).await.unwrap();
        assert_eq!(server(&answer), drawn(&policy, &user), "{user}");
    }
    assert_eq!(server(&lab.ask(get(HOST)).await.unwrap()), "stable", "nobody");
    let [stable, canary, baseline] =
        ["stable", "canary", "baseline"].map(|variant| those_of(&policy, variant, 1).remove(0));
    let expected = [
        (Some(stable.as_str()), "stable"),
        (Some(&canary), "canary"),
        (Some(&baseline), "baseline"),
        (None, "stable"),
    ];
    let forged = nobody_can_forge(&lab, &expected).await;
    decided(&lab, 201 + forged).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_filter_everybody_gets_stable() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let canary = those_of(&compile(&document).unwrap(), "canary", 1).remove(0);
    let (lab, _baseline) = example().await;
    let lab = lab.module("no/such/module.wasm".as_ref()).start(&document).await.unwrap();
    let answer = lab.ask(get(HOST).header(USER, &canary)).await.unwrap();
    assert_eq!(server(&answer), "stable");
    nobody_can_forge(&lab, &[(Some(&canary), "stable"), (None, "stable")]).await;
}
