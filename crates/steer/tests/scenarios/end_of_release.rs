//! Each row of "the end of a release".

use coalmine_steer::{Action, Kind, Outcome, Phase, Verb, What};

use crate::common::Story;

fn at_full(plan: &str) -> Story {
    let mut story = Story::kubernetes(plan);
    story.until_weight(100);
    story
}

#[test]
fn a_start_needs_a_canary_that_is_ready_and_differs() {
    let mut story = Story::kubernetes("{}");
    story.cluster().canary.ready = 2;
    story.run(3600);
    assert_eq!((story.phase(), story.percent()), (Phase::Idle, 0));
    assert_eq!(story.message(), "holds at 0 %: version v2 is new and has 2 of 4 replicas ready");
    assert_eq!(
        story.say(Verb::Start { new_users: false }).unwrap_err(),
        "the canary is not ready: 2 of 4 replicas"
    );
    story.cluster().canary.version = "v1".to_owned();
    story.run(60);
    assert_eq!(story.message(), "no release: the canary runs stable's version");
    assert_eq!(
        story.say(Verb::Start { new_users: false }).unwrap_err(),
        "canary and stable both run version v1: nothing to release"
    );
}

#[test]
fn the_canary_goes_to_100_when_its_replicas_can_carry_it() {
    let mut story = Story::kubernetes("{}");
    story.cluster().canary.replicas = 2;
    story.cluster().canary.ready = 2;
    story.until_weight(50);
    story.until(|story| story.condition(Kind::Capacity).is_some());
    story.run(3600);
    assert_eq!(story.percent(), 50);
    assert_eq!(
        story.condition(Kind::Capacity),
        Some("canary has 2 of 2 replicas ready, and 100 % of the users need 4")
    );
    story.cluster().scale_canary(4);
    story.until_weight(100);
}

#[test]
fn nobody_goes_back_to_a_stable_of_which_nothing_is_known() {
    let mut story = at_full("{}");
    story.cluster().renew_stable("v2");
    story.until_weight(50);
    let cluster = story.world.cluster.take();
    story.world.obstacles = vec!["the Deployments cannot be read".to_owned()];
    story.run(3600);
    assert_eq!((story.percent(), story.message()), (50, "holds at 50 %: the Deployments cannot be read"));
    (story.world.cluster, story.world.obstacles) = (cluster, Vec::new());
    story.until_phase(Phase::Idle);
    assert_eq!(story.percent(), 0);
}

#[test]
fn when_stable_is_new_waits_until_stable_runs_the_canarys_version_and_is_ready() {
    let mut story = at_full("{}");
    story.run(2 * 3600);
    assert_eq!((story.percent(), story.message()), (100, "waits until stable runs version v2 and is ready"));
    story.cluster().start_up = 600;
    story.cluster().renew_stable("v2");
    story.run(300);
    assert_eq!(story.percent(), 100, "stable is not ready yet");
    story.until_phase(Phase::Idle);
    assert_eq!(story.world.state.release.as_ref().unwrap().outcome, Some(Outcome::Promoted));
}

#[test]
fn copy_renews_stable_with_the_canarys_template() {
    let mut story = at_full("{promote: copy}");
    story.tick();
    assert!(
        story.step.as_ref().unwrap().actions.contains(&Action::CopyToStable { version: "v2".to_owned() })
    );
    story.until_phase(Phase::Idle);
    assert_eq!(story.cluster().stable.version, "v2");
}

#[test]
fn manual_waits_for_the_verb() {
    let mut story = at_full("{promote: manual}");
    assert_eq!(story.say(Verb::Promote).unwrap_err(), "stable still runs version v1; renew it to v2 first");
    story.cluster().renew_stable("v2");
    story.run(3600);
    assert_eq!(story.percent(), 100);
    story.say(Verb::Promote).unwrap();
    story.until_phase(Phase::Idle);
}

