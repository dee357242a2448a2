//! Composition, claims on hosts and what a proxy refused, without a store.

use coalmine_steer::Form;

use super::compose::{Composed, compose};
use super::place::{Before, Candidate, Said};
use super::{Name, Operator, Spec, read_text};
use crate::fleets::FLEET;
use crate::publish::Publication;

mod away;
mod held_by;
mod staying;

const POLICY: &str = "policy:
  match: {hosts: [HOST]}
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {}
";

/// A fleet whose policy is composed again and again.
#[derive(Default)]
struct Fleet {
    rollouts: Vec<(Name, u64, Spec, Form)>,
    unreadable: Vec<Name>,
    operator: Operator,
    latest: Option<Publication>,
    good: Option<Publication>,
    shown: u64,
    now: u64,
}

// === impl Fleet ===

impl Fleet {
    /// A rollout of this age, with this document and weight in percent; in the place of one of that name.
    fn has(&mut self, name: &str, created: u64, text: &str, weight: u32) {
        let name: Name = name.parse().unwrap();
        let spec = Spec::of_name(&name, &read_text(text).unwrap()).unwrap();
        let form = Form {
            weight: Some(weight * 10_000),
            salt: Some("salt".to_owned()),
            policy: spec.policy_inputs().digest,
            observe: true,
        };
        self.rollouts.retain(|(known, ..)| *known != name);
        self.rollouts.push((name, created, spec, form));
    }

    /// Composes; what comes of it is the latest publication. Where it has every rollout as it should be, composing it again
    /// changes nothing: the server relies on that.
    fn compose(&mut self) -> Composed {
        let composed = self.compose_once();
        if composed.left_out.is_empty() {
            let again = self.compose_once();
            assert!(again.publication.is_none() && again.left_out.is_empty(), "{again:?}");
        }
        composed
    }

    fn compose_once(&mut self) -> Composed {
        let candidates: Vec<Candidate<'_>> = self
            .rollouts
            .iter()
            .map(|(name, created, spec, form)| Candidate {
                name,
                created: *created,
                said: (!self.unreadable.contains(name)).then(|| Said { spec, form: form.clone() }),
            })
            .collect();
        let latest = self.latest.as_ref();
        let good = latest.filter(|latest| latest.refused.is_none()).or(self.good.as_ref());
        let before = Before { latest, good, shown: self.shown };
        let composed = compose(FLEET, &candidates, &self.operator, before, self.now);
        if let Some(publication) = &composed.publication {
            self.good = good.cloned();
            self.latest = Some(publication.clone());
        }
        composed
    }

    /// A proxy refuses the latest publication.
    fn refuse(&mut self, why: &str) {
        self.latest.as_mut().unwrap().refused = Some(why.to_owned());
    }

    fn revision(&self) -> u64 {
        self.latest.as_ref().unwrap().revision
    }

