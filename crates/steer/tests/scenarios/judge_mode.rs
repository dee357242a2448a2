//! `mode: judge`: Flagger or Argo Rollouts moves, Coalmine answers for the verdict.

use coalmine_steer::{Phase, Verb, Verdict};

use crate::common::Story;

fn held_at(percent: u32) -> Story {
    let mut story = Story::kubernetes("{mode: judge}");
    story.world.held = Some(percent * 10_000);
    story
}

#[test]
fn another_controller_moves_and_the_verdict_says_when() {
    let mut story = held_at(0);
    story.run(60);
    assert_eq!(story.phase(), Phase::Idle);
    story.world.held = Some(50_000);
    story.run(60);
    assert_eq!((story.world.state.said.verdict, story.phase()), (Verdict::Hold, Phase::Progressing));
    story.until(|story| story.world.state.said.verdict == Verdict::Advance);
    assert_eq!(story.message(), "5 % may be raised");
    story.world.held = Some(500_000);
    story.until(|story| story.world.state.said.verdict == Verdict::Promote);
    assert!(story.world.publications.iter().all(|it| it.form.weight.is_none()), "no weight is published");
}

#[test]
fn harm_is_a_verdict_that_stays_until_the_other_controller_acts() {
    let mut story = held_at(5);
    story.canary_fails(0.2);
    story.until(|story| story.world.state.said.verdict == Verdict::Rollback);
    story.run(600);
    assert_eq!(story.world.state.said.verdict, Verdict::Rollback);
    assert!(story.say(Verb::Rollback).unwrap_err().contains("another controller holds the weights"));
    story.world.held = Some(0);
    story.tick();
    assert_eq!(
        story.world.state.release.as_ref().unwrap().outcome,
        Some(coalmine_steer::Outcome::RolledBack)
    );
}

#[test]
fn a_pause_holds_the_verdict() {
    let mut story = held_at(5);
    story.tick();
    story.say(Verb::Pause).unwrap();
    story.run(3600);
    assert_eq!(story.world.state.said.verdict, Verdict::Hold);
}
