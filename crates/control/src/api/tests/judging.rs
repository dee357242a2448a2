//! `mode: judge`: another controller says the weight that it holds, and asks for the verdict.

use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use coalmine_document::Notation;
use coalmine_steer::Verdict;

use super::*;
use crate::cluster::{Cluster, Observed, Sidecars};
use crate::rollout::{Spec, WorkloadNames};

/// A cluster in which another controller holds this weight.
#[derive(Debug, Default)]
struct Held(AtomicU32);

#[async_trait]
impl Cluster for Held {
    fn observe(&self, _: &Name, _: &Spec, _: &Operator) -> Observed {
        Observed { held: Some(self.0.load(Ordering::Relaxed)), ..Observed::default() }
    }

    fn sidecars(&self, _: &str) -> Option<Sidecars> {
        None
    }

    async fn copy_to_stable(&self, _: &str, _: &WorkloadNames, _: &str) -> Result<(), String> {
        Err("it is the other controller's".to_owned())
    }

    async fn scale_down_canary(&self, _: &str, _: &WorkloadNames) -> Result<(), String> {
        Err("it is the other controller's".to_owned())
    }
}

/// Routes go by the bucket, and what was served is counted.
fn operator() -> Operator {
    let route = Notation::Yaml.read("bucketHeader: {name: x-bucket, total: 100}").unwrap().remove(0);
    Operator { bucket_route: Some(route), served: ["default".to_owned()].into(), ..Operator::default() }
}

#[tokio::test]
async fn a_weight_that_nobody_has_judged_yet_is_held() {
    let cluster = Arc::new(Held::default());
    let world = World::made(Fleets::default(), |server| server.with_cluster(cluster.clone())).await;
    world.app.server.set_operator(operator());
    let judging = ROLLOUT.replace("plan: {", "plan: {mode: judge, ");
    let held_by = "workloads: {service: checkout, heldBy: {rollout: checkout}}\n";
    assert_eq!(world.put(&(held_by.to_owned() + &judging)).await.status, 201);
    let ticked = |verdict, weight| {
        move |state: &mut State| {
            (state.ticked, state.said.verdict, state.weight) = (Some(1_000_000), verdict, weight);
        }
    };
    let answers = async || world.get(&format!("{PATH}/verdict")).await.body["verdict"].clone();
    world.makes(ticked(Verdict::Advance, 0)).await;
    assert_eq!(answers().await, "advance", "it may begin");
    cluster.0.store(50_000, Ordering::Relaxed);
    let hook = world.post("verdict/advance", &[], "").await;
    assert_eq!(
        (hook.status, &hook.body["detail"]),
        (409, &json!("hold: the other controller holds 5 % by now, which is not judged yet"))
    );
    assert_eq!(answers().await, "hold");
    world.makes(ticked(Verdict::Advance, 50_000)).await;
    assert_eq!(answers().await, "advance");
    world.makes(ticked(Verdict::Rollback, 10_000)).await;
    assert_eq!(answers().await, "rollback", "harm is harm at every weight");
}

#[tokio::test]
async fn another_controller_says_which_weight_it_holds() {
    let world = World::new().await;
    let judging = ROLLOUT.replace("plan: {", "plan: {mode: judge, ");
    let refused = world.put(&judging).await;
    assert_eq!((refused.status, &refused.body["problems"][0]["path"]), (422, &json!("plan.mode")));
    world.app.server.set_operator(operator());
    assert_eq!(world.put(&judging).await.status, 201);
    let start = world.post("start", &[], "").await;
    assert_eq!(
        (start.status, &start.body["detail"]),
        (409, &json!("another controller holds the weights (mode: judge); say it there"))
    );

    let dry = world.post("weights?dryRun=true", &[], "{\"canary\": 5}").await;
    assert_eq!((dry.status, &dry.body["rollout"]["weight"]), (200, &json!(5.0)));
    let key = [("idempotency-key", "step-1")];
    let told = world.post("weights", &key, "{\"canary\": 5, \"message\": \"step 1\"}").await;
    assert_eq!((told.status, &told.body["rollout"]["phase"]), (202, &json!("Progressing")));
    assert_eq!(told.headers[header::LOCATION], format!("https://coalmine.example{PATH}/releases/1").as_str());
    let repeated = world.post("weights", &key, "{\"canary\": 5, \"message\": \"step 1\"}").await;
    assert_eq!((repeated.status, &repeated.body), (202, &told.body));
    let again = world.post("weights", &[], "{\"canary\": 5}").await;
    assert_eq!((again.status, &again.body["changed"]), (200, &json!(false)));
    let verdict = world.get(&format!("{PATH}/verdict")).await;
    assert_eq!((&verdict.body["verdict"], &verdict.body["weight"]), (&json!("hold"), &json!(5.0)));

    for canary in [100, 0] {
        let moved = world.post("weights", &[], &format!("{{\"canary\": {canary}}}")).await;
        assert_eq!((moved.status, &moved.body["rollout"]["weight"]), (202, &json!(f64::from(canary))));
    }
    let release = world.get(&format!("{PATH}/releases/1")).await.body;
    assert_eq!(release["outcome"], "Superseded", "no verdict was given, and nobody knows versions here");
    let history = world.get(&format!("{PATH}/history")).await.body;
    let whys: Vec<&str> =
        history.as_array().unwrap().iter().map(|line| line["why"].as_str().unwrap()).collect();
    assert!(whys.contains(&"weight 5 % by pipeline (step 1)"), "{whys:?}");
}
