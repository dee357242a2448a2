//! Each row of "when something changes underneath".

use coalmine_steer::simulate::SimulatedProxy;
use coalmine_steer::{Action, Kind, Outcome, Phase, Verb, What};

use crate::common::Story;

#[test]
fn a_new_version_starts_by_itself_and_goes_up() {
    let mut story = Story::kubernetes("{}");
    story.until_phase(Phase::Promoting);
    assert_eq!(story.weights(), [1, 5, 25, 50, 100]);
    assert_eq!(story.life(), 1);
}

#[test]
fn a_version_that_was_rolled_back_never_starts_by_itself_again() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.canary_fails(0.1);
    story.until_phase(Phase::RolledBack);
    assert_eq!(story.world.state.rolled_back.as_deref(), Some("v2"));
    story.canary_fails(0.002);
    story.run(4 * 3600);
    assert_eq!((story.phase(), story.percent()), (Phase::RolledBack, 0));
    let message = story.message();
    assert!(message.starts_with("version v2 was rolled back: errors: "), "{message}");
    assert!(message.ends_with("; start retries it"), "{message}");
    story.cluster().renew_canary("v3");
    story.until_weight(1);
    assert_eq!(story.happened(What::Started), 2);
}

#[test]
fn start_retries_a_version_that_was_rolled_back_with_the_same_users() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    let salt = story.published().salt.clone();
    story.canary_fails(0.1);
    story.until_phase(Phase::RolledBack);
    story.canary_fails(0.002);
    story.say(Verb::Start { new_users: false }).unwrap();
    story.until_weight(5);
    assert_eq!(story.published().salt, salt);
    assert_eq!(story.world.state.release.as_ref().unwrap().number, 2);
}

#[test]
fn start_with_new_users_draws_anew() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    let salt = story.published().salt.clone();
    story.canary_fails(0.1);
    story.until_phase(Phase::RolledBack);
    story.say(Verb::Start { new_users: true }).unwrap();
    story.until_weight(1);
    assert_ne!(story.published().salt, salt);
}

#[test]
fn a_new_canary_while_progressing_takes_the_first_step_at_once() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    let salt = story.published().salt.clone();
    story.cluster().renew_canary("v3");
    story.tick();
    assert_eq!((story.percent(), story.phase()), (1, Phase::Progressing));
    assert_eq!(story.published().weight, Some(10_000));
    assert_eq!((story.life(), &story.published().salt), (2, &salt), "the same draw, evidence anew");
    assert!(story.condition(Kind::Requests).unwrap().starts_with("0 of 500"), "{:?}", story.conditions());
    assert_eq!(story.happened(What::Started), 1, "the same release");
}

#[test]
fn stable_changes_while_progressing_zeroes_the_evidence_and_holds() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.run(300);
    story.cluster().renew_stable("v1.1");
    story.tick();
    assert_eq!((story.percent(), story.life()), (25, 2));
    let message = story.condition(Kind::Workload).unwrap();
    assert!(message.starts_with("stable is being changed to version v1.1"), "{message}");
    assert!(story.events.iter().any(|(what, _, why)| *what == What::NewLife && why.contains("v1 to v1.1")));
    let begun = story.world.time;
    story.until_weight(50);
    assert!(story.world.time - begun >= 600, "the dwell begins anew");
}

#[test]
fn stable_that_becomes_the_canary_while_progressing_ends_the_release() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.cluster().renew_stable("v2");
    story.tick();
    assert_eq!((story.phase(), story.percent()), (Phase::Promoting, 25), "not all of stable is new yet");
    story.until_phase(Phase::Idle);
    assert_eq!(story.world.state.release.as_ref().unwrap().outcome, Some(Outcome::Promoted));
    assert_eq!(story.weights(), [1, 5, 25, 5, 1, 0]);
}

#[test]
fn a_canary_that_becomes_stable_again_is_superseded() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.cluster().renew_canary("v1");
    story.tick();
    assert_eq!((story.phase(), story.percent()), (Phase::Idle, 0));
    assert_eq!(story.world.state.release.as_ref().unwrap().outcome, Some(Outcome::Superseded));
}

#[test]
fn the_plan_changes_from_the_next_tick() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.world.plan = crate::common::plan("{steps: [2, 5, 10, 50], dwell: 5m}", true);
    let begun = story.world.time;
    story.until_weight(10);
    assert!((300..600).contains(&(story.world.time - begun)));
    assert_eq!(story.life(), 1, "the evidence goes on");
}

#[test]
fn the_policy_changes_and_the_evidence_is_cut() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.run(60);
    let requests = |story: &Story| story.world.state.release.as_ref().unwrap().here.requests;
    let (before, revision) = (requests(&story), story.world.published.as_ref().unwrap().revision);
    story.world.policy.digest = "p2".to_owned();
    story.tick();
    assert_eq!(story.published().policy, "p2");
    assert!(story.world.published.as_ref().unwrap().revision > revision);
    story.run(30);
    assert_eq!(requests(&story), before, "nothing counts until the warm-up is over");
    story.run(60);
    assert!(requests(&story) > before && story.percent() == 25 && story.life() == 1);
}

