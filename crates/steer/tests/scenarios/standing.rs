//! What a rollout asks of whoever waits for it, as tools that sync from Git do.

use coalmine_steer::{Phase, Standing, Verb};

use crate::common::Story;

fn standing(story: &Story) -> Standing {
    story.world.state.said.standing
}

#[test]
fn a_release_asks_for_patience_from_the_new_version_to_its_end() {
    let mut story = Story::kubernetes("{steps: [5, 50], dwell: 1m}");
    story.cluster().renew_canary("v1");
    story.run(300);
    assert_eq!((story.phase(), standing(&story)), (Phase::Idle, Standing::Settled));
    story.cluster().renew_canary("v3");
    story.tick();
    assert_eq!((story.phase(), standing(&story)), (Phase::Idle, Standing::Moving), "{}", story.message());
    for phase in [Phase::Progressing, Phase::Promoting] {
        story.until_phase(phase);
        assert_eq!(standing(&story), Standing::Moving, "{phase}");
    }
    story.until_weight(100);
    story.cluster().renew_stable("v3");
    story.until_phase(Phase::Idle);
    assert_eq!(standing(&story), Standing::Settled);
}

#[test]
fn a_pause_and_an_approval_ask_for_patience() {
    let mut story = Story::kubernetes("{steps: [{weight: 0, approval: true}, 5]}");
    story.until_phase(Phase::WaitingForApproval);
    assert_eq!(standing(&story), Standing::Moving);
    story.say(Verb::Pause).unwrap();
    story.tick();
    assert_eq!((story.phase(), standing(&story)), (Phase::Paused, Standing::Moving));
}

#[test]
fn a_rollback_asks_for_a_decision_until_another_version_comes() {
    let mut story = Story::kubernetes("{rollback: {down: [1, 0], every: 1m}}");
    story.until_weight(5);
    story.canary_fails(0.1);
    for phase in [Phase::RollingBack, Phase::RolledBack] {
        story.until_phase(phase);
        assert_eq!(standing(&story), Standing::Stuck, "{phase}");
    }
    story.cluster().renew_canary("v1");
    story.tick();
    assert_eq!((story.phase(), standing(&story)), (Phase::RolledBack, Standing::Settled));
    story.cluster().renew_canary("v2");
    story.tick();
    assert_eq!(standing(&story), Standing::Stuck, "it was rolled back already");
    story.cluster().renew_canary("v3");
    story.tick();
    assert_eq!((story.phase(), standing(&story)), (Phase::RolledBack, Standing::Moving));
}

#[test]
fn what_is_missing_is_said_while_there_is_no_release() {
    let mut story = Story::kubernetes("{}");
    story.cluster().renew_canary("v1");
    story.world.obstacles = vec!["there is no Service shop/checkout".to_owned()];
    story.run(300);
    assert_eq!((story.phase(), standing(&story)), (Phase::Idle, Standing::Lacking));
    assert_eq!(
        story.message(),
        "no release: the canary runs stable's version; there is no Service shop/checkout"
    );
    story.world.obstacles.clear();
    story.tick();
    assert_eq!(standing(&story), Standing::Settled);
}

#[test]
fn a_deadline_that_has_passed_asks_for_a_decision() {
    let mut story = Story::kubernetes("{deadline: 30m}");
    story.until(|story| story.message().contains("the deadline"));
    assert_eq!((story.phase(), standing(&story)), (Phase::Progressing, Standing::Stuck));
    story.say(Verb::Resume).unwrap();
    story.tick();
    assert_eq!(standing(&story), Standing::Moving);
}

#[test]
fn an_alarm_asks_for_a_decision() {
    let mut story = Story::kubernetes("{dwell: 1m}");
    story.until_weight(100);
    story.cluster().renew_stable("v3");
    story.tick();
    assert_eq!((story.phase(), standing(&story)), (Phase::Promoting, Standing::Stuck), "{}", story.message());
}