    fn rollout(&self, name: &str) -> Option<serde_json::Value> {
        let document: serde_json::Value = serde_json::from_str(&self.latest.as_ref()?.document).unwrap();
        document["rollouts"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned()
    }

    /// Canary's weight in the latest publication.
    fn weight(&self, name: &str) -> Option<f64> {
        self.rollout(name)?["variants"][0]["weight"].as_f64()
    }

    fn since(&self, name: &str) -> u64 {
        self.rollout(name).unwrap()["since"].as_u64().unwrap()
    }
}

fn of_host(host: &str) -> String {
    POLICY.replace("HOST", host)
}

/// A policy that reads this many headers of its own.
fn reading(host: &str, headers: usize) -> String {
    let read: Vec<String> = (0..headers).map(|n| format!("{{header: x-{host}-{n}}}")).collect();
    of_host(host).replace("identity: [{header: x-user-id}]", &format!("identity: [{}]", read.join(", ")))
}

fn why(composed: &Composed, name: &str) -> String {
    composed.left_out.get(&name.parse().unwrap()).cloned().unwrap_or_default()
}

#[test]
fn the_order_of_the_records_says_nothing() {
    let (mut one, mut other) = (Fleet::default(), Fleet::default());
    for fleet in [&mut one, &mut other] {
        fleet.has("shop/b", 2, &of_host("b.example"), 5);
        fleet.has("shop/a", 2, &of_host("a.example"), 5);
        fleet.has("shop/z", 1, &of_host("z.example"), 5);
    }
    other.rollouts.reverse();
    one.compose();
    other.compose();
    assert_eq!(one.latest, other.latest);
    let document = one.latest.unwrap().document;
    let place = |name: &str| document.find(name).unwrap();
    assert!(place("shop/z") < place("shop/a") && place("shop/a") < place("shop/b"), "the oldest is first");
}

#[test]
fn the_younger_of_two_that_conflict_is_left_out_and_its_last_form_stays() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/old", 1, &reading("old.example", 15), 5);
    fleet.has("shop/young", 2, &reading("young.example", 15), 25);
    for n in 0..3 {
        fleet.has(&format!("shop/between-{n}"), 1, &reading(&format!("between-{n}.example"), 10), 5);
    }
    assert_eq!(fleet.compose().left_out.len(), 0);
    let before = fleet.rollout("shop/young");
    // With this the policy would read more headers than a proxy may.
    fleet.has("shop/young", 2, &reading("young.example", 16), 50);
    fleet.has("shop/between-0", 1, &reading("between-0.example", 14), 5);
    let composed = fleet.compose();
    assert_eq!(composed.left_out.len(), 1, "{:?}", composed.left_out);
    let told = why(&composed, "shop/young");
    assert!(told.contains("headers") || told.contains("header"), "{told}");
    assert!(!told.contains("(with )"), "{told}");
    assert_eq!(fleet.rollout("shop/young"), before, "not even its weight goes up");
    let form = fleet.latest.as_ref().unwrap().parts[&"shop/young".parse().unwrap()].form.clone();
    assert_eq!((form.weight, form.policy.as_str()), (Some(250_000), "as it was"));
    // A rollback is possible all the same.
    fleet.has("shop/young", 2, &reading("young.example", 16), 0);
    fleet.compose();
    assert_eq!(fleet.weight("shop/young"), Some(0.0));
    // And what is right again is taken.
    fleet.has("shop/young", 2, &reading("young.example", 3), 50);
    assert_eq!(fleet.compose().left_out.len(), 0);
    assert_eq!(fleet.weight("shop/young"), Some(50.0));
}

#[test]
fn a_conflict_names_the_others() {
    let mut fleet = Fleet::default();
    let pins = |host: &str, count: usize| {
        let users: Vec<String> = (0..count).map(|n| format!("u{n}")).collect();
        of_host(host)
            .replace("  variants", &format!("  pins: {{canary: [{}]}}\n  variants", users.join(", ")))
    };
    fleet.has("shop/old", 1, &pins("old.example", 6_000), 5);
    fleet.has("shop/young", 2, &pins("young.example", 6_000), 5);
    let told = why(&fleet.compose(), "shop/young");
    assert!(told.contains("12000 pins") && told.ends_with("(with shop/old)"), "{told}");
    assert!(fleet.weight("shop/old").is_some() && fleet.weight("shop/young").is_none());
}

#[test]
fn a_host_belongs_to_the_namespace_that_had_it_first() {
    let mut fleet = Fleet::default();
    fleet.has("shop/checkout", 5, &of_host("checkout.example"), 5);
    fleet.has("shop/beside", 7, &of_host("checkout.example"), 5);
    fleet.has("bank/checkout", 6, &of_host("checkout.example, other.example"), 5);
    fleet.has("bank/special", 6, &of_host("\"*.example\""), 5);
    let composed = fleet.compose();
    assert_eq!(
        why(&composed, "bank/checkout"),
        "checkout.example belongs to shop/checkout, which had it first and is of another namespace"
    );
    assert_eq!(composed.left_out.len(), 1, "a namespace shares with itself, and other patterns are free");
    // What it does not get whole it does not get at all: the next one may have the rest.
    fleet.has("park/other", 9, &of_host("other.example"), 5);
    assert_eq!(fleet.compose().left_out.len(), 1);
    // Where the older one goes, the other one is next.
    fleet.rollouts.retain(|(name, ..)| name.namespace() == "bank");
    assert_eq!(fleet.compose().left_out.len(), 0);
    assert_eq!(fleet.weight("bank/checkout"), Some(5.0));
    let everywhere = POLICY.replace("  match: {hosts: [HOST]}\n", "");
    fleet.has("bank/every", 20, &everywhere, 5);
    fleet.has("shop/every", 21, &everywhere, 5);
    assert_eq!(
        why(&fleet.compose(), "shop/every"),
        "what no host names belongs to bank/every, which had it first and is of another namespace"
    );
}

