//! What is doubted, and what is missing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use coalmine_judge::assessment::{Missing, Users, odds};
use coalmine_judge::batch::{MAX_COUNT, Open, Served};
use coalmine_judge::trust::Check;
use coalmine_judge::{
    Arms, Batch, Config, Counts, Finding, GROUPS, GuardConfig, Judge, Margin, Refusal, StateProblem, Tally,
};

fn judge() -> Judge {
    Judge::new(Config::default()).unwrap()
}

/// Counts that are the same in every group: all and bad, stable first.
fn batch(stable: (u64, u64), canary: (u64, u64)) -> Batch {
    let arms = Arms { stable: Counts::new(stable.0, stable.1), canary: Counts::new(canary.0, canary.1) };
    Batch { weight: Some(100_000), guards: vec![Tally::Groups(Box::new([arms; GROUPS]))], ..Batch::default() }
}

fn doubts(judge: &Judge) -> Vec<String> {
    judge.assess().reasons_to_hold()
}

#[test]
fn an_arm_that_is_silent() {
    let mut judge = judge();
    judge.observe(&batch((9, 0), (0, 0))).unwrap();
    assert!(doubts(&judge).is_empty());
    judge.observe(&batch((9, 0), (0, 0))).unwrap();
    assert_eq!(doubts(&judge)[0], "canary has no requests where about 29 are expected");
    assert!(judge.assess().guards[0].missing.contains(&Missing::Arm { canary: true }));
    judge.observe(&batch((9, 0), (1, 0))).unwrap();
    assert!(!matches!(judge.assess().trust.silence, Check::Doubt(_)));
}

#[test]
fn requests_that_are_lost_on_the_way() {
    let mut judge = judge();
    let lossy = Batch { served: Some(Served { assigned: 160, served: 100 }), ..batch((90, 0), (10, 0)) };
    for looks in 1..=3 {
        judge.observe(&lossy).unwrap();
        assert_eq!(doubts(&judge).len(), usize::from(looks == 3));
    }
    assert_eq!(
        doubts(&judge)[0],
        "160 requests were assigned to the canary and it served 100: a fault of routing or telemetry"
    );
}

#[test]
fn requests_that_do_not_end() {
    let mut judge = judge();
    let open = Arms { stable: Open { begun: 9000, open: 90 }, canary: Open { begun: 1000, open: 200 } };
    judge.observe(&Batch { open: Some(open), ..batch((90, 0), (10, 0)) }).unwrap();
    judge.observe(&Batch { open: Some(open), ..batch((90, 0), (10, 0)) }).unwrap();
    assert_eq!(
        doubts(&judge)[0],
        "at least 200 of 1000 requests to the canary do not end; stable has 90 of 9000"
    );
}

#[test]
fn a_share_that_is_not_the_weight_is_named_and_a_new_weight_starts_anew() {
    let mut judge = judge();
    judge.observe(&batch((980, 2), (20, 0))).unwrap();
    assert!(doubts(&judge)[0].starts_with("the canary has 2.00 % of the requests where 10.00 % is assigned"));
    judge.observe(&Batch { weight: Some(20_000), ..batch((980, 2), (20, 0)) }).unwrap();
    assert!(doubts(&judge).is_empty());
}

#[test]
fn a_group_of_stable_may_hide_harm() {
    let mut judge = judge();
    for _ in 0..20 {
        let mut batch = batch((900, 2), (100, 1));
        if let Tally::Groups(groups) = &mut batch.guards[0] {
            groups[4].stable.bad = 800;
        }
        judge.observe(&batch).unwrap();
    }
    let guard = &judge.assess().guards[0];
    assert_eq!(guard.users, Users::HiddenByGroup(4));
    assert_eq!(guard.finding, Finding::Undecided);
}

#[test]
fn harm_of_two_groups_only_is_named_and_holds_nothing() {
    let mut judge = judge();
    for _ in 0..20 {
        let mut batch = batch((900, 2), (100, 0));
        if let Tally::Groups(groups) = &mut batch.guards[0] {
            groups[4].canary.bad = 90;
            groups[7].canary.bad = 90;
        }
        judge.observe(&batch).unwrap();
    }
    assert_eq!(judge.assess().guards[0].users, Users::FewInCanary);
    assert!(doubts(&judge).is_empty());
}

