//! Whom tokens of an issuer make somebody.

use super::*;
use crate::text_pattern::{NotAPattern, TextPattern};

#[tokio::test]
async fn a_token_by_every_algorithm_makes_a_caller_whom_history_can_name() {
    let signers = [Signer::rsa("rsa"), Signer::p256("p256"), Signer::p384("p384"), Signer::ed25519("ed")];
    let all: Vec<&Signer> = signers.iter().collect();
    let tokens = trusting(&all, &[rule(ISSUER, KeySource::Discovered)]);
    for (signer, algorithms) in [
        (&signers[0], &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (&signers[1], &["ES256"]),
        (&signers[2], &["ES384"]),
        (&signers[3], &["EdDSA", "Ed25519"]),
    ] {
        for algorithm in algorithms {
            let token = signer.token_by(algorithm, &claims());
            let caller = tokens.caller(Some(&token), NOW).await.unwrap();
            assert_eq!(caller.name(), "github:repo:acme/shop:ref:refs/heads/main", "{algorithm}");
            assert!(may(&caller, May::Operate, "shop/checkout").await);
            assert!(
                !may(&caller, May::Write, "shop/checkout").await && !may(&caller, May::Read, "bank/x").await
            );
            assert!(!may(&caller, May::Read, "*").await);
        }
    }
    let admin = tokens.caller(Some("admin-0123456789"), NOW).await.unwrap();
    assert_eq!(admin.name(), "admin", "tokens of the server's own are taken beside");
}

#[tokio::test]
async fn a_token_without_a_key_id_needs_one_fitting_key() {
    let (named, nameless) = (Signer::p256("a"), Signer::p256("b").without_id());
    let token = nameless.token(&claims());
    let rules = [rule(ISSUER, KeySource::Discovered)];
    let one = trusting(&[&nameless, &Signer::ed25519("c")], &rules);
    assert!(one.caller(Some(&token), NOW).await.is_ok());
    let two = trusting(&[&nameless, &named], &rules);
    assert!(why(&two, &token).await.contains("does not say by \"kid\" which key"));
    assert!(two.caller(Some(&named.token(&claims())), NOW).await.is_ok());
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_verify_nothing() {
    let signer = Signer::rsa("a");
    for (field, value, is_taken) in [
        ("use", json!("sig"), true),
        ("use", json!("jwt-svid"), true),
        ("use", json!("enc"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("alg", json!("RS256"), true),
        ("alg", json!("RS512"), false),
        ("alg", json!("RSA-OAEP"), false),
        ("kty", json!("oct"), false),
        ("kid", json!(5), false),
        ("n", json!("AQAB"), false),
        ("e", json!("AQ"), false),
        // The zero in front that makes it positive elsewhere.
        ("n", json!(format!("AAAA{}", signer.public()["n"].as_str().unwrap())), true),
    ] {
        let mut key = signer.public();
        key[field] = value.clone();
        // Beside one that is good, which a file has to have.
        let text = json!({"keys": [key, Signer::ed25519("b").public()]}).to_string();
        let keys = KeySource::File { path: "jwks.json".to_owned(), text };
        let tokens = Tokens::new(Vec::new());
        tokens.set(Vec::new(), &[rule(ISSUER, keys)]).unwrap();
        let caller = tokens.caller(Some(&signer.token(&claims())), NOW).await;
        assert_eq!(caller.is_ok(), is_taken, "{field} {value}: {caller:?}");
    }
}

#[tokio::test]
async fn every_rule_that_a_token_fits_gives_what_it_allows() {
    let signer = Signer::ed25519("a");
    let usual = rule(ISSUER, KeySource::Discovered);
    let reads = Rule {
        name: "all".to_owned(),
        claims: [("sub".to_owned(), "repo:acme/*".parse().unwrap())].into(),
        scope: Scope { may: May::Read, patterns: vec![Pattern::Every] },
        ..usual.clone()
    };
    let bank = Rule { name: "bank".to_owned(), audience: "bank".to_owned(), ..reads.clone() };
    let tokens = trusting(&[&signer], &[bank, reads, usual]);
    let caller = tokens.caller(Some(&signer.token(&claims())), NOW).await.unwrap();
    assert_eq!(caller.name(), "all:repo:acme/shop:ref:refs/heads/main");
    assert!(may(&caller, May::Read, "*").await && !may(&caller, May::Operate, "*").await);
    assert!(may(&caller, May::Operate, "shop/checkout").await && !may(&caller, May::Operate, "bank/x").await);
    let mut other = claims();
    (other["sub"], other["aud"]) = (json!("repo:acme/blog:x"), json!(["any", "bank", "coalmine"]));
    let caller = tokens.caller(Some(&signer.token(&other)), NOW).await.unwrap();
    assert!(caller.name() == "bank:repo:acme/blog:x" && !may(&caller, May::Operate, "shop/checkout").await);
    other["aud"] = json!("elsewhere");
    let denial = why(&tokens, &signer.token(&other)).await;
    assert!(
        denial.ends_with("its audience \"elsewhere\" is not one of bank, coalmine, coalmine"),
        "{denial}"
    );
}

#[tokio::test]
async fn a_claim_that_is_a_list_needs_one_entry() {
    let signer = Signer::ed25519("a");
    let groups = Rule {
        claims: [("groups".to_owned(), "release-*".parse().unwrap())].into(),
        named_by: "email".to_owned(),
        ..rule(ISSUER, KeySource::Discovered)
    };
    let tokens = trusting(&[&signer], &[groups]);
    let mut given = claims();
    (given["groups"], given["email"]) = (json!([7, "staff", "release-shop"]), json!("ada@acme.example"));
    let caller = tokens.caller(Some(&signer.token(&given)), NOW).await.unwrap();
    assert_eq!(caller.name(), "github:ada@acme.example");
    given["groups"] = json!(["staff"]);
    assert!(
        why(&tokens, &signer.token(&given)).await.contains("its groups \"staff\" is not what github wants")
    );
    (given["groups"], given["email"]) = (json!("release-x"), json!(""));
    let denial = why(&tokens, &signer.token(&given)).await;
    assert!(denial.ends_with("it has no \"email\", which names its caller"), "{denial}");
}

#[tokio::test]
async fn a_name_in_history_is_short_and_of_one_line() {
    let signer = Signer::ed25519("a");
    let tokens = trusting(&[&signer], &[rule(ISSUER, KeySource::Discovered)]);
    let mut odd = claims();
    odd["sub"] = json!("repo:acme/shop:a\n\u{1b}[31mb");
    let caller = tokens.caller(Some(&signer.token(&odd)), NOW).await.unwrap();
    assert_eq!(caller.name(), "github:repo:acme/shop:a\u{fffd}\u{fffd}[31mb");
    odd["sub"] = json!(format!("repo:acme/shop:{}", "ü".repeat(5_000)));
    let caller = tokens.caller(Some(&signer.token(&odd)), NOW).await.unwrap();
    assert!(caller.name().ends_with("üü…") && caller.name().chars().count() == 256, "{}", caller.name());
}

#[test]
fn a_pattern_is_a_text_or_its_beginning() {
    for text in ["x", "repo:acme/shop:*", "*"] {
        assert!(text.parse::<TextPattern>().is_ok(), "{text}");
    }
    for text in ["", "**", "*x", "a*b", "a*b*"] {
        assert_eq!(text.parse::<TextPattern>(), Err(NotAPattern), "{text}");
    }
}
