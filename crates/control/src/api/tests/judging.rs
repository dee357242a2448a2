//! `mode: judge`: another controller says the weight that it holds, and asks for the verdict.

use coalmine_document::Notation;

use super::*;

#[tokio::test]
async fn another_controller_says_which_weight_it_holds() {
    let world = World::new().await;
    let judging = ROLLOUT.replace("plan: {", "plan: {mode: judge, ");
    let refused = world.put(&judging).await;
    assert_eq!((refused.status, &refused.body["problems"][0]["path"]), (422, &json!("plan.mode")));
    let route = Notation::Yaml.read("bucketHeader: {name: x-bucket, total: 100}").unwrap().remove(0);
    world.app.server.set_operator(Operator {
        bucket_route: Some(route),
        served: ["default".to_owned()].into(),
        ..Operator::default()
    });
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