#[test]
fn what_is_missing_and_when_it_is_enough() {
    let mut judge = judge();
    judge.observe(&batch((100, 0), (13, 0))).unwrap();
    let guard = judge.assess().guards[0].clone();
    assert_eq!(guard.missing, [Missing::Requests { have: 208, need: 500 }]);
    assert_eq!(guard.missing[0].to_string(), "208 of 500 requests");
    judge.observe(&batch((900, 0), (100, 0))).unwrap();
    assert_eq!(judge.assess().guards[0].finding, Finding::Safe);
    assert!(judge.assess().is_safe());
}

#[test]
fn a_changed_margin_begins_anew_and_other_guards_go_on() {
    let other = GuardConfig { name: "payments".to_owned(), ..GuardConfig::errors() };
    let two = Config { guards: vec![GuardConfig::errors(), other], ..Config::default() };
    let mut judge = Judge::new(two.clone()).unwrap();
    let one = batch((100, 1), (100, 1));
    judge.observe(&Batch { guards: vec![one.guards[0].clone(), one.guards[0].clone()], ..one }).unwrap();
    let mut changed = two;
    changed.guards[1].worse_than = Margin { times: 3.0, plus: 0.0 };
    changed.guards.reverse();
    let read = Judge::from_bytes(changed, &judge.to_bytes()).unwrap().assess();
    assert_eq!(read.guards[0].counts, Arms::default());
    assert_eq!(read.guards[1].counts, judge.assess().guards[0].counts);
}

/// One request a batch: each lacks an arm, and all of them together say the same as one batch.
#[test]
fn a_batch_may_be_one_request() {
    let even = GuardConfig { groups: false, ..GuardConfig::errors() };
    let mut judge = Judge::new(Config { guards: vec![even], ..Config::default() }).unwrap();
    let one = |arms| Batch { weight: Some(500_000), guards: vec![Tally::Whole(arms)], ..Batch::default() };
    for _ in 0..30 {
        judge.observe(&one(Arms { stable: Counts::new(1, 0), canary: Counts::default() })).unwrap();
        judge.observe(&one(Arms { stable: Counts::default(), canary: Counts::new(1, 1) })).unwrap();
    }
    assert!(matches!(judge.assess().guards[0].finding, Finding::Harm { .. }));
}

#[test]
fn states_of_other_versions_and_other_files() {
    let mut bytes = judge().to_bytes();
    bytes[3] = 9;
    let read = |bytes: &[u8]| Judge::from_bytes(Config::default(), bytes).unwrap_err();
    assert_eq!(read(&bytes), StateProblem::Version(9));
    assert_eq!(read(b"{\"a\": 1}"), StateProblem::NotAState);
    assert_eq!(read(b""), StateProblem::NotAState);
}

#[test]
fn what_is_refused_says_what_would_be_right() {
    let mut judge = judge();
    let refused = |judge: &mut Judge, batch: &Batch| judge.observe(batch).unwrap_err().to_string();
    assert_eq!(
        refused(&mut judge, &batch((10, 0), (3, 4))),
        "there are 4 bad requests of 3; at most all of them can be bad"
    );
    assert_eq!(
        refused(&mut judge, &Batch::default()),
        "the batch has counts for 0 guards; it needs them for 1"
    );
    let whole = Batch { guards: vec![Tally::Whole(Arms::default())], ..Batch::default() };
    assert_eq!(
        refused(&mut judge, &whole),
        "there are no counts by group; the guard is configured with groups"
    );
    assert!(refused(&mut judge, &batch((MAX_COUNT, 0), (1, 0))).contains("is exact"));
    assert_eq!(Counts::new(5, 1).since(Counts::new(6, 1)), Err(Refusal::CounterFell { before: 6, now: 5 }));
}

#[test]
fn configurations_that_cannot_be() {
    let problem = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        Judge::new(config).unwrap_err().to_string()
    };
    assert_eq!(
        problem(&|config| config.alpha = f64::NAN),
        "alpha is NaN; a number above 0 and below 1 is expected"
    );
    assert!(problem(&|config| config.guards[0].worse_than.plus = f64::NAN).contains("has the margin"));
    assert!(problem(&|config| config.guards.clear()).contains("no guard"));
    assert!(problem(&|config| config.guards.push(GuardConfig::errors())).contains("\"errors\""));
}

#[test]
fn odds_are_readable() {
    let values = [0.5f64, 9.0, 320.4, 80_000.0, 1e12].map(|value| odds(value.ln() + 1e-12));
    assert_eq!(values, ["0.50", "9.00", "320", "80,000", "1e12"]);
}