#[test]
fn a_host_in_other_letters_is_the_same_host() {
    let mut fleet = Fleet::default();
    fleet.has("shop/checkout", 5, &of_host("checkout.example"), 5);
    let name: Name = "bank/checkout".parse().unwrap();
    // Either no document may say it so, or it is the same claim.
    let document = read_text(&of_host("Checkout.Example")).unwrap();
    if Spec::of_name(&name, &document).is_ok() {
        fleet.has("bank/checkout", 6, &of_host("Checkout.Example"), 5);
        assert!(why(&fleet.compose(), "bank/checkout").contains("belongs to shop/checkout"));
    }
}

#[test]
fn a_policy_has_at_most_256_kib_and_only_what_does_not_fit_is_left_out() {
    let mut fleet = Fleet { now: 1_764_163_112, ..Fleet::default() };
    let long = |host: &str, paths: usize| {
        let paths: Vec<String> = (0..paths).map(|n| format!("{{prefix: /{n:0100}}}")).collect();
        of_host(host).replace("]}", &format!("], paths: [{}]}}", paths.join(", ")))
    };
    fleet.has("shop/first", 1, &long("first.example", 900), 5);
    fleet.has("shop/second", 2, &long("second.example", 900), 5);
    fleet.has("shop/third", 3, &long("third.example", 900), 5);
    for n in 0..100 {
        fleet.has(&format!("shop/small-{n}"), 4, &of_host(&format!("small-{n}.example")), 5);
    }
    let composed = fleet.compose();
    assert_eq!(composed.left_out.len(), 1, "{:?}", composed.left_out.keys());
    assert!(why(&composed, "shop/third").contains("more than 256 KiB"), "{}", why(&composed, "shop/third"));
    assert!(fleet.weight("shop/second").is_some() && fleet.weight("shop/small-99").is_some());
    for n in 0..2_000 {
        fleet.has(&format!("shop/small-{n}"), 4, &of_host(&format!("small-{n}.example")), 5);
    }
    let composed = fleet.compose();
    let bytes = composed.publication.unwrap().document.len();
    assert!(bytes <= 256 * 1024, "{bytes}");
    assert!(bytes > 255 * 1024, "{bytes}: there is room");
}

#[test]
fn since_moves_only_for_what_changed() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/one", 1, &of_host("one.example"), 5);
    fleet.has("shop/two", 2, &of_host("two.example"), 5);
    fleet.compose();
    assert_eq!((fleet.revision(), fleet.since("shop/one"), fleet.since("shop/two")), (1_000, 1_000, 1_000));
    fleet.now = 2_000;
    assert!(fleet.compose().publication.is_none(), "the time alone is no change");
    fleet.has("shop/two", 2, &of_host("two.example"), 25);
    fleet.compose();
    assert_eq!((fleet.revision(), fleet.since("shop/one"), fleet.since("shop/two")), (2_000, 1_000, 2_000));
    fleet.now = 3_000;
    fleet.operator.slow = vec![250];
    assert!(fleet.compose().publication.is_some(), "what the operator says is a change too");
    assert_eq!((fleet.revision(), fleet.since("shop/one"), fleet.since("shop/two")), (3_000, 1_000, 2_000));
    let published = fleet.latest.as_ref().unwrap().published(&"shop/two".parse().unwrap()).unwrap();
    assert_eq!((published.revision, published.form.weight), (2_000, Some(250_000)));
}

#[test]
fn a_revision_never_goes_down() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    for (now, weight) in [(1_000, 5), (1_000, 6), (10, 7), (0, 8), (5_000, 9), (4_999, 10)] {
        let before = fleet.latest.as_ref().map_or(0, |latest| latest.revision);
        fleet.now = now;
        fleet.has("shop/one", 1, &of_host("one.example"), weight);
        fleet.compose();
        assert!(
            fleet.revision() > before && fleet.revision() >= now,
            "{now}: {} after {before}",
            fleet.revision()
        );
    }
}