#[test]
fn a_change_that_draws_users_anew_is_refused_while_users_are_on_the_canary() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.world.policy.digest = "p2".to_owned();
    story.world.policy.draw = "d2".to_owned();
    story.run(3600);
    assert_eq!((story.percent(), story.published().policy.as_str()), (25, "p1"));
    assert!(story.condition(Kind::Policy).unwrap().contains("would draw users anew"));
    story.say(Verb::Rollback).unwrap();
    story.run(60);
    assert_eq!(story.published().policy, "p2", "nobody is on the canary any more");
}

#[test]
fn a_canary_that_loses_its_pods_while_it_has_users_has_weight_0_at_once() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.cluster().restart_canary();
    story.tick();
    assert_eq!((story.percent(), story.published().weight), (0, Some(0)));
    assert_eq!(story.phase(), Phase::Progressing);
    assert!(story.message().contains("no ready replica"), "{}", story.message());
    story.until_weight(1);
    assert_eq!(story.life(), 1, "the same versions: the same evidence");
}

#[test]
fn a_canary_that_is_proved_harmful_gets_no_users_back_with_its_pods() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.say(Verb::HoldNoRollback).unwrap();
    story.canary_fails(0.5);
    story.until(|story| story.condition(Kind::Alarm).is_some());
    story.cluster().restart_canary();
    story.tick();
    assert_eq!(story.percent(), 0);
    story.say(Verb::Resume).unwrap();
    story.until_phase(Phase::RolledBack);
    assert_eq!(story.weights(), [1, 5, 0]);
}

#[test]
fn deletion_with_users_on_canary_sends_everybody_to_stable_first() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(25);
    story.world.is_deleted = true;
    let step = story.tick().clone();
    assert!(matches!(&step.actions[0], Action::Publish(form) if form.weight == Some(0)));
    assert!(!step.actions.contains(&Action::Forget), "not before that is published");
    story.tick();
    assert!(story.world.is_forgotten);
    assert_eq!(story.world.state.release.as_ref().unwrap().outcome, Some(Outcome::Superseded));
}

#[test]
fn a_proxy_that_lags_is_named_and_holds() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(1);
    story.run(60);
    story.world.proxies[2].lag = 4 * 3600;
    story.until_weight(5);
    story.run(60);
    let message = story.condition(Kind::Proxies).unwrap();
    assert!(message.starts_with("1 of 4 proxies does not run revision"), "{message}");
    assert!(message.ends_with("is left out: proxy-3"), "{message}");
    let requests = story.world.state.release.as_ref().unwrap().here.requests;
    story.run(3 * 3600);
    assert_eq!(story.percent(), 5, "a user has one version on it, and another one elsewhere");
    assert!(story.world.state.release.as_ref().unwrap().here.requests > requests, "the others are judged");
    story.until_weight(25);
}

#[test]
fn a_proxy_without_a_policy_is_named_and_holds_nothing() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(1);
    let mut bare = SimulatedProxy::new(5);
    bare.lag = 1_000_000;
    story.world.proxies.push(bare);
    story.run(60);
    let message = story.condition(Kind::Proxies).unwrap();
    assert!(message.ends_with("is left out: proxy-5"), "{message}");
    story.until_weight(25);
}

#[test]
fn a_proxy_without_the_key_is_named_and_left_out() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(1);
    story.world.proxies[2].is_disabled = true;
    story.run(60);
    assert_eq!(
        story.condition(Kind::Proxies).unwrap(),
        "it is switched off in 1 of 4 proxies, as without its key: proxy-3"
    );
    story.until_weight(25);
    story.world.proxies.iter_mut().for_each(|proxy| proxy.is_disabled = true);
    story.run(4 * 3600);
    assert_eq!(story.percent(), 25, "without evidence nothing moves up");
}

#[test]
fn a_proxy_that_nobody_sees_for_two_minutes_is_gone_and_not_late() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.world.proxies[2].is_away = true;
    story.run(300);
    assert_eq!(story.condition(Kind::Proxies), None);
}

#[test]
fn evidence_that_cannot_be_read_holds_and_fails_nobody() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    story.world.is_source_away = true;
    story.run(4 * 3600);
    assert_eq!((story.percent(), story.phase()), (5, Phase::Progressing));
    assert!(
        story.message().contains("no evidence can be read: Prometheus does not answer"),
        "{}",
        story.message()
    );
    story.world.is_source_away = false;
    story.until_weight(25);
}

#[test]
fn a_clock_that_jumps_skips_no_dwell_and_makes_nobody_wait_twice() {
    for jump in [86_400, -86_400, 3_600, -600] {
        let mut story = Story::envoy("{minRequests: 0, warmUp: 0s, deadline: 90d}");
        story.say(Verb::Start { new_users: false }).unwrap();
        story.until_weight(5);
        let begun = story.world.time;
        story.run(300);
        story.world.clock += jump;
        // What Prometheus stamps follows its own clock; here both jump.
        for proxy in &mut story.world.proxies {
            proxy.clock += jump;
        }
        story.until_weight(25);
        let taken = story.world.time - begun;
        assert!((570..=660).contains(&taken), "a jump of {jump} s: {taken} s");
    }
}
