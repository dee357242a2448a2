//! The situations of the table in `docs/rollout.md`, by their names.

use coalmine_steer::{Kind, Phase, Verb, What};

use crate::common::Story;

#[test]
fn no_traffic() {
    let mut story = Story::kubernetes("{}");
    story.world.traffic = 0.0;
    story.run(6 * 3600);
    assert_eq!((story.percent(), story.phase()), (1, Phase::Progressing));
    assert!(story.message().contains("0 of 500 requests"), "{}", story.message());
    story.world.traffic = 200.0;
    story.until_weight(5);
}

#[test]
fn traffic_stops_in_the_middle() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.world.traffic = 0.0;
    story.run(6 * 3600);
    assert_eq!((story.percent(), story.phase()), (25, Phase::Progressing));
}

#[test]
fn pods_restart() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.cluster().restart_canary();
    story.tick();
    assert_eq!(story.percent(), 0, "nobody is sent to pods that are not there");
    story.until_weight(25);
    assert_eq!((story.life(), story.happened(What::RolledBack)), (1, 0));
}

#[test]
fn two_releases_overlap() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(50);
    let salt = story.published().salt.clone();
    story.cluster().renew_canary("v3");
    story.tick();
    assert_eq!((story.percent(), story.life()), (1, 2));
    assert_eq!(story.published().salt, salt, "the users of the first step are the same");
    story.until_phase(Phase::Promoting);
    assert_eq!(story.world.state.release.as_ref().unwrap().canary.as_deref(), Some("v3"));
}

#[test]
fn canary_scaled_to_zero() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.cluster().scale_canary(0);
    story.tick();
    assert_eq!(story.percent(), 0);
    story.run(3600);
    let message = "canary has 0 of 0 replicas ready, and 1 % of the users need 1";
    assert_eq!((story.percent(), story.condition(Kind::Capacity)), (0, Some(message)));
    story.cluster().scale_canary(4);
    story.until_weight(1);
}

#[test]
fn metrics_server_away() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.world.is_source_away = true;
    story.run(6 * 3600);
    assert_eq!((story.percent(), story.happened(What::RollsBack)), (25, 0));
    story.world.is_source_away = false;
    story.until_weight(50);
}

#[test]
fn weight_edited_by_hand() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    // Somebody edits what was published: the record is what counts, and it is published again.
    story.world.published.as_mut().unwrap().form.weight = Some(900_000);
    story.tick();
    assert_eq!((story.percent(), story.published().weight), (5, Some(50_000)));
    // By the verb it is a move of the rollout, with a name.
    story.say(Verb::Weight(200_000)).unwrap();
    assert_eq!(story.published().weight, Some(200_000));
    assert_eq!(story.events.last().unwrap().2, "weight 20 % by alice (because)");
    story.until_weight(25);
}

#[test]
fn an_incident_hits_both_versions() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    let rates = story.world.rates.get_mut("errors").unwrap();
    (rates.stable, rates.canary) = (0.3, 0.3);
    story.run(1800);
    assert_eq!(story.happened(What::RollsBack), 0);
    let rates = story.world.rates.get_mut("errors").unwrap();
    (rates.stable, rates.canary) = (0.002, 0.002);
    story.until_phase(Phase::Promoting);
}

#[test]
fn a_rolled_back_version_is_deployed_again() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.canary_fails(0.2);
    story.until_phase(Phase::RolledBack);
    story.canary_fails(0.002);
    story.cluster().restart_canary();
    story.run(3600);
    assert_eq!(story.happened(What::Started), 1, "not by itself");
    story.say(Verb::Start { new_users: false }).unwrap();
    story.until_phase(Phase::Promoting);
}

#[test]
fn stable_cannot_carry_everybody() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(100);
    // An autoscaler took stable down while it had no users.
    story.cluster().stable.replicas = 1;
    story.cluster().stable.ready = 1;
    story.cluster().renew_stable("v2");
    story.run(3600);
    assert_eq!(story.percent(), 100, "one of four replicas carries no more than a quarter");
    let message = "stable has 1 of 1 replicas ready, and 50 % of the users need 2";
    assert_eq!(story.condition(Kind::Capacity), Some(message));
    story.cluster().stable.replicas = 4;
    story.cluster().stable.ready = 4;
    story.until_phase(Phase::Idle);
    assert_eq!(story.happened(What::Promoted), 1);
}

#[test]
fn stable_fails_while_it_is_renewed() {
    let mut story = Story::kubernetes("{promote: copy}");
    story.until_weight(100);
    story.tick();
    story.cluster().start_up = 1_000_000;
    story.cluster().stable.ready = 0;
    story.run(4 * 3600);
    assert_eq!((story.percent(), story.phase()), (100, Phase::Promoting), "the canary is the healthy one");
    story.cluster().stable.ready = 4;
    story.cluster().stable.updating = false;
    story.until_phase(Phase::Idle);
}

#[test]
fn the_canary_fails_while_an_approval_is_missing() {
    let mut story = Story::kubernetes("{steps: [1, {weight: 25, approval: true}]}");
    story.until_phase(Phase::WaitingForApproval);
    story.canary_fails(0.1);
    story.until_phase(Phase::RolledBack);
}