#[test]
fn a_proxy_of_another_history_is_followed_and_one_that_shows_nonsense_is_not() {
    let mut fleet = Fleet { now: 1_000_000, ..Fleet::default() };
    fleet.has("shop/one", 1, &of_host("one.example"), 5);
    fleet.compose();
    fleet.shown = 2_000_000;
    fleet.compose();
    assert_eq!(fleet.revision(), 2_000_001);
    assert!(fleet.compose().publication.is_none(), "once");
    for nonsense in [u64::MAX, u64::MAX / 2, 1 << 53] {
        fleet.shown = nonsense;
        for _ in 0..5 {
            fleet.now += 15;
            assert!(fleet.compose().publication.is_none(), "{nonsense}: published again and again");
        }
    }
    fleet.has("shop/one", 1, &of_host("one.example"), 6);
    fleet.compose();
    assert_eq!(fleet.revision(), 2_000_002);
}

#[test]
fn what_was_refused_is_never_sent_again() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/good", 1, &of_host("good.example"), 5);
    fleet.has("shop/bad", 2, &of_host("bad.example"), 5);
    fleet.compose();
    let good = fleet.rollout("shop/bad").unwrap();
    let changed = of_host("bad.example").replace("x-user-id", "x-other-id");
    fleet.has("shop/bad", 2, &changed, 25);
    fleet.has("shop/good", 1, &of_host("good.example"), 10);
    fleet.compose();
    let refused = fleet.rollout("shop/bad").unwrap();
    fleet.refuse("it crashes");
    let composed = fleet.compose();
    // Nobody knows which of the two it was.
    assert_eq!(why(&composed, "shop/bad"), "a proxy refused it: it crashes");
    assert_eq!(fleet.rollout("shop/bad").unwrap()["identity"], good["identity"]);
    assert_eq!(fleet.weight("shop/bad"), Some(5.0));
    // The same policy at another weight is not tried either, up or down.
    for weight in [50, 26, 24, 25] {
        fleet.has("shop/bad", 2, &changed, weight);
        let composed = fleet.compose();
        assert!(why(&composed, "shop/bad").contains("it crashes"), "{weight}");
        assert_eq!(fleet.rollout("shop/bad").unwrap()["variants"], good["variants"]);
        assert_ne!(fleet.rollout("shop/bad").unwrap()["identity"], refused["identity"]);
    }
    // Everybody to stable: in the form that was good.
    fleet.has("shop/bad", 2, &changed, 0);
    fleet.compose();
    let back = fleet.rollout("shop/bad").unwrap();
    assert_eq!((&back["identity"], fleet.weight("shop/bad")), (&good["identity"], Some(0.0)));
    // Another rollout goes on.
    fleet.has("shop/good", 1, &of_host("good.example"), 30);
    fleet.compose();
    assert_eq!(fleet.weight("shop/good"), Some(30.0));
    // Another document is tried again.
    fleet.has("shop/bad", 2, &of_host("bad.example").replace("x-user-id", "x-third-id"), 5);
    let composed = fleet.compose();
    assert!(composed.left_out.is_empty() && composed.publication.unwrap().held.is_empty());
    assert_eq!(fleet.weight("shop/bad"), Some(5.0));
}

#[test]
fn a_weight_that_was_refused_is_not_the_policys_fault() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/one", 1, &of_host("one.example"), 5);
    fleet.compose();
    fleet.has("shop/one", 1, &of_host("one.example"), 25);
    fleet.compose();
    fleet.refuse("no");
    fleet.compose();
    assert_eq!(fleet.weight("shop/one"), Some(5.0));
    fleet.has("shop/one", 1, &of_host("one.example"), 50);
    assert!(fleet.compose().left_out.is_empty());
    assert_eq!(fleet.weight("shop/one"), Some(50.0));
}

#[test]
fn one_that_was_refused_when_it_was_new_is_not_there() {
    let mut fleet = Fleet { now: 1_000, ..Fleet::default() };
    fleet.has("shop/new", 1, &of_host("new.example"), 0);
    fleet.compose();
    fleet.refuse("no");
    let composed = fleet.compose();
    assert_eq!(
        (why(&composed, "shop/new").as_str(), fleet.weight("shop/new")),
        ("a proxy refused it: no", None)
    );
    let revision = fleet.revision();
    for _ in 0..3 {
        fleet.now += 15;
        let composed = fleet.compose();
        assert!(composed.publication.is_none() && !composed.left_out.is_empty());
    }
    assert_eq!(fleet.revision(), revision);
}