#[test]
fn without_workloads_the_verb_alone_says_that_stable_is_renewed() {
    let mut story = Story::envoy("{}");
    story.run(600);
    assert_eq!((story.phase(), story.message()), (Phase::Idle, "no release; start begins one"));
    story.say(Verb::Start { new_users: false }).unwrap();
    story.until_weight(100);
    story.run(3600);
    assert_eq!(story.message(), "the canary has all users; promote says that stable is renewed");
    story.say(Verb::Promote).unwrap();
    story.until_phase(Phase::Idle);
    assert_eq!(story.weights(), [0, 1, 5, 25, 50, 100, 50, 25, 5, 1, 0]);
}

#[test]
fn the_weight_walks_down_by_the_same_steps_as_stable_can_carry_it() {
    let mut story = at_full("{}");
    story.cluster().renew_stable("v2");
    story.cluster().stable.replicas = 2;
    story.run(300);
    assert_eq!(story.percent(), 50, "two of four replicas carry half");
    assert_eq!(
        story.condition(Kind::Capacity),
        Some("stable has 2 of 2 replicas ready, and 75 % of the users need 3")
    );
    story.cluster().stable.replicas = 4;
    story.cluster().stable.ready = 4;
    story.until_phase(Phase::Idle);
    assert_eq!(story.weights(), [1, 5, 25, 50, 100, 50, 25, 5, 1, 0]);
}

#[test]
fn once_stable_is_being_changed_nothing_rolls_back_by_itself() {
    let mut story = at_full("{}");
    story.cluster().start_up = 3600;
    story.cluster().renew_stable("v2");
    story.canary_fails(0.5);
    story.run(1800);
    assert_eq!((story.percent(), story.phase()), (100, Phase::Promoting));
    story.cluster().restart_canary();
    story.run(60);
    assert_eq!(story.percent(), 100, "stable is half new, and nobody knows whether it can carry them");
    assert!(story.condition(Kind::Alarm).unwrap().contains("a person decides"));
    story.say(Verb::Rollback).unwrap();
    assert_eq!((story.percent(), story.published().weight), (0, Some(0)));
    story.until_phase(Phase::RolledBack);
}

#[test]
fn a_third_version_of_stable_while_promoting_raises_the_alarm() {
    let mut story = at_full("{notify: [oncall]}");
    story.cluster().renew_stable("v9");
    story.run(600);
    assert_eq!(story.percent(), 100);
    assert!(story.condition(Kind::Alarm).unwrap().contains("stable runs version v9 and not the canary's v2"));
}

#[test]
fn harm_before_stable_is_changed_still_rolls_back() {
    let mut story = Story::kubernetes("{}");
    story.cluster().canary.replicas = 2;
    story.cluster().canary.ready = 2;
    story.until_phase(Phase::Progressing);
    story.until(|story| story.condition(Kind::Capacity).is_some());
    story.say(Verb::Promote).unwrap();
    story.run(60);
    assert_eq!((story.phase(), story.percent()), (Phase::Promoting, 50));
    story.canary_fails(0.2);
    story.until_phase(Phase::RolledBack);
}

#[test]
fn the_canary_is_scaled_to_0_when_the_plan_says_so() {
    let mut story = at_full("{scaleDownCanary: true, promote: copy}");
    story.until_phase(Phase::Idle);
    story.run(60);
    assert_eq!(story.cluster().canary.replicas, 0);
    assert_eq!(story.happened(What::Promoted), 1);
    story.run(3600);
    assert_eq!(story.phase(), Phase::Idle, "the same version is no new one");
}

#[test]
fn a_new_canary_with_all_users_goes_back_to_the_first_step_while_stable_is_the_old_one() {
    let mut story = at_full("{}");
    story.cluster().renew_canary("v3");
    story.tick();
    assert_eq!((story.percent(), story.phase()), (1, Phase::Progressing));
}

#[test]
fn a_new_canary_with_all_users_gives_way_to_a_stable_that_was_judged() {
    let mut story = at_full("{}");
    story.cluster().renew_stable("v2");
    story.cluster().renew_canary("v3");
    story.tick();
    assert!(story.condition(Kind::Alarm).unwrap().contains("go to stable as fast as it can carry them"));
    story.until(|story| story.happened(What::Promoted) == 1);
    story.until_weight(1);
    assert_eq!(story.happened(What::Started), 2, "the newer version is a release of its own");
}
