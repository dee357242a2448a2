//! `mode: judge`: Flagger or Argo Rollouts moves, Coalmine answers for the verdict.

use coalmine_steer::inputs::Holder;
use coalmine_steer::{Kind, Outcome, Phase, Verb, Verdict, What};

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
    assert_eq!(
        (story.world.state.said.verdict, story.phase()),
        (Verdict::Advance, Phase::Idle),
        "it may begin"
    );
    story.say(Verb::Pause).unwrap();
    story.run(60);
    assert_eq!((story.world.state.said.verdict, story.phase()), (Verdict::Hold, Phase::Idle));
    story.say(Verb::Resume).unwrap();
    story.run(60);
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
    assert_eq!(story.world.state.release.as_ref().unwrap().outcome, Some(Outcome::RolledBack));
}

#[test]
fn a_pause_holds_the_verdict() {
    let mut story = held_at(5);
    story.tick();
    story.say(Verb::Pause).unwrap();
    story.run(3600);
    assert_eq!(story.world.state.said.verdict, Verdict::Hold);
}

#[test]
fn a_weight_that_somebody_tells_is_judged_as_one_that_is_read() {
    let mut story = held_at(0);
    story.world.is_held_read = false;
    story.tick();
    let unknown = story.condition(Kind::NoEvidence).unwrap();
    assert_eq!(unknown, "the weight that the other controller holds is not known; the verb weights tells it");
    story.say(Verb::Weight(50_000)).unwrap();
    assert_eq!((story.percent(), story.phase()), (5, Phase::Progressing), "at once");
    story.world.held = Some(50_000);
    story.until(|story| story.world.state.said.verdict == Verdict::Advance);
    story.say(Verb::Weight(250_000)).unwrap();
    assert_eq!(story.world.state.said.verdict, Verdict::Hold, "25 % is not judged yet");
    let before = (story.events.len(), story.life());
    story.say(Verb::Weight(250_000)).unwrap();
    assert_eq!((story.events.len(), story.life()), before, "a second time is nothing new");
    story.world.held = Some(250_000);
    story.canary_fails(0.2);
    story.until(|story| story.world.state.said.verdict == Verdict::Rollback);
    story.say(Verb::Weight(50_000)).unwrap();
    assert_eq!(story.world.state.said.verdict, Verdict::Rollback, "less harm is harm");
    story.say(Verb::Weight(0)).unwrap();
    let release = story.world.state.release.as_ref().unwrap();
    assert_eq!((release.outcome, story.phase()), (Some(Outcome::RolledBack), Phase::Idle));
    assert_eq!((story.happened(What::Started), story.happened(What::RolledBack)), (1, 1));
    assert!(story.world.publications.iter().all(|it| it.form.weight.is_none()), "no weight is published");
}

#[test]
fn nobody_tells_a_weight_that_is_read() {
    let mut story = held_at(5);
    story.tick();
    let refused = story.say(Verb::Weight(250_000)).unwrap_err();
    assert_eq!(refused, "the weight is read where the other controller holds it; nobody has to say it");
    assert_eq!(story.percent(), 5);
}

#[test]
fn what_was_told_is_forgotten_once_coalmine_steers() {
    let mut story = Story::kubernetes("{mode: judge}");
    story.say(Verb::Weight(50_000)).unwrap();
    let judging = std::mem::replace(&mut story.world.plan, crate::common::plan("{start: manual}", true));
    story.tick();
    assert_eq!(story.percent(), 5, "users stay where they are");
    story.say(Verb::Rollback).unwrap();
    story.until_phase(Phase::RolledBack);
    story.world.plan = judging;
    story.tick();
    assert!(story.condition(Kind::NoEvidence).is_some());
    assert_eq!(story.percent(), 0);
}

#[test]
fn users_are_drawn_before_the_first_weight_and_not_with_it() {
    let mut story = held_at(0);
    let salt = |story: &Story| story.world.publications.last().unwrap().form.salt.clone().unwrap();
    story.run(60);
    let first = salt(&story);
    story.world.held = Some(50_000);
    story.run(600);
    assert_eq!(salt(&story), first, "whoever is on the canary stays there");
    story.world.held = Some(0);
    story.run(30);
    assert_eq!(salt(&story), first, "routes of the release may still be in force");
    story.run(15);
    let second = salt(&story);
    assert_ne!(second, first, "the next release draws anew");
    story.world.held = Some(50_000);
    story.run(60);
    assert_eq!((salt(&story), story.happened(What::Started)), (second.clone(), 2));
    story.world.held = Some(0);
    story.run(15);
    story.world.held = Some(50_000);
    story.run(60);
    assert_eq!((salt(&story), story.happened(What::Started)), (second, 3), "it began too early for a draw");
}

