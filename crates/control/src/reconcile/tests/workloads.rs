//! What the workloads do, and what is done to them: with a cluster that a test makes up.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use coalmine_steer::inputs::{Workload, Workloads};
use coalmine_steer::{Kind, What};

use super::*;
use crate::cluster::{Cluster, Observed, Sidecar, Sidecars};
use crate::rollout::{Spec, WorkloadNames};

/// Two workloads that change as a test says, and as they are told.
#[derive(Debug, Default)]
struct MadeUpCluster {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    observed: Observed,
    sidecars: Option<Sidecars>,
    /// Why nothing can be changed, where that is so.
    forbids: Option<String>,
    /// How often a template was copied.
    copied: usize,
    /// How often something was tried.
    tried: usize,
}

impl MadeUpCluster {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// What the workloads are from now on.
    fn change(&self, change: impl FnOnce(&mut Workloads)) {
        change(self.known().observed.workloads.as_mut().unwrap());
    }

    fn workloads(&self) -> Workloads {
        self.known().observed.workloads.clone().unwrap()
    }
}

#[async_trait]
impl Cluster for MadeUpCluster {
    fn observe(&self, name: &Name, spec: &Spec, _: &Operator) -> Observed {
        assert_eq!(name.namespace(), "shop");
        assert_eq!(spec.workloads.as_ref().unwrap().canary, "checkout-canary");
        self.known().observed.clone()
    }

    fn sidecars(&self, _: &str) -> Option<Sidecars> {
        self.known().sidecars.clone()
    }

    async fn copy_to_stable(&self, _: &str, _: &WorkloadNames, version: &str) -> Result<(), String> {
        let mut known = self.known();
        known.tried += 1;
        if let Some(why) = &known.forbids {
            return Err(why.clone());
        }
        known.copied += 1;
        let workloads = known.observed.workloads.as_mut().unwrap();
        workloads.stable.version = version.to_owned();
        workloads.stable.updating = true;
        Ok(())
    }

    async fn scale_down_canary(&self, _: &str, _: &WorkloadNames) -> Result<(), String> {
        let mut known = self.known();
        known.tried += 1;
        if let Some(why) = &known.forbids {
            return Err(why.clone());
        }
        let workloads = known.observed.workloads.as_mut().unwrap();
        (workloads.canary.replicas, workloads.canary.ready) = (0, 0);
        Ok(())
    }
}

fn workload(version: &str, ready: u32) -> Workload {
    Workload { version: version.to_owned(), replicas: 4, ready, ..Workload::default() }
}

fn rollout(more: &str) -> String {
    let workloads = "
workloads: {service: checkout, stable: {deployment: checkout-stable}, canary: {deployment: checkout-canary}}";
    let plan = format!("onInconclusive: promote, {more}}}");
    workloads.to_owned() + &ROLLOUT.replace("onInconclusive: promote}", &plan)
}

/// A rollout whose both workloads run v1.
async fn world(more: &str) -> (World, Arc<MadeUpCluster>) {
    let cluster = Arc::new(MadeUpCluster::default());
    let workloads = Workloads { stable: workload("v1", 4), canary: workload("v1", 4) };
    cluster.known().observed.workloads = Some(workloads);
    let mut world = World::of(|server| server.with_cluster(cluster.clone())).await;
    world.write("shop/checkout", &rollout(more)).await;
    world.requests("shop/checkout", 0);
    world.tick().await;
    (world, cluster)
}

impl World {
    async fn message(&self) -> String {
        self.record("shop/checkout").await.state.said.message
    }

    fn conditions(&self) -> Vec<(Kind, String)> {
        let view = self.server.view();
        let seen = &view.rollouts[&"shop/checkout".parse().unwrap()];
        seen.conditions.iter().map(|condition| (condition.kind, condition.message.clone())).collect()
    }

    async fn until_weight(&mut self, weight: f64) {
        for _ in 0..30 {
            if self.published("shop/checkout").await == Some(weight) {
                return;
            }
            self.tick().await;
        }
        panic!("never {weight} %; at last: {}", self.message().await);
    }

    async fn outcome(&self) -> Option<Outcome> {
        self.record("shop/checkout").await.state.release.and_then(|release| release.outcome)
    }
}

