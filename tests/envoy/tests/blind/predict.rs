//! A client that tries to predict its variant: it computes what a million identities draw, and comes with some of
//! those that it likes. Against a public salt it gets what it wants; against a key it does no better than chance.

use coalmine_core::bucketing::{Bucketer, Key};
use coalmine_envoy_tests::{USER, visit};
use coalmine_harness::{Binomial, Lab, PolicyFile, load};
use serde_json::{Value, json};

const GUESSES: u32 = 1_000_000;
const SENT: usize = 1_000;
/// What the shipped policy says.
const SALT: &str = "checkout-1";
const WEIGHT: u32 = 5;
const KEY: &str = "c0a1313e5b0c7d1e2f3a4b5c6d7e8f90";
const CONFIDENCE: f64 = 0.999;

/// The shipped policy with a keyed draw.
fn keyed_policy() -> String {
    let mut policy: Value = serde_json::from_str(&PolicyFile::shipped_policy().unwrap()).unwrap();
    policy["rollouts"][0]["algorithm"] = json!("siphash-2-4");
    policy["rollouts"][0]["key"] = json!(KEY);
    policy.to_string()
}

/// The first thousand identities of a million that this draw sends to the canary.
fn guesses(bucketer: &Bucketer) -> Vec<String> {
    let lands = |identity: &String| bucketer.bucket(identity.as_bytes()).bucket.number() < WEIGHT * 10_000;
    let all: Vec<String> = (0..GUESSES).map(|number| format!("guess-{number}")).filter(lands).collect();
    println!("of {GUESSES} identities {} are computed to land in the canary", all.len());
    all.into_iter().take(SENT).collect()
}

/// Which of these identities the proxy sends to the canary.
async fn sent_to_canary(lab: &Lab, identities: Vec<String>) -> Vec<String> {
    let (count, asked) = (identities.len(), identities.clone());
    let answers = load::send_all(
        lab.address(),
        8,
        count,
        move |index| visit("shop.example", &asked[index]),
        |_, answer| answer.variant().unwrap(),
    );
    let variants = answers.await.unwrap();
    let in_canary = identities.into_iter().zip(variants).filter(|(_, variant)| *variant == "canary");
    in_canary.map(|(identity, _)| identity).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn against_a_public_salt_every_guess_lands() {
    let policy = PolicyFile::shipped_policy().unwrap();
    assert!(policy.contains(SALT) && policy.contains(USER), "the attacker has read {policy}");
    let lab = Lab::builder().unwrap().without_access_log().start(&policy).await.unwrap();
    let landed = sent_to_canary(&lab, guesses(&Bucketer::coalmine_v1(SALT))).await;
    println!("public salt: {} of {SENT} land", landed.len());
    assert_eq!(landed.len(), SENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn against_a_key_guesses_are_no_better_than_chance() {
    let lab = Lab::builder().unwrap().without_access_log().start(&keyed_policy()).await.unwrap();
    let chance = Binomial { users: SENT as u64, weight: f64::from(WEIGHT) }.interval(CONFIDENCE).unwrap();
    let is_chance = |what: &str, landed: usize| {
        println!("{what}: {landed} of {SENT} land, chance is {}..={}", chance.0, chance.1);
        assert!((chance.0..=chance.1).contains(&(landed as u64)), "{what}: {landed}, not {chance:?}");
    };
    let mut other_key = KEY.to_owned();
    other_key.replace_range(31.., "1");
    for (what, bucketer) in [
        ("by the public draw", Bucketer::coalmine_v1(SALT)),
        ("by a key of zeros", Bucketer::siphash_2_4(SALT, Key::from_hex(&"0".repeat(32)).unwrap())),
        (
            "by a key that is wrong in one bit",
            Bucketer::siphash_2_4(SALT, Key::from_hex(&other_key).unwrap()),
        ),
    ] {
        is_chance(what, sent_to_canary(&lab, guesses(&bucketer)).await.len());
    }

    // Who has found some identities of the canary by trying learns nothing about others that are like them.
    let tried = (0..2_000).map(|number| format!("tried-{number}")).collect();
    let found = sent_to_canary(&lab, tried).await;
    assert!(!found.is_empty());
    let alike = found.iter().flat_map(|identity| (0..26).map(move |letter| like(identity, letter)));
    is_chance("by likeness to those found", sent_to_canary(&lab, alike.take(SENT).collect()).await.len());
    // With the key it works, so it is the key that keeps them out.
    let key = Key::from_hex(KEY).unwrap();
    assert_eq!(sent_to_canary(&lab, guesses(&Bucketer::siphash_2_4(SALT, key))).await.len(), SENT);
}

/// The same with one more letter.
fn like(identity: &str, letter: u8) -> String {
    format!("{identity}{}", char::from(b'a' + letter))
}
