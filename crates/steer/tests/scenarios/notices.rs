//! What people are told of a release, and that they are told once.

use coalmine_steer::actions::Notice;
use coalmine_steer::{About, Kind, Phase, Verb};

use crate::common::Story;

#[test]
fn a_release_is_told_from_its_start_to_its_end() {
    let mut story = Story::envoy("{steps: [50], notify: [oncall]}");
    story.say(Verb::Start { new_users: false }).unwrap();
    story.until_weight(100);
    story.say(Verb::Promote).unwrap();
    story.until_phase(Phase::Idle);
    assert_eq!(story.told(), [About::Started, About::Promotes, About::Promoted]);
    let begun = &story.told[0].1;
    assert!(begun.ends_with(": a release begins: started by alice (because)"), "{begun}");
}

#[test]
fn a_rollback_is_told_when_it_begins_and_when_it_is_done() {
    let mut story = Story::kubernetes("{notify: [oncall]}");
    story.until_weight(5);
    story.canary_fails(0.3);
    story.until_phase(Phase::RolledBack);
    story.run(3600);
    assert_eq!(story.told(), [About::Started, About::RollsBack, About::RolledBack]);
}

#[test]
fn who_names_no_notifier_is_told_nothing() {
    let mut story = Story::kubernetes("{}");
    story.until_weight(5);
    assert_eq!((story.told(), story.world.state.next_notice), (Vec::new(), 0));
}

#[test]
fn a_hold_that_lasts_is_told_once_at_each_weight() {
    let mut story = Story::kubernetes("{steps: [5, 25], dwell: 8h, notify: [oncall]}");
    story.until_weight(5);
    story.run(3600);
    assert_eq!(story.told(), [About::Started], "the time of a step is no trouble");
    story.world.is_source_away = true;
    story.run(600);
    story.world.is_source_away = false;
    story.run(600);
    assert_eq!(story.told(), [About::Started], "ten minutes are not long");
    story.world.is_source_away = true;
    story.run(3600);
    assert_eq!(story.told(), [About::Started, About::Held]);
    assert!(story.condition(Kind::NoEvidence).is_some());
    let told = &story.told[1].1;
    assert!(told.contains(": held for 15m at 5 %: "), "{told}");
    for is_away in [false, true, false] {
        story.world.is_source_away = is_away;
        story.run(3600);
    }
    assert_eq!(story.told().len(), 2, "a trouble that comes and goes is not told each time");
    story.until_weight(25);
    story.world.is_source_away = true;
    story.run(3600);
    assert_eq!(story.told(), [About::Started, About::Held, About::Held]);
}

#[test]
fn notices_of_an_earlier_release_and_of_a_later_one_are_read() {
    let earlier: Notice =
        serde_json::from_str(r#"{"id": 3, "to": ["oncall"], "message": "rolls back"}"#).unwrap();
    assert_eq!((earlier.about, earlier.at, earlier.release), (About::Attention, 0, 0));
    let later = r#"{"id": 3, "about": "sings", "at": 7, "to": [], "message": "sings"}"#;
    let later: Notice = serde_json::from_str(later).unwrap();
    assert_eq!((later.about, later.at), (About::Attention, 7));
}