/// Waits until this holds of what is done beside the ticks.
async fn until(cluster: &MadeUpCluster, holds: impl Fn(&Known) -> bool) {
    let waits = async {
        while !holds(&cluster.known()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("it was not done");
}

#[tokio::test]
async fn a_new_version_begins_a_release_once_it_is_ready() {
    let (mut world, cluster) = world("").await;
    for _ in 0..5 {
        world.tick().await;
    }
    assert_eq!(world.message().await, "no release: the canary runs stable's version");
    cluster.change(|workloads| workloads.canary = Workload { updating: true, ..workload("v2", 3) });
    world.tick().await;
    let holds = "holds at 0 %: version v2 is new and has 3 of 4 replicas ready, not all of them new";
    assert_eq!(world.message().await, holds);
    let trouble = Some("checkout: CrashLoopBackOff, exit code 1".to_owned());
    cluster.change(|workloads| workloads.canary = Workload { trouble, ..workload("v2", 3) });
    world.tick().await;
    let holds = "holds at 0 %: version v2 is new and has 3 of 4 replicas ready (checkout: CrashLoopBackOff, exit code 1)";
    assert_eq!(world.message().await, holds);
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    world.until_weight(5.0).await;
    let release = world.record("shop/checkout").await.state.release.unwrap();
    assert_eq!((release.stable.as_deref(), release.canary.as_deref()), (Some("v1"), Some("v2")));
}

#[tokio::test]
async fn what_is_missing_holds_before_a_release_and_refuses_start() {
    let (mut world, cluster) = world("").await;
    let why = "the Service checkout does not select the pods of checkout-canary";
    cluster.known().observed.obstacles = vec![why.to_owned()];
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    for _ in 0..5 {
        world.tick().await;
    }
    assert_eq!(world.published("shop/checkout").await, Some(0.0));
    assert_eq!(world.conditions(), [(Kind::Workload, why.to_owned())]);
    let request =
        Request { verb: Verb::Start { new_users: false }, by: "ada".to_owned(), message: String::new() };
    let name = "shop/checkout".parse().unwrap();
    let refused = operations::act(&world.server, &name, &request, &ASKED).await.unwrap_err();
    assert_eq!(refused.to_string(), why);
    cluster.known().observed.obstacles.clear();
    world.until_weight(5.0).await;
}

#[tokio::test]
async fn a_step_waits_for_the_replicas_that_carry_it() {
    let (mut world, cluster) = world("").await;
    cluster.change(|workloads| workloads.canary = Workload { replicas: 1, ..workload("v2", 1) });
    world.until_weight(25.0).await;
    for _ in 0..5 {
        world.tick().await;
    }
    let holds = "holds at 25 %: canary has 1 of 1 replicas ready, and 100 % of the users need 4";
    assert_eq!(
        (world.published("shop/checkout").await, world.message().await),
        (Some(25.0), holds.to_owned())
    );
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    world.until_weight(100.0).await;
}

#[tokio::test]
async fn a_canary_that_loses_its_pods_has_no_users_in_the_next_publication() {
    let (mut world, cluster) = world("").await;
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    world.until_weight(5.0).await;
    cluster.change(|workloads| workloads.canary.ready = 0);
    world.tick().await;
    assert_eq!(world.published("shop/checkout").await, Some(0.0));
    let name = "shop/checkout".parse().unwrap();
    let last = world.server.store().history(&name, None, 1).await.unwrap().remove(0).logged;
    assert_eq!(last.what, What::Lowered);
    assert_eq!(last.why, "the canary has no ready replica: everybody goes to stable");
}

#[tokio::test]
async fn a_version_that_was_rolled_back_does_not_begin_again() {
    let (mut world, cluster) = world("").await;
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    world.requests("shop/checkout", 30);
    for _ in 0..20 {
        world.tick().await;
    }
    assert_eq!(world.outcome().await, Some(Outcome::RolledBack));
    let message = world.message().await;
    assert!(
        message.starts_with("version v2 was rolled back: errors: the canary has 30.00 %")
            && message.ends_with("; start retries it"),
        "{message}"
    );
    world.requests("shop/checkout", 0);
    cluster.change(|workloads| workloads.canary = workload("v3", 4));
    world.until_weight(5.0).await;
}

#[tokio::test]
async fn stable_is_renewed_by_somebody_else_and_users_go_back() {
    let (mut world, cluster) = world("").await;
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    world.until_weight(100.0).await;
    for _ in 0..5 {
        world.tick().await;
    }
    assert_eq!(world.message().await, "waits until stable runs version v2 and is ready");
    cluster.change(|workloads| workloads.stable = Workload { updating: true, ..workload("v2", 3) });
    world.tick().await;
    assert_eq!(world.published("shop/checkout").await, Some(100.0));
    cluster.change(|workloads| workloads.stable = workload("v2", 4));
    world.until_weight(0.0).await;
    world.tick().await;
    assert_eq!((world.outcome().await, cluster.known().tried), (Some(Outcome::Promoted), 0));
}

#[tokio::test]
async fn stable_is_copied_and_the_canary_scaled_down_and_what_fails_is_said_and_tried_again() {
    let (mut world, cluster) = world("promote: copy, scaleDownCanary: true").await;
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    cluster.known().forbids = Some("it is forbidden".to_owned());
    world.until_weight(100.0).await;
    world.tick().await;
    until(&cluster, |known| known.tried == 1).await;
    world.tick().await;
    let said = "stable does not get the canary's pod template, which is tried again: it is forbidden";
    until(&cluster, |known| known.tried == 2).await;
    assert_eq!(world.conditions(), [(Kind::Workload, said.to_owned())]);
    cluster.known().forbids = None;
    world.tick().await;
    until(&cluster, |known| known.copied == 1).await;
    world.tick().await;
    assert_eq!(
        world.conditions(),
        [(Kind::Workload, "stable is being renewed: 4 of 4 replicas ready".to_owned())]
    );
    assert_eq!(cluster.known().copied, 1, "once is enough");
    cluster.change(|workloads| workloads.stable.updating = false);
    world.until_weight(0.0).await;
    world.tick().await;
    until(&cluster, |known| known.observed.workloads.as_ref().unwrap().canary.replicas == 0).await;
    world.tick().await;
    assert_eq!((world.outcome().await, cluster.workloads().canary.ready), (Some(Outcome::Promoted), 0));
    let tried = cluster.known().tried;
    world.tick().await;
    assert_eq!(cluster.known().tried, tried, "nothing is left to do");
}

#[tokio::test]
async fn a_proxy_whose_metrics_nobody_reads_is_named() {
    let (mut world, cluster) = world("").await;
    let sidecar = |pod: &str| Sidecar { pod: pod.to_owned(), address: String::new(), is_expected: true };
    cluster.known().sidecars = Some(Sidecars { namespace: None, pods: vec![sidecar("web-7.shop")] });
    cluster.change(|workloads| workloads.canary = workload("v2", 4));
    world.until_weight(5.0).await;
    world.tick().await;
    let conditions = world.conditions();
    let late =
        conditions.iter().find(|(kind, _)| *kind == Kind::Proxies).map(|(_, message)| message.as_str());
    let revision = world.latest().await.revision;
    let named = format!("1 of 2 proxies does not run revision {revision} and is left out: web-7.shop");
    assert_eq!(late, Some(named.as_str()));
    cluster.known().sidecars = Some(Sidecars::default());
    world.tick().await;
    assert!(world.conditions().iter().all(|(kind, _)| *kind != Kind::Proxies), "it is gone");
}

#[tokio::test]
async fn the_weight_that_another_controller_holds_is_followed() {
    let cluster = Arc::new(MadeUpCluster::default());
    let bucket = coalmine_document::json::read(br#"{"bucketHeader": "x-coalmine-bucket"}"#).unwrap();
    let mut world = World::of(|server| {
        server.set_operator(Operator {
            bucket_route: Some(bucket),
            served: ["default".to_owned()].into(),
            ..Operator::default()
        });
        server.with_cluster(cluster.clone())
    })
    .await;
    world.write("shop/checkout", &rollout("mode: judge")).await;
    world.tick().await;
    assert!(world.message().await.contains("the weight that the other controller holds is not known"));
    cluster.known().observed.held = Some(100_000);
    world.tick().await;
    let state = world.record("shop/checkout").await.state;
    assert_eq!((state.weight, state.said.phase.to_string().as_str()), (100_000, "Progressing"));
}
