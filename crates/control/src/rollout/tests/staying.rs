//! Who stays in a policy as they were: what cannot be read, and what others would push out.

use super::{Fleet, of_host, reading, why};

#[test]
fn what_cannot_be_read_stays_as_it_was() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/one", 1, &of_host("one.example"), 25);
    fleet.has("shop/two", 2, &of_host("two.example"), 5);
    fleet.compose();
    let before = fleet.rollout("shop/one");
    fleet.unreadable.push("shop/one".parse().unwrap());
    assert!(fleet.compose().publication.is_none(), "nothing has changed for proxies");
    fleet.now = 2_000;
    fleet.has("shop/two", 2, &of_host("two.example"), 50);
    // Its hosts stay its own.
    fleet.has("bank/one", 1, &of_host("one.example"), 50);
    let composed = fleet.compose();
    assert!(why(&composed, "bank/one").contains("belongs to shop/one"), "{composed:?}");
    assert_eq!((fleet.rollout("shop/one"), fleet.weight("shop/two")), (before, Some(50.0)));
    assert_eq!(fleet.latest.as_ref().unwrap().parts[&"shop/one".parse().unwrap()].since, 1_000);
    // One that never was in a policy is not in it.
    fleet.has("shop/never", 3, &of_host("never.example"), 5);
    fleet.unreadable.push("shop/never".parse().unwrap());
    fleet.compose();
    assert_eq!(fleet.rollout("shop/never"), None);
}

#[test]
fn what_was_refused_is_not_sent_again_after_it_could_not_be_read() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/bad", 2, &of_host("bad.example"), 5);
    fleet.compose();
    let good = fleet.rollout("shop/bad").unwrap();
    fleet.has("shop/bad", 2, &of_host("bad.example").replace("x-user-id", "x-other-id"), 25);
    fleet.compose();
    fleet.refuse("it crashes");
    fleet.compose();
    fleet.unreadable.push("shop/bad".parse().unwrap());
    fleet.has("shop/good", 1, &of_host("good.example"), 5);
    assert!(fleet.compose().publication.is_some());
    assert_eq!(fleet.rollout("shop/bad").unwrap()["identity"], good["identity"]);
    fleet.unreadable.clear();
    let composed = fleet.compose();
    assert!(why(&composed, "shop/bad").contains("a proxy refused it"), "{composed:?}");
    assert_eq!(fleet.rollout("shop/bad").unwrap()["identity"], good["identity"]);
}

#[test]
fn an_edit_of_an_older_rollout_takes_nothing_from_a_younger_one() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/old", 1, &reading("old.example", 15), 5);
    fleet.has("bank/young", 9, &reading("young.example", 15), 25);
    for n in 0..3 {
        fleet.has(&format!("shop/between-{n}"), 1, &reading(&format!("between-{n}.example"), 10), 5);
    }
    assert_eq!(fleet.compose().left_out.len(), 0);
    let (old, young) = (fleet.rollout("shop/old"), fleet.rollout("bank/young"));
    // Too many headers together, and a host that is somebody else's.
    let too_much = [
        reading("old.example", 16).replace("plan", "# edited\nplan").replace("x-old", "y-old"),
        of_host("old.example, young.example"),
    ];
    fleet.has("shop/between-0", 1, &reading("between-0.example", 14), 5);
    fleet.compose();
    for text in too_much {
        fleet.has("shop/old", 1, &text, 5);
        for _ in 0..2 {
            let composed = fleet.compose();
            assert!(!why(&composed, "shop/old").is_empty(), "{:?}", composed.left_out);
            assert_eq!(composed.left_out.len(), 1, "{:?}", composed.left_out);
            assert_eq!(fleet.rollout("shop/old"), old, "its last form stays");
            assert_eq!(fleet.rollout("bank/young"), young);
        }
    }
    // The weight of the younger one still moves.
    fleet.has("bank/young", 9, &reading("young.example", 15), 50);
    fleet.compose();
    assert_eq!(fleet.weight("bank/young"), Some(50.0));
    // What was given up is free with the next publication.
    fleet.has("bank/young", 9, &of_host("other.example"), 5);
    fleet.compose();
    fleet.now += 1;
    assert_eq!(fleet.compose().left_out.len(), 0);
    assert!(fleet.rollout("shop/old").unwrap()["match"]["hosts"].to_string().contains("young.example"));
}
