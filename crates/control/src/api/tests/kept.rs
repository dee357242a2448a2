//! Releases stay for ever.

use super::*;

#[tokio::test]
async fn a_rollout_that_comes_again_does_not_write_over_its_releases() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    world
        .makes(|state| {
            state.stage = Stage::Idle;
            state.release.as_mut().unwrap().outcome = Some(Outcome::Promoted);
        })
        .await;
    let first = world.get(&format!("{PATH}/releases/1")).await.body;
    let version = world.store.record(&name()).await.unwrap().unwrap().version;
    world.store.remove(&name(), version).await.unwrap();
    assert_eq!(world.get(PATH).await.status, 404);
    assert_eq!(world.get(&format!("{PATH}/releases/1")).await.body, first, "it is there without its rollout");
    assert_eq!(world.put(ROLLOUT).await.status, 201);
    let started = world.post("start", &[], "").await;
    let location = started.headers[header::LOCATION].to_str().unwrap();
    assert!(location.ends_with("/releases/2"), "{location}");
    assert_eq!(world.get(&format!("{PATH}/releases/1")).await.body, first);
    assert_eq!(world.get(&format!("{PATH}/releases/2")).await.body["phase"], "Progressing");
}

#[tokio::test]
async fn a_retry_keeps_its_users_unless_new_ones_are_asked_for() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    let first = world.get(PATH).await.body["salt"].clone();
    let back = async || {
        world.post("rollback", &[], "").await;
        world.is_rolled_back().await;
    };
    back().await;
    let rolled_back = world.get(&format!("{PATH}/releases/1")).await.body;
    let again = world.post("rollback", &[], "").await;
    assert_eq!((again.status, &again.body["changed"]), (200, &json!(false)), "it may be repeated");
    assert_eq!(world.post("start", &[], "").await.status, 202);
    assert_eq!(world.get(PATH).await.body["salt"], first);
    back().await;
    assert_eq!(world.post("start", &[], "{\"newUsers\": true}").await.status, 202);
    assert_ne!(world.get(PATH).await.body["salt"], first);
    assert_eq!(world.get(&format!("{PATH}/releases/3")).await.body["phase"], "Progressing");
    assert_eq!(world.get(&format!("{PATH}/releases/1")).await.body, rolled_back, "for ever");
    assert_eq!(rolled_back["phase"], "RolledBack");
}

#[tokio::test]
async fn a_release_is_never_idle_and_always_says_why() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    for (phase, outcome, shown) in [
        (Phase::Idle, None, "Progressing"),
        (Phase::Paused, None, "Paused"),
        (Phase::Promoting, None, "Promoting"),
        (Phase::RollingBack, None, "RollingBack"),
        (Phase::Idle, Some(Outcome::Superseded), "Superseded"),
        (Phase::Idle, Some(Outcome::Promoted), "Promoted"),
        (Phase::RollingBack, Some(Outcome::RolledBack), "RolledBack"),
    ] {
        world
            .makes(|state| {
                state.said.phase = phase;
                state.release.as_mut().unwrap().outcome = outcome;
            })
            .await;
        let release = world.get(&format!("{PATH}/releases/1")).await.body;
        assert_eq!(release["phase"], shown);
        assert!(outcome.is_none() || release["outcome"] == shown, "{release}");
        assert!(!release["message"].as_str().unwrap().is_empty());
    }
}