fn says(ended: Option<Outcome>, version: &str) -> Option<Holder> {
    Some(Holder { ended, version: Some(version.to_owned()) })
}

/// A rollout whose workloads only the other controller knows.
fn without_workloads(percent: u32) -> Story {
    let mut story = Story::envoy("{mode: judge}");
    story.world.holder = says(None, "v2");
    story.world.held = Some(percent * 10_000);
    story
}

#[test]
fn the_other_controller_says_how_its_release_ended() {
    for (ended, version, outcome) in [
        (Outcome::Promoted, "v2", Outcome::Promoted),
        (Outcome::RolledBack, "v2", Outcome::RolledBack),
        (Outcome::Promoted, "v1", Outcome::RolledBack),
    ] {
        let mut story = without_workloads(5);
        story.run(60);
        (story.world.held, story.world.holder) = (Some(0), says(Some(ended), version));
        story.run(15);
        assert_eq!(
            story.world.state.release.as_ref().unwrap().outcome,
            Some(outcome),
            "{ended:?} of {version}"
        );
    }
    let mut harmed = without_workloads(5);
    harmed.canary_fails(0.2);
    harmed.until(|story| story.world.state.said.verdict == Verdict::Rollback);
    (harmed.world.held, harmed.world.holder) = (Some(0), says(Some(Outcome::Promoted), "v2"));
    harmed.tick();
    let outcome = harmed.world.state.release.as_ref().unwrap().outcome;
    assert_eq!(outcome, Some(Outcome::Promoted), "somebody promoted it all the same, and that is said");
}

#[test]
fn users_that_are_taken_back_for_a_while_are_no_end() {
    let mut story = without_workloads(25);
    story.run(120);
    let salt = story.world.state.salt.clone();
    story.world.held = Some(0);
    story.run(120);
    assert_eq!((story.percent(), story.phase()), (0, Phase::Progressing));
    assert_eq!(
        story.condition(Kind::Workload).unwrap(),
        "the other controller has taken the users back for now"
    );
    story.world.held = Some(250_000);
    story.run(60);
    assert_eq!((story.happened(What::Started), story.life(), &story.world.state.salt), (1, 1, &salt));
    story.world.holder = says(None, "v3");
    story.run(15);
    assert_eq!(
        (story.happened(What::Started), story.life()),
        (1, 2),
        "evidence of another version begins anew"
    );
}

#[test]
fn all_users_on_the_canary_may_be_promoted() {
    let mut story = held_at(50);
    story.until(|story| story.world.state.said.verdict == Verdict::Promote);
    story.world.held = Some(1_000_000);
    story.run(15);
    assert_eq!(story.world.state.said.verdict, Verdict::Promote);
    story.say(Verb::Pause).unwrap();
    story.run(15);
    assert_eq!(story.world.state.said.verdict, Verdict::Hold);
}

#[test]
fn what_was_told_does_not_come_back_when_nothing_can_be_read() {
    let mut story = held_at(0);
    story.world.is_held_read = false;
    story.say(Verb::Weight(0)).unwrap();
    story.run(60);
    story.world.is_held_read = true;
    story.world.held = Some(250_000);
    story.run(60);
    let salt = story.world.state.salt.clone();
    story.world.is_held_read = false;
    story.run(120);
    assert_eq!((story.percent(), story.phase(), &story.world.state.salt), (25, Phase::Progressing, &salt));
    assert_eq!(story.world.state.said.verdict, Verdict::Hold);
}

#[test]
fn nobody_may_begin_while_users_are_drawn() {
    let mut story = held_at(5);
    story.run(60);
    story.world.held = Some(0);
    story.run(30);
    assert_eq!(story.world.state.said.verdict, Verdict::Hold);
    story.run(45);
    assert_eq!(story.world.state.said.verdict, Verdict::Advance);
}
